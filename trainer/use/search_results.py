"""The findings of searching a bank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Neighbours:
    """The clips of a bank that are nearest to a query, nearest first."""

    query: str
    label: str | None
    """The query's class, if known."""
    ids: tuple[str, ...]
    labels: tuple[str | None, ...]
    similarities: NDArray[np.float64]
    """[k] cosines."""


@dataclass(frozen=True)
class Duplicate:
    """Two clips that are closer than chance allows."""

    group: int
    """Number of the connected component of such pairs, counted from 1."""
    first: str
    second: str
    similarity: float
    chance: float
    """Expected number of pairs at least this close in a store of equally many independent clips."""
    first_label: str | None
    second_label: str | None


@dataclass(frozen=True)
class Outlier:
    """A clip that is far from all others."""

    id: str
    label: str | None
    distance: float
    """Distance to its k-th neighbour (by default the tenth), between unit-length features."""
    score: float
    """Robust standard deviations from the median clip's distance."""
    nearest: str
    similarity: float


@dataclass(frozen=True)
class SuspiciousLabel:
    """A clip whose neighbours suggest another class."""

    id: str
    label: str
    suggested: str
    doubt: float
    """Share of the neighbours' votes for the suggested class minus that for the label, -1..1."""
    neighbours: int
    of_suggested: int
    of_label: int
    nearest: str
    """The nearest neighbour of the suggested class."""
    similarity: float
