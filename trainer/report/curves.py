"""What the log says over the epochs: loss, similarities, kNN, and the state of embeddings and queue.

Which metrics there are depends on the method (docs/reference/methods.md). Similarities are drawn as in
Fig. 4 of SkeleMixCLR: easy pairs solid, the hard ones that a method makes dashed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from trainer import methods
from trainer.loop.watch import COLLAPSED
from trainer.report import draw
from trainer.report.collect import RunFolder
from trainer.report.draw import GREY, WIDTH
from trainer.report.parts import Figure, Note, Part, Section, Table

EASY = {"positive": "query and its key", "negative": "query and queue"}
HARD = {
    "extreme": "extreme view and key",
    "trimmed": "trimmed view and its key",
    "truncated": "truncated view and its key",
    "between": "trimmed and truncated view",
}
STATE = {
    "feature_std": "spread of the embeddings",
    "query_key_distance": "distance of key and query weights",
    "queue_age": "age of the queue (epochs)",
    "mined_same_label": "mined neighbours of the same class",
    "mined_itself": "mined neighbours that are the clip itself",
}
_PLACE = {"event", "epoch", "step", "stage", "stage_name", "lr", "clips_per_second", "queue_random"}
_MOST = len(draw.COLOURS)
"""Lines of one drawing: as many as have a colour of their own."""


@dataclass(frozen=True)
class Line:
    """A metric over the epochs."""

    label: str
    epochs: tuple[int, ...]
    values: tuple[float, ...]
    hard: bool = False


def curves_section(runs: Sequence[RunFolder]) -> Section:
    """kNN of all runs in one drawing, the other curves run by run, alarms in a table."""
    parts: list[Part] = [*_alarms(runs), _knn(runs)]
    for run in runs:
        if run.epochs:
            parts += [*_loss(run), *_similarities(run), *_state(run)]
        else:
            init = run.config.init_from
            imported = init is not None and init.kind == "released"
            reason = "imported weights have no log" if imported else "no epoch is finished yet"
            parts.append(Note(f"{run.name}: {reason}, so there are no curves.", kind="info"))
    return Section("curves", "Training", tuple(parts))


def line(run: RunFolder, metric: str, label: str = "", *, hard: bool = False) -> Line | None:
    """The finite values of a metric, or None when the log never has one."""
    points = [
        (record["epoch"], float(record[metric]))
        for record in run.epochs
        if isinstance(record.get(metric), int | float) and math.isfinite(record[metric])
    ]
    if not points:
        return None
    epochs, values = zip(*points, strict=True)
    return Line(label or metric, epochs, values, hard)


def _loss(run: RunFolder) -> list[Part]:
    known = {*_PLACE, *EASY, *HARD, *STATE, "loss", "info_nce"}
    named = [
        metric
        for metric in dict.fromkeys(name for record in run.epochs for name in record)
        if metric not in known and not metric.startswith(("monitor_", "positive_", "mined_"))
    ]
    found = [each for name in ("loss", "info_nce", *named) if (each := line(run, name))][:_MOST]
    caption = (
        "Mean of every epoch. loss is what was minimised; info_nce is InfoNCE of the normal view, the same "
        "thing in every stage and method. Losses of different methods are not comparable."
    )
    return _drawn(run, "loss", "Loss", found, "loss", caption)


def _similarities(run: RunFolder) -> list[Part]:
    easy = [each for name, label in EASY.items() if (each := line(run, name, label))]
    streams = [
        each
        for name in dict.fromkeys(name for record in run.epochs for name in record)
        if name.startswith("positive_") and (each := line(run, name, f"query and its key, {name[9:]}"))
    ]
    hard = [each for name, label in HARD.items() if (each := line(run, name, label, hard=True))]
    caption = (
        "Mean cosine of pairs, by epoch. Solid: the easy pairs, a query with its own key (positive) and with "
        "the queue (negative). Dashed: the harder pairs that the method makes. As in Fig. 4 of SkeleMixCLR."
    )
    return _drawn(run, "similarity", "Similarities", [*easy, *streams, *hard][:_MOST], "cosine", caption)


def _drawn(
    run: RunFolder, kind: str, title: str, lines: Sequence[Line], unit: str, caption: str
) -> list[Part]:
    if not lines:
        return []

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots()
        _plot(axes, lines)
        axes.set_ylabel(unit)
        _mark_stages(axes, run)

    return [
        draw.figure(
            draw.slug(kind, run.name),
            (WIDTH, 2.5),
            paint,
            title=f"{title}: {run.name}",
            alt=f"{title} over {len(run.epochs)} epochs. {_ends(lines)}",
            caption=caption,
        )
    ]


def _plot(axes: Axes, lines: Sequence[Line]) -> None:
    """Lines with their names behind their ends; markers where they are few enough to be told apart."""
    for index, each in enumerate(lines):
        look = draw.style(index, markers=len(each.epochs) <= 40)
        solid = "--" if each.hard else "-"
        axes.plot(
            each.epochs, each.values, **look | {"linestyle": solid}, fillstyle="full" if index % 2 else "none"
        )
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9))
    axes.margins(y=0.12)
    ends = [
        (each.epochs[-1], each.values[-1], each.label, draw.COLOURS[index % len(draw.COLOURS)])
        for index, each in enumerate(lines)
    ]
    draw.label_ends(axes, ends)


def _mark_stages(axes: Axes, run: RunFolder) -> None:
    """A line where a stage begins that the run reached, and a mark where an alarm rang."""
    reached = [stage for stage in methods.stages(run.config.method) if stage.start < len(run.epochs)]
    top = axes.get_xaxis_transform()
    for number, stage in enumerate(reached if len(reached) > 1 else [], start=1):
        at = stage.start + 0.5
        axes.axvline(at, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.text(at, 1.02, f" stage {number}: {stage.name}", transform=top, fontsize=7.5)
    for alarm in run.alarms:
        axes.axvline(alarm["epoch"], color="black", linewidth=0.8, linestyle=":")
        axes.text(alarm["epoch"], 0.02, f" ! {alarm.get('kind', '')}", transform=top, fontsize=7.5)


def _state(run: RunFolder) -> list[Part]:
    found = [each for name, label in STATE.items() if (each := line(run, name, label))]
    if not found:
        return []

    def paint(canvas: Canvas) -> None:
        grid = canvas.subplots(math.ceil(len(found) / 3), min(3, len(found)), squeeze=False)
        for axes in grid.flat[len(found) :]:
            axes.set_axis_off()
        for axes, each in zip(grid.flat, found, strict=False):
            axes.plot(
                each.epochs,
                each.values,
                color=draw.COLOURS[0],
                marker="o",
                fillstyle="none",
                markevery=max(1, len(each.epochs) // 20),
            )
            axes.set_title(each.label, fontsize=8)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
            axes.set_ylim(bottom=min(0.0, *each.values), top=1.08 * max(*each.values, 0.1))
        if found[0].label == STATE["feature_std"]:
            grid.flat[0].axhline(COLLAPSED, color="black", linestyle=":", linewidth=1)
            grid.flat[0].text(found[0].epochs[0], COLLAPSED, "alarm below", fontsize=7, va="bottom")

    caption = (
        "Spread of a batch's query embeddings: 1 when they point everywhere, 0 when all are one point; the "
        f"alarm rings below {COLLAPSED}. Distance of the key network's weights from the query network's: 0 "
        "equal, about 1.4 unrelated. Labels of mined neighbours are looked at afterwards and train nothing."
    )
    size = (WIDTH, 1.9 * math.ceil(len(found) / 3))
    name, title = draw.slug("state", run.name), f"Embeddings and queue: {run.name}"
    return [draw.figure(name, size, paint, title=title, alt=_ends(found), caption=caption)]


def _knn(runs: Sequence[RunFolder]) -> Figure | Note:
    """The monitor of all runs in one drawing: the same measure on all of them."""
    lines = []
    for run in runs:
        prefix = f"{run.name}, " if len(runs) > 1 else ""
        found = (
            line(run, "monitor_knn", f"{prefix}k = 20"),
            line(run, "monitor_knn1", f"{prefix}k = 1", hard=True),
        )
        lines.append((run, [each for each in found if each]))
    if not any(found for _, found in lines):
        command = "trainer pretrain ... --set runtime.knn_every=5"
        return Note("kNN was not measured during training.", command)

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots()
        ends: list[tuple[float, float, str, str]] = []
        for index, (run, found) in enumerate(lines):
            look = draw.style(index)
            for each in found:
                values = [100 * value for value in each.values]
                dashes = {"linestyle": "--", "fillstyle": "none"} if each.hard else {"linestyle": "-"}
                axes.plot(each.epochs, values, **look | dashes)
                ends.append((each.epochs[-1], values[-1], each.label, look["color"]))
            if len(runs) == 1:
                ends += _guide(axes, run, at=ends[-1][0])
        axes.set_xlabel("epoch")
        axes.set_ylabel("kNN accuracy, %")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9))
        axes.margins(y=0.12)
        draw.label_ends(axes, ends)
        if len(runs) == 1:
            _mark_stages(axes, runs[0])

    grey = " Grey: the same encoder with random weights." if len(runs) == 1 and runs[0].results else ""
    caption = (
        "Accuracy of the nearest neighbours on the test half, looked at while training: a monitor, not a "
        "result, for it sees the test half often. Solid: 20 neighbours, dashed: the nearest one. Of several "
        f"encoders it is the first.{grey}"
    )
    alt = "kNN accuracy over the epochs. " + " ".join(_ends(found) for _, found in lines if found)
    return draw.figure(
        "knn-over-epochs", (WIDTH, 2.6), paint, title="kNN while training", alt=alt, caption=caption
    )


def _guide(axes: Axes, run: RunFolder, *, at: float) -> list[tuple[float, float, str, str]]:
    """What the encoder is worth without training, when a result knows it; its name stands at epoch ``at``."""
    known = [found.result.random_knn for found in run.results if found.result.random_knn is not None]
    if not known:
        return []
    axes.axhline(100 * known[0], color=GREY, linestyle=":")
    return [(at, 100 * known[0], "random encoder", GREY)]


def _alarms(runs: Sequence[RunFolder]) -> list[Part]:
    rows = tuple(
        (run.name, str(alarm["epoch"]), str(alarm.get("kind", "")), str(alarm.get("text", "")))
        for run in runs
        for alarm in run.alarms
    )
    if not rows:
        return []
    return [Table("Alarms from the log", ("run", "epoch", "alarm", "text"), rows, frozenset({1}))]


def _ends(lines: Sequence[Line]) -> str:
    """First and last value of every line, for those who read."""
    return "; ".join(f"{each.label}: {each.values[0]:.3g} to {each.values[-1]:.3g}" for each in lines) + "."
