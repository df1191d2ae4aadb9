"""How much memory the clips of a run may take, where nothing else was asked for."""

from __future__ import annotations

import os
from pathlib import Path

import torch

SHARE = 0.5
"""Of a memory, for clips. The rest is for the model, what decoding a store takes, and other programs."""

_ASSUMED = 8 * 2**30
"""Bytes of a machine whose system does not tell: what a small one has."""

_CONTROL_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux says what a container may use: version 2, version 1."""


def host_limit() -> int:
    """Bytes that one process may fill with clips: its part of half of the machine or container.

    Of the memory built in, not of what is free at the moment: the same run decides alike every time.
    """
    return int(SHARE * _built_in()) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def given_limit(limit: int | None) -> int:
    """Bytes of ``data.memory_limit``; None: ``host_limit``."""
    return host_limit() if limit is None else limit


def device_limit(device: torch.device) -> int | None:
    """Bytes of a GPU that clips may fill: half of what is free. None for the CPU, which has the host's."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return int(SHARE * free)


def _of_system() -> int:
    """Bytes of memory that the system knows. Where it does not tell, as on Windows, ``_ASSUMED``."""
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
