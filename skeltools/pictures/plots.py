"""Plots of a whole store, each of which answers one question about its data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from skeltools import store
from skeltools.inspect import statistics
from skeltools.inspect.survey import Survey, name_of_subject, survey
from skeltools.pictures import design, sheet
from skeltools.pictures.flat import flatten
from skeltools.pictures.painted import DPI, matplotlib_settings, painted
from skeltools.pictures.scene import Track
from skeltools.store import Store

FIRST, SECOND, REST = design.LIGHT["left_leg"], design.LIGHT["right_leg"], design.WHITE.line
"""Colours of halves: train, test, neither."""

WIDTH = 7.2
"""Width in inches: the text width of a page."""

NAMED = 150
"""Most classes that are drawn with their names."""


@dataclass(frozen=True, eq=False)
class Plot:
    """One plot."""

    name: str
    """Name of its files, without suffix."""
    title: str
    caption: str
    """A sentence on what to look for."""
    figure: Figure


def draw(path: Path) -> Iterator[Plot]:
    """The plots of a store, without those that would be empty. Raises StoreError."""
    opened, stats = store.open_store(path), statistics(path)
    surveys = {name: survey(path, name) for name in stats["conventions"]}
    names = {row["label"]: row["name"] for row in stats["classes"]}
    if names:
        yield _classes(opened, stats)
        yield _lengths(opened)
        yield _bodies(stats)
        yield from _coverage(opened)
    for name, each in surveys.items():
        if each.unseen.any():
            yield _unseen(name, each, names)
        if each.lengths.any():
            yield _bones(name, each)
    yield from _poses(surveys)
    if stats["findings"]["summary"]:
        yield _findings(stats)


# Samples


def _classes(opened: Store, stats: Mapping[str, Any]) -> Plot:
    rows = stats["classes"]
    label = store.read_column(opened, "samples/label")
    split = next(iter(stats["protocols"]), None)
    half = np.zeros(len(label), int) if split is None else store.read(opened, f"splits/{split}")
    place = np.arange(len(rows))
    height = min(0.16 * len(rows), 24.0) if len(rows) <= NAMED else 4.0

    def fill(axes: Axes) -> None:
        before = np.zeros(len(rows))
        parts = (
            ((1, "train", FIRST), (2, "test", SECOND), (0, "neither", REST)) if split else ((0, "", FIRST),)
        )
        for value, name, colour in parts:
            counts = np.array([np.sum((label == row["label"]) & (half == value)) for row in rows])
            if counts.any():
                axes.barh(place, counts, left=before, color=colour, label=name, height=0.75)
            before = before + counts
        axes.set(xlabel="samples", ylabel="class", ylim=(len(rows) - 0.5, -0.5))
        if len(rows) <= NAMED:
            axes.set_yticks(place, [_short(row["name"]) for row in rows])
        if split:
            axes.legend(
                title=split, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=8
            )

    return _plot(
        "classes",
        "Samples of each class",
        "Look for classes with few samples, and for halves that are not shared out alike: a mean over "
        "classes and one over samples then differ.",
        fill,
        height + 1.2,
    )


def _lengths(opened: Store) -> Plot:
    frames = store.read_column(opened, "samples/frames")

    def fill(axes: Axes) -> None:
        axes.hist(frames, bins=min(60, int(np.ptp(frames)) + 1), color=FIRST)
        middle = float(np.median(frames))
        axes.axvline(middle, color=SECOND, linestyle="--", label=f"median {middle:g}")
        axes.set(xlabel="frames of a sample", ylabel="samples")
        axes.legend(frameon=False, fontsize=8)

    return _plot(
        "frames",
        "How long samples are",
        "Look for samples much shorter than the length T of a stream, which are stretched, and for a peak at "
        "one length, where recordings were cut.",
        fill,
        2.8,
    )


def _bodies(stats: Mapping[str, Any]) -> Plot:
    def fill(axes: Axes) -> None:
        bars = axes.bar(list(stats["bodies"]), list(stats["bodies"].values()), color=FIRST, width=0.6)
        axes.bar_label(bars, fontsize=8)
        axes.set(xlabel="people in a sample", ylabel="samples")

    return _plot(
        "bodies",
        "How many people are in a sample",
        "Look for samples without anybody, and for more people than the actions have: they are passers-by, "
        "or furniture that was taken for a person.",
        fill,
        2.8,
    )


def _coverage(opened: Store) -> Iterator[Plot]:
    """Plots of pairs of the fields camera, subject and setup that have more than one value."""
    columns: dict[str, NDArray[Any]] = {
        name: store.read_column(opened, f"samples/{name}") for name in ("camera", "subject", "setup")
    }
    varying = {name: values for name, values in columns.items() if len(np.unique(values)) > 1}
    for name in ("subject", "setup"):
        if name in varying:
            other = "camera" if "camera" in varying else next((key for key in varying if key != name), None)
            if other is not None:
                yield _pairs(name, varying[name], other, varying[other])


def _pairs(name: str, values: NDArray[Any], other: str, others: NDArray[Any]) -> Plot:
    rows, row = np.unique(others, return_inverse=True)
    columns, column = np.unique(values, return_inverse=True)
    counts = np.zeros((len(rows), len(columns)), int)
    np.add.at(counts, (row, column), 1)

    def fill(axes: Axes) -> None:
        _heat(
            axes,
            counts,
            [name_of_subject(each) for each in rows],
            [name_of_subject(each) for each in columns],
            "samples",
        )
        axes.set(xlabel=name, ylabel=other)

    return _plot(
        f"{name}-{other}",
        f"Samples of each {name} and {other}",
        f"Look for a {name} that a {other} never saw: a split by {other} cannot be told from one by {name} "
        "there.",
        fill,
        min(0.2 * len(rows), 8) + 1.4,
    )


def _findings(stats: Mapping[str, Any]) -> Plot:
    rows = sorted(stats["findings"]["summary"], key=lambda row: -row["count"])

    def fill(axes: Axes) -> None:
        bars = axes.barh(
            [_short(row["problem"]) for row in rows], [row["count"] for row in rows], color=FIRST
        )
        axes.bar_label(bars, padding=3, fontsize=8)
        axes.set(xlabel="findings", ylabel="problem", ylim=(len(rows) - 0.5, -0.5))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))

    return _plot(
        "findings",
        "What the conversion found wrong",
        "Look the longest bars up with `skeltools docs findings`: each problem has its meaning and what to "
        "do there.",
        fill,
        0.25 * len(rows) + 1.0,
    )


# Poses


def _unseen(name: str, measures: Survey, names: Mapping[int, str]) -> Plot:
    percent = 100 * measures.share.T

    def fill(axes: Axes) -> None:
        classes = [_short(names[label], 18) for label in measures.labels]
        _heat(axes, percent, measures.spec.joints, classes, "not seen, % of bodies")
        axes.set(xlabel="class", ylabel="joint")
        axes.tick_params(axis="x", labelrotation=90)

    return _plot(
        f"unseen-{name}",
        f"Joints that were not seen, {name}",
        "Look for bright columns: where a class can be told by what is missing, an encoder learns what was "
        "hidden and not what was done.",
        fill,
        0.15 * measures.spec.num_joints + 2.2,
    )


def _bones(name: str, measures: Survey) -> Plot:
    bones = [f"{measures.spec.joints[a]} - {measures.spec.joints[b]}" for a, b in measures.spec.edges]
    people = [name_of_subject(subject) for subject in measures.subjects]
    flat = not np.isfinite(measures.pose).any() or not np.nan_to_num(measures.pose[:, 2]).any()
    unit = "the poses' unit" if flat else "cm"

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 3))
        scale = 1 if flat else 100
        for lengths in measures.mean:
            left.plot(
                scale * lengths, np.arange(len(bones)), "o", color=FIRST, alpha=0.5, markersize=3, mew=0
            )
        left.set(xlabel=f"mean length of each person, {unit}", ylabel="bone", xlim=(0, None))
        _heat(right, 100 * measures.variation.T, bones, people, "variation in a person, %")
        right.set(xlabel="subject")

    return _figure(
        f"bones-{name}",
        f"Are bones as long in all frames? {name}",
        "A person's bones do not change: look for bright rows, which are joints that the sensor guesses, "
        "bright columns, which are people it lost, and dots far from the others, which are joints in another "
        "order.",
        draw,
        0.15 * len(bones) + 1.2,
    )


def _poses(surveys: Mapping[str, Survey]) -> Iterator[Plot]:
    tracks = {name: _mean_track(name, each) for name, each in surveys.items()}
    shown = {name: track for name, track in tracks.items() if track is not None}
    if not shown:
        return
    flats = []
    for track in shown.values():
        flats += flatten([track], "front")
        flats += flatten([track], "side") if track.coordinates == "xyz" else []
    page = sheet.tiles(flats, None, words=True)
    made = sheet.animated(flats, 0, page, sheet.scales(flats, page), design.WHITE, title="")
    made.words = [word for word in made.words if not word.text.startswith("frame ")]
    yield Plot(
        "mean-pose",
        "The mean pose, from the front and from the side",
        "Look for a person who, turned until the shoulders lie across, stands upright and faces "
        "you: the left, which is blue, is at your right, joints of the right are hollow, and knees bend "
        "forward, which is to the left in the view from the side.",
        painted(made, page.width, page.height, design.WHITE),
    )


def _mean_track(name: str, measures: Survey) -> Track | None:
    seen = np.asarray(np.isfinite(measures.pose).all(axis=1))
    if not seen.any():
        return None
    joints = np.where(seen[:, None], measures.pose, 0).astype(np.float32)
    flat = not joints[:, 2].any()
    return Track(
        name,
        measures.spec,
        joints[None, None],
        np.ones((1, 1), bool),
        ~seen[None, None],
        coordinates="xy" if flat else "xyz",
    )


# Drawing


def _plot(name: str, title: str, caption: str, fill: Callable[[Axes], None], height: float) -> Plot:
    return _figure(name, title, caption, lambda figure: fill(figure.subplots()), height)


def _figure(name: str, title: str, caption: str, fill: Callable[[Figure], None], height: float) -> Plot:
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    with matplotlib_settings():
        fill(figure)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=7)
        for text in (axes.xaxis.label, axes.yaxis.label):
            text.set_fontsize(8.5)
        for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            text.set_parse_math(False)
    return Plot(name, title, caption, figure)


def _heat(axes: Axes, values: NDArray[Any], rows: Sequence[str], columns: Sequence[str], label: str) -> None:
    """Draw a cell for each value, grey where missing, with a scale and as many names as there is room for."""
    axes.set_facecolor(REST)
    shown = np.ma.masked_invalid(values)
    image = axes.imshow(shown, aspect="auto", cmap="cividis", vmin=0, interpolation="nearest")
    axes.get_figure().colorbar(image, ax=axes, label=label)  # type: ignore[union-attr]
    for names, set_ticks, room in ((rows, axes.set_yticks, 150), (columns, axes.set_xticks, 40)):
        step = -(-len(names) // room)
        set_ticks(np.arange(0, len(names), step), list(names)[::step])


def _short(text: str, most: int = 40) -> str:
    return sheet.shortened(" ".join(text.split()), most)
