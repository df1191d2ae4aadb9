"""Draw marks with matplotlib, and save figures to reproducible bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline
from matplotlib.transforms import IdentityTransform

from skeltools.pictures.design import Colours
from skeltools.pictures.stick import Dot, Marks

DPI = 96
"""Points of the picture per inch, as in CSS. A PNG without a given size has twice as many pixels."""

FONT = "DejaVu Sans"
"""Comes with matplotlib."""


class Strip(Figure):
    """A matplotlib figure that notebooks display."""

    def _repr_png_(self) -> bytes:
        return in_bytes(self, "png", 2 * DPI)


def painted(made: Marks, width: float, height: float, colours: Colours) -> Strip:
    """Draw marks as a matplotlib figure."""
    figure = Strip(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    figure.patch.set(facecolor=colours.ground or "none", edgecolor="none")
    axes = figure.add_axes((0, 0, 1, 1), frameon=False, xticks=[], yticks=[])
    axes.set(xlim=(0, width), ylim=(height, 0))
    point = 72 / DPI
    ends, inks, widths = zip(*made.lines, strict=True) if made.lines else ((), (), ())
    lines = LineCollection(ends, colors=inks, linewidths=[point * each for each in widths], zorder=1)
    lines.set_capstyle("round")
    axes.add_collection(lines, autolim=False)
    if made.heads:
        corners, inks = zip(*made.heads, strict=True)
        axes.add_collection(
            PolyCollection(corners, facecolors=inks, edgecolors="none", zorder=2), autolim=False
        )
    alike: dict[tuple[float, bool], list[Dot]] = {}
    for dot in made.dots:
        alike.setdefault((round(dot[2], 3), dot[3]), []).append(dot)
    for dots in alike.values():
        circles = _circles(dots, colours)
        circles.set_offset_transform(axes.transData)
        circles.set_transform(IdentityTransform())
        axes.add_collection(circles, autolim=False)
    for word in made.words:
        style = {"ha": word.anchor.replace("middle", "center"), "va": "baseline", "parse_math": False}
        fonts = {"fontsize": word.size * point, "family": FONT}
        axes.text(word.x, word.y, word.text, color=word.colour, **fonts, **style)  # type: ignore[arg-type]
    return figure


def _circles(dots: Sequence[Dot], colours: Colours) -> PathCollection:
    """Dots of one radius, all hollow or none. Hollow ones have the same rim as in ``film``."""
    _, _, radius, hollow = dots[0]
    rim, point = (0.45 * radius, 72 / DPI) if hollow else (0.0, 72 / DPI)
    return PathCollection(
        [Outline.unit_circle()],
        sizes=[((radius - rim / 2) * point) ** 2],
        offsets=[middle for middle, *_ in dots],
        facecolors=(colours.ground or "none") if hollow else [ink for _, ink, *_ in dots],
        edgecolors=[ink for _, ink, *_ in dots],
        linewidths=rim * point,
        zorder=3,
    )


@contextmanager
def matplotlib_settings() -> Iterator[None]:
    """matplotlib settings: one font, text kept as text, and reproducible names in SVG."""
    settings: Any = {
        "font.family": FONT,
        "svg.fonttype": "none",
        "svg.hashsalt": "skeltools",
        "pdf.fonttype": 42,  # TrueType, which publishers require
        "savefig.facecolor": "auto",
    }
    with matplotlib.rc_context(settings):
        yield


_METADATA = {
    "png": {"Software": None},
    "svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}
"""Removes versions and times, which would change the bytes."""


def in_bytes(figure: Figure, kind: str, dpi: float) -> bytes:
    target = io.BytesIO()
    with matplotlib_settings():
        figure.savefig(target, format=kind, dpi=dpi, metadata=_METADATA[kind])
    return target.getvalue() if kind != "svg" else _lighter(target.getvalue())


def _lighter(svg: bytes) -> bytes:
    """Truncate coordinates to hundredths of a point."""
    return re.sub(rb"(\d\.\d\d)\d+", rb"\1", svg)
