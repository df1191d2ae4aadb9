"""``trainer view``."""

from __future__ import annotations

from pathlib import Path

import click

from schemas.commands import echo
from trainer.cli.options import DEVICE, PATH, PLACE, STORES_OF_RUN


@click.command("view")
@click.argument("run", type=PATH)
@STORES_OF_RUN
@click.option(
    "--recordings",
    type=PLACE,
    metavar="STORE",
    help="Recordings that are not cut: what `trainer segment` finds in them. Default: the run's store.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Where to listen. Default: a free port."
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--html", "out", type=PATH, help="Write one file to send instead.")
@click.option("--force", is_flag=True, help="With --html: replace a file that is there.")
@DEVICE
def command(
    run: Path,
    store: tuple[Path, ...],
    recordings: Path | None,
    port: int,
    no_browser: bool,
    out: Path | None,
    force: bool,
    device: str,
) -> None:
    """Look at RUN in the browser: the views that its method sees, its errors, nearest clips, a map of all.

    The page also shows the run's store, as `skeltools view` does. It is served to this machine only, at an
    unguessable address, until Ctrl-C. Features are computed when their tab is first opened. --html writes the
    first items of every tab to one file instead.

    \b
    Examples:
      trainer view runs/ms-clr
      trainer view runs/ms-clr --no-browser --port 8000
      trainer view runs/ms-clr --html ms-clr.html
    """
    if force and out is None:
        raise click.UsageError("--force needs --html")
    from trainer.run import open_run
    from trainer.view.page import RunPage

    opened = open_run(run, store=store or None, device=device, unfinished=True)
    page = RunPage(opened, recordings)
    if out is not None:
        size = page.write(out, force=force)
        echo(f"{out}: {', '.join(tab.title.lower() for tab in page.tabs)}, {size / 1e6:.1f} MB")
        return
    page.serve(port=port, browser=not no_browser, say=lambda text: echo(text, err=True))
