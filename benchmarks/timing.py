"""Side-by-side timing: alternatives run in turn, so that other load on the machine affects all equally."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch

Work = Callable[[], object]

LEAST = 0.1
"""Minimum duration of a measurement in seconds: shorter work is repeated within it."""

MOST = 100
"""Most repetitions within a measurement."""


@dataclass(frozen=True)
class Setting:
    """Settings shared by all rows of a table."""

    device: torch.device
    precision: str
    """Precision of ours, fp32 or bf16; the baseline is always fp32."""
    repeats: int
    batch: int
    quick: bool = False


@dataclass
class Row:
    """One line of the table. Times are in seconds per call, one for each repeat."""

    name: str
    size: str
    ours: list[float]
    baseline: list[float] | None = None
    floor: float | None = None
    """Lower bound in seconds from counts and the machine's rates; see ``floor``."""
    note: str = ""
    more: dict[str, Any] = field(default_factory=dict)
    """Further figures, for the JSON file."""

    @property
    def times_as_fast(self) -> float | None:
        return median(self.baseline) / median(self.ours) if self.baseline else None

    def as_json(self) -> dict[str, Any]:
        record: dict[str, Any] = {"name": self.name, "size": self.size, "seconds": _summary(self.ours)}
        if self.baseline:
            record |= {"baseline_seconds": _summary(self.baseline)}
            record |= {"times_as_fast": _digits(median(self.baseline) / median(self.ours))}
        if self.floor is not None:
            record |= {"floor_seconds": _digits(self.floor)}
            record |= {"share_of_floor": _digits(self.floor / median(self.ours))}
        return record | self.more | ({"note": self.note} if self.note else {})


def in_turn(work: Mapping[str, Work], setting: Setting) -> dict[str, list[float]]:
    """Seconds per call for each, ``setting.repeats`` times, after warm-up."""
    inner = {name: _repetitions(call, setting.device) for name, call in work.items()}
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(setting.repeats):
        for name, call in work.items():
            seconds[name].append(_seconds(call, inner[name], setting.device))
    return seconds


def _repetitions(call: Work, device: torch.device) -> int:
    """Calls for a measurement of ``LEAST`` seconds; the first call is a warm-up, and counts only if long."""
    first = _seconds(call, 1, device)
    second = first if first > 10 * LEAST else _seconds(call, 1, device)
    return max(1, min(MOST, int(LEAST / second)))


def _seconds(call: Work, times: int, device: torch.device) -> float:
    synchronise(device)
    begin = time.perf_counter()
    for _ in range(times):
        call()
    synchronise(device)
    return (time.perf_counter() - begin) / times


def synchronise(device: torch.device) -> None:
    """Wait for a GPU, which runs asynchronously, to finish."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def gpu_megabytes(device: torch.device, call: Work) -> dict[str, int]:
    """Peak memory of tensors during a call; empty on the CPU."""
    if device.type != "cuda":
        return {}
    torch.cuda.reset_peak_memory_stats(device)
    call()
    return {"gpu_megabytes": round(torch.cuda.max_memory_allocated(device) / 1e6)}


def resident_megabytes(*, peak: bool = False) -> int:
    """Current or peak resident memory of this process (Linux).

    Not from getrusage, in which a child process inherits the peak of its parent.
    """
    wanted = "VmHWM" if peak else "VmRSS"
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 // 10**6 for line in lines if line.startswith(wanted))


def _summary(seconds: list[float]) -> dict[str, float]:
    values = {"median": median(seconds), "min": min(seconds), "max": max(seconds)}
    return {name: _digits(value) for name, value in values.items()} | {"repeats": len(seconds)}


def _digits(value: float) -> float:
    return float(f"{value:.4g}")
