"""Scenes: what a picture shows, read back from its JSON."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import skeltools
from skeltools import skeletons
from skeltools.pictures import design
from skeltools.pictures.scene import Scene, Track, of_clips, seen, to_json
from skeltools.pictures.sides import parts, sides

SPEC = skeltools.skeleton("kinectv2_25")


def read(told: dict[str, Any]) -> np.ndarray:
    """Positions [T, M, V, 3] of a track's JSON, as the page reads them."""
    numbers = np.frombuffer(base64.b64decode(told["positions"]), "<i2")
    shape = (told["frames"], told["bodies"], len(told["joints"]), 3)
    return numbers.reshape(shape) * told["scale"] + np.array(told["origin"])


def track(joints: np.ndarray, **fields: Any) -> Track:
    return Track("here", SPEC, joints, np.ones(joints.shape[:2], dtype=bool), **fields)


def test_positions_come_back_to_a_tenth_of_a_millimetre() -> None:
    joints = np.random.default_rng(0).uniform(-3, 3, (7, 2, 25, 3)).astype(np.float32)
    told = to_json(Scene("a", (track(joints),)))["tracks"][0]
    assert np.abs(read(told) - joints).max() < 1e-4
    assert base64.b64decode(told["seen"]) == b"\1" * (7 * 2 * 25)


def test_what_is_not_seen_or_not_finite_is_not_drawn_and_moves_nothing() -> None:
    joints = np.zeros((3, 1, 25, 3), dtype=np.float32)
    joints[..., 1] = np.arange(25) / 10
    wrong = joints.copy()
    wrong[0, 0, 3], wrong[1, 0, 4], wrong[2, 0, 5] = np.nan, np.inf, 1e9
    unseen = np.zeros((3, 1, 25), dtype=bool)
    unseen[2, 0, 5] = True
    told = to_json(Scene("a", (track(wrong, unseen=unseen),)))
    json.dumps(told, allow_nan=False)
    drawn = np.frombuffer(base64.b64decode(told["tracks"][0]["seen"]), np.uint8).reshape(3, 1, 25) > 0
    assert drawn.sum() == 72
    assert not drawn[[0, 1, 2], 0, [3, 4, 5]].any()
    assert np.abs(read(told["tracks"][0]) - joints)[drawn].max() < 1e-4


@pytest.mark.parametrize("frames", [0, 4])
def test_a_scene_without_anybody_is_still_json(frames: int) -> None:
    empty = Track("a", SPEC, np.zeros((frames, 2, 25, 3), np.float32), np.zeros((frames, 2), bool))
    told = to_json(Scene("a", (empty,)))
    json.dumps(told, allow_nan=False)
    assert told["frames"] == frames
    assert not seen(empty).any()


@pytest.mark.parametrize("name", skeletons.names())
def test_every_pair_of_every_convention_has_a_left_and_a_right(name: str) -> None:
    spec = skeltools.skeleton(name)
    found = sides(spec)
    for joint, other in enumerate(spec.left_right_swap or ()):
        assert {found[joint], found[other]} == ({"centre"} if joint == other else {"left", "right"})
        if joint != other:
            assert re.search("l|L", spec.joints[joint if found[joint] == "left" else other])
    assert set(parts(spec)) <= design.LIGHT.keys()
    for joint, part in enumerate(parts(spec)):
        assert part == "trunk" or part.startswith(found[joint])


def test_sides_of_a_convention_without_parts_come_from_names() -> None:
    spec = skeltools.SkeletonSpec(
        name="beast",
        joints=("nose", "paw_r", "paw_l"),
        edges=((1, 0), (2, 0)),
        center=0,
        left_right_swap=(0, 2, 1),
    )
    assert sides(spec) == ("centre", "right", "left")


def test_colours_of_css_and_python_are_the_same() -> None:
    light, dark = design.css().split("prefers-color-scheme: dark", 1)
    for text, colours, persons in (
        (light, design.LIGHT, design.PERSONS),
        (dark.split("@media print")[0], design.DARK, design.PERSONS_DARK),
    ):
        told = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", text))
        assert {part: told[part.replace("_", "-")] for part in colours} == colours
        assert tuple(told[f"person-{place}"] for place in range(1, 5)) == persons


def test_bones_and_motion_are_vectors_of_the_joints(tmp_path: Path) -> None:
    joints = np.random.default_rng(1).normal(size=(5, 25, 3)).astype(np.float32)
    clip = skeltools.SkeletonSequence.from_joints("one", joints, "kinectv2_25")
    skeltools.write([clip], tmp_path / "s.zarr")
    opened = skeltools.open(tmp_path / "s.zarr")["one"]
    bones = of_clips([opened], "bone").tracks[0].vectors
    motion = of_clips([opened], "motion").tracks[0].vectors
    assert bones is not None
    assert motion is not None
    np.testing.assert_array_equal(bones[:, 0], joints - joints[:, list(SPEC.parents)])
    np.testing.assert_array_equal(motion[:-1, 0], joints[1:] - joints[:-1])
    assert not motion[-1].any()
