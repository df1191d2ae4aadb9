"""Default limits on the memory that the clips of a run may use."""

from __future__ import annotations

import os
from pathlib import Path

import torch

SHARE = 0.5
"""Share of a memory for clips; the rest is for the model, for decoding a store and for other programs."""

_ASSUMED = 8 * 2**30
"""Bytes assumed where the system does not report its memory: those of a small machine."""

_CONTROL_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Files in which Linux states a container's memory limit: control groups version 2, version 1."""


def host_limit() -> int:
    """Bytes of clips that one process may hold: its part of half the memory of the machine or container.

    It depends on the total memory, not on what is free at the moment, so a run always decides the same way.
    """
    return int(SHARE * _built_in()) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def given_limit(limit: int | None) -> int:
    """``data.memory_limit`` in bytes; None means ``host_limit``."""
    return host_limit() if limit is None else limit


def device_limit(device: torch.device) -> int | None:
    """Bytes of a GPU that clips may use: half of what is free. None for the CPU: see ``host_limit``."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return int(SHARE * free)


def _of_system() -> int:
    """Bytes of memory that the system reports, or ``_ASSUMED`` where it reports none, as on Windows."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return _ASSUMED


def _built_in() -> int:
    limits = [_of_system()]
    for path in map(Path, _CONTROL_GROUPS):
        text = path.read_text().strip() if path.is_file() else ""
        if text.isdecimal():  # or "max": no limit
            limits.append(int(text))
    return min(limits)
