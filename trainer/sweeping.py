"""``trainer.sweep``: a grid of runs from Python, as with ``trainer sweep``."""

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
from trainer.tables.sources import SWEEP

_LOG = logging.getLogger("trainer")

OnRun = Callable[[str, Literal["started"] | How], None]


@dataclass(frozen=True)
class Swept:
    """The state of a sweep after a call of ``sweep``."""

    out: Path
    """Folder of the runs; ``trainer.open(out / name)`` opens one."""
    lines: tuple[dict[str, Any], ...]
    """The lines of ``table.csv``: axes, run, figure, ``top1`` in percent and its interval, ..."""
    failed: dict[str, str]
    """Run or ensemble -> its error and its log. The same call tries these again."""

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
    """Train and evaluate every combination of a grid, each in its own process; completed ones are skipped.

    ``grid``: a file or its content: ``given``, ``grid``, ``evaluate``, ``ensemble``. ``out``: folder of the
    runs, required if a mapping does not name one. ``jobs``: number of runs at a time; None: one, or one for
    each of ``devices``. ``check``: check the settings of all runs before the first one starts.
    ``on_run(name, how)`` is called from other threads when a run starts and when it ends: done, there
    (completed before), failed, taken (another process is working on it) or stopped.

    A failed run does not affect the others; it is listed in ``failed`` and the logger ``trainer`` warns of
    it. Ctrl-C saves everything and raises KeyboardInterrupt; the same call continues. Raises ConfigError for
    an invalid grid and for invalid settings of a run, UsageError without a folder.
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
    """The plan of a grid and, for a mapping, the text of the equivalent file."""
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
    """Convert paths to text and sequences to lists, recursively."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value
