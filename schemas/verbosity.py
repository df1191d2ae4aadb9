"""How much the commands of both packages print on stderr in addition to their output."""

from __future__ import annotations

LEVELS = ("info", "warning", "error")
_STARTS = {"warning: ": "warning", "error: ": "error", "failed: ": "error"}
"""Prefix of a line -> its level; any other line is info."""

_least = LEVELS[0]


def set_level(level: str) -> None:
    """Suppress lines below ``level``, one of LEVELS, from here on."""
    global _least
    _least = level


def is_said(line: str) -> bool:
    """Whether a line is printed on stderr."""
    level = next((level for start, level in _STARTS.items() if line.startswith(start)), LEVELS[0])
    return LEVELS.index(level) >= LEVELS.index(_least)


def shows_progress() -> bool:
    """Whether progress bars are drawn on a terminal."""
    return _least == LEVELS[0]
