"""How much the commands of both packages say on stderr beside their answer."""

from __future__ import annotations

LEVELS = ("info", "warning", "error")
_STARTS = {"warning: ": "warning", "error: ": "error", "failed: ": "error"}
"""What a line begins with -> its level; any other is info."""

_least = LEVELS[0]


def set_level(level: str) -> None:
    """From here on lines below ``level``, one of LEVELS, are not said."""
    global _least
    _least = level


def is_said(line: str) -> bool:
    """Whether a line on stderr is."""
    level = next((level for start, level in _STARTS.items() if line.startswith(start)), LEVELS[0])
    return LEVELS.index(level) >= LEVELS.index(_least)


def shows_progress() -> bool:
    """Whether bars are drawn where there is a terminal."""
    return _least == LEVELS[0]
