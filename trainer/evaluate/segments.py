"""From frame scores to segments: which action occurs when in a recording."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

NOTHING = -1
"""Label of a frame without an action."""


@dataclass(frozen=True)
class Segment:
    """One action of a recording: frames ``start`` to ``stop``, counted from 0, ``stop`` excluded."""

    recording: str
    label: int
    start: int
    stop: int
    confidence: float = 1.0
    """Mean score of the class over its frames, 0..1; 1 for an annotated segment."""


def decoded(scores: NDArray[np.float64], *, penalty: float) -> NDArray[np.int64]:
    """[T, C] probabilities -> [T]: the most likely sequence of classes at a ``penalty`` per change.

    Viterbi decoding: maximises the sum of log scores minus ``penalty`` (natural logarithms, 0 or more)
    wherever the class changes. With 0, each frame gets its best class.
    """
    best = np.log(np.maximum(scores, 1e-12))
    came = np.zeros(scores.shape, np.int64)
    stay = np.arange(scores.shape[1])
    for frame in range(1, len(best)):
        other = int(best[frame - 1].argmax())
        change = best[frame - 1, other] - penalty > best[frame - 1]
        came[frame] = np.where(change, other, stay)
        best[frame] += np.where(change, best[frame - 1, other] - penalty, best[frame - 1])
    labels = np.zeros(len(best), np.int64)
    for frame in range(len(best) - 1, -1, -1):
        last = frame == len(best) - 1
        labels[frame] = best[frame].argmax() if last else came[frame + 1, labels[frame + 1]]
    return labels


def segments_of(
    labels: NDArray[np.int64], scores: NDArray[np.float64] | None = None, *, recording: str = ""
) -> list[Segment]:
    """The runs of equal labels in [T] except ``NOTHING``; ``scores`` [T, C] determine their confidence."""
    if not len(labels):
        return []
    edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    segments = []
    for start, stop in pairwise(edges):
        label = int(labels[start])
        if label != NOTHING:
            sure = 1.0 if scores is None else float(scores[start:stop, label].mean())
            segments.append(Segment(recording, label, start, stop, sure))
    return segments
