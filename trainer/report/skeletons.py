"""Stick figures of clips as drawings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from trainer.report import draw
from trainer.report.draw import GREY
from trainer.report.tracks import Array

if TYPE_CHECKING:
    from skeltools.pictures.scene import Track


def draw_strip(axes: Axes, of: Track, *, size: tuple[float, float], rows: int = 1, most: int = 4) -> None:
    """Draw frames of a clip side by side, in ``rows``, each with its number below.

    ``size``: of the axes, in inches. As many frames are shown as fit at full row height, and at most ``most``
    per row.
    """
    middle, wide, tall = _extent(of)
    unit = tall / (size[1] / rows - _LINE)  # metres per inch
    columns = max(1, min(most, int(size[0] * unit / wide)))
    step, drop = max(wide, size[0] * unit / columns), tall + _LINE * unit
    frames = spread_frames(len(of.joints), columns * rows)
    places = np.array([((i % columns) * step, -(i // columns) * drop) for i in range(len(frames))])
    _draw_people(axes, of, frames, (places - middle[frames])[:, None, None])
    for frame, (x, y) in zip(frames, places, strict=True):
        axes.text(x, y - 0.04 * tall, str(frame + 1), ha="center", va="top", color=GREY)
    spare = max(0.0, columns * step * size[1] / size[0] - rows * drop)
    axes.set_xlim(-step / 2, (columns - 0.5) * step)
    axes.set_ylim(tall - rows * drop, tall + spare)
    axes.set(xticks=[], yticks=[], aspect="equal")


_LINE = 0.2
"""Space below a frame for its number, in inches."""


def _extent(of: Track) -> tuple[Array, float, float]:
    """The point [T, 2] below the middle of the people in each frame, and a width and height that fit all."""
    points = of.joints[..., :2] * np.array([-1, 1], dtype=np.float32)
    there = np.where(of.present[..., None, None], points, np.nan).reshape(len(points), -1, 2)
    anyone = of.present.any(axis=1)
    if not anyone.any():
        return np.zeros((len(points), 2), dtype=np.float32), 1.0, 1.7
    low, high = (np.zeros((len(points), 2), dtype=np.float32) for _ in range(2))
    low[anyone], high[anyone] = np.nanmin(there[anyone], axis=1), np.nanmax(there[anyone], axis=1)
    span = (high - low)[anyone].max(axis=0)
    floor = np.stack([(low[:, 0] + high[:, 0]) / 2, np.full(len(low), low[anyone, 1].min())], axis=1)
    tall = float(high[anyone, 1].max() - low[anyone, 1].min()) or 1.0
    return floor, max(float(span[0]), 0.3 * tall) * 1.1, tall * 1.05


def _draw_people(axes: Axes, of: Track, frames: Sequence[int], shift: Array) -> None:
    """Draw bones in the colours of body parts, joints on top; joints of the right side are hollow.

    ``shift``: [F, 1, 1, 2], the position of each frame. Everything of one colour is a single path.
    """
    from skeltools.pictures import design, sides

    points = of.joints[frames][..., :2] * np.array([-1, 1]) + shift  # [F, M, V, 2]
    there = of.present[frames]
    parts, right = np.array(sides.parts(of.spec)), np.array(sides.sides(of.spec)) == "right"
    parents = np.array(of.spec.parents)
    bones = np.flatnonzero(parents != np.arange(len(parents)))
    for part, colour in design.LIGHT.items():
        mine = bones[parts[bones] == part]
        _strokes(axes, points[there][:, parents[mine]], points[there][:, mine], colour, 1.6)
    if of.shade is not None:
        _draw_shades(axes, points[there], of.shade[frames][there])
        return
    for body in range(there.shape[1]):
        person = design.PERSONS[body % len(design.PERSONS)]
        _dots(axes, points[there[:, body], body], person, 2.6)
    _dots(axes, points[there][:, right], "#ffffff", 1.2, over=1)


def _draw_shades(axes: Axes, points: Array, strength: Array) -> None:
    """Draw joints, larger and darker the stronger they are."""
    levels = np.rint(strength * draw.SHADES)
    for level in range(draw.SHADES + 1):
        chosen, size = points[levels == level], 2.6 + 6 * level / draw.SHADES
        _dots(axes, chosen, GREY, size + 0.8, over=level)
        _dots(axes, chosen, draw.shade(level), size, over=level)


def draw_scale(axes: Axes) -> None:
    """Draw a legend of the shades."""
    steps = np.arange(draw.SHADES + 1, dtype=np.float32)
    _draw_shades(axes, np.stack([steps, np.zeros_like(steps)], axis=1), steps / np.float32(draw.SHADES))
    axes.text(-0.7, 0, "nothing", ha="right", va="center")
    axes.text(draw.SHADES + 0.8, 0, "highest of the clip", ha="left", va="center")
    axes.set(xlim=(-4, draw.SHADES + 10), ylim=(-1, 1))
    axes.axis("off")


def _strokes(axes: Axes, starts: Array, stops: Array, colour: str, width: float, *, over: float = 0) -> None:
    """Draw lines from [..., 2] to [..., 2] as one path."""
    if starts.size:
        path = np.stack([starts, stops, np.full_like(starts, np.nan)], axis=-2).reshape(-1, 2)
        axes.plot(*path.T, color=colour, linewidth=width, solid_capstyle="round", zorder=2 + over / 10)


def _dots(axes: Axes, points: Array, colour: str, size: float, *, over: float = 0) -> None:
    """Draw discs as one path: lines of (almost) zero length with round caps."""
    _strokes(axes, points, points + np.float32(1e-4), colour, size, over=1 + over)


def spread_frames(total: int, shown: int) -> list[int]:
    """``shown`` frames of ``total``, evenly spread, without the ends.

    >>> spread_frames(50, 5)
    [5, 15, 25, 35, 45]
    """
    shown = min(shown, total)
    return [int((place + 0.5) * total / shown) for place in range(shown)]
