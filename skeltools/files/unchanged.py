"""What was read of a file, kept as long as the file does not change."""

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
    """Decorates a function of a file and of more that can be hashed: its ``most`` last values are kept in
    this process, each as long as time and size of its file are the same. Raises OSError as ``os.stat``."""

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
