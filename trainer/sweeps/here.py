"""Run a sweep on this machine: several runs at a time, each in its own processes, with a log."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from types import FrameType
from typing import Literal

from trainer.sweeps import state
from trainer.sweeps.plan import Plan, Task, Words

LOGS = "logs"
_TAIL = 64 * 1024
"""Number of bytes at the end of a log that are searched for the reason of a failure."""

How = Literal["done", "there", "failed", "taken", "stopped"]


@dataclass(frozen=True)
class Outcome:
    task: Task
    how: How
    """done, there (already done before), failed, taken (another process works on it) or stopped (by a
    signal)."""
    seconds: float
    log: Path
    reason: str = ""
    """The last error of a run that failed."""


OnTask = Callable[[Task, Outcome | None], None]
"""Called when a task starts (None) and with its outcome when it ends."""


@dataclass
class _Work:
    """State shared by the threads."""

    plan: Plan
    devices: Queue[str]
    """One per concurrent run; an empty string stands for the device of the settings."""
    jobs: int
    on_task: OnTask
    stopped: int | None = None
    """The signal after which nothing more is started."""
    children: set[subprocess.Popen[bytes]] = field(default_factory=set)


def run(
    plan: Plan, tasks: Sequence[Task], *, jobs: int, devices: Sequence[str] = (), on_task: OnTask
) -> tuple[list[Outcome], int | None]:
    """Run the tasks, ``jobs`` at a time; returns their outcomes and the signal that stopped them, if any.

    A failed run does not affect the others. Ctrl-C and SIGTERM are passed on to the runs, which save
    everything; nothing is started after them. ``devices`` are distributed over the concurrent runs.
    """
    free: Queue[str] = Queue()
    for place in range(jobs):
        free.put(devices[place % len(devices)] if devices else "")
    work = _Work(plan, free, jobs, on_task)
    with _signals_to(work), ThreadPoolExecutor(jobs) as threads:
        futures = [threads.submit(_work_on, work, task) for task in tasks]
        outcomes = [future.result() for future in futures]
    return outcomes, work.stopped


def run_all(
    plan: Plan,
    tasks: Sequence[Task],
    *,
    jobs: int | None,
    devices: Sequence[str],
    on_task: OnTask,
    on_ensemble: OnTask,
) -> tuple[list[Outcome], int | None]:
    """Run the tasks and then, unless stopped, the ensembles of which every run was evaluated.

    ``jobs``: None: one, or one per device.
    """
    outcomes, stopped = run(plan, tasks, jobs=jobs or len(devices) or 1, devices=devices, on_task=on_task)
    if stopped is None:
        whole = [task for task in plan.ensembles if all(map(state.measured, task.members))]
        more, stopped = run(plan, whole, jobs=jobs or 1, on_task=on_ensemble)
        outcomes += more
    return outcomes, stopped


def _work_on(work: _Work, task: Task) -> Outcome:
    started, log = time.monotonic(), work.plan.out / LOGS / f"{task.name}.log"
    how, reason = _claimed(work, task, log) if work.stopped is None else ("stopped", "")
    outcome = Outcome(task, how, time.monotonic() - started, log, reason)
    work.on_task(task, outcome)
    return outcome


def _claimed(work: _Work, task: Task, log: Path) -> tuple[How, str]:
    out = work.plan.out
    with state.claimed(out, task) as held:
        if held is None:
            return "taken", ""
        commands = state.left(out, task)
        if not commands:
            return "there", ""
        work.on_task(task, None)
        task.folder.parent.mkdir(parents=True, exist_ok=True)
        device = work.devices.get()
        try:
            for words in commands:
                if work.stopped is not None:
                    return "stopped", ""
                code = _execute(work, words, log, held=held, device=device)
                if code:
                    return ("stopped", "") if work.stopped else ("failed", _reason(log, code))
                state.note(out, task, words)
        finally:
            work.devices.put(device)
    return "done", ""


def _execute(work: _Work, words: Words, log: Path, *, held: int, device: str) -> int:
    """Run a command with its output in the log; returns its exit code, negative after a signal."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [*_program(work.plan.config.launch, words), *words]
    command += ["--device", device] if device and words[0] != "ensemble" else []
    with log.open("ab") as file:
        file.write(f"\n$ {shlex.join(command)}\n".encode())
        file.flush()
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=_environment(work.jobs),
            start_new_session=True,
            pass_fds=(held,) if os.name == "posix" else (),
        )
    work.children.add(child)
    if work.stopped is not None:  # a signal that arrived before the child was added
        child.send_signal(work.stopped)
    code = child.wait()
    work.children.discard(child)
    return code


def _program(launch: str, words: Words) -> list[str]:
    """The program that runs a command: ``launch`` for trainings, Python for everything else."""
    before = shlex.split(launch) if launch and words[0] == "pretrain" else [sys.executable]
    return [*before, "-m", "trainer"]


def _environment(jobs: int) -> dict[str, str]:
    """Split the processors between concurrent runs, unless the caller has set the number of threads."""
    threads = max(1, (os.cpu_count() or 1) // jobs)
    return {"OMP_NUM_THREADS": str(threads), **os.environ} if jobs > 1 else dict(os.environ)


def _reason(log: Path, code: int) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        lines = file.read().decode("utf-8", "replace").splitlines()
    said = [line for line in lines if line.strip()]
    errors = [line for line in said if line.startswith("error: ")]
    last = (errors or said or [""])[-1].removeprefix("error: ")
    return last if errors else f"exit code {code}: {last}"


@contextmanager
def _signals_to(work: _Work) -> Iterator[None]:
    """Pass SIGINT and SIGTERM on to the runs; outside of the main thread, signals are unchanged."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def hand_on(number: int, frame: FrameType | None) -> None:
        work.stopped = number
        for child in tuple(work.children):
            child.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
