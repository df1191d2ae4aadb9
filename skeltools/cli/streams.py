"""``skeltools streams``."""

from __future__ import annotations

from pathlib import Path

import click

from schemas.commands import progress, show
from skeltools.cli.terminal import LENGTH, STORE


@click.command("streams")
@STORE
@click.option("--bone", is_flag=True, help="Add bones: joint minus its parent.")
@click.option("--motion", is_flag=True, help="Add motion: next frame minus this one.")
@click.option(
    "--frames", multiple=True, type=LENGTH, help="Length T of the streams; a new length gets a joint stream."
)
@click.option("--convention", "conventions", multiple=True, help="Only this convention; repeat for several.")
@click.option("--recipe", help="Preprocessing of new joint streams  [the store's].")
@click.option("--force", is_flag=True, help="Rewrite streams that exist.")
def command(
    store_path: Path,
    frames: tuple[int, ...],
    conventions: tuple[str, ...],
    recipe: str | None,
    force: bool,
    **kinds: bool,
) -> None:
    """Add streams to STORE, made from what it holds; the raw files are not needed.

    STORE is $SKELTOOLS_STORE or ./store.zarr when not given.

    \b
    Example:
      skeltools streams --bone --motion
      skeltools streams store.zarr --frames 64 --bone
    """
    from skeltools.conversion.derive import DERIVED, add_streams

    chosen = tuple(kind for kind in DERIVED if kinds[kind])
    if not (chosen or frames or recipe):
        raise click.UsageError("nothing to add: give --bone, --motion or --frames T")
    with progress("writing rows") as on_progress:
        added = add_streams(
            store_path,
            kinds=chosen,
            frames=frames or None,
            conventions=conventions or None,
            recipe=recipe,
            force=force,
            on_progress=on_progress,
        )
    show(*(f"added {path}" for path in added.written))
    show(*(f"already there: {path} (--force rewrites it)" for path in added.skipped))
