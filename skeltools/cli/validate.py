"""``skeltools validate``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from schemas import SkelError
from schemas.commands import echo, progress, show
from skeltools.cli.terminal import STORE, table_of


@click.command("validate")
@STORE
@click.option("--json", "as_json", is_flag=True, help="Print faults, notes and bone lengths as JSON.")
@click.option("--bones", is_flag=True, help="Also print the lengths of all bones.")
def command(store_path: Path, as_json: bool, bones: bool) -> None:
    """Check STORE: layout, checksums, splits, graphs, poses, bones, findings.

    The exit code is 1 when there is a fault. Notes report what is unusual but may be right: a bone whose
    length varies much, a split that comes with the source, test clips that are copies of training clips.
    STORE is $SKELTOOLS_STORE or ./store.zarr when not given.

    \b
    Example:
      skeltools validate store.zarr
      skeltools validate store.zarr --json > report.json
    """
    from skeltools.inspect.validate import check, remedy_for

    with progress("reading arrays") as on_progress:
        report = check(store_path, on_progress=on_progress)
    if as_json:
        echo(json.dumps({"store": str(store_path), "sound": not report.faults, **asdict(report)}, indent=2))
    else:
        show(*(f"{fault.place}: {fault.problem}" for fault in report.faults))
        show(*(f"note: {note.place}: {note.problem}" for note in report.notes))
    for name, rows in report.bones.items() if bones and not as_json else ():
        table = table_of("bone", "median, m", "variation", right=("median, m", "variation"), title=name)
        for row in rows:
            table.add_row(row["bone"], f"{row['median']:.3f}", f"{row['variation']:.2f}")
        show(table)
    if report.faults:
        number = "1 fault" if len(report.faults) == 1 else f"{len(report.faults)} faults"
        raise SkelError(number, where=store_path, remedy=remedy_for(report))
    if not as_json:
        show(f"{store_path}: sound")
