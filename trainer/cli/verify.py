"""``trainer verify``."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click

from schemas.commands import echo
from trainer.cli.options import DEVICE, PLACE, usual_store


@click.command("verify")
@click.argument("published", metavar="FOLDER|RUN|hf://USER/NAME")
@click.option(
    "--store",
    "stores",
    type=PLACE,
    multiple=True,
    help="Store to measure on; may be repeated: each figure takes the one that it was measured on. "
    "Default: $SKELTOOLS_STORE, else ./store.zarr.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.002,
    show_default=True,
    help="Share of the test clips by which a figure may differ on its own store; one clip always may.",
)
@DEVICE
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def command(published: str, stores: tuple[Path, ...], tolerance: float, device: str, as_json: bool) -> None:
    """Measure the figures of a published encoder, or of a run, again.

    First, the files must be those that were published. Then each figure is measured: on a store with the same
    fingerprint it must be reproduced; on another store, top-1 must lie in its 95 % interval. The exit code is
    1 if a check fails or no figure could be measured.

    \b
    Examples:
      trainer verify aimclr-xview --store store.zarr
      trainer verify hf://user/aimclr-xview --store other.zarr --json
      trainer verify runs/aimclr --store store.zarr --tolerance 0
    """
    from trainer.publishing.measure import checks

    done = []
    places = stores or (usual_store(),)
    for check in checks(Path(published), places, device=device, tolerance=tolerance):
        done.append(check)
        if not as_json:
            echo(f"{check.verdict:<11}  {check.what}: {check.text}")
    if as_json:
        echo(json.dumps([asdict(check) for check in done], indent=2, ensure_ascii=False))
    counts: Counter[str] = Counter(check.verdict for check in done)
    measured = any(check.found is not None for check in done)
    words = (("holds", "hold"), ("fails", "fail"), ("not checked", "were not checked"))
    phrases = [f"{counts[verdict]} {word}" for verdict, word in words if counts[verdict]]
    echo(", ".join(phrases) + ("" if measured else "; no figure was measured"), err=True)
    if counts["fails"] or not measured:
        raise click.exceptions.Exit(1)
