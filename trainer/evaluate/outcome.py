"""What a protocol hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from trainer.evaluate.scores import Kind


@dataclass(frozen=True)
class Outcome:
    """Scores of the test half, and the settings that led to them."""

    protocol: str
    scores: Tensor
    """[N_test, classes]: the higher, the more likely; in the order of the test samples."""
    settings: dict[str, Any]
    best_top1: float | None = None
    """Best test accuracy of any epoch, for display; the result is that of the last epoch."""
    kind: Kind = "logits"
    """What the scores are; an ensemble makes probabilities of them accordingly."""
    name: str = ""
    """Of this figure when a protocol gives several of one kind, e.g. ``semi-5``: the stem of its files.
    Empty: the protocol's own name."""
    draws: tuple[Tensor, ...] = ()
    """Scores of every random draw, for protocols that draw; ``scores`` are those of the first. The result is
    the mean of their accuracies. Streams are fused draw by draw."""
    details: dict[str, Any] = field(default_factory=dict)
    """What else the result file keeps, as plain JSON: curves, drawn ids, ..."""
