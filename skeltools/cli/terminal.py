"""What the commands share: progress, tables, notes, common arguments."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from schemas import shown, speaking
from schemas.commands import Plain, echo
from schemas.places import Place

SYNTHETIC = "built-in demo data: numbers say nothing about NTU RGB+D"

_PIPED_WIDTH = 160  # columns of tables that are not shown on a terminal


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show a progress bar if stderr is a terminal; yields the ``on_progress`` callback, or None."""
    console = Console(stderr=True)
    if not (console.is_terminal and speaking.shows_progress()):
        yield None
        return
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def show(*lines: Table | str) -> None:
    """Print to stdout, as wide as the terminal, or wide enough for every column if there is none."""
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    for line in lines:
        console.print(shown(line) if isinstance(line, str) else Plain(line), soft_wrap=isinstance(line, str))


def table_of(*columns: str, right: tuple[str, ...] = (), title: str | None = None) -> Table:
    table = Table(box=SIMPLE, title=title, title_justify="left", pad_edge=False, collapse_padding=True)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        first = (
            column == columns[0]
        )  # names stay whole; on a narrow terminal the columns after them are folded
        table.add_column(column, justify=justify, no_wrap=first or column in right, overflow="fold")
    return table


@contextmanager
def unfinished(out: Path) -> Iterator[None]:
    """Say how to continue when a conversion to ``out`` is stopped by Ctrl-C or SIGTERM."""
    from skeltools.conversion.publish import work_folder

    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        folder = work_folder(out)
        if folder.exists():
            note(
                f"stopped; what is done is kept in {folder}: the same command continues, --fresh starts again"
            )
        else:
            note("stopped before anything was done")
        raise


def note(text: str) -> None:
    echo(text, err=True)


LENGTH = click.IntRange(1, 10_000)  # as schemas.Length
STORE = click.argument(
    "store_path",
    metavar="[STORE]",
    type=click.Path(path_type=Place),
    envvar="SKELTOOLS_STORE",
    default=Place("store.zarr"),
)
