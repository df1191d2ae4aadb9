"""Steps that choose which bodies a stream contains, and in which slot."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from skeltools.preprocess.clip import (
    NOBODY,
    Counts,
    Dropped,
    Goal,
    motion_energy,
    with_joints,
)
from skeltools.sequence import SkeletonSequence, per_body, per_frame


def rank_by_motion(clip: SkeletonSequence, goal: Goal) -> tuple[SkeletonSequence, Counts] | Dropped:
    """Keep the ``goal.bodies`` tracks with the most motion energy, in descending order.

    The energy of a track is ``sum_t mean_v |x[t, v] - mean_t x[v]|^2`` over the frames in which it is present
    (square metres times frames): the variance by which the NTU community ranks bodies, times the track's
    length, so that a few frames of flicker do not outrank a person. Ties go to the longer track, then to the
    earlier one in the file.
    """
    seen = clip.present.sum(axis=0)
    if not seen.any():
        return NOBODY
    energy = motion_energy(clip.joints, clip.present)
    ranked = np.lexsort((np.arange(clip.bodies), -seen, -energy))
    tracks = [int(body) for body in ranked[: goal.bodies] if seen[body]]
    return per_body(clip, tracks), {"bodies dropped": int((seen > 0).sum()) - len(tracks)}


def rank_by_spread(clip: SkeletonSequence, goal: Goal) -> tuple[SkeletonSequence, Counts] | Dropped:
    """Keep the ``goal.bodies`` bodies of largest spread, largest first; ties in their order on axis M.

    Spread is the sum over x, y and z of the standard deviation of all joints in all frames in which the body
    is present: the criterion by which A-GCN's and ISC's readers choose two of up to four bodies.
    """
    seen = np.asarray(clip.present.any(axis=0))
    if not seen.any():
        return NOBODY
    spread = [
        clip.joints[clip.present[:, body], body].reshape(-1, 3).std(axis=0).sum() if seen[body] else 0.0
        for body in range(clip.bodies)
    ]
    ranked = np.argsort(-np.array(spread), kind="stable")
    tracks = [int(body) for body in ranked if seen[body]][: goal.bodies]
    return per_body(clip, tracks), {"bodies dropped": int(seen.sum()) - len(tracks)}


def first_tracks(clip: SkeletonSequence, goal: Goal) -> tuple[SkeletonSequence, Counts] | Dropped:
    """Assign track m of the sequence to slot m for the whole clip, and drop tracks beyond the last slot.

    Nothing is ranked and no slot is closed up: slot 1 of an archive stays slot 1, even when nobody is in slot
    0.
    """
    if not clip.present[:, : goal.bodies].any():
        return NOBODY
    dropped = int(clip.present[:, goal.bodies :].any(axis=0).sum())
    return per_body(clip, list(range(min(clip.bodies, goal.bodies)))), {"bodies dropped": dropped}


def file_order(
    clip: SkeletonSequence,
    goal: Goal,
    *,
    max_frames: Annotated[int, Field(ge=1)] | None = 300,
    slots: Annotated[int, Field(ge=1, le=16)] | None = None,
    keep: Literal["middle"] | None = None,
) -> tuple[SkeletonSequence, Counts]:
    """Put the body that the file lists at place m into slot m, frame by frame; cut at ``max_frames``.

    300 is the length of the published readers' array (``max_frame``). ``slots``: number of slots to fill;
    null means the bodies of the stream. Readers that choose among bodies later fill 4 (``max_body_kinect``).
    ``keep``: which frames of a longer clip stay; null means the first, ``middle`` as many from its middle
    (AimCLR's reader of PKU-MMD; no clip of NTU RGB+D is longer than 300).
    """
    cut = max(0, clip.frames - (max_frames or clip.frames))
    start = cut // 2 if keep == "middle" else 0
    clip = per_frame(clip, slice(start, start + clip.frames - cut))
    places = np.arange(slots or goal.bodies)
    listed = clip.order[:, :, None] == places  # [T, M, slots]: the body is listed there
    present = listed.any(axis=1)
    source = listed.argmax(axis=1)
    joints = np.take_along_axis(clip.joints, source[:, :, None, None], axis=1)
    joints = np.where(present[:, :, None, None], joints, 0.0)
    beyond = int((clip.order >= len(places)).any(axis=0).sum())
    placed = replace(with_joints(clip, joints, present), body_ids=tuple(range(len(places))))
    return placed, {"frames cut": cut, "bodies behind the first slots": beyond}
