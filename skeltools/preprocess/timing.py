"""Steps along the time axis: cutting, filling gaps, resizing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import cv2
import numpy as np
from pydantic import Field

from skeltools.preprocess.clip import NOBODY, Array, Counts, Dropped, Goal, with_joints
from skeltools.sequence import Mask, SkeletonSequence, per_frame


def crop_to_presence(clip: SkeletonSequence, goal: Goal) -> tuple[SkeletonSequence, Counts] | Dropped:
    """Cut the frames before the first and after the last one in which any body is present."""
    filled = np.flatnonzero(clip.present.any(axis=1))
    if not filled.size:
        return NOBODY
    cropped = per_frame(clip, slice(int(filled[0]), int(filled[-1]) + 1))
    return cropped, {"frames cropped": clip.frames - cropped.frames}


def cut_to_count(clip: SkeletonSequence, goal: Goal) -> tuple[SkeletonSequence, Counts] | Dropped:
    """Keep the first n frames, n being the number of frames in which joint 0 of body 1 is not zero.

    This is the published way to determine a clip's length, before anything is moved. Where body 1 has a gap,
    it cuts the tail. Joint 0 is the first of the convention's joints, SpineBase in Kinect v2.
    """
    count = int(clip.joints[:, 0, 0].any(axis=1).sum())
    if not count:
        return Dropped("joint 0 of body 1 is zero in every frame")
    return per_frame(clip, slice(count)), {"frames cut": clip.frames - count}


def fill_joints(
    clip: SkeletonSequence, goal: Goal, *, max_gap: Annotated[int, Field(ge=0)] = 30
) -> tuple[SkeletonSequence, Counts]:
    """Fill single joints that were not seen although their body was.

    A joint that is unseen for up to ``max_gap`` consecutive frames (one second at 30 frames a second) is
    interpolated linearly in time between the frames in which it is seen, or held where there is none on one
    side. In a longer gap it moves along with its parent in the tree, at the offset it had when it was last,
    or first, seen; if it never is, it takes its parent's position. The centre is held. Every recipe begins
    with this step.
    """
    if clip.unseen is None:
        return clip, {}
    joints, unseen = clip.joints.copy(), clip.unseen
    seen = clip.present[..., None] & ~unseen
    counts: Counts = {"joints interpolated": 0, "joints moved along": 0}
    for joint in goal.spec.from_centre:
        for body in np.flatnonzero(unseen[:, :, joint].any(axis=0)).tolist():
            parent = goal.spec.parents[joint]
            base = joints[:, body, parent] if parent != joint else np.zeros(3)
            filled = _fill_joint(joints[:, body, joint], seen[:, body, joint], base, max_gap)
            gaps = unseen[:, body, joint]
            joints[gaps, body, joint] = filled.values[gaps]
            counts["joints moved along"] += int(filled.far[gaps].sum())
            counts["joints interpolated"] += int((~filled.far[gaps]).sum())
    return replace(clip, joints=joints, unseen=None), counts


@dataclass(frozen=True)
class _Filled:
    values: Array
    """[T, 3]."""
    far: Mask
    """[T]: whether the joint is unseen for longer than may be interpolated."""


def _fill_joint(path: Array, seen: Mask, base: Array, max_gap: int) -> _Filled:
    """Fill one joint of one body, [T, 3] and [T]; ``base``: its parent [T, 3], or zero for the centre."""
    frames = np.arange(len(path))
    known = np.flatnonzero(seen)
    if not known.size:
        return _Filled(np.broadcast_to(base, path.shape), np.ones(len(path), bool))
    after = np.searchsorted(known, frames)
    left, right = known[np.maximum(after - 1, 0)], known[np.minimum(after, len(known) - 1)]
    between = np.stack([np.interp(frames, known, path[known, axis]) for axis in range(3)], axis=1)
    first, last = after == 0, after == len(known)
    length = np.where(first, known[0], np.where(last, len(path) - 1 - known[-1], right - left - 1))
    far: Mask = ~seen & (length > max_gap)
    nearest = np.where(first | (~last & (right - frames < frames - left)), right, left)
    moved = path[nearest] + base - (base[nearest] if base.ndim > 1 else base)
    return _Filled(np.where(far[:, None], moved, between), far)


def fill_gaps(
    clip: SkeletonSequence, goal: Goal, *, max_gap: Annotated[int, Field(ge=1)] | None = None
) -> tuple[SkeletonSequence, Counts]:
    """Interpolate linearly inside each track, which stays absent before its first and after its last frame.

    ``max_gap``: longest gap in frames; longer ones stay as they are and are counted. null: any length.
    """
    joints, present, left_open = clip.joints.copy(), clip.present.copy(), 0
    for body in range(clip.bodies):
        known = np.flatnonzero(clip.present[:, body])
        if not known.size:
            continue
        span = np.arange(known[0], known[-1] + 1)
        gaps = span[~clip.present[span, body]]
        after = np.searchsorted(known, gaps)
        left, right = known[after - 1], known[after]
        if max_gap is not None:
            short = right - left - 1 <= max_gap
            left_open += int((~short).sum())
            gaps, left, right = gaps[short], left[short], right[short]
        share = ((gaps - left) / (right - left))[:, None, None]
        joints[gaps, body] = (1 - share) * joints[left, body] + share * joints[right, body]
        present[gaps, body] = True
    filled = int(present.sum() - clip.present.sum())
    return with_joints(clip, joints, present), {
        "frames interpolated": filled,
        "frames left in long gaps": left_open,
    }


def fill_null_frames(clip: SkeletonSequence, goal: Goal) -> tuple[SkeletonSequence, Counts]:
    """Fill frames without a body as A-GCN does, body by body.

    A body that begins late is moved to the front, which also closes its gaps; the gaps of other bodies stay
    empty. The frames after its last one then repeat it from its first, as in A-GCN's ``pre_normalization``
    ("pad the null frames with the previous frames").
    """
    joints, present = clip.joints.copy(), clip.present.copy()
    moved = repeated = 0
    for body in range(clip.bodies):
        known = np.flatnonzero(clip.present[:, body])
        if not known.size:
            continue
        if known[0] > 0:
            source = known
            moved += 1
        else:
            source = np.arange(known[-1] + 1)
        again = source[np.arange(clip.frames) % len(source)]
        joints[:, body], present[:, body] = clip.joints[again, body], clip.present[again, body]
        repeated += clip.frames - len(source)
    counts = {"bodies moved to the first frame": moved, "frames repeated at the end": repeated}
    return with_joints(clip, joints, present), counts


def resize(
    clip: SkeletonSequence, goal: Goal, *, absent: Literal["masked", "zeros"] = "masked"
) -> tuple[SkeletonSequence, Counts]:
    """Resample to ``goal.frames`` by linear interpolation in time.

    ``absent`` says how frames without a body enter. ``masked``: not at all; a resampled frame has the body if
    at least half of its weight does. ``zeros`` (published): as a skeleton shrunk to the origin. A clip that
    already has the length is unchanged.
    """
    joints = resize_time(clip.joints, goal.frames)
    if absent == "zeros":
        return with_joints(clip, joints, np.any(joints != 0, axis=(2, 3))), {}
    weight = resize_time(clip.present.astype(joints.dtype), goal.frames)
    present = weight >= 0.5
    safe = np.where(present, weight, 1.0)[:, :, None, None]
    joints = np.where(present[:, :, None, None], joints / safe, 0.0)
    return with_joints(clip, joints, present), {}


def resize_time(x: Array, frames: int) -> Array:
    """[T, ...] float -> [frames, ...]: linear in time, as ``cv2.resize`` with INTER_LINEAR does.

    Frame centres lie at half-integers: result t is the value at ``(t + 0.5) * T / frames - 0.5``, clamped to
    the clip. A single frame is repeated; the same length returns the same values.
    """
    if len(x) == frames:
        return x.copy()
    image = np.ascontiguousarray(x).reshape(len(x), -1)
    resized = cv2.resize(image, (image.shape[1], frames), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized).reshape(frames, *x.shape[1:])
