"""What a protocol requires of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Needs:
    """The ``NEEDS`` of a protocol's module; the default requires the features of the frozen encoder."""

    clips: bool = False
    """The encoder itself and clips to train it on, instead of its features."""
    random_weights: bool = False
    """The encoder with fresh random weights instead of the trained ones. Only with ``clips``."""
    target: bool = False
    """The halves of the store named by ``--target`` instead of the run's own. Only with ``clips``."""
    fuse: Literal["scores", "features"] = "scores"
    """What is combined across several streams. ``scores``: each stream is evaluated and the weighted mean of
    the scores is taken; every encoder must then return equally many scores in the same order. ``features``:
    the features are evaluated side by side; not with ``clips``."""

    @property
    def starts(self) -> bool:
        """Whether it can start from the weights of another run (``--init-from``)."""
        return self.clips and not self.target
