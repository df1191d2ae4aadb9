"""``skeltools map``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schemas import UsageError
from schemas.commands import echo, progress, show
from skeltools.cli.terminal import LENGTH, PLACE, STORE, show_written, table_of

if TYPE_CHECKING:
    from rich.table import Table

    from skeltools.skeletons.mapping import Mapping


@click.command("map")
@STORE
@click.option("--to", required=True, metavar="CONVENTION", help="The convention to map to: a name or a file.")
@click.option("--out", type=PLACE, help="A folder or an address; without it only the list.")
@click.option("--convention", help="The one of STORE that is mapped, or a file of it  [the first].")
@click.option("--partial", is_flag=True, help="Leave out the joints that STORE does not have.")
@click.option("--keep", is_flag=True, help="Keep the conventions of STORE, too.")
@click.option("--recipe", help="Preprocessing of the streams  [the store's].")
@click.option("--frames", multiple=True, type=LENGTH, help="Length T of a stream  [the store's].")
@click.option("--force", is_flag=True, help="Replace an existing store once the new one is complete.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON; not with --out.")
def command(store_path: Path, out: Path | None, as_json: bool, **options: Any) -> None:
    """Write STORE in another skeleton convention, joint by joint.

    STORE is $SKELTOOLS_STORE or ./store.zarr when not given. Joints are mapped by their names and declared
    synonyms, and to the midpoint of two where the convention defines it, but never by index. Without --out,
    only the list of joints is printed. Joints that STORE does not have are an error, or absent with
    --partial: the convention is then the remaining part of the other, such as coco_17-of-kinectv2_25.

    \b
    Example:
      skeltools map store.zarr --to coco_17
      skeltools map store.zarr --to coco_17 --json
      skeltools map store.zarr --to coco_17 --partial --out coco.zarr
      skeltools map store.zarr --to openpose_18 --convention smplx_42 --keep --out more.zarr --partial
    """
    from skeltools import store
    from skeltools.conversion.mapped import map_store, plan_mapping

    options["frames"] = options["frames"] or None
    if out is None:
        made = plan_mapping(store.open_store(store_path), options["to"], options["convention"])
        if as_json:
            echo(json.dumps(_fields(made), indent=2))
        else:
            show(*_tables(made))
        return
    if as_json:
        raise UsageError("--json is of the list, which --out does not print", remedy="Give one of them")
    with progress("writing rows") as on_progress:
        summary = map_store(store_path, out=out, **options, on_progress=on_progress)
    manifest = summary.manifest
    lines = [f"{out}: {manifest.samples} samples of {manifest.dataset} in {', '.join(manifest.conventions)}"]
    if summary.findings:
        lines.append(f"findings: {len(summary.findings)} of the mapping (skeltools inspect lists them)")
    show_written(lines, manifest, summary.warnings)


def _fields(made: Mapping) -> dict[str, Any]:
    return {
        "from": made.source.name,
        "to": made.target.name,
        "joints": dict(made.rows()),
        "absent": list(made.absent),
        "unused": list(made.unused),
        "result": made.result.name,
    }


def _tables(made: Mapping) -> list[Table | str]:
    rows = table_of(made.target.name, f"from {made.source.name}")
    for name, origin in made.rows():
        rows.add_row(name, origin)
    lost = f", {len(made.absent)} absent: the result is {made.result.name}" if made.absent else ""
    unused = f"; not used: {', '.join(made.unused)}" if made.unused else ""
    return [rows, f"{len(made.mapped)} of {made.target.num_joints} joints{lost}{unused}"]
