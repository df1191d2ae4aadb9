"""Bone lengths of a store: medians and spread over all poses, with one block of frames in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import SkeletonSpec

PLAUSIBLE = (0.01, 1.2)
"""Metres, from the joints of a face or a hand to the leg of a tall person."""

UNITS = (0.003, 10.0)
"""Metres within which the median bone must lie; a body in millimetres has bones of hundreds."""

NO_METRES = "these are no metres"

SPREAD = 1.0
"""Coefficient of variation, over all people and frames, above which a bone is worth a note.

People differ by a tenth; a sensor's guesses of hands and feet reach a half.
"""

_EDGES = np.geomspace(1e-6, 1e6, 2764)
"""Bin edges one per cent apart, which is the precision of the medians."""


@dataclass
class Lengths:
    """Accumulates the bone lengths of poses of one convention."""

    spec: SkeletonSpec
    _poses: NDArray[np.int64] = field(init=False)
    _counts: NDArray[np.int64] = field(init=False)
    _sums: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self._poses = np.zeros(len(self.spec.edges), np.int64)
        self._counts = np.zeros((len(self.spec.edges), len(_EDGES) + 1), np.int64)
        self._sums = np.zeros((2, len(self.spec.edges)))

    def add(self, joints: NDArray[Any], present: NDArray[np.bool_]) -> None:
        """Add joints [F, M, V, 3] metres with present [F, M]; bones with a non-finite joint do not count."""
        poses = joints[present].astype(np.float64)
        for bone, (child, parent) in enumerate(self.spec.edges):
            length = np.linalg.norm(poses[:, child] - poses[:, parent], axis=-1)
            length = length[np.isfinite(length)]
            self._poses[bone] += len(length)
            self._counts[bone] += np.bincount(np.searchsorted(_EDGES, length), minlength=len(_EDGES) + 1)
            self._sums[:, bone] += length.sum(), np.square(length).sum()

    def rows(self) -> list[dict[str, Any]]:
        """For each bone its joints, median in metres and coefficient of variation; empty without poses."""
        if not self._poses.any():
            return []
        poses = np.maximum(self._poses, 1)
        place = (self._counts.cumsum(axis=1) * 2 >= poses[:, None]).argmax(axis=1)
        median = _EDGES[np.minimum(place, len(_EDGES) - 1)]
        mean = self._sums[0] / poses
        spread = np.sqrt(np.maximum(self._sums[1] / poses - mean**2, 0))
        variation = np.divide(spread, mean, out=np.zeros_like(mean), where=mean > 0)
        names = self.spec.joints
        return [
            {
                "bone": f"{names[child]} - {names[parent]}",
                "median": float(f"{median[bone]:.3g}"),
                "variation": round(float(variation[bone]), 3),
            }
            for bone, (child, parent) in enumerate(self.spec.edges)
            if self._poses[bone]
        ]


def wrong_units(rows: list[dict[str, Any]]) -> str:
    """Evidence that the poses are not in metres; empty if there is none."""
    if not rows:
        return ""
    typical = float(np.median([row["median"] for row in rows]))
    if UNITS[0] <= typical <= UNITS[1]:
        return ""
    return f"bones have a median length of {typical:.3g}: {NO_METRES}"


def without_length(rows: list[dict[str, Any]]) -> bool:
    """Whether most bones have no length: their ends lie at one point."""
    return bool(np.median([row["median"] for row in rows]) <= _EDGES[0])


def notes(rows: list[dict[str, Any]]) -> list[str]:
    """Describe bones that are too short, too long or too uneven for a body."""
    odd = [row for row in rows if not PLAUSIBLE[0] <= row["median"] <= PLAUSIBLE[1]]
    uneven = [row for row in rows if row["variation"] > SPREAD]
    sentences = []
    if odd:
        shown = ", ".join(f"{row['bone']} {row['median']:g} m" for row in odd[:3])
        sentences.append(
            f"{len(odd)} of {len(rows)} bones have a median outside {PLAUSIBLE[0]:g} to {PLAUSIBLE[1]:g} m: "
            f"{shown}"
        )
    if uneven:
        shown = ", ".join(f"{row['bone']} {row['variation']:g}" for row in uneven[:3])
        sentences.append(
            f"{len(uneven)} of {len(rows)} bones vary by more than {SPREAD:g} of their length: {shown}"
        )
    return sentences
