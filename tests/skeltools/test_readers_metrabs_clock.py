"""Estimates that run at another rate than the sensor, put on its clock."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import RawDataError
from skeltools import metrabs
from skeltools.metrabs.clock import resample, to_native
from skeltools.sequence import SkeletonSequence
from tests.skeltools.raw_files import SAMPLE, write_npz

POSE = np.random.default_rng(0).normal(0, 0.3, (24, 3)) + np.array([0, 0, 3])
SPEED = np.array([0.4, 0.1, -0.2])


def walk(frames: int, fps: float, *, seconds: float | None = None) -> np.ndarray:
    """[T, 1, 24, 3] metres: a pose that moves in a straight line; frame i shows the middle of its time."""
    time = (np.arange(frames) + 0.5) * ((seconds / frames) if seconds else 1 / fps)
    return (POSE + SPEED * time[:, None, None])[:, None]


def video(joints: np.ndarray) -> np.ndarray:
    """As MeTRAbs sees a video that is not mirrored."""
    return (joints * [-1000, -1000, 1000]).astype(np.float32)


def native(frames: int) -> SkeletonSequence:
    joints = np.zeros((frames, 1, 25, 3), np.float32)
    return SkeletonSequence(
        SAMPLE, "kinectv2_25", joints, np.ones((frames, 1), bool), np.zeros((frames, 1), np.int8), (7,)
    )


def read(raw: Path, joints: np.ndarray, *, frames: int | None, **arrays: float) -> SkeletonSequence:
    write_npz(raw, "smpl_24", SAMPLE, video(joints), **arrays)
    (item,) = metrabs.discover(raw).items
    return metrabs.read(item, mirrored=False, native=None if frames is None else native(frames))


@pytest.mark.parametrize("tell", [True, False])
@pytest.mark.parametrize("fps", [15.0, 24.0, 25.0, 50.0, 60.0])
def test_a_straight_walk_is_the_same_walk_at_the_sensors_rate(tmp_path: Path, fps: float, tell: bool) -> None:
    seconds, frames = 4, 120
    clip = read(tmp_path, walk(int(fps * seconds), fps), frames=frames, **({"fps": fps} if tell else {}))
    assert clip.frames == frames
    assert clip.present.all()
    inner = slice(1, -1)  # half a frame at either end lies outside of the slower recording
    np.testing.assert_allclose(clip.joints[inner], walk(frames, 30.0)[inner], atol=1e-5)
    (row,) = clip.findings
    assert row.problem == "another clock than the sensor's"
    assert row.detail == f"resampled from {int(fps * seconds)} frames at {fps:g} a second"
    assert row.action == "now 120 frames"


def test_without_a_native_clip_only_the_files_rate_counts(tmp_path: Path) -> None:
    assert read(tmp_path, walk(50, 25.0), frames=None).frames == 50
    clip = read(tmp_path, walk(50, 25.0), frames=None, fps=25.0)
    np.testing.assert_allclose(clip.joints[1:-1], walk(60, 30.0)[1:-1], atol=1e-5)
    assert len(clip.findings) == 1
    assert read(tmp_path, walk(50, 25.0), frames=None, fps=30.0).findings == ()


@pytest.mark.parametrize("found", [87, 89, 91, 93])
def test_a_few_frames_are_cut_or_absent(tmp_path: Path, found: int) -> None:
    joints = walk(found, 30.0)
    clip = read(tmp_path, joints, frames=90)
    kept = min(found, 90)
    np.testing.assert_allclose(clip.joints[:kept], joints[:kept], atol=1e-6)
    assert clip.present[:, 0].tolist() == [True] * kept + [False] * (90 - kept)
    assert not clip.joints[kept:].any()
    (row,) = clip.findings
    assert (row.detail, row.action) == (f"{found} frames", "now 90 frames")


def test_the_same_length_is_left_alone_whatever_the_rate(tmp_path: Path) -> None:
    clip = read(tmp_path, walk(90, 25.0), frames=90, fps=25.0)
    np.testing.assert_allclose(clip.joints, walk(90, 25.0), atol=1e-6)
    assert clip.findings == ()


@pytest.mark.parametrize(
    ("found", "arrays", "message"),
    [
        (44, {}, "another length: 44 frames, the native clip has 100"),
        (96, {"fps": 30.0}, "another length: 96 frames at 30 a second, the native clip has 100"),
        (50, {"fps": 25.0}, "another length: 50 frames at 25 a second, the native clip has 100"),
        (94, {}, "another length: 94 frames, the native clip has 100"),
    ],
)
def test_lengths_that_no_rate_explains(tmp_path: Path, found: int, arrays: dict, message: str) -> None:
    with pytest.raises(RawDataError, match=message):
        read(tmp_path, walk(found, 30.0), frames=100, **arrays)


def test_an_absent_frame_is_not_blended_in() -> None:
    joints = walk(40, 60.0).astype(np.float32)
    present = np.ones((40, 1), bool)
    present[10:20] = present[25] = False
    joints[~present] = 0
    made, seen, _ = to_native((joints, present), frames=20, fps=60.0, where="x")
    assert seen[:, 0].tolist() == [t not in range(5, 10) for t in range(20)]
    whole = walk(20, 30.0)
    whole[12] = joints[24]  # frame 25 is lost: only its neighbour is left
    np.testing.assert_allclose(made[seen], whole[seen], atol=1e-5)
    assert not made[~seen].any()


@settings(deadline=None, max_examples=60)
@given(found=st.integers(1, 60), frames=st.integers(1, 90), seed=st.integers(0, 99))
def test_resampling_is_linear_and_stays_within(found: int, frames: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    joints, present = rng.normal(size=(found, 2, 3, 3)).astype(np.float32), np.ones((found, 2), bool)
    made, seen = resample(joints, present, frames)
    assert seen.all()
    for t in range(frames):
        place = min(max((t + 0.5) * found / frames - 0.5, 0), found - 1)
        left = int(place)
        right = min(left + 1, found - 1)
        expected = joints[left] * (1 - place + left) + joints[right] * (place - left)
        np.testing.assert_allclose(made[t], expected, atol=1e-5)
