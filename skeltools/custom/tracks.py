"""Put people in arbitrary order into tracks, so that each place on axis M is one person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools import tracking
from skeltools.custom.layouts import MAX_BODIES
from skeltools.raw_items import MAX_BYTES, RawItem, finding
from skeltools.sequence import Joints, SkeletonSequence

_MAX_LAID_OUT = 4 * MAX_BYTES
"""Most bytes of joints: of a clip with many short tracks, only the longest are kept."""


def in_tracks(
    clip: SkeletonSequence, item: RawItem, *, identities: NDArray[np.int64] | None, relative: bool
) -> SkeletonSequence:
    """The clip with one track per place on axis M, the longest first.

    ``identities``: person numbers [T, M], if the file has them; else people are linked by ``tracking``, with
    a gate ``relative`` to body size for 2D poses. At most ``MAX_BODIES`` tracks are kept.
    """
    frame, place = np.nonzero(clip.present)
    number = (
        _numbers(clip, relative)
        if identities is None
        else np.unique(identities[frame, place], return_inverse=True)[1]
    )
    each = clip.frames * clip.joints.shape[2] * 12
    most = min(MAX_BODIES, max(clip.bodies, _MAX_LAID_OUT // each))
    tracks = tracking.longest(number, most)
    slot = tracking.slots(number, tracks)
    has_slot = slot >= 0
    laid = _laid_out(clip, (frame[has_slot], place[has_slot], slot[has_slot]), len(tracks))
    if has_slot.all():
        return laid
    detail = f"{number.max() + 1 - len(tracks)} tracks of {(~has_slot).sum()} poses"
    row = finding(item, "more people than bodies", detail=detail, action="dropped")
    return replace(laid, findings=(*laid.findings, row))


def _numbers(clip: SkeletonSequence, relative: bool) -> NDArray[np.int64]:
    """[P]: the track number of each body present, frame by frame."""
    poses: Joints = clip.joints[clip.present]
    if clip.unseen is not None:
        poses = np.where(clip.unseen[clip.present][..., None], np.float32(np.nan), poses)
    return tracking.link(poses, clip.present.sum(axis=1), relative=relative)


def _laid_out(
    clip: SkeletonSequence, at: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], tracks: int
) -> SkeletonSequence:
    """The clip with bodies moved to their tracks. ``at``: frame, place in it, and track of each body kept."""
    frame, place, slot = at

    def moved(array: NDArray[Any], empty: object) -> NDArray[Any]:
        out = np.full((clip.frames, tracks, *array.shape[2:]), empty, array.dtype)
        out[frame, slot] = array[frame, place]
        return out

    unseen = None if clip.unseen is None else moved(clip.unseen, False)
    unseen = None if unseen is None or not unseen.any() else unseen
    return replace(
        clip,
        joints=moved(clip.joints, 0),
        present=moved(clip.present, False),
        order=moved(clip.order, -1),
        body_ids=tuple(range(tracks)),
        unseen=unseen,
        score=None if clip.score is None else moved(clip.score, 0),
    )
