"""The pictures of the pages, drawn from a store of the built-in demo data.

    skeltools demo raw/ --subjects 2
    skeltools convert ntu60 --out store.zarr
    python website/pictures.py store.zarr

Writes docs/images/conventions.svg: one clip in three skeleton conventions.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import zarr
from matplotlib.figure import Figure

from schemas import SkeletonSpec
from trainer.report.draw import figure
from trainer.report.skeletons import draw_strip, track, upright

CONVENTIONS = ("kinectv2_25", "smplx_42", "berkeley_mhad_43")
SAMPLE = "S004C002P001R001A024"
"""Kicking something, seen by camera 2."""

TITLES = {
    "kinectv2_25": "kinectv2_25: the simulated sensor",
    "smplx_42": "smplx_42: the simulated pose estimator",
    "berkeley_mhad_43": "berkeley_mhad_43: the simulated pose estimator",
}


def main(store: str) -> None:
    root = zarr.open_group(store, mode="r")
    row = list(root["samples/id"][:]).index(SAMPLE)
    clips = {name: np.asarray(root[f"streams/{name}/t50/joint"][row]) for name in CONVENTIONS}
    specs = {
        name: SkeletonSpec.model_validate(root[f"skeletons/{name}"].attrs.asdict()) for name in CONVENTIONS
    }

    def draw(canvas: Figure) -> None:
        canvas.set_facecolor("white")
        for axes, (name, clip) in zip(canvas.subplots(len(clips), 1), clips.items(), strict=True):
            people = track(name, clip, specs[name], upright(specs[name], clip[None]))
            draw_strip(axes, people, size=(7.2, 1.6), most=10)
            axes.set_title(TITLES[name], fontsize=9, loc="left")
            axes.set_frame_on(False)

    drawing = figure("conventions", (7.2, 5.4), draw, title="", alt="", caption="")
    path = Path(__file__).parents[1] / "docs" / "images" / "conventions.svg"
    path.write_text(drawing.svg + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "store.zarr")
