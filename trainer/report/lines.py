"""Metrics of a log as lines over the epochs, and the axes they are drawn on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from trainer import methods
from trainer.report.collect import RunFolder
from trainer.report.draw import GREY


@dataclass(frozen=True)
class Line:
    """A metric over the epochs."""

    label: str
    epochs: tuple[int, ...]
    values: tuple[float, ...]
    hard: bool = False


def line(run: RunFolder, metric: str, label: str = "", *, hard: bool = False) -> Line | None:
    """The finite values of a metric, or None if the log has none."""
    points = [
        (record["epoch"], float(record[metric]))
        for record in run.epochs
        if isinstance(record.get(metric), int | float) and math.isfinite(record[metric])
    ]
    if not points:
        return None
    epochs, values = zip(*points, strict=True)
    return Line(label or metric, epochs, values, hard)


def merged(lines: Sequence[Line]) -> list[Line]:
    """Merge lines that coincide, within a two-hundredth of the drawing's height, into one with all names."""
    values = [value for each in lines for value in each.values]
    near = (max(values) - min(values)) / 200 if values else 0.0
    distinct: list[Line] = []
    for each in lines:
        place = next((place for place, other in enumerate(distinct) if _coincide(other, each, near)), None)
        if place is None:
            distinct.append(each)
        else:
            distinct[place] = replace(distinct[place], label=f"{distinct[place].label} = {each.label}")
    return distinct


def _coincide(one: Line, other: Line, near: float) -> bool:
    return one.epochs == other.epochs and all(
        abs(a - b) <= near for a, b in zip(one.values, other.values, strict=True)
    )


def frame(axes: Axes, values: Sequence[float], epochs: int, *, least: float = 0.1) -> None:
    """Set up axes with whole epochs below and a value range that does not exaggerate small changes.

    The range spans at least a tenth of the size of the values, and at least ``least``.
    """
    axes.set_xlabel("epoch")
    axes.set_xticks(whole_ticks(epochs))
    axes.set_xlim(min(0.5, 1 - 0.03 * epochs), epochs + max(0.5, 0.03 * epochs))
    low, high = min(values), max(values)
    missing = max(0.0, max(least, 0.1 * max(abs(low), abs(high))) - (high - low)) / 2
    room = 0.1 * (high - low + 2 * missing)
    axes.set_ylim(low - missing - room, high + missing + room)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))


def whole_ticks(epochs: int) -> list[int]:
    """Epochs to label on the axis: round steps, and always the first and the last.

    >>> whole_ticks(1), whole_ticks(8), whole_ticks(24), whole_ticks(300)
    ([1], [1, 2, 4, 6, 8], [1, 5, 10, 15, 20, 24], [1, 50, 100, 150, 200, 250, 300])
    """
    step = next(step for step in _steps() if epochs / step <= 6)
    inner = (tick for tick in range(step, epochs, step) if 2 * (epochs - tick) > step)
    return sorted({1, epochs, *inner})


def _steps() -> Iterator[int]:
    for power in count():
        yield from (10**power, 2 * 10**power, 5 * 10**power)


def mark_stages(axes: Axes, run: RunFolder) -> None:
    """Draw a line at the start of every stage that the run reached, and a mark at every alarm."""
    reached = [stage for stage in methods.stages(run.config.method) if stage.start < len(run.epochs)]
    top = axes.get_xaxis_transform()
    for number, stage in enumerate(reached if len(reached) > 1 else [], start=1):
        at = stage.start + 0.5
        axes.axvline(at, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.text(at, 1.02, f" stage {number}: {stage.name}", transform=top)
    for alarm in run.alarms:
        axes.axvline(alarm["epoch"], color="black", linewidth=0.8, linestyle=":")
        axes.text(alarm["epoch"], 0.02, f" ! {alarm.get('kind', '')}", transform=top)


def ends(lines: Sequence[Line]) -> str:
    """First and last value of every line, as a text alternative."""
    return "; ".join(f"{each.label}: {each.values[0]:.3g} to {each.values[-1]:.3g}" for each in lines) + "."
