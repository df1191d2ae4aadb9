"""Whether mirrored people, odd heights and scores in place of a depth are noticed, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from schemas import SkeletonSpec
from skeltools import people, skeletons
from skeltools.conversion import convert
from skeltools.inspect.validate import check
from tests.skeltools.own_data import settings
from tests.skeltools.raw_files import poses

FIGURE = {
    "head": (0, 1.7, 0),
    "nose": (0, 1.65, -0.12),
    "ear": (0.08, 1.65, 0),
    "shoulder": (0.2, 1.45, 0),
    "elbow": (0.28, 1.2, 0.1),
    "wrist": (0.28, 1.0, -0.1),
    "hip": (0.1, 0.95, 0),
    "knee": (0.12, 0.5, -0.08),
    "ankle": (0.11, 0.1, 0),
    "toe": (0.12, 0.02, -0.18),
}
"""Of a person who faces the sensor: metres, y up, z away from it, and how far to the person's own side."""

SPECS = [skeletons.load(name) for name in skeletons.names()]
WITH = [spec for spec in SPECS if people.parts_of(spec)]


def person(spec: SkeletonSpec, *, frames: int = 6, seed: int = 0) -> np.ndarray:
    """[T, 1, V, 3] in canonical axes, where the left of who faces the sensor is at negative x."""
    rng = np.random.default_rng(seed)
    pose = np.tile([0.0, 0.95, 0.0], (spec.num_joints, 1))
    parts = people.parts_of(spec)
    for name, joint in sorted(parts.items()):  # the nose may be all there is of a head
        side, _, part = name.rpartition(" ")
        x, y, z = FIGURE[part]
        pose[joint] = (-x if side == "left" else x, y, z)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    pose = pose @ (turn * np.sign(np.linalg.det(turn)))
    sway = rng.normal(scale=0.004, size=(frames, 1, spec.num_joints, 3))
    return pose + sway + rng.normal(size=3)


def judged(spec: SkeletonSpec, clips: list[np.ndarray]) -> dict[str, str]:
    looks = [people.look(spec, clip, np.ones(clip.shape[:2], bool)) for clip in clips]
    found = people.judge([each for each in looks if each], place=spec.name)
    return {row.problem: row.detail for row in found}


# --- sides --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", WITH, ids=lambda spec: spec.name)
def test_people_of_every_convention_and_attitude_are_told_from_their_mirror_images(spec) -> None:
    clips = [person(spec, seed=seed) for seed in range(16)]
    assert judged(spec, clips) == {}
    assert list(judged(spec, [clip * [-1, 1, 1] for clip in clips])) == [people.MIRRORED]
    swap = list(spec.left_right_swap)
    assert list(judged(spec, [clip[..., swap, :] for clip in clips])) == [people.MIRRORED]


def test_which_conventions_can_be_judged_and_by_what() -> None:
    rng = np.random.default_rng(0)
    cues = {
        spec.name: people._cue(rng.normal(size=(1, spec.num_joints, 3)), people.parts_of(spec))[0]
        for spec in SPECS
    }
    silent = {name for name, cue in cues.items() if not cue}
    assert silent == {*skeletons.names("hands"), *skeletons.names("animals")}
    assert cues["kinectv2_25"] == cues["smpl_22"] == cues["h36m_32"] == cues["soma_77"] == "toes"
    assert cues["coco_17"] == cues["openpose_18"] == "face"
    assert {name for name, cue in cues.items() if cue == "limbs"} == {
        *("aic_14", "crowdpose_14", "h36m_17", "jhmdb_15", "lsp_14", "mpi_inf_3dhp_17", "mpii_16"),
        *("openpose_mpi_15", "sbu_15"),
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LeftToeBase", ("left", "toe_base")),
        ("mixamorig:RightUpLeg", ("right", "mixamorig_up_leg")),
        ("ANKLE_RIGHT", ("right", "ankle")),
        ("hip_l", ("left", "hip")),
        ("L.Knee", ("left", "knee")),
        ("rwri_smpl", ("right", "wri_smpl")),
        ("RBigToe", ("right", "big_toe")),
        ("larynx", ("", "larynx")),
        ("head", ("", "head")),
    ],
)
def test_sides_in_names(name: str, expected: tuple[str, str]) -> None:
    assert people._split(name) == expected


def test_the_feet_of_a_rig_that_has_toes_are_its_ankles() -> None:
    joints = ("Hips", "Head", "LeftUpLeg", "LeftLeg", "LeftFoot", "LeftToeBase", "RightUpLeg", "RightLeg")
    joints += ("RightFoot", "RightToeBase", "LeftShoulder", "RightShoulder")
    edges = tuple((joint, 0) for joint in range(1, len(joints)))
    parts = people.parts_of(SkeletonSpec(name="rig", joints=joints, edges=edges, center=0))
    named = {name: joints[joint] for name, joint in parts.items()}
    assert (named["left ankle"], named["left toe"]) == ("LeftFoot", "LeftToeBase")
    assert (named["right hip"], named["left shoulder"]) == ("RightUpLeg", "LeftShoulder")


def test_few_clips_of_a_weak_cue_say_nothing() -> None:
    spec = skeletons.load("lsp_14")
    assert judged(spec, [person(spec, seed=seed) * [-1, 1, 1] for seed in range(15)]) == {}


def test_points_at_random_and_joints_that_were_not_seen_say_nothing() -> None:
    spec = skeletons.load("kinectv2_25")
    rng = np.random.default_rng(0)
    assert judged(spec, [rng.normal(size=(12, 1, 25, 3)) for _ in range(9)]) == {}
    assert judged(spec, [poses(12, seed=seed) for seed in range(9)]) == {}
    clip = person(spec) * [-1, 1, 1]
    clip[:, :, spec.joints.index("FootLeft")] = np.nan
    clip[2, :, spec.joints.index("FootLeft")] = 0.0
    assert list(judged(spec, [clip[:2]])) == []
    assert people.look(spec, np.full((2, 1, 25, 3), np.nan), np.ones((2, 1), bool)) is None


# --- height -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "told"),
    [
        (1000, "millimetres read as metres"),
        (100, "centimetres read as metres"),
        (1 / 0.0254, "inches read as metres"),
        (1 / 0.3048, "feet read as metres"),
        (1 / 2.54, "inches read as centimetres"),
        (0.001, "metres read as millimetres"),
        (0.01, "metres read as centimetres"),
        (0.1, "centimetres read as millimetres"),
        (0.25, None),
    ],
)
def test_a_height_that_is_nobodys_is_told_with_the_likely_cause(factor: float, told: str | None) -> None:
    spec = skeletons.load("smpl_24")
    detail = judged(spec, [person(spec, seed=seed) * factor for seed in range(3)])[people.HEIGHT]
    assert (told in detail) if told else ("?" not in detail)


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.3])
def test_children_and_giants_are_people(factor: float) -> None:
    for spec in WITH:
        assert judged(spec, [person(spec) * factor]) == {}


def test_the_bones_of_a_skeleton_without_knees_add_up_to_a_height() -> None:
    """The smallest figure of docs/guides/custom-data.md, of 0.6 m: inches taken for centimetres."""
    joints = ("hip", "neck", "head", "left_shoulder", "right_shoulder", "left_foot", "right_foot")
    spec = SkeletonSpec(
        name="stick", joints=joints, edges=((0, 1), (2, 1), (3, 1), (4, 1), (5, 0), (6, 0)), center=1
    )
    place = [
        (0, 0.9, 0),
        (0, 1.4, 0),
        (0, 1.6, 0.02),
        (-0.2, 1.4, 0),
        (0.2, 1.4, 0),
        (-0.1, 0, 0.1),
        (0.1, 0, 0),
    ]
    clip = np.array(place)[None, None] + np.random.default_rng(0).normal(scale=0.002, size=(5, 1, 7, 3))
    assert judged(spec, [clip]) == {}
    assert "inches read as centimetres" in judged(spec, [clip / 2.54])[people.HEIGHT]


# --- depth --------------------------------------------------------------------------------------------------


def flat(spec: SkeletonSpec, *, pixels: float = 200.0, seed: int = 0) -> np.ndarray:
    """Image coordinates and a score."""
    clip = person(spec, frames=20, seed=seed) * pixels + [320, 240, 0]
    clip[..., 2] = np.random.default_rng(seed).uniform(0.3, 1.0, clip.shape[:-1])
    return clip


@pytest.mark.parametrize("change", [[1, 1, 1], [-1, -1, 1], [0.001, 0.001, 0.001], [-0.002, -0.002, -0.002]])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_score_in_place_of_a_coordinate_is_noticed(change: list[float], axis: int) -> None:
    spec = skeletons.load("coco_17")
    clips = [np.roll(flat(spec, seed=seed) * change, axis - 2, axis=-1) for seed in range(4)]
    found = judged(spec, clips)
    assert list(found) == [people.SCORE]
    assert found[people.SCORE].startswith("xyz"[axis])


def test_two_dimensional_poses_say_nothing() -> None:
    spec = skeletons.load("coco_17")
    assert judged(spec, [flat(spec, seed=seed) * [1, 1, 0] for seed in range(4)]) == {}


# --- conversion and validation ------------------------------------------------------------------------------


def recorded(folder: Path, clips: int = 3, **changes: object) -> Path:
    settings(folder, convention="kinectv1_20", layout="T M V C", **changes)
    spec = skeletons.load("kinectv1_20")
    for number in range(clips):
        np.save(folder / f"clip{number:03}.npy", person(spec, seed=number).astype(np.float32))
    return folder


OURS = (people.MIRRORED, people.HEIGHT, people.SCORE)


def notes(path: Path) -> list[str]:
    return [note.problem for note in check(path).notes if note.problem.startswith(OURS)]


def test_a_set_of_mirrored_people_is_told_at_conversion_and_by_validate(tmp_path: Path) -> None:
    right = convert("custom", raw=recorded(tmp_path / "right"), out=tmp_path / "a")
    assert (right.manifest.findings, right.warnings, notes(tmp_path / "a")) == ({}, (), [])
    raw = recorded(tmp_path / "wrong", axes={"x": "right", "y": "up", "z": "forward"}, units="cm")
    wrong = convert("custom", raw=raw, out=tmp_path / "b")
    assert wrong.manifest.findings == {people.HEIGHT: 1, people.MIRRORED: 1}
    assert [row.file for row in wrong.findings] == ["kinectv1_20"] * 2
    assert wrong.warnings[0].startswith("kinectv1_20: people look mirrored: toes point backward")
    assert [note.partition(":")[0] for note in notes(tmp_path / "b")] == [people.MIRRORED, people.HEIGHT]


def test_what_is_found_does_not_depend_on_workers_and_parts(tmp_path: Path, monkeypatch) -> None:
    raw = recorded(tmp_path / "raw", 70, axes={"x": "right", "y": "up", "z": "forward"})
    whole = convert("custom", raw=raw, out=tmp_path / "a", frames=(4,))
    assert "35 clips" in whole.findings[-1].detail
    assert convert("custom", raw=raw, out=tmp_path / "b", frames=(4,), workers=2).manifest == whole.manifest
