"""What the commands share: tables, notes, common arguments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from rich.box import SIMPLE
from rich.table import Table

from schemas.commands import echo, show
from schemas.places import Place

if TYPE_CHECKING:
    from schemas import StoreManifest

PATH = click.Path(path_type=Path)
"""A path here."""
PLACE = click.Path(path_type=Place)
"""A path here, or an address."""

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


def show_written(lines: Iterable[str], manifest: StoreManifest, warnings: Iterable[str] = ()) -> None:
    """Print what was written, after warnings, and whether it is demo data."""
    for warning in warnings:
        note(f"warning: {warning}")
    show(*lines, *([SYNTHETIC] if manifest.synthetic else []))


def splits_of(manifest: StoreManifest) -> str:
    """The splits of a store, with the sizes of their halves."""
    sizes = (f"{name} {info.train} train, {info.test} test" for name, info in manifest.protocols.items())
    return "; ".join(sizes)


LENGTH = click.IntRange(1, 10_000)  # as schemas.Length
STORE = click.argument(
    "store_path",
    metavar="[STORE]",
    type=PLACE,
    envvar="SKELTOOLS_STORE",
    default=Place("store.zarr"),
)
