"""Cache what was read from a file for as long as the file does not change."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import TypeVar, TypeVarTuple

File = TypeVar("File", str, Path)
More = TypeVarTuple("More")
Value = TypeVar("Value")

_Read = Callable[[File, *More], Value]


def while_unchanged(most: int) -> Callable[[_Read[File, *More, Value]], _Read[File, *More, Value]]:
    """Cache the last ``most`` values of a function of a file and further hashable arguments.

    A value is reused within this process as long as the file's modification time and size stay the same.
    Raises OSError as ``os.stat`` does.
    """

    def made(read: _Read[File, *More, Value]) -> _Read[File, *More, Value]:
        @lru_cache(maxsize=most)
        def last(_stamp: tuple[int, int], file: File, *more: *More) -> Value:
            return read(file, *more)

        @wraps(read)
        def wrapped(file: File, *more: *More) -> Value:
            status = os.stat(file)
            return last((status.st_mtime_ns, status.st_size), file, *more)

        return wrapped

    return made
