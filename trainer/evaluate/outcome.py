"""What a protocol hands back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Outcome:
    """Scores of the test half, and the settings that led to them."""

    protocol: str
    scores: Tensor
    """[N_test, classes]: the higher, the more likely."""
    settings: dict[str, Any]
    best_top1: float | None = None
    """Best test accuracy of any epoch, for display; the result is that of the last epoch."""
