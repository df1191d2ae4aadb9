"""``skeltools view``."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli.terminal import STORE, note


@click.command("view")
@STORE
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where to listen  [a free port].")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def command(store_path: Path, port: int, no_browser: bool) -> None:
    """Look at the clips of STORE in the browser: played, turned, beside each other in several conventions.

    STORE is $SKELTOOLS_STORE or ./store.zarr when not given. The page is there for this machine alone, at an
    address that nobody guesses, until Ctrl-C.

    \b
    Example:
      skeltools view store.zarr
      skeltools view store.zarr --no-browser --port 8000
    """
    from skeltools.pictures.browsed import Browsed
    from skeltools.pictures.server import serve

    serve(Browsed(store_path).answers(), port=port, browser=not no_browser, say=note)
