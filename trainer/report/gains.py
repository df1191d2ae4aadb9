"""Per-class accuracy gain over a baseline, largest gain first, as in Fig. 5 of MS-CLR."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from schemas import EvaluationResult, SkelError, escaped
from trainer.evaluate import ensemble
from trainer.report import draw
from trainer.report.collect import RunFolder, headline, rank
from trainer.report.draw import WIDTH
from trainer.report.parts import Note, Part, Section
from trainer.run import SavedResult, kind_of, likes, measured_on

_MOST = 60
"""Maximum number of bars in a drawing: all classes of NTU-60; of more, both ends of the list."""


def gains_section(runs: Sequence[RunFolder], baseline: RunFolder | None) -> Section:
    others = [run for run in runs if run is not baseline]
    if baseline is None:
        note = Note("No baseline was named.", f"trainer report {runs[0].path} --baseline RUN")
        return Section("gains", "Gain of every class", (note,))
    return Section("gains", "Gain of every class", tuple(_gain(run, baseline) for run in others))


def shared(run: RunFolder, baseline: RunFolder) -> tuple[SavedResult, SavedResult] | None:
    """The most telling pair of results of both runs with the same figure, data set and split.

    Pairs of the same convention, stream and encoder come first. If the most telling protocol has no such
    pair, these may differ, as the caption then says.
    """
    for mine in run.ranked:
        same = [other for other in baseline.results if _alike(mine, other)]
        here = [each for each in run.results if each.result.figure == mine.result.figure]
        pairs = [pair for pair in likes(here, same) if _alike(*pair)]
        if pairs:
            return min(pairs, key=lambda pair: rank(pair[0], run.reference))
        nearest = headline([each for each in same if each.result.stream == mine.result.stream] or same)
        if nearest is not None:
            return mine, nearest
    return None


def _alike(one: SavedResult, other: SavedResult) -> bool:
    """Whether both are of the same protocol on the same test half."""
    return one.result.figure == other.result.figure and all(
        getattr(one.result, field) == getattr(other.result, field)
        for field in ("dataset", "split", "store_hash")
    )


def class_gains(one: EvaluationResult, other: EvaluationResult) -> list[tuple[str, float]]:
    """(class, difference in points) for the classes that both tested, largest gain first."""
    common = [name for name in one.per_class if name in other.per_class]
    gains = [(name, 100 * (one.per_class[name] - other.per_class[name])) for name in common]
    return sorted(gains, key=lambda gain: (-gain[1], gain[0]))


def _gain(run: RunFolder, baseline: RunFolder) -> Part:
    pair = shared(run, baseline)
    if pair is None:
        text = f"{run.name} and {baseline.name} have no result of the same protocol on the same test half."
        return Note(text, f"{run.command('linear')}; {baseline.command('linear')}")
    mine, theirs = pair
    gains = class_gains(mine.result, theirs.result)
    shown = gains if len(gains) <= _MOST else [*gains[: _MOST // 2], *gains[-_MOST // 2 :]]
    better = sum(points > 0 for _, points in gains)
    worse = sum(points < 0 for _, points in gains)
    total = 100 * (mine.result.top1 - theirs.result.top1)
    alt = (
        f"{better} classes gain, {worse} lose; over all {total:+.1f} points. Most: {escaped(gains[0][0])} "
        f"{gains[0][1]:+.1f}; least: {escaped(gains[-1][0])} {gains[-1][1]:+.1f}."
    )
    left_out = f" Of {len(gains)} classes the {_MOST} at the ends." if len(shown) < len(gains) else ""
    caption = (
        f"Top-1 accuracy of each class in {mine.result.figure}, {run.name} minus {baseline.name}, in points, "
        f"by size.{left_out} Plain bars: gains; hatched bars: losses. A class of few test samples jumps: "
        f"{mine.result.test_samples} samples are {mine.result.test_samples / max(len(gains), 1):.0f} a class."
    )
    caption += _significance(mine, theirs)
    caption += f" {run.name}: {measured_on(mine.result)}; {baseline.name}: {measured_on(theirs.result)}."
    if kind_of(mine) != kind_of(theirs):
        caption += (
            " Not like with like: a part of the difference is that of convention, stream or ensemble; "
            "evaluate both on the same."
        )
    name = draw.slug("gain", run.name)
    size = (WIDTH, 0.8 + 0.16 * len(shown))
    title = f"Gain over {baseline.name}: {run.name}"
    return draw.figure(
        name, size, lambda canvas: _bars(canvas, shown, total), title=title, alt=alt, caption=caption
    )


def _significance(mine: SavedResult, theirs: SavedResult) -> str:
    """McNemar's test over all samples, if both have scores of the same samples; empty otherwise."""
    try:
        test = ensemble.compare(mine, theirs)
    except SkelError:
        return ""
    return (
        f" McNemar's test of all samples ({test.test}): {test.only_first} are right here alone, "
        f"{test.only_second} there alone; p = {test.p:.2g}."
    )


def _bars(canvas: Canvas, gains: Sequence[tuple[str, float]], total: float) -> None:
    axes: Axes = canvas.subplots()
    for place, (_, points) in enumerate(gains):
        gained = points >= 0
        axes.barh(
            place,
            points,
            height=0.72,
            color=draw.COLOURS[0] if gained else "white",
            edgecolor=draw.COLOURS[0] if gained else draw.COLOURS[1],
            hatch=None if gained else "/////",
        )
        axes.annotate(
            f"{points:+.1f}" if points else "0",
            (points, place),
            (3 if gained else -3, 0),
            textcoords="offset points",
            ha="left" if gained else "right",
            va="center",
        )
    axes.set_yticks(range(len(gains)), [draw.shortened(escaped(name), 24) for name, _ in gains])
    axes.set_ylim(len(gains) - 0.4, -0.6)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.axvline(total, color="black", linewidth=0.8, linestyle=":")
    axes.annotate(
        f"all: {total:+.1f}",
        (total, 1),
        (3, 2),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
    )
    axes.margins(x=0.3)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.set_xlabel("gain, percentage points")
