"""Steps that move and turn bodies.

Lines from the *left to the right* shoulder are turned onto +x. Canonical x grows to the sensor's left, which
is the right-hand side of a person who faces it, so facing people are hardly turned at all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from skeltools.preprocess.clip import Array, Counts, Goal, first_frame
from skeltools.preprocess.geometry import (
    TINY,
    X,
    Y,
    Z,
    about_y,
    angles,
    onto,
    shoulder_line,
    spatial_median,
    spine_joints,
    trunk_joints,
)
from skeltools.sequence import SkeletonSequence

Pose = Literal["median", "first_frame"]
"""Source of a line of the body: its spatial median over the frames, or the first frame."""

PUBLISHED_EPSILON = 1e-4
"""Metres that released CrosSCLR adds to the length of the shoulder line."""

LEAST_LINE = 0.2
"""Shortest usable line seen from above, as a part of the shoulders' width.

8 of NW-UCLA's 1,484 clips have a shorter median line.
"""


def center_clip(clip: SkeletonSequence, goal: Goal) -> tuple[SkeletonSequence, Counts]:
    """Move the whole clip so that the first body's centre is at the origin in that body's first frame."""
    origin = clip.joints[first_frame(clip), 0, goal.spec.center]
    joints = np.where(clip.present[:, :, None, None], clip.joints - origin, 0.0)
    return replace(clip, joints=joints), {}


def turn_clip(clip: SkeletonSequence, goal: Goal) -> tuple[SkeletonSequence, Counts]:
    """Turn the whole clip by the rotation that turns the first body's shoulder line onto +x.

    It is the smallest such rotation, computed from the first frame in which that body is present. A line that
    points to -x, where the smallest rotation is not unique, is turned about y, so that up stays up. Clips
    without a shoulder line are left as they are and counted.
    """
    return _turn_shoulder_line(clip, goal, opposite="about y")


def _turn_shoulder_line(
    clip: SkeletonSequence, goal: Goal, *, opposite: str
) -> tuple[SkeletonSequence, Counts]:
    line = shoulder_line(clip.joints[first_frame(clip), 0], goal.spec)
    turned: Array = clip.joints @ onto(line, X, opposite=opposite).T
    return replace(clip, joints=turned), {"clips without a shoulder line": _is_none(line)}


def turn_upright(
    clip: SkeletonSequence,
    goal: Goal,
    *,
    pose: Pose = "median",
    max_tilt: Annotated[float, Field(ge=0, le=180)] = 45,
) -> tuple[SkeletonSequence, Counts]:
    """Turn the whole clip by the smallest rotation that turns the first body's trunk onto +y, straight up.

    The trunk is the line from the middle of the hips to the middle of the shoulders. A sensor that looks down
    or up tilts everybody in front of it, and this step removes that tilt. Frames in which the trunk is more
    than ``max_tilt`` degrees from the vertical (45: nearer to lying than to standing) are ignored: somebody
    lies or bends, which is part of the action and says nothing about the sensor. ``pose``: use the median of
    the other frames, if they are at least half of those with the body, or the first frame, if it is among
    them. Otherwise the clip stays as it is and is counted, as are clips of conventions without legs or
    shoulders.
    """
    low, high = trunk_joints(goal.spec)
    if not low:
        return clip, {"clips without a trunk": 1}
    poses = _poses(clip, pose)
    trunks = poses[:, list(high)].mean(axis=1) - poses[:, list(low)].mean(axis=1)
    upright = trunks[angles(trunks, Y) <= max_tilt]
    if 2 * len(upright) < len(trunks):
        return clip, {"clips that lie or bend": 1}
    turned: Array = clip.joints @ onto(spatial_median(upright), Y, opposite="stay").T
    return replace(clip, joints=turned), {}


def turn_about_y(
    clip: SkeletonSequence, goal: Goal, *, pose: Pose = "median"
) -> tuple[SkeletonSequence, Counts]:
    """Turn the whole clip about the vertical until the first body's shoulders, seen from above, lie along +x.

    y is unchanged, so nobody is tilted. ``pose``: use the median of the shoulder lines, or the first of them.
    A line that, seen from above, is shorter than a fifth of the shoulders' width has no reliable direction.
    If that is true of the median, as it may be for somebody who turns round, the first frame decides. If its
    line is short too, as for somebody who lies on a side, the clip stays as it is and is counted.
    """
    lines = shoulder_line(_poses(clip, "median"), goal.spec)
    least = LEAST_LINE * np.median(np.linalg.norm(lines, axis=1))
    from_above = lines[:, [0, 2]]
    x, z = spatial_median(from_above) if pose == "median" else from_above[0]
    if np.hypot(x, z) <= least:
        x, z = from_above[0]
    length = np.hypot(x, z)
    if length <= max(least, TINY):
        return clip, {"clips without a shoulder line": 1}
    turned: Array = clip.joints @ about_y(x / length, z / length).T
    return replace(clip, joints=turned), {}


def center_frames(clip: SkeletonSequence, goal: Goal) -> tuple[SkeletonSequence, Counts]:
    """Move every body in every frame so that its own centre joint is at the origin."""
    own = clip.joints[:, :, goal.spec.center, None]
    joints = np.where(clip.present[:, :, None, None], clip.joints - own, 0.0)
    return replace(clip, joints=joints), {}


def turn_frames(clip: SkeletonSequence, goal: Goal) -> tuple[SkeletonSequence, Counts]:
    """Turn every body in every frame by the smallest rotation that turns its shoulder line onto +x.

    This tilts people whose shoulders are not level; ``turn_frames_about_y`` is the published turn. A line
    that already points to -x is left there, and so is a body without a line (all zero, or both shoulders in
    one place). Older stores of recipe crossclr record this step.
    """
    rotation = onto(shoulder_line(clip.joints, goal.spec), X, opposite="stay")
    turned: Array = clip.joints @ rotation.swapaxes(-1, -2)
    return replace(clip, joints=turned), {}


def turn_frames_about_y(clip: SkeletonSequence, goal: Goal) -> tuple[SkeletonSequence, Counts]:
    """Turn every body in every frame about the vertical, as the published preprocessing of CrosSCLR does.

    With v the line from the left to the right shoulder and l its length seen from above, the angle of a frame
    is ``arccos(v_x / (l + 1e-4))``. A body is turned in one direction for the whole clip: all of its angles
    are negative where the sum of v_z over the frames is 0 or more. So frames in which v_z has the other sign
    are turned the wrong way, and a line along x is turned a little: both are part of the published arrays.
    (Released CrosSCLR and AimCLR: feeder/NTUDatasets.py.)
    """
    line = shoulder_line(clip.joints, goal.spec)
    cosine = line[..., 0] / (np.hypot(line[..., 0], line[..., 2]) + PUBLISHED_EPSILON)
    sine = np.sqrt(1 - np.square(cosine)) * np.where(line[..., 2].sum(axis=0) >= 0, -1.0, 1.0)
    turned: Array = clip.joints @ about_y(cosine, -sine).swapaxes(-1, -2)
    return replace(clip, joints=turned), {}


def center_spine(
    clip: SkeletonSequence, goal: Goal, *, origin: Literal["first_frame", "every_frame"] = "first_frame"
) -> tuple[SkeletonSequence, Counts]:
    """Move all bodies so that the first body's spine joint is at the origin.

    ``origin``: ``first_frame`` moves the clip as one, so that people still walk; ``every_frame`` holds the
    first body in place and moves the others along, and nothing moves in frames where the first body is
    absent. The spine joint is SpineMid, joint 1, in Kinect v2 ("sub the center joint" in A-GCN's
    ``pre_normalization``); for other conventions see ``spine_joints``, and without legs it is the
    convention's centre. A joint that is exactly zero was not seen by the sensor; it stays zero, as in A-GCN.
    """
    _, spine = spine_joints(goal.spec)
    place = clip.joints[:, 0, list(spine or (goal.spec.center,))].mean(axis=1)  # [T, 3]
    if origin == "first_frame":
        place = place[first_frame(clip)][None]
    seen = (clip.joints != 0).any(axis=-1, keepdims=True)
    return replace(clip, joints=np.where(seen, clip.joints - place[:, None, None], 0.0)), {}


def turn_spine(clip: SkeletonSequence, goal: Goal) -> tuple[SkeletonSequence, Counts]:
    """Turn the whole clip so that the first body's bone from hip to spine points to +z.

    The rotation is the smallest one, computed from the first frame in which that body is present; a bone that
    points to -z is left there, as in A-GCN's ``pre_normalization`` (joints 0 and 1 of Kinect v2). Clips
    without such a bone are left as they are and counted.
    """
    low, high = spine_joints(goal.spec)
    pose = clip.joints[first_frame(clip), 0]
    bone = pose[list(high)].mean(axis=0) - pose[list(low)].mean(axis=0) if low else np.zeros(3)
    turned: Array = clip.joints @ onto(bone, Z, opposite="stay").T
    return replace(clip, joints=turned), {"clips without a spine": _is_none(bone)}


def turn_shoulders(clip: SkeletonSequence, goal: Goal) -> tuple[SkeletonSequence, Counts]:
    """``turn_clip``, except that a line that already points to -x is left there, as in A-GCN."""
    return _turn_shoulder_line(clip, goal, opposite="stay")


def _poses(clip: SkeletonSequence, pose: Pose) -> Array:
    """[P, V, 3]: the first body in the frames in which it is present, or in the first of these."""
    present = clip.present[:, 0]
    poses: Array = clip.joints[present if present.any() else slice(1), 0]
    return poses[:1] if pose == "first_frame" else poses


def _is_none(line: Array) -> int:
    return int(np.abs(line).sum() < TINY)
