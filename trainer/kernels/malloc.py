"""Freed memory that stays with the process: on Linux, fresh memory costs more than the arithmetic on it."""

from __future__ import annotations

import ctypes
import os
import sys

LARGEST = 32 * 2**20
"""Bytes of a block that comes from the kept memory: the most that glibc allows on 64 bits (mallopt(3),
M_MMAP_THRESHOLD). A larger block comes from the system and goes back to it."""

KEPT = 512 * 2**20
"""Bytes that stay with the process when nothing uses them: a few batches of clips and their views."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h

_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")


def keep_freed() -> bool:
    """Lets malloc keep up to ``KEPT`` freed bytes for the next tensors; whether it does.

    Of this process, for good; only glibc's malloc knows how. Without it a tensor of some megabytes is new
    memory every time, which the system clears page by page; that can take as long as an augmentation itself.
    Nothing is changed where the environment already says how malloc shall behave.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _SETTINGS):
        return False
    tell = getattr(ctypes.CDLL(None), "mallopt", None)
    if tell is None:
        return False
    return bool(tell(_MMAP_THRESHOLD, LARGEST)) and bool(tell(_TRIM_THRESHOLD, KEPT))
