from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skeltools.preprocess import STEPS, Dropped, Goal, Prepared, prepare
from skeltools.sequence import SkeletonSequence
from tests.skeltools.figures import KINECT, clip_of, clips, walking

GOAL = Goal(KINECT, frames=10, bodies=2)


# ---- the community's rules, slow and literal ------------------------------------------------------------


def seen(clip: SkeletonSequence, body: int) -> list[np.ndarray]:
    """Poses [V, 3] of the frames in which a body is present."""
    return [clip.joints[t, body].astype(float) for t in range(clip.frames) if clip.present[t, body]]


def too_short(poses: list[np.ndarray]) -> bool:
    return len(poses) <= 11


def too_wide(poses: list[np.ndarray]) -> bool:
    noisy = 0
    for pose in poses:
        xs, ys = [p[0] for p in pose], [p[1] for p in pose]
        if max(xs) - min(xs) > 0.8 * (max(ys) - min(ys)):
            noisy += 1
    return noisy / len(poses) >= 0.69754


def implausible(poses: list[np.ndarray]) -> bool:
    points = [p for pose in poses for p in pose]
    total = 0.0
    for axis in range(3):
        values = [p[axis] for p in points]
        mean = sum(values) / len(values)
        total += sum((v - mean) ** 2 for v in values) / len(values)
    return total < 0.089925 or total > 2


def energy(poses: list[np.ndarray]) -> float:
    mean = sum(poses) / len(poses)
    return sum(float(((pose - mean) ** 2).sum()) for pose in poses)


RULES = {"denoise_short_tracks": too_short, "denoise_spread": too_wide, "denoise_motion": implausible}


@settings(deadline=None, max_examples=80)
@given(clip=clips(), name=st.sampled_from(sorted(RULES)), size=st.sampled_from([0.2, 1.0, 3.0]))
def test_denoising_equals_the_literal_rules(clip: SkeletonSequence, name: str, size: float) -> None:
    clip = clip_of(clip.joints * np.array([1, 1 / size, 1]) * size**0.5, clip.present)
    bodies = [body for body in range(clip.bodies) if seen(clip, body)]
    kept = [body for body in bodies if not RULES[name](seen(clip, body))]
    best = max(bodies, key=lambda body: energy(seen(clip, body)), default=None)
    if len(bodies) == 1:
        kept = bodies
    for keep_best in (True, False):
        done = STEPS[name](clip, GOAL, keep_best=keep_best)
        if not bodies or not (kept or keep_best):
            assert isinstance(done, Dropped)
            continue
        assert not isinstance(done, Dropped)
        expected = kept or [best]
        assert done[0].body_ids == tuple(clip.body_ids[body] for body in expected)
        dropped = {what: n for what, n in done[1].items() if "dropped" in what}
        assert list(dropped.values()) == [len(bodies) - len(expected)]
        assert done[1].get("clips kept by their best track", 0) == (not kept)


def crowd() -> SkeletonSequence:
    """A person for 40 frames; a flicker of 11 frames; a chair that is wide and hardly moves."""
    person, flicker = walking(40, 2).swapaxes(0, 1)
    person = person * (0.3, 1, 1)
    chair = np.repeat(walking(1, 1, seed=5), 40, axis=0)[:, 0] * (1, 0.3, 0.3)
    present = np.ones((40, 3), bool)
    present[11:, 1] = False
    return clip_of(np.stack([person, flicker, chair], axis=1), present)


def test_the_recipe_keeps_the_person_and_counts_the_rest() -> None:
    made = prepare(crowd(), recipe="denoised", spec=KINECT, frames=20, bodies=2)
    assert isinstance(made, Prepared)
    assert made.counts["short tracks dropped"] == 1
    assert made.counts["wide tracks dropped"] == 1
    assert made.joint[..., 0].any()
    assert not made.joint[..., 1].any()


def test_frames_of_a_track_that_stays_are_not_touched() -> None:
    clip = crowd()
    kept, _ = STEPS["denoise_spread"](clip, GOAL)
    np.testing.assert_array_equal(kept.joints[:, 0], clip.joints[:, 0])


@pytest.mark.parametrize("frames", [1, 11, 12])
def test_eleven_frames_are_noise_beside_somebody_and_never_alone(frames: int) -> None:
    present = np.ones((30, 2), bool)
    present[frames:, 1] = False
    beside, counts = STEPS["denoise_short_tracks"](clip_of(walking(30, 2), present), GOAL)
    assert beside.bodies == (2 if frames == 12 else 1)
    assert counts == {"short tracks dropped": 2 - beside.bodies}
    alone, counts = STEPS["denoise_short_tracks"](clip_of(walking(30, 2), present & [False, True]), GOAL)
    assert alone.body_ids == (101,)
    assert counts == {"short tracks dropped": 0}


def test_a_long_gap_stays_and_is_counted() -> None:
    present = np.array([1, 0, 0, 1, 0, 0, 0, 1], bool)[:, None]
    clip = clip_of(walking(8, 1), present)
    short, counts = STEPS["fill_gaps"](clip, GOAL, max_gap=2)
    assert counts == {"frames interpolated": 2, "frames left in long gaps": 3}
    assert short.present[:, 0].tolist() == [True] * 4 + [False] * 3 + [True]
    assert not short.joints[4:7].any()
    every, _ = STEPS["fill_gaps"](clip, GOAL, max_gap=3)
    same, _ = STEPS["fill_gaps"](clip, GOAL)
    np.testing.assert_array_equal(every.joints, same.joints)
