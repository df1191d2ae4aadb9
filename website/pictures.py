"""The pictures of the pages, drawn from a store of the built-in demo data by the commands that users have.

    skeltools demo raw/ --subjects 2
    skeltools convert ntu60 --out store.zarr
    python website/pictures.py store.zarr

Writes docs/images: a clip that moves in three skeleton conventions, for light and for dark pages; the same as
a film strip, which also stands where motion is not wanted; and two pictures of the whole store.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from skeltools.cli import run
from skeltools.pictures import plots
from skeltools.pictures.painted import DPI, in_bytes

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SAMPLE = "S004C002P001R001A024"
"""Kicking something, seen by camera 2."""

CONVENTIONS = ("kinectv2_25", "smplx_42", "berkeley_mhad_43")
"""The simulated sensor, and what the simulated pose estimator makes of its video."""

PLOTS = ("bones-kinectv2_25", "mean-pose")


def commands(store: str) -> Iterator[list[str]]:
    chosen = [word for name in CONVENTIONS for word in ("--convention", name)]
    clip = ["render", store, SAMPLE, *chosen, "--view", "three-quarter", "--force"]
    for ground, name in (("white", "kick"), ("dark", "kick-dark")):
        out = IMAGES / f"{name}.webp"
        yield [*clip, "--out", str(out), "--ground", ground, "--size", "720x300", "--frames", "::2"]
    yield [*clip, "--out", str(IMAGES / "strip.svg"), "--frames", "4:54:9"]


def main(store: str) -> None:
    for words in commands(store):
        if run(words):
            sys.exit(f"skeltools {' '.join(words)} failed")
    for plot in plots.draw(Path(store)):
        if plot.name in PLOTS:
            path = IMAGES / f"{plot.name}.svg"
            path.write_bytes(in_bytes(plot.figure, "svg", DPI))
            print(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "store.zarr")
