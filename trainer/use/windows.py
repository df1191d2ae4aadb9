"""Windows of a recording: segments of equal length that an encoder sees as clips, and back to frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import SkelError, UsageError
from trainer.export import EncoderCard
from trainer.use import raw


def spans(frames: int, window: int, stride: int) -> list[range]:
    """The frames of each window: one every ``stride`` frames, and one at the end.

    All frames are covered if ``stride`` does not exceed ``window``; a recording shorter than a window is a
    single window.
    """
    last = max(frames - window, 0)
    starts = [*range(0, last, stride), last]
    return [range(start, min(start + window, frames)) for start in starts]


def prepared(
    sequence: Any, of: Sequence[range], card: EncoderCard, convention: str
) -> tuple[list[range], NDArray[np.float32]]:
    """Prepare windows of a ``SkeletonSequence`` by the card's recipe, each as a clip of its own.

    Returns the windows of which the recipe leaves something, and their clips [n, 3, T, V, M]. Raises
    UsageError for a sequence that does not fit.
    """
    covered, clips = [], []
    for span in of:
        try:
            clips.append(raw.prepared([raw.cut(sequence, span)], card, convention))
        except UsageError:
            raise
        except SkelError:  # the recipe leaves nothing: nobody is seen
            continue
        covered.append(span)
    shape = (0, 3, card.input.frames, card.conventions[convention].num_joints, card.input.bodies)
    return covered, np.concatenate(clips) if clips else np.zeros(shape, np.float32)


def averaged(scores: NDArray[np.floating[Any]], of: Sequence[range], frames: int) -> NDArray[np.float64]:
    """Scores of windows [n, C] -> [frames, C]: the mean over the windows that cover a frame.

    A frame that no window covers gets the last class, no action.
    """
    sums = np.zeros((frames, scores.shape[1]))
    counts = np.zeros((frames, 1))
    for span, row in zip(of, scores, strict=True):
        sums[span.start : span.stop] += row
        counts[span.start : span.stop] += 1
    sums[counts[:, 0] == 0, -1] = 1
    return np.asarray(sums / np.maximum(counts, 1))
