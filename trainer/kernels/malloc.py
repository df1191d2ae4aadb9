"""Keeping freed memory in the process: on Linux, fresh memory costs more than the arithmetic on it."""

from __future__ import annotations

import ctypes
import os
import sys

LARGEST = 32 * 2**20
"""Largest block in bytes that is served from kept memory: the maximum of glibc on 64 bits (mallopt(3),
M_MMAP_THRESHOLD). Larger blocks are requested from the system and returned to it."""

KEPT = 512 * 2**20
"""Unused bytes that the process keeps: enough for a few batches of clips and their views."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h

_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")


def keep_freed() -> bool:
    """Make malloc keep up to ``KEPT`` freed bytes for later tensors; returns whether it does.

    The setting holds for the rest of the process; only glibc's malloc supports it. Without it, every tensor
    of some megabytes is new memory, which the system clears page by page; that can take as long as an
    augmentation itself. Nothing is changed where the environment already configures malloc.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _SETTINGS):
        return False
    tell = getattr(ctypes.CDLL(None), "mallopt", None)
    if tell is None:
        return False
    return bool(tell(_MMAP_THRESHOLD, LARGEST)) and bool(tell(_TRIM_THRESHOLD, KEPT))
