"""What the authors of the data sets published, as small text files: one item per line, ``#`` for comments.

<reader>_classes.txt   action names in label order (NW-UCLA: after the action's prefix in file names)
<reader>_missing.txt   ids of the samples to leave out
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent


@cache
def classes(reader: str) -> tuple[str, ...]:
    """Action names of all data sets of a reader, in label order."""
    return tuple(name for _, name in actions(reader))


@cache
def actions(reader: str) -> tuple[tuple[int, str], ...]:
    """(number of the action in file names, action name) in label order.

    NTU numbers its actions 1..120 without gaps; NW-UCLA has no a07 and no a10.
    """
    numbered = (re.fullmatch(r"(?:a(\d\d) )?(.+)", line) for line in _lines(f"{reader}_classes.txt"))
    return tuple((int(m[1] or place), m[2]) for place, m in enumerate(numbered, start=1) if m)


@cache
def missing(reader: str) -> frozenset[str]:
    """Ids of the samples that the authors ask to leave out; empty if they published no list."""
    name = f"{reader}_missing.txt"
    return frozenset(_lines(name)) if (_FOLDER / name).exists() else frozenset()


def _lines(name: str) -> list[str]:
    lines = (_FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]
