"""Drawings as SVG text: one style for all, readable in grey, with the same bytes for the same input.

Every drawing is as wide as a phone, so that its letters are readable there at full size; larger screens and
paper show several side by side. Colours are those of Okabe and Ito ("Color Universal Design", 2008) as
defined in ``skeltools.pictures.design``; every series also has its own line style and marker.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas

from trainer.report.parts import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e08a00", "#2f9bd6", "#000000")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)), (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
GREY = "#767676"
"""Colour of axes and guides; its contrast against white is 4.5 to 1 (WCAG 2.1, 1.4.3)."""
WIDTH = 4.0
"""Width of a drawing in inches. On a phone 390 points wide, of which the page has 358, its letters are 11.2
points."""
WIDE = 7.2
"""Width in inches of a drawing that cannot be so narrow: the text column of a printed sheet."""
LETTERS = 9.0
"""Size of all letters in points."""

_FONT = "DejaVu Sans"
"""Ships with matplotlib, so that text widths are the same everywhere."""

_LOOK: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": _FONT,
    "font.size": LETTERS,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.7,
    "axes.titlesize": LETTERS,
    "axes.titlelocation": "left",
    "axes.unicode_minus": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "xtick.labelsize": LETTERS,
    "ytick.labelsize": LETTERS,
    "legend.fontsize": LETTERS,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "hatch.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.5,
    "path.simplify": False,
}

_DECIMALS = re.compile(r"(\d\.\d\d)\d+")
"""Decimals finer than a hundredth of a point, which no screen shows."""
_COLOUR = re.compile(r"(?<=: )#[0-9a-fA-F]{6}(?=[;\"])")

Draw = Callable[[Canvas], None]


def figure(
    name: str, size: tuple[float, float], draw: Draw, *, title: str, alt: str, caption: str, scenes: str = ""
) -> Figure:
    """Run ``draw`` on a canvas of ``size`` inches; ``scenes``: the same as JSON for the player."""
    look: Any = _LOOK | {"svg.hashsalt": name}  # matplotlib types this as a dict with all of its own settings
    with matplotlib.rc_context(look), warnings.catch_warnings():
        # The reader's fonts render the text and may have the glyphs that DejaVu lacks.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        canvas = Canvas(figsize=size, layout="constrained")
        FigureCanvasSVG(canvas)
        draw(canvas)
        target = io.StringIO()
        canvas.savefig(target, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return Figure(name, title, _inline(target.getvalue(), name), alt, caption, size[0] > WIDTH, scenes)


def _inline(text: str, name: str) -> str:
    """Turn matplotlib's file into an element of a page, with prefixed ids and no fixed height."""
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"<[^>]*>", lambda tag: _DECIMALS.sub(r"\1", tag[0]), text)
    text = text.replace(f"'{_FONT}'", f"'{_FONT}', Verdana, sans-serif")
    text = re.sub(r'<svg ([^>]*?)\s*height="[\d.]+pt"', r"<svg \1", text, count=1)
    return re.sub(r'width="([\d.]+)pt"', lambda width: f'width="{float(width[1]) / 72:.2f}in"', text, count=1)


def themed(svg: str) -> str:
    """The drawing in the colours of the page around it: light, dark or paper.

    As a file of its own it has the colours of the light page, which ``Figure.svg`` spells out.
    """
    return _COLOUR.sub(lambda colour: _theme(colour[0].lower()), svg)


def _theme(colour: str) -> str:
    """Greys are mixtures of text and background; colours of people and shades are the design's variables."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    if red == green == blue:
        return _mixed("text", "ground", 1 - red / 255)
    return _variables().get(colour, colour)


@cache
def _variables() -> dict[str, str]:
    from skeltools.pictures import design

    parts = {colour: f"var(--{part.replace('_', '-')})" for part, colour in design.LIGHT.items()}
    parts |= {colour: f"var(--person-{place})" for place, colour in enumerate(design.PERSONS, start=1)}
    shades = {shade(level): _mixed("warn", "line", level / SHADES) for level in range(SHADES + 1)}
    return parts | shades


def _mixed(one: str, other: str, share: float) -> str:
    if share in (0, 1):
        return f"var(--{one if share else other})"
    return f"color-mix(in srgb, var(--{one}) {100 * share:.0f}%, var(--{other}))"


SHADES = 8
"""Number of steps of a joint's shade, from none to the strongest."""


def shade(level: int) -> str:
    """One of ``SHADES`` + 1 colours, from the design's ``line`` to its ``warn``, mixed as in the player."""
    from skeltools.pictures.design import WHITE

    low, high = (bytes.fromhex(colour[1:]) for colour in (WHITE.line, WHITE.warn))
    mixed = bytes(round(a + level / SHADES * (b - a)) for a, b in zip(low, high, strict=True))
    return f"#{mixed.hex()}"


def style(index: int, *, markers: bool = True) -> dict[str, Any]:
    """Colour, line style and marker of series ``index``."""
    look = {"color": COLOURS[index % len(COLOURS)], "linestyle": LINES[index % len(LINES)]}
    return look | ({"marker": MARKERS[index % len(MARKERS)]} if markers else {})


def legend(canvas: Canvas, axes: Axes) -> None:
    """Write the names of the series below the drawing."""
    handles, names = axes.get_legend_handles_labels()
    if handles:
        names = [shortened(name, 44) for name in names]
        canvas.legend(handles, names, loc="outside lower left", ncols=_columns(names), labelspacing=0.3)


def legend_height(names: Sequence[str]) -> float:
    """Height in inches of the legend of these names."""
    return 0.1 + 0.18 * -(-len(names) // _columns(names)) if names else 0.0


def _columns(names: Sequence[str]) -> int:
    return 2 if max(map(len, names), default=0) <= 18 else 1


def shortened(name: str, most: int) -> str:
    """At most ``most`` characters of a name: its start and its end, which distinguish names.

    >>> shortened("standing up (from sitting position)", 20)
    'standing u…position)'
    """
    if len(name) <= most:
        return name
    return f"{name[: most // 2]}…{name[len(name) - (most - 1) // 2 :]}"


def slug(*words: str) -> str:
    """Words as the name of a figure: lower-case letters, digits and dashes.

    >>> slug("loss", "runs/MS clr")
    'loss-runs-ms-clr'
    """
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")
