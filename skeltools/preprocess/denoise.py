"""Steps that drop tracks that are hardly people: too short, too wide, too still or too wild.

The thresholds are those with which the NTU community cleans its raw skeletons (the denoising scripts that
CTR-GCN and its successors share: noise length 11, spread 0.8 and 0.69754, motion 0.089925 and 2). The scripts
consider only clips with more than one track, and so does every step here: a single track always stays.

When all tracks of a clip would be dropped, ``keep_best`` keeps the one with the most motion energy, and
counts it; with ``keep_best: false`` the clip is dropped.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from skeltools.preprocess.clip import NOBODY, Array, Counts, Dropped, Goal, motion_energy
from skeltools.sequence import SkeletonSequence, per_body

KEPT_BEST = "clips kept by their best track"


def denoise_short_tracks(
    clip: SkeletonSequence, goal: Goal, *, up_to: Annotated[int, Field(ge=0)] = 11, keep_best: bool = True
) -> tuple[SkeletonSequence, Counts] | Dropped:
    """Drop tracks that are seen in ``up_to`` frames or fewer (published: 11)."""
    noise = clip.present.sum(axis=0) <= up_to
    return _without(clip, noise, "short tracks dropped", keep_best)


def denoise_spread(
    clip: SkeletonSequence,
    goal: Goal,
    *,
    ratio: Annotated[float, Field(gt=0)] = 0.8,
    share: Annotated[float, Field(gt=0, le=1)] = 0.69754,
    keep_best: bool = True,
) -> tuple[SkeletonSequence, Counts] | Dropped:
    """Drop tracks that are too wide for their height in a ``share`` or more of their frames.

    A frame is noise where the joints' extent in x is more than ``ratio`` times their extent in y, the
    vertical (published: 0.8 and 0.69754). This catches furniture and crossed limbs, but also people who lie
    down, so the step is unsuitable for data with falls. Frames of the tracks that stay are not changed.
    """
    extent = np.ptp(clip.joints, axis=2)  # [T, M, 3]
    wide = (extent[..., 0] > ratio * extent[..., 1]) & clip.present
    noise = wide.sum(axis=0) >= share * np.maximum(clip.present.sum(axis=0), 1)
    return _without(clip, noise, "wide tracks dropped", keep_best)


def denoise_motion(
    clip: SkeletonSequence,
    goal: Goal,
    *,
    low: Annotated[float, Field(ge=0)] = 0.089925,
    high: Annotated[float, Field(gt=0)] = 2.0,
    keep_best: bool = True,
) -> tuple[SkeletonSequence, Counts] | Dropped:
    """Drop tracks whose variance is less than ``low`` or more than ``high`` square metres.

    It is the variance of all joints of all frames about their common mean, summed over x, y and z, which is
    the community's measure of motion (published: 0.089925 and 2). It includes the body's own extent, about a
    quarter of a square metre for somebody who stands: less is smaller than a person, more runs across the
    room.
    """
    variance = np.array([_variance(clip.joints[clip.present[:, m], m]) for m in range(clip.bodies)])
    noise = (variance < low) | (variance > high)
    return _without(clip, noise, "still or wild tracks dropped", keep_best)


def _variance(joints: Array) -> float:
    """[frames, V, 3] -> summed variance of all points, square metres; 0 for no frame."""
    return float(joints.reshape(-1, 3).var(axis=0).sum()) if len(joints) else 0.0


def _without(
    clip: SkeletonSequence, noise: NDArray[np.bool_], what: str, keep_best: bool
) -> tuple[SkeletonSequence, Counts] | Dropped:
    """Remove the tracks that are noise, unless the clip has a single track."""
    seen = np.asarray(clip.present.any(axis=0))
    if not seen.any():
        return NOBODY
    remaining: NDArray[np.bool_] = seen & ~noise
    counts: Counts = {}
    if seen.sum() == 1:
        remaining = seen
    elif not remaining.any():
        if not keep_best:
            return Dropped(f"{what}: no body is left")
        energy = np.where(seen, motion_energy(clip.joints, clip.present), -1.0)
        remaining[int(energy.argmax())] = True
        counts[KEPT_BEST] = 1
    counts[what] = int((seen & ~remaining).sum())
    return per_body(clip, np.flatnonzero(remaining).tolist()), counts
