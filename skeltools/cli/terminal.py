"""What the commands share: tables, notes, common arguments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import click
from rich.box import SIMPLE
from rich.table import Table

from schemas.commands import echo
from schemas.places import Place

SYNTHETIC = "built-in demo data: numbers say nothing about NTU RGB+D"


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
