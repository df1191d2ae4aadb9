"""Steps that move and turn bodies.

Lines from the *left to the right* shoulder are turned onto +x. Canonical x grows to the sensor's left, which
is the right-hand side of a person who faces it, so facing people are hardly turned at all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from skeltools.preprocess.clip import Array, Counts, Goal, first_frame
from skeltools.preprocess.geometry import TINY, X, Z, onto, shoulder_line, spine_joints
from skeltools.sequence import Sequence


def center_clip(clip: Sequence, goal: Goal) -> tuple[Sequence, Counts]:
    """Move the whole clip so that the first body's centre joint is at the origin when it first appears."""
    origin = clip.joints[first_frame(clip), 0, goal.spec.center]
    joints = np.where(clip.present[:, :, None, None], clip.joints - origin, 0.0)
    return replace(clip, joints=joints), {}


def turn_clip(clip: Sequence, goal: Goal) -> tuple[Sequence, Counts]:
    """Turn the whole clip by the rotation that turns the first body's shoulder line onto +x.

    It is the smallest such rotation, taken from the first frame in which that body is present. A line that
    points to -x, where the smallest rotation is not unique, is turned about y, so that up stays up. Clips
    without a shoulder line are left as they are and counted.
    """
    line = shoulder_line(clip.joints[first_frame(clip), 0], goal.spec)
    turned: Array = clip.joints @ onto(line, X, opposite="about y").T
    return replace(clip, joints=turned), {"clips without a shoulder line": _is_none(line)}


def center_frames(clip: Sequence, goal: Goal) -> tuple[Sequence, Counts]:
    """Move every body in every frame so that its own centre joint is at the origin."""
    own = clip.joints[:, :, goal.spec.center, None]
    joints = np.where(clip.present[:, :, None, None], clip.joints - own, 0.0)
    return replace(clip, joints=joints), {}


def turn_frames(clip: Sequence, goal: Goal) -> tuple[Sequence, Counts]:
    """Turn every body in every frame by the smallest rotation that turns its shoulder line onto +x.

    As in the published code, a line that already points to -x is left there, and so is a body without one
    (all zero, or both shoulders in one place).
    """
    rotation = onto(shoulder_line(clip.joints, goal.spec), X, opposite="stay")
    turned: Array = clip.joints @ rotation.swapaxes(-1, -2)
    return replace(clip, joints=turned), {}


def center_spine(
    clip: Sequence, goal: Goal, *, origin: Literal["first_frame", "every_frame"] = "first_frame"
) -> tuple[Sequence, Counts]:
    """Move all bodies so that the first body's spine joint is at the origin.

    ``origin``: ``first_frame`` moves the clip as one, so that people still walk; ``every_frame`` holds the
    first body in place and moves the others along, none of them where the first body is absent. The spine
    joint is SpineMid, joint 1, in Kinect v2 ("sub the center joint" in A-GCN's ``pre_normalization``); in
    other conventions see ``spine_joints``, and without legs the convention's centre. Joints that are exactly
    zero say that the sensor did not see them; they stay zero, as in A-GCN.
    """
    _, spine = spine_joints(goal.spec)
    place = clip.joints[:, 0, list(spine or (goal.spec.center,))].mean(axis=1)  # [T, 3]
    if origin == "first_frame":
        place = place[first_frame(clip)][None]
    seen = (clip.joints != 0).any(axis=-1, keepdims=True)
    return replace(clip, joints=np.where(seen, clip.joints - place[:, None, None], 0.0)), {}


def turn_spine(clip: Sequence, goal: Goal) -> tuple[Sequence, Counts]:
    """Turn the whole clip so that the first body's bone from hip to spine points to +z.

    The smallest rotation, from the first frame in which that body is present; a bone that points to -z is
    left there, as in A-GCN's ``pre_normalization`` (joints 0 and 1 of Kinect v2). Clips without such a bone
    are left as they are and counted.
    """
    low, high = spine_joints(goal.spec)
    pose = clip.joints[first_frame(clip), 0]
    bone = pose[list(high)].mean(axis=0) - pose[list(low)].mean(axis=0) if low else np.zeros(3)
    turned: Array = clip.joints @ onto(bone, Z, opposite="stay").T
    return replace(clip, joints=turned), {"clips without a spine": _is_none(bone)}


def turn_shoulders(clip: Sequence, goal: Goal) -> tuple[Sequence, Counts]:
    """As ``turn_clip``, but a line that already points to -x is left there, as in A-GCN."""
    line = shoulder_line(clip.joints[first_frame(clip), 0], goal.spec)
    turned: Array = clip.joints @ onto(line, X, opposite="stay").T
    return replace(clip, joints=turned), {"clips without a shoulder line": _is_none(line)}


def _is_none(line: Array) -> int:
    return int(np.abs(line).sum() < TINY)
