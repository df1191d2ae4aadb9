"""Profiling of some training steps: durations of their parts, operations, and a trace for a viewer."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity

from trainer import distributed, span

WARM_UP = 3
"""Steps before the first measured one: memory is reserved, kernels are chosen, the profiler starts up."""

TRACE = Path("profile", "trace.json")
"""Location of the trace in a run folder, for chrome://tracing or https://ui.perfetto.dev."""

_MOST = 10
"""Maximum number of operations in a profile."""


@dataclass(frozen=True)
class Operation:
    """One PyTorch operation; numbers are per step."""

    name: str
    calls: float
    seconds: float
    """Self time, without the operations that it calls; on the device where there is one."""


@dataclass(frozen=True)
class Profile:
    """Result of profiling; seconds are means per step."""

    steps: int
    seconds: float
    parts: dict[str, float]
    """Part of a step -> seconds; the rest is under ``other``."""
    operations: tuple[Operation, ...]
    memory: dict[str, int]
    """Process or device -> peak bytes so far."""
    trace: Path


class Profiler:
    """Profiles the steps of the first process; the others only count theirs. ``result`` is set at the end.

    It records within its ``with`` block; call ``after_step`` after each step.
    """

    def __init__(self, steps: int, *, folder: Path, device: torch.device) -> None:
        self.steps, self.folder, self.device = steps, folder, device
        self.done, self.start = 0, 0.0
        self.result: Profile | None = None
        self.watching: torch.profiler.profile | None = None

    @property
    def total(self) -> int:
        """Number of steps needed, including warm-up."""
        return WARM_UP + self.steps

    def __enter__(self) -> Profiler:
        if distributed.is_main():
            self._watch()
        return self

    def __exit__(self, *_: object) -> None:
        if self.watching is not None:  # training ended before all steps were profiled
            self.watching.stop()

    def _watch(self) -> None:
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # otherwise it prints when it starts and stops
        activities = [ProfilerActivity.CPU]
        if self.device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        schedule = torch.profiler.schedule(wait=WARM_UP - 1, warmup=1, active=self.steps, repeat=1)
        self.watching = torch.profiler.profile(activities=activities, schedule=schedule)
        self.watching.start()

    def after_step(self) -> bool:
        """Count a step; returns whether all steps have been profiled."""
        self.done += 1
        if self.done == self.total:
            self._finish()
        elif self.watching is not None:
            self.watching.step()
        if self.done == WARM_UP:
            self.start = time.perf_counter()
        return self.done == self.total

    def _finish(self) -> None:
        if self.watching is None:
            return
        seconds = (time.perf_counter() - self.start) / self.steps
        watched, self.watching = self.watching, None
        watched.stop()
        path = self.folder / TRACE
        path.parent.mkdir(parents=True, exist_ok=True)
        watched.export_chrome_trace(str(path))
        events = watched.key_averages()
        operations = _operations(events, self.steps, on_device=self.device.type == "cuda")
        self.result = Profile(
            self.steps, seconds, _parts(events, self.steps, seconds), operations, _memory(self.device), path
        )


def _parts(events: Iterable[Any], steps: int, seconds: float) -> dict[str, float]:
    """Parts of a step in order; the time of ``forward`` outside its named parts is the loss's."""
    spent = {event.key: event.cpu_time_total / 1e6 / steps for event in events}
    inside = [span.AUGMENTATION, span.QUERY, span.KEY, span.MOMENTUM]
    loss = spent.get(span.FORWARD, 0.0) - sum(spent.get(name, 0.0) for name in inside)
    parts = {name: spent.get(name, 0.0) for name in (span.DATA, *inside)} | {"loss": max(loss, 0.0)}
    parts |= {name: spent.get(name, 0.0) for name in (span.BACKWARD, span.QUEUE, span.OPTIMISER)}
    return parts | {"other": max(seconds - sum(parts.values()), 0.0)}


def _operations(events: Iterable[Any], steps: int, *, on_device: bool) -> tuple[Operation, ...]:
    attribute = "self_device_time_total" if on_device else "self_cpu_time_total"
    operations = [
        Operation(event.key, event.count / steps, getattr(event, attribute) / 1e6 / steps)
        for event in events
        if event.key.startswith("aten::") or (on_device and event.key not in span.ALL)
    ]
    return tuple(sorted(operations, key=lambda each: -each.seconds)[:_MOST])


def _of_process() -> dict[str, int]:
    """Peak resident bytes of the process; empty on Windows, which has no ``resource``.

    Linux reports kilobytes, macOS bytes (see getrusage(2) of each).
    """
    try:
        resource: Any = import_module("resource")
    except ImportError:
        return {}
    most = int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return {"process": most if sys.platform == "darwin" else most * 1024}


def _memory(device: torch.device) -> dict[str, int]:
    sizes = _of_process()
    if device.type == "cuda":
        sizes[str(device)] = torch.cuda.max_memory_allocated(device)
    return sizes
