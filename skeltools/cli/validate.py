"""``skeltools validate``."""

from __future__ import annotations

from pathlib import Path

import click

from schemas import SkelError
from skeltools.cli.terminal import STORE, progress, show


@click.command("validate")
@STORE
def command(store_path: Path) -> None:
    """Check STORE: layout, checksums, splits, graphs, poses. Exit code 1 when there is a fault.

    STORE is $SKELTOOLS_STORE or ./store.zarr when not given.

    \b
    Example:
      skeltools validate store.zarr
    """
    from skeltools.validate import validate as find_faults

    with progress("reading arrays") as on_progress:
        faults = find_faults(store_path, on_progress=on_progress)
    show(*(f"{fault.place}: {fault.problem}" for fault in faults))
    if faults:
        number = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise SkelError(number, where=store_path, remedy="Convert the raw data again")
    show(f"{store_path}: sound")
