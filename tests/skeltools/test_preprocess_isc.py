"""Recipe isc against the published order of work, written out with loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import Component
from skeltools import skeletons
from skeltools.preprocess import RECIPES, STEPS, Dropped, Goal, Prepared, prepare
from skeltools.preprocess.geometry import spine_joints
from skeltools.sequence import SkeletonSequence
from tests.skeltools.figures import (
    KINECT,
    File,
    clip_of,
    clips,
    listed,
    oracle_resize,
    oracle_rotation,
    walking,
)

HIP, SPINE = 0, 1
"""A-GCN's joints of Kinect v2: zaxis = [0, 1], centre 1."""
LEFT, RIGHT = 4, 8


def oracle(file: File, frames: int, bodies: int, *, every_frame: bool = False) -> np.ndarray | None:
    """[3, T, V, M] in float64, or None when nobody is there."""
    people = read_four(file)
    chosen = [person for person in sorted(people, key=lambda p: -spread(p)) if is_there(person)][:bodies]
    if not chosen:
        return None
    chosen = [filled(person) for person in chosen]
    center(chosen, every_frame=every_frame)
    for low, high, target in ((HIP, SPINE, (0.0, 0.0, 1.0)), (LEFT, RIGHT, (1.0, 0.0, 0.0))):
        matrix = oracle_rotation(chosen[0][0][high] - chosen[0][0][low], target)
        for person in chosen:
            for t in range(len(person)):
                for v in range(25):
                    person[t][v] = matrix @ person[t][v]
    out = np.zeros((3, frames, 25, bodies))
    for m, person in enumerate(chosen):
        out[..., m] = oracle_resize(person, frames).transpose(2, 0, 1)
    return out


def read_four(file: File) -> list[np.ndarray]:
    """Four arrays [T, V, 3]: the bodies that each of at most 300 frames lists first, zero where none is."""
    people = [np.zeros((min(len(file), 300), 25, 3)) for _ in range(4)]
    for t in range(len(people[0])):
        for m in range(min(4, len(file[t]))):
            people[m][t] = file[t][m]
    return people


def is_there(person: np.ndarray) -> bool:
    return any(frame.any() for frame in person)


def spread(person: np.ndarray) -> float:
    """Sum of the standard deviations of x, y and z over all joints of all frames that are not zero."""
    points = [joint for frame in person if frame.any() for joint in frame]
    if not points:
        return 0.0
    total = 0.0
    for axis in range(3):
        values = [point[axis] for point in points]
        mean = sum(values) / len(values)
        total += (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
    return total


def filled(person: np.ndarray) -> np.ndarray:
    """Null frames: frames that exist move to the front when the first is null; the rest repeats the clip."""
    person = person.copy()
    if not person[0].any():
        there = [frame.copy() for frame in person if frame.any()]
        person[:] = 0
        for t, frame in enumerate(there):
            person[t] = frame
    for t in range(len(person)):
        if not person[t:].any():
            for rest in range(t, len(person)):
                person[rest] = person[rest - t]
            break
    return person


def center(people: list[np.ndarray], *, every_frame: bool) -> None:
    origin = [frame[SPINE].copy() for frame in people[0]]
    for person in people:
        for t in range(len(person)):
            for v in range(25):
                if person[t][v].any():
                    person[t][v] -= origin[t if every_frame else 0]


def recipe(*, every_frame: bool) -> tuple[Component, ...]:
    origin = "every_frame" if every_frame else "first_frame"
    return tuple(
        Component(name=step.name, options={"origin": origin}) if step.name == "center_spine" else step
        for step in RECIPES["isc"]
    )


@settings(deadline=None, max_examples=60)
@given(clip=clips(), frames=st.integers(1, 40), bodies=st.integers(1, 4), every_frame=st.booleans())
def test_isc_equals_the_literal_loop(
    clip: SkeletonSequence, frames: int, bodies: int, every_frame: bool
) -> None:
    expected = oracle(listed(clip), frames, bodies, every_frame=every_frame)
    made = prepare(clip, recipe=recipe(every_frame=every_frame), spec=KINECT, frames=frames, bodies=bodies)
    if expected is None:
        assert isinstance(made, Dropped)
    else:
        assert isinstance(made, Prepared)
        np.testing.assert_allclose(made.joint, expected, atol=1e-5)


def test_isc_as_it_ships_centres_every_frame_and_cuts_at_300() -> None:
    present = np.ones((310, 3), bool)
    present[:7, 0] = present[200:, 2] = False
    clip = clip_of(walking(310, 3), present)
    made = prepare(clip, recipe="isc", spec=KINECT, frames=64, bodies=2)
    assert isinstance(made, Prepared)
    np.testing.assert_allclose(made.joint, oracle(listed(clip), 64, 2, every_frame=True), atol=1e-5)
    assert made.counts["frames cut"] == 10
    assert made.counts["bodies dropped"] == 1


def test_isc_turns_the_first_body_upright_on_z() -> None:
    clip = clip_of(walking(5, 2), np.ones((5, 2), bool))
    made = prepare(clip, recipe="isc", spec=KINECT, frames=5, bodies=2)
    assert isinstance(made, Prepared)
    first = made.joint[:, 0, :, 0]
    np.testing.assert_allclose(first[:, SPINE], 0, atol=1e-7)
    line = first[:, RIGHT] - first[:, LEFT]
    np.testing.assert_allclose(line, [np.linalg.norm(line), 0, 0], atol=1e-6)


def test_a_joint_that_was_not_seen_stays_at_zero() -> None:
    joints = walking(4, 1)
    joints[2, 0, 7] = 0
    clip = clip_of(joints, np.ones((4, 1), bool))
    made = prepare(clip, recipe="isc", spec=KINECT, frames=4, bodies=1)
    assert isinstance(made, Prepared)
    np.testing.assert_array_equal(made.joint[:, 2, 7, 0], 0)
    np.testing.assert_allclose(made.joint, oracle(listed(clip), 4, 1, every_frame=True), atol=1e-5)


WIDE = np.zeros((25, 3))
WIDE[:] = [9.0, 0.0, 0.0]
WIDE[[HIP, SPINE, LEFT, RIGHT, 24]] = [[0, 0, 0], [0, 1, 0], [-1, 2, 0], [1, 2, 0], [0, 0, 0]]
"""Upright along y, shoulders along x, joint 24 not seen; all else in one place nine metres to the side."""


def two_people(*, gap: int | None = None) -> SkeletonSequence:
    """Three frames. The first body walks along x, two metres a frame; the narrower second stands at z = 3."""
    joints = np.zeros((3, 2, 25, 3))
    for t in range(3):
        joints[t, 0] = WIDE + np.array([2.0 * t, 0, 5])
        joints[t, 1] = [0.5, 0.5, 3]
        joints[t, 1, 7] = [0.5, 1.5, 3]
    joints[:, 0, 24] = 0
    present = np.ones((3, 2), bool)
    if gap is not None:
        present[gap, 0] = False
    # The file lists the narrow one first: where the other is absent, its place is empty.
    return clip_of(joints, present, np.array([[1, 0]] * 3))


def test_every_frame_is_centred_on_the_spine_that_the_first_body_has_in_it() -> None:
    """By hand. Minus the spine (2t, 1, 5); then (x, y, z) -> (x, -z, y) puts hip to spine from y onto z, and
    the shoulders lie on x. The first body stands still, the second one's place is relative to it."""
    made = prepare(two_people(), recipe="isc", spec=KINECT, frames=3, bodies=2)
    assert isinstance(made, Prepared)
    for t in range(3):
        first, second = made.joint[:, t, :, 0], made.joint[:, t, :, 1]
        expected = {
            HIP: [0, 0, -1],
            SPINE: [0, 0, 0],
            LEFT: [-1, 0, 1],
            RIGHT: [1, 0, 1],
            24: [0, 0, 0],
            9: [9, 0, -1],
        }
        for joint, place in expected.items():
            np.testing.assert_allclose(first[:, joint], place, atol=1e-6)
        np.testing.assert_allclose(second[:, 3], [0.5 - 2 * t, 2, -0.5], atol=1e-6)
        np.testing.assert_allclose(second[:, 7], [0.5 - 2 * t, 2, 0.5], atol=1e-6)


def test_where_the_first_body_is_absent_nobody_is_moved_and_with_first_frame_it_walks() -> None:
    made = prepare(two_people(gap=1), recipe="isc", spec=KINECT, frames=3, bodies=2)
    assert isinstance(made, Prepared)
    np.testing.assert_array_equal(made.joint[:, 1, :, 0], 0)
    np.testing.assert_allclose(made.joint[:, 1, 3, 1], [0.5, -3, 0.5], atol=1e-6)
    np.testing.assert_allclose(made.joint[:, 2, 3, 1], [0.5 - 4, 2, -0.5], atol=1e-6)
    still = prepare(two_people(), recipe=recipe(every_frame=False), spec=KINECT, frames=3, bodies=2)
    assert isinstance(still, Prepared)
    np.testing.assert_allclose(still.joint[:, :, SPINE, 0], [[0, 2, 4], [0, 0, 0], [0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(still.joint[:, 2, 3, 1], [0.5, 2, -0.5], atol=1e-6)


def test_a_body_that_begins_late_is_moved_to_the_front_and_repeated() -> None:
    present = np.array([0, 0, 1, 0, 1], bool)[:, None]
    clip, counts = STEPS["fill_null_frames"](clip_of(walking(5, 1), present), Goal(KINECT, 5, 1))
    assert counts == {"bodies moved to the first frame": 1, "frames repeated at the end": 3}
    again = clip_of(walking(5, 1), present).joints[[2, 4, 2, 4, 2]]
    np.testing.assert_array_equal(clip.joints, again)
    present = np.array([1, 0, 1, 0, 0], bool)[:, None]
    clip, counts = STEPS["fill_null_frames"](clip_of(walking(5, 1), present), Goal(KINECT, 5, 1))
    assert clip.present[:, 0].tolist() == [True, False, True, True, False]
    assert counts["frames repeated at the end"] == 2


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("kinectv2_25", ["SpineBase"], ["SpineMid"]),
        ("kinectv1_20", ["HipCenter"], ["Spine"]),
        ("smpl_24", ["pelv"], ["spi1"]),
        ("h36m_17", ["pelv"], ["spin"]),
        ("coco_17", ["left_hip", "right_hip"], ["left_shoulder", "right_shoulder"]),
    ],
)
def test_the_bone_from_hip_to_spine_of_a_convention(name: str, low: list[str], high: list[str]) -> None:
    spec = skeletons.load(name)
    assert tuple([spec.joints[v] for v in end] for end in spine_joints(spec)) == (low, high)


def test_a_convention_without_legs_has_no_spine() -> None:
    parts = {**KINECT.body_parts, "left_leg": (), "trunk": KINECT.body_parts["trunk"] + (12, 13, 14, 15)}
    legless = KINECT.model_copy(update={"body_parts": parts})
    clip = clip_of(walking(3, 1), np.ones((3, 1), bool))
    same, counts = STEPS["turn_spine"](clip, Goal(legless, 3, 1))
    np.testing.assert_array_equal(same.joints, clip.joints)
    assert counts == {"clips without a spine": 1}
    moved, _ = STEPS["center_spine"](clip, Goal(legless, 3, 1))
    np.testing.assert_allclose(moved.joints[0, 0, legless.center], 0, atol=1e-7)
