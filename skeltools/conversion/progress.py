"""What a conversion tells while it works: how many rows or samples are done, and notes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

OnProgress = Callable[[int, int], None]
"""Receives how many are done, and of how many."""
OnNote = Callable[[str], None]


@dataclass
class Progress:
    """A count that is told whenever it grows."""

    total: int
    tell: OnProgress | None
    done: int = 0

    def add(self, number: int = 1) -> None:
        self.done += number
        if self.tell:
            self.tell(self.done, self.total)
