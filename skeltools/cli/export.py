"""``skeltools export``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from skeltools.cli.terminal import LENGTH, PATH, STORE, show_written


@click.command("export")
@STORE
@click.option("--to", required=True, metavar="FORMAT", help="crossclr, ctrgcn, hdf5, pyskl or zarr.")
@click.option("--out", required=True, type=PATH, help="The file or folder to write.")
@click.option("--convention", "conventions", multiple=True, help="Only this convention  [zarr, hdf5: all].")
@click.option("--stream", "streams", multiple=True, help="Kind of stream  [joint; zarr, hdf5: all].")
@click.option("--frames", multiple=True, type=LENGTH, help="Length T of the stream  [the only one].")
@click.option("--split", "protocols", multiple=True, help="Only this split  [all; ctrgcn: as OUT is named].")
@click.option("--part", metavar="PART", help="Only this half of the split: train or test.")
@click.option("--ids", type=PATH, help="Only the samples of this file, one id a line.")
@click.option("--force", is_flag=True, help="Replace what is at OUT once the export is complete.")
def command(store_path: Path, **options: Any) -> None:
    """Write STORE, or a part of it, in another format.

    STORE is $SKELTOOLS_STORE or ./store.zarr when not given. zarr is again a store; hdf5 is a whole store in
    one file; pyskl has sequences at full length; crossclr and ctrgcn have one stream. `skeltools convert
    --from` reads all of them but zarr. Run `skeltools docs interchange` for what each format keeps.

    \b
    Example:
      skeltools export store.zarr --to crossclr --out aimclr/
      skeltools export store.zarr --to pyskl --out ntu60_3danno.pkl --convention kinectv2_25
      skeltools export store.zarr --to ctrgcn --out NTU60_CS.npz --split xsub
      skeltools export store.zarr --to hdf5 --out store.h5
      skeltools export store.zarr --to zarr --out train.zarr --split xsub --part train
    """
    from skeltools.formats.export import export as run_export

    done = run_export(store_path, **options)
    lines = [
        f"{done.path}: {done.samples} samples of {done.manifest.dataset} in {', '.join(done.conventions)}",
        f"splits: {', '.join(done.protocols) or 'none'}",
    ]
    if done.streams:
        lines.append(f"streams: {', '.join(path.removeprefix('streams/') for path in done.streams)}")
    show_written(lines, done.manifest)
