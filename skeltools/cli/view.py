"""``skeltools view``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from skeltools.cli.terminal import PATH, STORE, note


@click.command("view")
@STORE
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where to listen  [a free port].")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--html", "out", metavar="OUT", type=PATH, help="Write one file instead, to be sent.")
@click.option(
    "--sample", "samples", metavar="ID", multiple=True, help="Of the file; may be repeated  [the first 10]."
)
@click.option("--class", "classes", metavar="NAME", multiple=True, help="Of the file: samples of this class.")
@click.option("--convention", "conventions", metavar="NAME", multiple=True, help="Of the file  [all].")
@click.option("--force", is_flag=True, help="Replace the file at OUT.")
def command(store_path: Path, port: int, no_browser: bool, out: Path | None, **of_file: Any) -> None:
    """View the clips of STORE in the browser: play and rotate them, side by side in several conventions.

    STORE is $SKELTOOLS_STORE or ./store.zarr when not given. The page is served to this machine alone, at an
    address that cannot be guessed, until Ctrl-C. With --html it is written as one file that opens anywhere,
    without store, server or network.

    \b
    Example:
      skeltools view store.zarr
      skeltools view store.zarr --no-browser --port 8000
      skeltools view store.zarr --html clips.html --class "hand waving" --convention kinectv2_25
    """
    if out is not None:
        from skeltools.pictures.single_file import write

        size = write(store_path, out, **of_file)
        note(f"{out}: {size / 1e6:.1f} MB")
        return
    if any(of_file.values()):
        raise click.UsageError("--sample, --class, --convention and --force need --html OUT")
    from skeltools.pictures.browsed import Browsed
    from skeltools.pictures.server import serve

    serve(Browsed(store_path).answers(), port=port, browser=not no_browser, say=note)
