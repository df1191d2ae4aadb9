"""``skeltools merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from schemas.commands import progress
from skeltools.cli.terminal import LENGTH, PLACE, show_written, splits_of


@click.command("merge")
@click.argument("stores", metavar="STORE STORE...", nargs=-1, type=PLACE)
@click.option("--out", required=True, type=PLACE, help="A folder or an address.")
@click.option("--name", help="Name of the new data set  [those of the stores, joined by +].")
@click.option(
    "--prefix",
    "prefixes",
    multiple=True,
    help="What stands before the ids of a store; once for each, in their order  [its data set].",
)
@click.option(
    "--classes",
    type=click.Choice(["by-name", "apart"]),
    help="Whether classes of one name are one  [by-name; mere numbers are refused].",
)
@click.option(
    "--split-missing",
    type=click.Choice(["neither", "train"]),
    default="neither",
    show_default=True,
    help="The half of samples whose store does not have a split.",
)
@click.option("--recipe", help="Preprocessing of the streams  [that of all stores].")
@click.option("--frames", multiple=True, type=LENGTH, help="Length T of a stream  [those that all have].")
@click.option("--force", is_flag=True, help="Replace an existing store once the new one is complete.")
def command(stores: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Merge two or more stores into one.

    Ids are prefixed with the name of their data set. Classes and splits with the same name become one.
    Conventions stay side by side: a sample has those that its store has. Subjects, cameras and setups of
    different data sets get different numbers. Streams are made again with one recipe.

    \b
    Example:
      skeltools merge ntu60.zarr nw-ucla.zarr --out both.zarr
      skeltools merge a.zarr b.zarr --prefix lab1 --prefix lab2 --classes apart --out labs.zarr
    """
    from skeltools.conversion.merged import merge

    for option in ("prefixes", "frames"):
        options[option] = options[option] or None
    with progress("writing rows") as on_progress:
        summary = merge(list(stores), out=out, **options, on_progress=on_progress)
    manifest = summary.manifest
    lines = [f"{out}: {manifest.samples} samples of {manifest.dataset} in {', '.join(manifest.conventions)}"]
    for part in manifest.parts:
        shifts = "".join(f", {column} + {shift}" for column, shift in part.shifts.items())
        lines.append(f"{part.name}: {part.samples} samples{shifts}")
    lines.append(f"{len(manifest.classes)} classes; splits: {splits_of(manifest) or 'none'}")
    show_written(lines, manifest, summary.warnings)
