"""Drawings as SVG text: one look for all, readable in grey, the same bytes for the same input.

Colours are those of Okabe and Ito ("Color Universal Design", 2008), which colour-blind readers tell apart;
every series also has a line style and a marker of its own and is labelled where it ends.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as Canvas

from trainer.report.parts import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)), (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
GREY = "#767676"
"""Of axes and of what only guides the eye; 4.5 to 1 against white (WCAG 2.1, 1.4.3)."""
WIDTH = 7.2
"""Inches of a full-width drawing: the text column of the page, and of a printed sheet."""

_FONT = "DejaVu Sans"
"""Comes with matplotlib, so that widths are measured alike everywhere."""

_LOOK: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": _FONT,
    "font.size": 8.5,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.7,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.unicode_minus": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "hatch.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.5,
}

_DECIMALS = re.compile(r"(\d\.\d\d)\d+")
"""Coordinates finer than a hundredth of a point, which no screen shows."""

Draw = Callable[[Canvas], None]


def figure(name: str, size: tuple[float, float], draw: Draw, *, title: str, alt: str, caption: str) -> Figure:
    """``draw`` on a canvas of ``size`` inches."""
    look: Any = _LOOK | {"svg.hashsalt": name}  # matplotlib's type is a dict of each of its own settings
    with matplotlib.rc_context(look), warnings.catch_warnings():
        # A reader's fonts draw the text: what DejaVu lacks is not missing there.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        canvas = Canvas(figsize=size, layout="constrained")
        FigureCanvasSVG(canvas)
        draw(canvas)
        target = io.StringIO()
        canvas.savefig(target, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return Figure(name, title, _inline(target.getvalue(), name), alt, caption)


def _inline(text: str, name: str) -> str:
    """matplotlib's file as an element of a page: ids of its own, and no size that a narrow page must keep."""
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"<[^>]*>", lambda tag: _DECIMALS.sub(r"\1", tag[0]), text)
    text = text.replace(f"'{_FONT}'", f"'{_FONT}', Verdana, sans-serif")
    text = re.sub(r'<svg ([^>]*?)\s*height="[\d.]+pt"', r"<svg \1", text, count=1)
    width = re.search(r'width="([\d.]+)pt"', text)
    assert width is not None
    limited = f'style="width:100%;max-width:{float(width[1]) / 72:.2f}in;height:auto"'
    return text.replace(width[0], limited, 1)


def style(index: int, *, markers: bool = True) -> dict[str, Any]:
    """Colour, line style and marker of the series ``index``."""
    look = {"color": COLOURS[index % len(COLOURS)], "linestyle": LINES[index % len(LINES)]}
    return look | ({"marker": MARKERS[index % len(MARKERS)]} if markers else {})


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Names beside the last points (x, y, name, colour) of lines, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    whole = axes.get_figure(root=True)
    assert whole is not None
    points = 72 * 0.75 * whole.get_figheight()  # of the axes: about three quarters of the drawing
    gap = (high - low) * 11 / points
    below = low - gap
    for x, y, name, colour in sorted(ends, key=lambda end: end[1]):
        below = max(y, below + gap)
        axes.annotate(
            name,
            xy=(x, y),
            xytext=(6, (below - y) / (high - low) * points),
            textcoords="offset points",
            color=[0.6 * channel for channel in to_rgb(colour)],  # as it is, it is too light to be read
            va="center",
            annotation_clip=False,
        )


def slug(*words: str) -> str:
    """Words as a name for a figure: small letters, digits and dashes.

    >>> slug("loss", "runs/MS clr")
    'loss-runs-ms-clr'
    """
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")
