from __future__ import annotations

import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from schemas import Component, ConfigError, SkelError, SkeletonSpec, UsageError
from skeltools import skeletons
from skeltools.preprocess import (
    RECIPES,
    STEPS,
    Dropped,
    Goal,
    Prepared,
    check_fits,
    load,
    prepare,
    resize_time,
    resolve,
)
from skeltools.preprocess.geometry import trunk_joints
from skeltools.preprocess.steps import NEEDS
from skeltools.sequence import SkeletonSequence
from tests.skeltools.figures import (
    KINECT,
    File,
    clip_of,
    clips,
    listed,
    oracle_resize,
    walking,
)

# ---- the published preprocessing, slow and literal ------------------------------------------------------


def oracle(file: File, spec: SkeletonSpec, frames: int, bodies: int) -> np.ndarray | None:
    """[3, T, V, M] in float64, or None when body 1 is never there. One loop per axis, in degrees."""
    joints, cut = spec.num_joints, max(0, len(file) - 300)
    file = file[cut // 2 : len(file) - cut + cut // 2]
    data = np.zeros((3, len(file), joints, bodies))
    for t in range(len(file)):
        for m in range(min(bodies, len(file[t]))):
            for v in range(joints):
                data[:, t, v, m] = file[t][m][v]
    length = sum(1 for t in range(len(file)) if np.abs(data[:, t, 0, 0]).sum() != 0)
    if length == 0:
        return None
    data = data - data[:, :, spec.center, None]
    data = oracle_resize(data[:, :length].transpose(1, 0, 2, 3), frames).transpose(1, 0, 2, 3)
    left, right = spec.shoulders
    for m in range(bodies):
        lines = [data[:, t, right, m] - data[:, t, left, m] for t in range(frames)]
        sense = -1 if sum(line[2] for line in lines) >= 0 else 1
        for t, (x, _, z) in enumerate(lines):
            degrees = sense * np.degrees(np.arccos(x / ((x * x + z * z) ** 0.5 + 1e-4)))
            cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
            data[:, t, :, m] = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]) @ data[:, t, :, m]
    return data


@settings(deadline=None, max_examples=80)
@given(clip=clips(), frames=st.integers(1, 60), bodies=st.integers(1, 3))
def test_crossclr_equals_the_literal_loop(clip: SkeletonSequence, frames: int, bodies: int) -> None:
    expected = oracle(listed(clip), KINECT, frames, bodies)
    result = prepare(clip, recipe="crossclr", spec=KINECT, frames=frames, bodies=bodies)
    if expected is None:
        assert isinstance(result, Dropped)
        assert "body 1" in result.reason
    else:
        assert isinstance(result, Prepared)
        assert result.joint.dtype == np.float32
        np.testing.assert_allclose(result.joint, expected, atol=1e-4)


def test_crossclr_cuts_a_long_clip_at_300_frames() -> None:
    clip = clip_of(walking(330, 1), np.ones((330, 1), bool))
    result = prepare(clip, recipe="crossclr", spec=KINECT, frames=50, bodies=2)
    assert isinstance(result, Prepared)
    assert result.counts == {"frames cut": 30}
    first, counts = STEPS["file_order"](clip, goal())
    assert counts["frames cut"] == 30
    np.testing.assert_array_equal(first.joints[:, 0], clip.joints[:300, 0])
    np.testing.assert_allclose(result.joint, oracle(listed(clip), KINECT, 50, 2), atol=1e-4)


def test_crossclr_lets_a_gap_cut_the_tail() -> None:
    present = np.ones((10, 1), bool)
    present[3:5] = False
    clip = clip_of(walking(10, 1), present)
    result = prepare(clip, recipe="crossclr", spec=KINECT, frames=8, bodies=1)
    assert isinstance(result, Prepared)
    assert result.counts == {"frames cut": 2}
    np.testing.assert_array_equal(result.joint[:, 3:5], 0)  # the gap is kept, the last two frames are lost


def test_crossclr_swaps_people_who_swap_places_in_the_file() -> None:
    joints = walking(2, 2)
    clip = clip_of(joints, np.ones((2, 2), bool), np.array([[0, 1], [1, 0]]))
    result = prepare(clip, recipe="crossclr", spec=KINECT, frames=2, bodies=2)
    straight = prepare(replace(clip, order=np.array([[0, 1], [0, 1]], np.int8)), recipe="crossclr",
                       spec=KINECT, frames=2, bodies=2)  # fmt: skip
    assert isinstance(result, Prepared)
    assert isinstance(straight, Prepared)
    heights, in_order = result.joint[1], straight.joint[1]  # [T, V, M], which no turn touches
    np.testing.assert_array_equal(heights[0], in_order[0])
    np.testing.assert_array_equal(heights[1], in_order[1, :, ::-1])


def _nw_ucla() -> Path:
    found = Path(os.environ.get("SKELTOOLS_NWUCLA") or Path(__file__).parents[3] / "shared/data/nw-ucla.zip")
    if not found.exists():
        pytest.skip("needs the NW-UCLA files: set SKELTOOLS_NWUCLA to their zip")
    return found


def test_crossclr_equals_the_literal_loop_on_real_clips() -> None:
    spec = skeletons.load("kinectv1_20")
    with zipfile.ZipFile(_nw_ucla()) as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".json"))[::60]:
            joints = np.array(json.loads(archive.read(name))["skeletons"])[:, None]
            clip = clip_of(joints, joints.any(axis=(2, 3)))
            result = prepare(clip, recipe="crossclr", spec=spec, frames=50, bodies=1)
            assert isinstance(result, Prepared)
            np.testing.assert_allclose(result.joint, oracle(listed(clip), spec, 50, 1), atol=1e-4)


# ---- resizing -------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(length=st.integers(1, 40), frames=st.integers(1, 80), seed=st.integers(0, 1000))
def test_resize_time_is_half_pixel_linear_interpolation(length: int, frames: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(length, 2, 3))
    np.testing.assert_allclose(resize_time(x, frames), oracle_resize(x, frames), atol=1e-5)


def test_resize_time_repeats_one_frame_and_keeps_wide_rows() -> None:
    x = np.random.default_rng(0).normal(size=(1, 70_000)).astype(np.float32)
    assert resize_time(x, 5).dtype == np.float32
    np.testing.assert_allclose(resize_time(x, 5), np.repeat(x, 5, axis=0), rtol=1e-6)


# ---- the default recipe ---------------------------------------------------------------------------------


def default(clip: SkeletonSequence, *, frames: int | None = None, bodies: int = 2) -> Prepared:
    result = prepare(clip, recipe="default", spec=KINECT, frames=frames or clip.frames, bodies=bodies)
    assert isinstance(result, Prepared)
    return result


def goal(bodies: int = 2) -> Goal:
    return Goal(KINECT, frames=10, bodies=bodies)


def test_the_default_keeps_all_distances_within_a_clip() -> None:
    clip = clip_of(walking(6, 2), np.ones((6, 2), bool))
    points = default(clip).joint.transpose(1, 3, 2, 0)
    ranked = [0, 1] if np.allclose(_spread(points[:, 0]), _spread(clip.joints[:, 0]), atol=1e-5) else [1, 0]
    before, after = (x.reshape(-1, 3) for x in (clip.joints[:, ranked], points))
    np.testing.assert_allclose(_distances(after), _distances(before), atol=1e-5)


def _spread(x: np.ndarray) -> np.ndarray:
    return np.linalg.norm(x - x.mean(axis=0), axis=-1)


def _distances(x: np.ndarray) -> np.ndarray:
    return np.linalg.norm(x[:, None] - x[None], axis=-1)


def median_lines(
    clip: SkeletonSequence, joint: np.ndarray, spec: SkeletonSpec = KINECT
) -> tuple[np.ndarray, np.ndarray]:
    """Spatial medians of the first body's trunk and shoulder line from above, in a stream [3, T, V, M].

    Found by a solver, not by the code's own iteration.
    """
    low, high = trunk_joints(spec)
    left, right = spec.shoulders
    body = joint[..., 0].transpose(1, 2, 0)[clip.present[:, 0]]
    trunk = body[:, list(high)].mean(axis=1) - body[:, list(low)].mean(axis=1)
    across = (body[:, right] - body[:, left])[:, [0, 2]]
    return _median(trunk), _median(across)


def _median(points: np.ndarray) -> np.ndarray:
    def summed(centre: np.ndarray) -> float:
        return float(np.linalg.norm(points - centre, axis=1).sum())

    return minimize(
        summed, points.mean(axis=0), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9}
    ).x


def standing(frames: int, *, tilt: float = 0.0, seed: int = 0) -> SkeletonSequence:
    """One person, whose trunk leans by ``tilt`` degrees to the sensor, with joints that move about."""
    joints = walking(frames, 1, seed=seed)
    low, high = trunk_joints(KINECT)
    middle = joints[:, :, list(low)].mean(axis=2, keepdims=True)
    lean = np.array([0, np.cos(np.radians(tilt)), -np.sin(np.radians(tilt))])
    joints[:, :, list(high)] += middle + 0.5 * lean - joints[:, :, list(high)].mean(axis=2, keepdims=True)
    return clip_of(joints, np.ones((frames, 1), bool))


def turned(
    clip: SkeletonSequence, rotation: np.ndarray, move: tuple[float, float, float] = (0, 0, 0)
) -> SkeletonSequence:
    return clip_of(clip.joints.astype(np.float64) @ rotation.T + move, clip.present)


def about(axis: int, degrees: float) -> np.ndarray:
    """Rotation about x, y or z."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    rotation = np.eye(3)
    one, two = (axis + 1) % 3, (axis + 2) % 3
    rotation[one, one] = rotation[two, two] = cos
    rotation[one, two], rotation[two, one] = -sin, sin
    return rotation


def test_the_default_starts_at_the_origin() -> None:
    present = np.ones((6, 1), bool)
    present[:2] = False
    first = default(clip_of(walking(6, 1), present), frames=4).joint[:, 0, :, 0]
    np.testing.assert_allclose(first[:, KINECT.center], 0, atol=1e-6)


@pytest.mark.parametrize("tilt", [0.0, 20.0, 40.0])
def test_the_default_stands_the_median_trunk_up_and_turns_the_median_shoulders_onto_x(tilt: float) -> None:
    clip = standing(31, tilt=tilt)
    trunk, across = median_lines(clip, default(clip).joint)
    np.testing.assert_allclose(trunk[[0, 2]], 0, atol=1e-3)
    np.testing.assert_allclose(across[1], 0, atol=1e-3)
    assert trunk[1] > 0.4
    assert across[0] > 0.1


def test_the_spatial_median_does_not_follow_a_third_of_the_frames() -> None:
    """Who bends for a third of the clip is not tilted backwards by it; the mean would do so by 27 degrees."""
    clip = standing(30)
    bent = clip.joints.copy()
    bent[:10] = (bent[:10] - bent[:10, :, :1]) @ about(0, 90).T + bent[:10, :, :1]
    up = default(clip_of(bent, clip.present)).joint[:, 20, :, 0]
    low, high = trunk_joints(KINECT)
    trunk = up[:, list(high)].mean(axis=1) - up[:, list(low)].mean(axis=1)
    assert np.degrees(np.arccos(trunk[1] / np.linalg.norm(trunk))) < 10


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    turn=st.floats(-180, 180),
    pitch=st.floats(-30, 30),
    move=st.tuples(*[st.floats(-5, 5, width=32)] * 3),
)
def test_the_default_does_not_see_where_the_sensor_stands_nor_how_it_is_pitched(
    seed: int, turn: float, pitch: float, move: tuple[float, float, float]
) -> None:
    clip = standing(12, seed=seed)
    other = turned(clip, about(0, pitch) @ about(1, turn), move)
    one, two = (default(each, frames=10).joint for each in (clip, other))
    np.testing.assert_allclose(one, two, atol=2e-3)


@settings(deadline=None, max_examples=30)
@given(clip=clips(), turn=st.floats(-180, 180))
def test_a_turn_about_the_vertical_changes_nothing_whoever_is_in_the_clip(
    clip: SkeletonSequence, turn: float
) -> None:
    assume(clip.present.any())
    one, two = (default(each, frames=10) for each in (clip, turned(clip, about(1, turn))))
    assume(one.counts == two.counts)  # a trunk at 45 degrees exactly may fall on either side
    np.testing.assert_allclose(one.joint, two.joint, atol=2e-3)


@pytest.mark.parametrize(("axis", "tilt"), [(0, 90.0), (0, -60.0), (2, 90.0), (2, -75.0)])
def test_who_lies_stays_lying(axis: int, tilt: float) -> None:
    """Gravity is part of an action: lying and standing stay as different as they were."""
    clip = standing(20)
    lying = turned(clip, about(axis, tilt))
    assert default(lying).counts["clips that lie or bend"] == 1
    trunk, _ = median_lines(lying, default(lying).joint)
    assert np.degrees(np.arccos(trunk[1] / np.linalg.norm(trunk))) == pytest.approx(abs(tilt), abs=3)
    assert np.abs(default(lying).joint - default(clip).joint).max() > 0.3


@pytest.mark.parametrize("share", [0.3, 0.46, 0.48, 0.5, 0.52, 0.56, 0.7])
def test_a_fall_in_the_clip_tilts_nobody(share: float) -> None:
    """The sensor's 12 degrees are taken off where half of the frames or more stand, and nothing else is."""
    clip = standing(60)
    falling = clip.joints.astype(np.float64)
    for t in range(60):
        progress = np.clip((t - share * 60) / 9 + 0.5, 0, 1)
        foot = falling[t, :, :1].copy()
        falling[t] = (falling[t] - foot) @ about(0, -12 - 66 * progress).T + foot
    stored = default(clip_of(falling, clip.present))
    body = stored.joint[..., 0].transpose(1, 2, 0)
    low, high = trunk_joints(KINECT)
    trunks = body[:, list(high)].mean(axis=1) - body[:, list(low)].mean(axis=1)
    first, last = np.degrees(np.arccos(trunks[[0, -1], 1] / np.linalg.norm(trunks[[0, -1]], axis=1)))
    if "clips that lie or bend" in stored.counts:
        assert share < 0.55
        assert (first, last) == (pytest.approx(12, abs=3), pytest.approx(78, abs=3))
    else:
        assert share > 0.45
        assert (first, last) == (pytest.approx(0, abs=6), pytest.approx(66, abs=6))


@pytest.mark.parametrize(("max_tilt", "turns"), [(45, True), (35, False), (20, False)])
def test_the_limit_of_the_tilt_is_the_option(max_tilt: float, turns: bool) -> None:
    upright, counts = STEPS["turn_upright"](standing(9, tilt=40), goal(), max_tilt=max_tilt)
    assert counts == ({} if turns else {"clips that lie or bend": 1})
    low, high = trunk_joints(KINECT)
    trunk = upright.joints[4, 0, list(high)].mean(axis=0) - upright.joints[4, 0, list(low)].mean(axis=0)
    assert np.degrees(np.arccos(trunk[1] / np.linalg.norm(trunk))) == pytest.approx(
        0 if turns else 40, abs=0.01
    )


def test_noise_gives_no_direction_to_who_lies_on_a_side() -> None:
    """The shoulders are above each other: from above, their line is noise of half a centimetre."""
    lying = turned(standing(40), about(2, 90)).joints.astype(np.float64)
    left, right = KINECT.shoulders
    lying[:, 0, right] = lying[:, 0, left] + (0, 0.35, 0)
    rng = np.random.default_rng(0)
    clip = clip_of(lying + rng.normal(0, 0.005, lying.shape), np.ones((40, 1), bool))
    still, counts = STEPS["turn_about_y"](clip, goal())
    assert counts == {"clips without a shoulder line": 1}
    np.testing.assert_array_equal(still.joints, clip.joints)


@pytest.mark.parametrize("turns", [1, 2])
def test_the_first_frame_decides_about_somebody_who_turns_round(turns: int) -> None:
    still = np.repeat(standing(1).joints.astype(np.float64), 72, axis=0)
    for t in range(72):
        still[t] = still[t] @ about(1, 30 + 360 * turns * t / 72).T
    noisy = still + np.random.default_rng(1).normal(0, 0.005, still.shape)
    left, right = KINECT.shoulders
    for joints in (still, noisy):
        faced, counts = STEPS["turn_about_y"](clip_of(joints, np.ones((72, 1), bool)), goal())
        line = faced.joints[0, 0, right] - faced.joints[0, 0, left]
        assert counts == {}
        assert line[2] == pytest.approx(0, abs=1e-6)
        assert line[0] > 0.1


@pytest.mark.parametrize("angle", [np.pi, np.pi - 0.1, np.pi / 2, 0.0])
@pytest.mark.parametrize("step", ["turn_clip", "turn_frames"])
def test_turns_of_older_stores_bring_shoulders_onto_x(step: str, angle: float) -> None:
    """A line along -x is turned about y by ``turn_clip``, and stays with ``turn_frames``."""
    line = np.array([-1.0, 0, 0]) if angle == np.pi else np.array([np.cos(angle), 0.3, np.sin(angle)])
    joints = walking(1, 1)
    joints[0, 0, KINECT.shoulders[1]] = joints[0, 0, KINECT.shoulders[0]] + 0.25 * line
    joints = np.round(joints * 64) / 64  # exact in float32, so that -x is exactly -x
    made, _ = STEPS[step](clip_of(joints, np.ones((1, 1), bool)), goal())
    left, right = KINECT.shoulders
    found = made.joints[0, 0, right] - made.joints[0, 0, left]
    length = np.linalg.norm(joints[0, 0, right] - joints[0, 0, left])
    stays = step == "turn_frames" and angle == np.pi
    np.testing.assert_allclose(found, [-length if stays else length, 0, 0], atol=1e-6)


def test_a_raised_shoulder_leans_nobody() -> None:
    """The smallest rotation of the shoulder line onto x, ``turn_clip``, leans this person by 18 degrees."""
    clip = standing(5)
    joints = clip.joints.copy()
    left, right = KINECT.shoulders
    joints[:, 0, right] = joints[:, 0, left] + (0.3, 0.1, 0)
    low, high = trunk_joints(KINECT)
    middle = joints[:, 0, list(high)].mean(axis=1)
    joints[:, 0, list(low)] = (middle - (0, 0.5, 0))[:, None]
    raised = clip_of(joints, clip.present)
    trunk, _ = median_lines(raised, default(raised).joint)
    np.testing.assert_allclose(trunk, (0, 0.5, 0), atol=1e-3)
    tilted, _ = STEPS["turn_clip"](raised, goal())
    lines = tilted.joints[0, 0, list(high)].mean(axis=0) - tilted.joints[0, 0, list(low)].mean(axis=0)
    assert np.degrees(np.arccos(lines[1] / np.linalg.norm(lines))) == pytest.approx(18.4, abs=0.1)


def test_shoulders_that_point_to_minus_x_are_turned_about_y() -> None:
    clip = standing(1)
    facing, behind = default(clip), default(turned(clip, about(1, 180)))
    np.testing.assert_allclose(facing.joint, behind.joint, atol=1e-5)


def test_a_clip_without_a_shoulder_line_is_not_turned_about_y_and_counted() -> None:
    joints = walking(3, 1)
    joints[:, :, KINECT.shoulders[1]] = joints[:, :, KINECT.shoulders[0]]
    clip = clip_of(joints, np.ones((3, 1), bool))
    still, counts = STEPS["turn_about_y"](clip, goal())
    assert counts == {"clips without a shoulder line": 1}
    np.testing.assert_array_equal(still.joints, clip.joints)


def test_a_convention_without_legs_is_turned_about_y_alone() -> None:
    spec = KINECT.model_copy(update={"body_parts": {**KINECT.body_parts, "left_leg": ()}})
    clip = standing(3, tilt=30)
    still, counts = STEPS["turn_upright"](clip, Goal(spec, 3, 1))
    assert counts == {"clips without a trunk": 1}
    np.testing.assert_array_equal(still.joints, clip.joints)


def test_the_first_frame_may_be_the_pose() -> None:
    clip = standing(9, tilt=10)
    upright, _ = STEPS["turn_upright"](clip, goal(), pose="first_frame")
    faced, _ = STEPS["turn_about_y"](upright, goal(), pose="first_frame")
    low, high = trunk_joints(KINECT)
    left, right = KINECT.shoulders
    first = faced.joints[0, 0]
    trunk = first[list(high)].mean(axis=0) - first[list(low)].mean(axis=0)
    np.testing.assert_allclose(trunk, (0, 0.5, 0), atol=1e-6)
    np.testing.assert_allclose((first[right] - first[left])[2], 0, atol=1e-6)
    assert first[right][0] > first[left][0]


def test_tracks_are_ranked_by_motion_and_the_rest_is_dropped() -> None:
    joints = np.repeat(walking(1, 4), 8, axis=0)  # four people who stand still
    joints[:, 2] += np.linspace(0, 2, 8)[:, None, None] * (1, 0, 0)
    joints[:, 1] += np.linspace(0, 1, 8)[:, None, None] * (1, 0, 0)
    ranked = STEPS["rank_by_motion"](clip_of(joints, np.ones((8, 4), bool)), goal())
    assert not isinstance(ranked, Dropped)
    clip, counts = ranked
    assert clip.body_ids == (102, 101)
    assert counts == {"bodies dropped": 2}


def test_motion_energy_is_summed_over_frames_so_flicker_does_not_win() -> None:
    joints = np.repeat(walking(1, 2), 30, axis=0)
    joints[:, 1] += 0.3 * np.sin(np.arange(30))[:, None, None]  # a person, 30 frames
    joints[1, 0] += 0.6  # a ghost, 2 frames, of larger variance
    present = np.ones((30, 2), bool)
    present[2:, 0] = False
    clip, _ = STEPS["rank_by_motion"](clip_of(joints, present), goal(bodies=1))
    assert clip.body_ids == (101,)
    variance = [joints[present[:, m], m].var(axis=0).sum(axis=-1).mean() for m in (0, 1)]
    assert variance[0] > variance[1]


def test_gaps_are_interpolated_and_counted_but_nothing_is_invented_outside() -> None:
    present = np.array([0, 1, 0, 0, 1, 0], bool)[:, None]
    clip, counts = STEPS["fill_gaps"](clip_of(walking(6, 1), present), goal())
    assert counts == {"frames interpolated": 2, "frames left in long gaps": 0}
    assert clip.present[:, 0].tolist() == [False, True, True, True, True, False]
    first, last = clip.joints[1, 0], clip.joints[4, 0]
    np.testing.assert_allclose(clip.joints[2, 0], first + (last - first) / 3, atol=1e-6)
    np.testing.assert_allclose(clip.joints[3, 0], first + (last - first) * 2 / 3, atol=1e-6)
    assert not clip.joints[[0, 5]].any()


def test_a_clip_is_cropped_to_the_frames_with_a_kept_body() -> None:
    present = np.zeros((9, 2), bool)
    present[2:4, 0] = present[3:7, 1] = True
    clip, counts = STEPS["crop_to_presence"](clip_of(walking(9, 2), present), goal())
    assert counts == {"frames cropped": 4}
    np.testing.assert_array_equal(clip.present, present[2:7])


@pytest.mark.parametrize(("absent", "constant"), [("masked", True), ("zeros", False)])
def test_a_body_that_enters_is_not_blended_with_the_origin(absent: str, constant: bool) -> None:
    joints = np.repeat(walking(1, 1), 7, axis=0)
    present = np.array([0, 0, 1, 1, 1, 1, 1], bool)[:, None]
    clip, _ = STEPS["resize"](clip_of(joints, present), goal(), absent=absent)
    # Frames 0 and 1 of 7 are empty. Frame 2 of 10 stands at 1.25: a quarter of its weight has the body.
    assert clip.present[:, 0].tolist() == [False, False, absent == "zeros"] + [True] * 7
    there = clip.joints[clip.present]
    assert not clip.joints[~clip.present].any()
    assert np.allclose(there, joints[0], atol=1e-5) == constant


def test_nobody_in_any_frame_is_dropped() -> None:
    clip = clip_of(walking(4, 2), np.zeros((4, 2), bool))
    for recipe in RECIPES:
        result = prepare(clip, recipe=recipe, spec=KINECT, frames=5, bodies=2)
        assert isinstance(result, Dropped)
        assert "body" in result.reason


def test_counts_add_up_and_leave_out_what_did_not_happen() -> None:
    present = np.ones((8, 3), bool)
    present[3, 0] = False
    present[[0, 7]] = False
    counts = default(clip_of(walking(8, 3), present), bodies=3).counts
    counts.pop("clips that lie or bend")  # joints at random have a trunk that does
    assert counts == {"frames cropped": 2, "frames interpolated": 1}
    assert default(clip_of(walking(8, 3), present), bodies=2).counts["bodies dropped"] == 1


# ---- every recipe, every convention ---------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", skeletons.names())
@pytest.mark.parametrize("length", [1, 30])
def test_every_recipe_works_for_every_convention(recipe: str, name: str, length: int) -> None:
    spec = skeletons.load(name)
    lacking = [
        step.name
        for step in RECIPES[recipe]
        if any(getattr(spec, n) is None for n in NEEDS.get(step.name, ()))
    ]
    if lacking:
        with pytest.raises(
            UsageError, match=f"step {lacking[0]} of recipe {recipe} needs .* {name} does not have"
        ):
            check_fits(load(recipe), [spec])
        return
    clip = clip_of(walking(length, 1, spec=spec), np.ones((length, 1), bool))
    result = prepare(clip, recipe=recipe, spec=spec, frames=length, bodies=2)
    assert isinstance(result, Prepared)
    assert result.joint.shape == (3, length, spec.num_joints, 2)
    assert result.joint.dtype == np.float32
    assert result.joint.flags.c_contiguous
    assert np.isfinite(result.joint).all()
    if spec.shoulders is None or recipe == "centered":
        return
    left, right = spec.shoulders
    line = result.joint[:, 0, right, 0] - result.joint[:, 0, left, 0]
    if recipe == "isc" or (recipe != "raw" and length == 1):
        # The published turn stops short of x by acos(l / (l + 1e-4)): less than two degrees here.
        np.testing.assert_allclose(line[2], 0, atol=1e-2 if recipe == "crossclr" else 1e-6)
        assert line[0] > 0
    if recipe == "isc":
        np.testing.assert_allclose(line[1], 0, atol=1e-6)
    assert result.joint[..., 0].any()
    assert not result.joint[..., 1].any()


def test_recipes_name_steps_and_options_that_exist() -> None:
    for recipe in RECIPES.values():
        assert resolve(recipe) == recipe


def test_a_recipe_can_be_made_of_steps() -> None:
    clip = clip_of(walking(5, 1), np.ones((5, 1), bool))
    named = prepare(clip, recipe="default", spec=KINECT, frames=5, bodies=1)
    made = prepare(clip, recipe=RECIPES["default"], spec=KINECT, frames=5, bodies=1)
    assert isinstance(named, Prepared)
    assert isinstance(made, Prepared)
    np.testing.assert_array_equal(named.joint, made.joint)


@pytest.mark.parametrize(
    ("recipe", "kind", "text"),
    [
        ("crosclr", UsageError, "unknown recipe 'crosclr'. Did you mean 'crossclr'?"),
        ((Component(name="rezise"),), UsageError, "Did you mean 'resize'?"),
        ((Component(name="resize", options={"absant": "zeros"}),), ConfigError, "Did you mean 'absent'?"),
        (
            (Component(name="resize", options={"absent": "nan"}),),
            ConfigError,
            "'masked' or 'zeros', found 'nan'",
        ),
        ((Component(name="fill_gaps"),), ConfigError, "no step chooses the bodies"),
    ],
)
def test_a_bad_recipe_is_refused_on_one_line(recipe: object, kind: type[SkelError], text: str) -> None:
    clip = clip_of(walking(5, 1), np.ones((5, 1), bool))
    with pytest.raises(kind) as caught:
        prepare(clip, recipe=recipe, spec=KINECT, frames=6, bodies=2)  # type: ignore[arg-type]
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_clip_of_another_convention_or_an_empty_goal_is_refused() -> None:
    clip = clip_of(walking(5, 1), np.ones((5, 1), bool))
    with pytest.raises(UsageError, match="clip: 25 joints, but smpl_24 has 24"):
        prepare(clip, spec=skeletons.load("smpl_24"), frames=5, bodies=1)
    with pytest.raises(UsageError, match="at least 1 frame"):
        prepare(clip, spec=KINECT, frames=0, bodies=1)


# ---- joints that were not seen ----------------------------------------------------------------------------


def oracle_filled(clip: SkeletonSequence, spec: SkeletonSpec, max_gap: int) -> np.ndarray:
    """Joint by joint and frame by frame, from the centre outwards."""
    assert clip.unseen is not None
    made = clip.joints.astype(np.float64)
    for body in range(clip.bodies):
        for v in spec.from_centre:
            known = [t for t in range(clip.frames) if clip.present[t, body] and not clip.unseen[t, body, v]]
            for t in range(clip.frames):
                if not clip.unseen[t, body, v]:
                    continue
                before = [k for k in known if k < t][-1:]
                after = [k for k in known if k > t][:1]
                gap = (after[0] if after else clip.frames) - (before[0] if before else -1) - 1
                if not known:
                    made[t, body, v] = made[t, body, spec.parents[v]] if v != spec.center else 0
                elif gap > max_gap:
                    nearest = min(before + after, key=lambda k: (abs(k - t), k))
                    made[t, body, v] = made[nearest, body, v]
                    if v != spec.center:
                        up = spec.parents[v]
                        made[t, body, v] += made[t, body, up] - made[nearest, body, up]
                elif before and after:
                    share = (t - before[0]) / (after[0] - before[0])
                    made[t, body, v] = (1 - share) * made[before[0], body, v] + share * made[
                        after[0], body, v
                    ]
                else:
                    made[t, body, v] = made[(before + after)[0], body, v]
    return made


def hidden(seed: int, frames: int = 24, share: float = 0.4) -> SkeletonSequence:
    """Two bodies, of which the second is absent in the middle, with joints unseen at random and for long."""
    rng = np.random.default_rng(seed)
    joints = rng.normal(size=(frames, 2, 25, 3)).astype(np.float32)
    present = np.ones((frames, 2), bool)
    present[8:11, 1] = False
    unseen = (rng.random((frames, 2, 25)) < share) & present[..., None]
    unseen[3:20, 0, rng.integers(25)] = unseen[5:, 1, rng.integers(25)] = True
    unseen[:, 0, 7] = True
    unseen &= present[..., None]
    joints[unseen] = joints[~present] = 0
    order = np.where(present, np.arange(2, dtype=np.int8), np.int8(-1))
    return SkeletonSequence("a", "kinectv2_25", joints, present, order, (0, 1), unseen=unseen)


@pytest.mark.parametrize("max_gap", [0, 2, 5, 30])
@pytest.mark.parametrize("seed", range(4))
def test_unseen_joints_are_filled_as_the_oracle_does(seed: int, max_gap: int) -> None:
    clip = hidden(seed)
    goal = Goal(KINECT, 24, 2)
    made, counts = STEPS["fill_joints"](
        replace(clip, joints=clip.joints.astype(np.float64)), goal, max_gap=max_gap
    )
    np.testing.assert_allclose(made.joints, oracle_filled(clip, KINECT, max_gap), atol=1e-12)
    assert made.unseen is None
    assert sum(counts.values()) == clip.unseen.sum()
    assert not made.joints[~clip.present].any()


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_fills_unseen_joints_first(recipe: str) -> None:
    clip = hidden(1, share=0.1)
    seen, counts = STEPS["fill_joints"](
        replace(clip, joints=clip.joints.astype(np.float64)), Goal(KINECT, 24, 2)
    )
    filled = prepare(clip, recipe=recipe, spec=KINECT, frames=24, bodies=2)
    direct = prepare(seen, recipe=recipe, spec=KINECT, frames=24, bodies=2)
    assert isinstance(filled, Prepared)
    assert isinstance(direct, Prepared)
    np.testing.assert_array_equal(filled.joint, direct.joint)
    assert filled.counts == direct.counts | {what: n for what, n in counts.items() if n}


def test_fill_joints_comes_first_or_not_at_all() -> None:
    steps = (Component(name="rank_by_motion"), Component(name="fill_joints"), Component(name="resize"))
    with pytest.raises(ConfigError, match="fill_joints is not the first step"):
        resolve(steps)
    assert resolve((steps[1], steps[0], steps[2]))[0].options == {"max_gap": 30}


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_that_turn_people_are_refused_for_2d_poses(recipe: str) -> None:
    from skeltools.preprocess import check_depth

    made = load(recipe)
    check_depth(made, "xyz")
    turns = next((step.name for step in made.steps if step.name.startswith("turn_")), None)
    if turns is None:
        check_depth(made, "xy")
    else:
        with pytest.raises(UsageError, match=f"step {turns} of recipe {recipe} turns people in space"):
            check_depth(made, "xy")
