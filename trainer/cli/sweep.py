"""``trainer sweep``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from schemas import ConfigError, SkelError, UsageError
from schemas.commands import echo, progress, show
from trainer.cli import evaluate, pretrain
from trainer.cli.display import duration
from trainer.cli.figures import SYNTHETIC, table_of
from trainer.cli.options import PATH

if TYPE_CHECKING:
    from trainer.sweeps import Plan, Task
    from trainer.sweeps.here import Outcome
    from trainer.sweeps.table import Line


@click.command("sweep")
@click.argument("file", type=PATH)
@click.option("--jobs", type=click.IntRange(1), help="Runs at a time. Default: 1, or one for each --device.")
@click.option("--device", "devices", multiple=True, help="Dealt out to the runs at a time; may be repeated.")
@click.option("--out", type=PATH, help="Folder of the runs. Default: the file's.")
@click.option("--run", "names", multiple=True, metavar="NAME", help="Only this run; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Check all runs, print what would be run, and stop.")
@click.option("--slurm", is_flag=True, help="Write a script for sbatch of the runs that are left, and stop.")
@click.option("--table", "only_table", is_flag=True, help="Train nothing: the table of what is there.")
@click.option("--no-check", is_flag=True, help="Start without trying the settings of every run first.")
@click.option("--json", "as_json", is_flag=True, help="Print the lines of the table as JSON.")
def command(
    file: Path,
    jobs: int | None,
    devices: tuple[str, ...],
    out: Path | None,
    names: tuple[str, ...],
    dry_run: bool,
    slurm: bool,
    only_table: bool,
    no_check: bool,
    as_json: bool,
) -> None:
    """Train and evaluate every combination of a grid, and collect all results in one table.

    FILE holds the common settings of all runs (`given`), the values to combine (`grid`), and how runs are
    evaluated. The settings of all runs are checked before the first one starts. A failed run does not affect
    the others and is listed at the end. The same command continues a sweep: completed runs are skipped,
    others resumed.

    \b
    Examples:
      trainer sweep sweep.yaml --dry-run
      trainer sweep sweep.yaml --jobs 2
      trainer sweep sweep.yaml --device cuda:0 --device cuda:1
      trainer sweep sweep.yaml --slurm
      trainer sweep sweep.yaml --table --json
      trainer table aimclr-table2 runs/sweep

    Run `skeltools docs sweeps` to read about the file, SLURM and the table.
    """
    from trainer.sweeps import here, keep_file, read_plan

    _check_options(dry_run=dry_run, slurm=slurm, table=only_table, run=bool(names))
    plan = read_plan(file, out=out)
    plan = plan.only(names) if names else plan
    left = _left(plan)
    if not (no_check or only_table):
        with progress("checking the runs") as on_progress:
            check(plan, left or plan.runs, on_checked=on_progress)
    if dry_run:
        _show(plan, left)
        return
    keep_file(plan)
    if slurm:
        _slurm(plan, left)
        return
    tasks = () if only_table else plan.runs
    listener, silent = _TaskLines(len(tasks)), _TaskLines(len(tasks), quiet=True)
    outcomes, stopped = here.run_all(
        plan, tasks, jobs=jobs, devices=devices, on_task=listener, on_ensemble=silent
    )
    if not names:
        _tabulate(plan, as_json=as_json)
    _end(plan, outcomes, stopped)


def _check_options(**given: bool) -> None:
    modes = [f"--{name.replace('_', '-')}" for name, on in given.items() if on and name != "run"]
    if len(modes) > 1:
        raise UsageError(f"{' and '.join(modes)} are given together", remedy="Give one of them")
    if given["run"] and given["table"]:
        raise UsageError("--run and --table are given together", remedy="The table is of all runs")


def _left(plan: Plan) -> list[Task]:
    from trainer.sweeps import state

    return [task for task in plan.runs if state.left(plan.out, task)]


def check(plan: Plan, tasks: Sequence[Task], *, on_checked: Callable[[int, int], None] | None = None) -> None:
    """Parse the commands of the runs and build what they would train, once for runs that differ only by seed.

    Raises ConfigError that names the run.
    """
    from trainer.sweeps.table import SEEDS

    alike = {
        tuple(pair for pair in task.axes.items() if pair[0] not in SEEDS): task for task in reversed(tasks)
    }
    for place, task in enumerate(reversed(alike.values())):
        try:
            for words in task.commands:
                (_try_training if words[0] == "pretrain" else _try_evaluation)(list(words[1:]))
        except (SkelError, click.ClickException) as error:
            raise _of_run(plan, task, error) from error
        if on_checked is not None:
            on_checked(place + 1, len(alike))


def _try_training(words: list[str]) -> None:
    from trainer import loop

    options = pretrain.command.make_context("pretrain", words).params
    loop.build(pretrain.settings_of(options).config, initial=options["init_from"] is not None)


def _try_evaluation(words: list[str]) -> None:
    from trainer.evaluate import protocol_options
    from trainer.store import open_store

    options = evaluate.command.make_context("evaluate", words).params
    protocol_options(options["protocols"], evaluate.options_of(options["assignments"]))
    if options["target"] is not None:
        open_store(options["target"])


def _of_run(plan: Plan, task: Task, error: SkelError | click.ClickException) -> ConfigError:
    if isinstance(error, click.ClickException):
        return ConfigError(error.format_message(), where=f"{plan.file}: run {task.name}")
    places = (str(plan.file), f"run {task.name}", error.where)
    return ConfigError(error.message, where=": ".join(filter(None, places)), remedy=error.remedy)


def _show(plan: Plan, left: Sequence[Task]) -> None:
    """Print the commands that would be run, with a comment for each run."""
    from trainer.sweeps import state
    from trainer.sweeps.plan import line

    whole = len(plan.runs) - len(left)
    echo(f"# {_count(len(plan.runs), 'run')} in {plan.out}, {whole} of them whole, {len(left)} to do")
    for task in plan.runs:
        commands = state.left(plan.out, task)
        echo(f"# {task.name}{'' if commands else ': whole'}")
        for words in commands:
            echo(line(words))
    for task in plan.ensembles:
        echo("\n".join(line(words) for words in task.commands))


def _slurm(plan: Plan, left: Sequence[Task]) -> None:
    from trainer.sweeps import slurm
    from trainer.sweeps.plan import command_of

    if not left:
        echo(f"all {len(plan.runs)} runs are whole; nothing to queue")
        return
    path = slurm.write(plan, left)
    echo(f"{path}: an array of {_count(len(left), 'task')}")
    echo(f"next: sbatch {path}")
    echo(f"then: {command_of(plan, '--table')}")


class _TaskLines:
    """Prints a line on stderr when a run starts and when it ends."""

    def __init__(self, total: int, *, quiet: bool = False) -> None:
        self.total, self.ended, self.quiet = total, 0, quiet

    def __call__(self, task: Task, outcome: Outcome | None) -> None:
        self.ended += outcome is not None
        if self.quiet or (outcome is not None and outcome.how in ("there", "stopped")):
            return
        what = "started" if outcome is None else str(outcome.how)
        if outcome is not None and outcome.how == "taken":
            what = "left out: another process works on it"
        elif outcome is not None:
            what += f" after {duration(outcome.seconds)}"
        echo(f"[{self.ended}/{self.total}] {task.name}: {what}", err=True)


def _tabulate(plan: Plan, *, as_json: bool) -> None:
    from trainer.sweeps import table

    lines = table.lines(plan)
    path = table.write(plan, lines)
    if as_json:
        echo(json.dumps(lines, indent=2))
        return
    if lines:
        _print(plan, lines)
    echo(f"{path}: {_count(len(lines), 'result')} of {_count(len(plan.runs), 'run')}")


def _print(plan: Plan, lines: Sequence[Line]) -> None:
    """Print means over seeds: a row for each combination of the other axes, a column for each figure."""
    from trainer.sweeps import table

    averaged = table.means(plan, lines)
    figures = list(dict.fromkeys(each.figure for each in averaged))
    several = len({each.measured for each in averaged}) > 1
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for each in averaged:
        key = (*each.axes.values(), *(each.measured if several else ()))
        rows.setdefault(key, {})[each.figure] = str(each)
    text = [*averaged[0].axes, *(("convention", "encoder") if several else ())]
    grid = table_of(text, [f"{figure} %" for figure in figures])
    for key, values in rows.items():
        grid.add_row(*key, *(values.get(figure, "-") for figure in figures))
    show(grid)
    if any(line["synthetic"] for line in lines):
        echo(SYNTHETIC)


def _end(plan: Plan, outcomes: Sequence[Outcome], stopped: int | None) -> None:
    """Print what failed and what to do next; exit with a status unless all is well."""
    from trainer.sweeps.plan import command_of

    failed = [outcome for outcome in outcomes if outcome.how == "failed"]
    for outcome in failed:
        echo(f"failed: {outcome.task.name}: {outcome.reason} (log: {outcome.log})", err=True)
    if stopped is not None:
        echo(f"stopped; everything is saved. Go on with: {command_of(plan)}", err=True)
        sys.exit(128 + stopped)
    if failed:
        echo(f"{len(failed)} of {len(outcomes)} failed; the same command again tries them anew", err=True)
        sys.exit(1)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
