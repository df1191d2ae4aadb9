"""``trainer.sweep``: a grid of runs from Python, as ``trainer sweep`` makes them."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from schemas import UsageError, checks_arguments
from trainer.sweeps import Plan, Task, keep_file, plan_of, read_plan, state, table
from trainer.sweeps.here import How, Outcome, run_all
from trainer.tables.given import SWEEP

_LOG = logging.getLogger("trainer")

OnRun = Callable[[str, Literal["started"] | How], None]


@dataclass(frozen=True)
class Swept:
    """A sweep that has been worked on."""

    out: Path
    """Folder of the runs: each is opened by ``trainer.open(out / name)``."""
    lines: tuple[dict[str, Any], ...]
    """The lines of ``table.csv``: axes, run, figure, ``top1`` in percent and its interval, ..."""
    failed: dict[str, str]
    """Run or ensemble -> its error and its log. The same call tries them anew."""

    def __repr__(self) -> str:
        return f"<sweep {self.out}: {len(self.lines)} results, {len(self.failed)} failed>"


@checks_arguments
def sweep(
    grid: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    jobs: int | None = None,
    devices: Sequence[str] = (),
    check: bool = True,
    on_run: OnRun | None = None,
) -> Swept:
    """Train and evaluate every combination of a grid, each in a process of its own; what is whole is skipped.

    ``grid``: the file, or what would be in it: ``given``, ``grid``, ``evaluate``, ``ensemble``. ``out``:
    folder of the runs, needed where a mapping names none. ``jobs`` runs at a time; None for one, or one for
    each of ``devices``. ``check``: try the settings of all runs before the first starts. ``on_run(name,
    how)`` is told, from other threads, of runs that start and of how they ended: done, there (before),
    failed, taken (another process works on it), stopped.

    A run that fails leaves the others alone; it is in ``failed``, and the logger ``trainer`` warns. Ctrl-C
    saves everything and raises KeyboardInterrupt; the same call goes on. Raises ConfigError for a grid that
    is none, and for settings of a run that do not fit, UsageError without a folder.
    """
    plan, text = _plan(grid, None if out is None else Path(out))
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs is {jobs}, expected 1 or more")
    if check:
        from trainer.cli.sweep import check as try_settings  # by the parsers of the commands that are run

        try_settings(plan, [task for task in plan.runs if state.left(plan.out, task)] or plan.runs)
    keep_file(plan, text)

    def on_task(task: Task, outcome: Outcome | None) -> None:
        if on_run is not None:
            on_run(task.name, "started" if outcome is None else outcome.how)

    outcomes, stopped = run_all(
        plan, plan.runs, jobs=jobs, devices=devices, on_task=on_task, on_ensemble=lambda task, outcome: None
    )
    if stopped == signal.SIGINT:
        raise KeyboardInterrupt("everything is saved; the same call goes on")
    if stopped is not None:
        raise SystemExit(128 + stopped)
    lines = table.lines(plan)
    table.write(plan, lines)
    failed = {each.task.name: f"{each.reason} (log: {each.log})" for each in outcomes if each.how == "failed"}
    for name, reason in failed.items():
        _LOG.warning("warning: %s failed: %s", name, reason)
    return Swept(plan.out, tuple(lines), failed)


def _plan(grid: str | Path | Mapping[str, Any], out: Path | None) -> tuple[Plan, str | None]:
    """And the text of a file that there is not."""
    if not isinstance(grid, Mapping):
        return read_plan(Path(grid), out=out), None
    named = out or grid.get("out")
    if not isinstance(named, str | Path):
        raise UsageError("sweep() needs a folder for the runs of a mapping", remedy="Give out")
    try:
        text = yaml.safe_dump(_plain(grid), sort_keys=False)
    except yaml.YAMLError as error:
        raise UsageError(f"a value of the grid is no plain one ({str(error).splitlines()[0]})") from error
    return plan_of(_plain(grid), Path(named, SWEEP), out=Path(named)), text


def _plain(value: Any) -> Any:
    """Paths as text, sequences as lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value
