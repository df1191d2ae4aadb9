"""What a search of a bank finds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Neighbours:
    """The clips of a bank that are nearest to one clip, the nearest first."""

    query: str
    label: str | None
    """The query's class, where it is known."""
    ids: tuple[str, ...]
    labels: tuple[str | None, ...]
    similarities: NDArray[np.float64]
    """[k] cosines."""


@dataclass(frozen=True)
class Duplicate:
    """Two clips that are closer than chance allows."""

    group: int
    """Clips that hang together by such pairs have one number, from 1."""
    first: str
    second: str
    similarity: float
    chance: float
    """How many pairs as close as this one are expected in a store of so many independent clips."""
    first_label: str | None
    second_label: str | None


@dataclass(frozen=True)
class Outlier:
    """A clip that is far from all others."""

    id: str
    label: str | None
    distance: float
    """To its tenth neighbour, between features of length one."""
    score: float
    """Robust standard deviations from the median clip's distance."""
    nearest: str
    similarity: float


@dataclass(frozen=True)
class SuspiciousLabel:
    """A clip whose neighbours speak for another class."""

    id: str
    label: str
    suggested: str
    doubt: float
    """Share of the neighbours' votes for the suggested class minus that for the label, -1..1."""
    neighbours: int
    of_suggested: int
    of_label: int
    nearest: str
    """Of the suggested class where there is one among the neighbours."""
    similarity: float
