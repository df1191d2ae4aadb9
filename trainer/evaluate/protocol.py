"""What a protocol asks of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Needs:
    """``NEEDS`` of a protocol's module. The default: features of the frozen encoder."""

    clips: bool = False
    """The encoder itself and clips to train it on, in place of its features."""
    random_weights: bool = False
    """The encoder with fresh random weights in place of the trained ones. Only with ``clips``."""
    target: bool = False
    """The halves of the store that ``--target`` names, in place of the run's own. Only with ``clips``."""
    fuse: Literal["scores", "features"] = "scores"
    """What of several streams goes together. ``scores``: each is evaluated, and their weighted mean is taken;
    the scores of every encoder then must be equally many, in the same order. ``features``: they are evaluated
    side by side; not with ``clips``."""

    @property
    def starts(self) -> bool:
        """Whether it can start from the weights of another run: ``--init-from``."""
        return self.clips and not self.target
