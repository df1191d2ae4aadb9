"""``skeltools convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from skeltools.cli.terminal import LENGTH, SYNTHETIC, note, progress, show
from skeltools.preprocess import RECIPES


@click.command("convert")
@click.argument("dataset", metavar="DATASET")
@click.option("--raw", type=click.Path(path_type=Path), help="Raw folder or zip  [$SKELTOOLS_RAW, ./raw].")
@click.option(
    "--out", default=Path("store.zarr"), show_default=True, type=click.Path(path_type=Path), help="The store."
)
@click.option(
    "--frames",
    multiple=True,
    default=(50,),
    show_default=True,
    type=LENGTH,
    help="Length T of a joint stream; repeat for several.",
)
@click.option("--recipe", default="default", show_default=True, help=f"Preprocessing: {', '.join(RECIPES)}.")
@click.option("--convention", "conventions", multiple=True, help="Only this convention; repeat for several.")
@click.option(
    "--mirrored-video/--no-mirrored-video",
    "mirrored",
    default=None,
    help="Whether MeTRAbs saw mirror images  [as the data set is known to be].",
)
@click.option("--workers", default=0, show_default=True, type=click.IntRange(0), help="Reading processes.")
@click.option("--strict", is_flag=True, help="Stop at the first bad raw file.")
@click.option("--force", is_flag=True, help="Replace an existing store once the new one is complete.")
def command(dataset: str, **options: Any) -> None:
    """Convert the raw files of DATASET to a store.

    DATASET is ntu60, ntu120 or nw-ucla. A bad raw file becomes a row of the findings (see inspect).

    \b
    Example:
      skeltools convert ntu60 --out store.zarr --workers 4
      skeltools convert nw-ucla --raw nw-ucla.zip --out ucla.zarr
      skeltools convert ntu60 --recipe crossclr --frames 50 --frames 64
    """
    from skeltools.convert import convert as run_conversion

    with progress("reading samples") as on_progress:
        summary = run_conversion(
            dataset,
            **{**options, "conventions": options["conventions"] or None},
            on_progress=on_progress,
        )
    manifest = summary.manifest
    for warning in summary.warnings:
        note(f"warning: {warning}")
    splits = "; ".join(
        f"{name} {info.train} train, {info.test} test" for name, info in manifest.protocols.items()
    )
    conventions = ", ".join(manifest.conventions)
    lines = [
        f"{summary.path}: {manifest.samples} samples of {manifest.dataset} in {conventions}",
        f"splits: {splits}",
    ]
    if manifest.findings:
        found = ", ".join(f"{count} x {problem}" for problem, count in manifest.findings.items())
        lines.append(f"findings: {found} (skeltools inspect lists them)")
    show(*lines, *([SYNTHETIC] if manifest.synthetic else []))
