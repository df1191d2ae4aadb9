"""``skeltools demo``."""

from __future__ import annotations

from pathlib import Path

import click

from schemas.commands import progress, show
from skeltools.cli.terminal import PATH, SYNTHETIC


@click.command("demo")
@click.argument("out", type=PATH)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the random data.")
@click.option("--subjects", default=10, show_default=True, type=click.IntRange(1), help="Number of people.")
@click.option(
    "--repetitions", default=1, show_default=True, type=click.IntRange(1), help="Repetitions of each action."
)
@click.option(
    "--recordings",
    is_flag=True,
    help="Also the same actions one after another, as continuous recordings in the format of PKU-MMD.",
)
def command(out: Path, seed: int, subjects: int, repetitions: int, recordings: bool) -> None:
    """Write the built-in raw data to OUT, in the formats of NTU RGB+D and MeTRAbs.

    It needs no download; its numbers say nothing about NTU RGB+D.

    \b
    Example:
      skeltools demo raw/
      skeltools demo raw/ --subjects 20 --seed 1
      skeltools demo raw/ --recordings
    """
    from skeltools.demo import write_demo, write_demo_recordings

    with progress("writing clips") as on_progress:
        write_demo(out, seed=seed, subjects=subjects, repetitions=repetitions, on_progress=on_progress)
    more = []
    if recordings:
        with progress("writing recordings") as on_progress:
            write_demo_recordings(out, seed=seed, subjects=subjects, on_progress=on_progress)
        more = [f"recordings: skeltools convert pku-mmd-1 --raw {out} --uncut --out uncut.zarr"]
    show(f"{out}: {SYNTHETIC}", f"next: skeltools convert ntu60 --raw {out} --out store.zarr", *more)
