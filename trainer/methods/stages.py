"""Stages of a method's training: from which epoch its loss is which.

A boundary is an option named ``*_from``: a whole epoch, or in settings a share of ``optimise.epochs`` between
0 and 1, which ``config.resolve`` turns into an epoch before the method sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A stretch of epochs with one loss."""

    name: str
    """One word for the log and the progress line."""
    start: int
    """First epoch, 0-based."""
    summary: str
    """What the loss is made of, in a line."""


def current(stages: Sequence[Stage], epoch: int) -> int:
    """Index of the stage that ``epoch`` (0-based) is in: the last one that has begun.

    >>> current((Stage("one", 0, ""), Stage("two", 5, "")), 5)
    1
    """
    begun = [index for index, stage in enumerate(stages) if stage.start <= epoch]
    return max(begun, default=0)
