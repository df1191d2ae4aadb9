"""Early stopping on a held-out part of the training half; the test half is not used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from schemas import ConfigError
from trainer.evaluate import balance


def held_out(labels: Tensor, ids: Sequence[str], *, share: float, seed: int) -> Tensor:
    """[N] bool: the clips held out from training: a rounded share of each class, but never all of it.

    The selection depends only on seed and ids (``balance.drawn``). A class of one clip gives none. Raises
    ConfigError when no class gives any.
    """

    def count(clips: int) -> int:
        return min(max(1, round(share * clips)), clips - 1)

    chosen = balance.drawn(labels, ids, count, seed=seed, address=("validation",))
    if not chosen.any():
        raise ConfigError(
            f"no class has two clips to learn from, so that {share:g} of them can be left out",
            where="validation",
            remedy="Set it to 0: all epochs are trained",
        )
    return chosen


@dataclass
class Best:
    """The model after the best epoch so far, by accuracy on the held-out clips, then by cross-entropy."""

    patience: int
    """Epochs without improvement after which to stop; 0: never."""
    state: dict[str, Tensor] = field(default_factory=dict)
    epoch: int = 0
    """Counted from 1."""
    curve: list[float] = field(default_factory=list)
    """Accuracy after each epoch."""
    _value: tuple[float, float] = (-math.inf, -math.inf)

    def look(self, model: nn.Module, scores: Tensor, labels: Tensor) -> bool:
        """Record the ``scores`` [N, classes] of an epoch; returns whether to stop."""
        right = float((scores.argmax(dim=1) == labels).float().mean())
        loss = float(nn.functional.cross_entropy(scores, labels))
        self.curve.append(right)
        if (right, -loss) > self._value:
            self._value, self.epoch = (right, -loss), len(self.curve)
            self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}
        return bool(self.patience) and len(self.curve) - self.epoch >= self.patience

    def details(self) -> dict[str, Any]:
        """The curve and the best epoch as plain JSON."""
        return {"validation_top1": self.curve, "best_validation_epoch": self.epoch}
