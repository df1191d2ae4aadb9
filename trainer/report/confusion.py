"""Which classes are confused: the confusion matrix, and its largest errors as a table.

Rows are true classes, columns predicted ones; the shade is the share of the row. All cells of one shade form
a single path, so that 120 classes still make a small vector drawing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from numpy.typing import NDArray

from schemas import EvaluationResult, escaped
from trainer.report import draw
from trainer.report.collect import RunFolder, headline
from trainer.report.parts import Note, Part, Section, Table, percent

_SHADES = 10
"""Grey levels between 0 and the whole row."""
_COUNTED = 30
"""Maximum number of classes whose cells have room for their counts."""
_NARROW = 16
"""Maximum number of classes whose names and cells fit on a phone."""
_NAMED = 60
"""Maximum number of classes whose names are readable beside their rows."""
_LETTERS = 20
"""Maximum length of a class name."""
_PAIRS = 10


def confusion_section(runs: Sequence[RunFolder]) -> Section:
    parts: list[Part] = []
    for run in runs:
        saved = headline([each for each in run.results if each.result.confusion], run.reference)
        if saved is None:
            text = f"{run.name}: no result has a confusion matrix."
            parts.append(Note(text, run.command("linear")))
        else:
            parts += [_matrix(run, saved.result), _confused(run, saved.result)]
    return Section("confusion", "Confusion", tuple(parts))


def _matrix(run: RunFolder, result: EvaluationResult) -> Part:
    counts, names = occurring(result)

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots()
        _cells(axes, counts)
        _name_axes(axes, names)
        if len(names) <= _COUNTED:
            _write_counts(axes, counts)

    title = f"Confusion matrix: {run.name}, {result.figure}"
    caption = (
        f"{result.test_samples} test samples of {result.dataset} {result.split}, {result.stream}, "
        f"{result.convention}. Row: true class; column: predicted class; the darker, the larger the share of "
        "the row's samples. The diagonal, a thin line, is right. Columns have the numbers of the rows."
    )
    if len(names) < len(result.classes):
        caption += f" {len(names)} of {len(result.classes)} classes occur."
    if len(names) > _NAMED:
        caption += " They count the classes that occur, in the order of the data set, from 1."
    if result.draws:
        caption += " Of several draws, the first."
    alt = f"{int(np.trace(counts))} of {int(counts.sum())} samples lie on the diagonal, the right answers."
    name = draw.slug("confusion", run.name)
    return draw.figure(name, _size(len(names)), paint, title=title, alt=alt, caption=caption)


def _size(classes: int) -> tuple[float, float]:
    """Size in inches; a row is at least one line of text high if rows have names."""
    if classes > _NAMED:
        return draw.WIDTH, draw.WIDTH
    return draw.WIDTH if classes <= _NARROW else draw.WIDE, 0.7 + min(0.22, max(0.16, 5 / classes)) * classes


def occurring(result: EvaluationResult) -> tuple[NDArray[np.int64], list[str]]:
    """Counts and names of the classes that occur as true or predicted class of a test sample."""
    counts = np.array(result.confusion, dtype=np.int64)
    there = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    return counts[np.ix_(there, there)], [escaped(result.classes[index]) for index in there]


def _shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each row divided by its sum; the row of a class without samples stays zero."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _cells(axes: Axes, counts: NDArray[np.int64]) -> None:
    size, square = len(counts), Outline.unit_rectangle()
    shade = np.ceil(_shares(counts) * _SHADES).astype(int)
    for level in range(1, _SHADES + 1):
        cells = np.argwhere(shade == level)
        if len(cells):
            corners = cells[:, None, ::-1] - 0.5 + np.asarray(square.vertices)
            outline = Outline(corners.reshape(-1, 2), np.tile(np.asarray(square.codes), len(cells)))
            grey = str(round(0.95 - 0.95 * level / _SHADES, 2))
            axes.add_patch(PathPatch(outline, facecolor=grey, edgecolor="none"))
    axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
    axes.set_aspect("equal" if size > _NAMED else "auto")
    axes.plot([-0.5, size - 0.5], [-0.5, size - 0.5], color=draw.COLOURS[1], linewidth=0.5, zorder=0)
    axes.spines[["top", "right"]].set_visible(True)
    axes.set(xlabel="predicted class", ylabel="true class")


def _name_axes(axes: Axes, names: Sequence[str]) -> None:
    """Label rows with number and name, columns with the number; with many classes only every tenth number."""
    numbers = [str(place + 1) for place in range(len(names))]
    every = 10 if len(names) > _NAMED else 1
    columns = range(0, len(names), max(every, 1 if len(names) <= 12 else 2))
    axes.set_xticks(columns, [numbers[place] for place in columns])
    labels = [
        f"{draw.shortened(name, _LETTERS)} {number}" for name, number in zip(names, numbers, strict=True)
    ]
    rows = range(0, len(names), every)
    axes.set_yticks(rows, [numbers[row] if every > 1 else labels[row] for row in rows])


def _write_counts(axes: Axes, counts: NDArray[np.int64]) -> None:
    shares = _shares(counts)
    for row, column in np.argwhere(counts > 0):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour)


def _confused(run: RunFolder, result: EvaluationResult) -> Part:
    """A table of the pairs of classes that are confused most often."""
    counts, names = occurring(result)
    wrong, shares = counts * (1 - np.eye(len(counts), dtype=np.int64)), _shares(counts)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
    rows = tuple(
        (names[true], names[taken], str(wrong[true, taken]), percent(shares[true, taken]))
        for true, taken in zip(*np.unravel_index(order, wrong.shape), strict=True)
        if wrong[true, taken]
    )
    if not rows:
        return Note(f"{run.name}: no test sample is wrong.", kind="info")
    columns = ("true class", "taken for", "samples", "% of the class")
    return Table(f"Most frequent mistakes: {run.name}", columns, rows, frozenset({2, 3}), half=True)
