"""What the log says over the epochs: loss, similarities, kNN, and the state of embeddings and queue.

Which metrics there are depends on the method (docs/reference/methods.md). Similarities are drawn as in
Fig. 4 of SkeleMixCLR: easy pairs solid, the hard ones that a method makes dashed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from schemas import SkelError
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
_INTRO = "Means of every epoch, as the log has them. A line that lies on another one is told with it: a = b."
_RANDOM = "random encoder"
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
            drawn = [*_loss(run), *_similarities(run), *_state(run)]
            parts += [_told_before(each, parts) for each in drawn]
        else:
            init = run.config.init_from
            imported = init is not None and init.kind == "released"
            reason = "imported weights have no log" if imported else "no epoch is finished yet"
            parts.append(Note(f"{run.name}: {reason}, so there are no curves.", kind="info"))
    return Section("curves", "Training", tuple(parts), _INTRO)


def _told_before(figure: Figure, parts: Sequence[Part]) -> Figure:
    """How to read a drawing is told at the first of its kind."""
    told = any(isinstance(part, Figure) and part.caption == figure.caption for part in parts)
    return replace(figure, caption="") if told else figure


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


def told_once(lines: Sequence[Line]) -> list[Line]:
    """Lines that lie on one another, to a two-hundredth of the drawing's height, as one with both names."""
    values = [value for each in lines for value in each.values]
    near = (max(values) - min(values)) / 200 if values else 0.0
    kept: list[Line] = []
    for each in lines:
        place = next((place for place, other in enumerate(kept) if _coincide(other, each, near)), None)
        if place is None:
            kept.append(each)
        else:
            kept[place] = replace(kept[place], label=f"{kept[place].label} = {each.label}")
    return kept


def _coincide(one: Line, other: Line, near: float) -> bool:
    return one.epochs == other.epochs and all(
        abs(a - b) <= near for a, b in zip(one.values, other.values, strict=True)
    )


def _loss(run: RunFolder) -> list[Figure]:
    known = {*_PLACE, *EASY, *HARD, *STATE, "loss", "info_nce"}
    named = [
        metric
        for metric in dict.fromkeys(name for record in run.epochs for name in record)
        if metric not in known and not metric.startswith(("monitor_", "positive_", "mined_"))
    ]
    lines = [each for name in ("loss", "info_nce", *named) if (each := line(run, name))]
    caption = (
        "loss is what was minimised; info_nce is InfoNCE of the normal view, the same thing in every stage "
        "and method. Losses of different methods are not comparable."
    )
    return _drawn(run, "loss", "Loss", lines, "loss", caption)


def _similarities(run: RunFolder) -> list[Figure]:
    easy = [each for name, label in EASY.items() if (each := line(run, name, label))]
    streams = [
        each
        for name in dict.fromkeys(name for record in run.epochs for name in record)
        if name.startswith("positive_") and (each := line(run, name, f"query and its key, {name[9:]}"))
    ]
    hard = [each for name, label in HARD.items() if (each := line(run, name, label, hard=True))]
    caption = (
        "Mean cosine of pairs. Solid: the easy pairs, a query with its own key and with the queue. Dashed: "
        "the harder pairs that the method makes. As in Fig. 4 of SkeleMixCLR."
    )
    return _drawn(run, "similarity", "Similarities", [*easy, *streams, *hard], "cosine", caption)


def _drawn(
    run: RunFolder, kind: str, title: str, lines: Sequence[Line], unit: str, caption: str
) -> list[Figure]:
    if not lines:
        return []
    shown = told_once(lines)[:_MOST]

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for index, each in enumerate(shown):
            look = draw.style(index, markers=len(each.epochs) <= 40) | _width(index)
            look |= {"linestyle": "--" if each.hard else "-"}
            axes.plot(each.epochs, each.values, **look, label=each.label)
        axes.set_ylabel(unit)
        _frame(axes, [value for each in shown for value in each.values], run.config.optimise.epochs)
        _mark_stages(axes, run)
        draw.legend(canvas, axes)

    return [
        draw.figure(
            draw.slug(kind, run.name),
            (WIDTH, 2.3 + draw.legend_height([each.label for each in shown])),
            paint,
            title=f"{title}: {run.name}",
            alt=f"{title} over {len(run.epochs)} epochs. {_ends(lines)}",
            caption=caption,
        )
    ]


def _width(index: int) -> dict[str, Any]:
    """Later lines are thinner, so that those below them are still seen where they meet."""
    return {"linewidth": max(1.2, 2.4 - 0.4 * index), "fillstyle": "full" if index % 2 else "none"}


def _frame(axes: Axes, values: Sequence[float], epochs: int, *, least: float = 0.1) -> None:
    """Whole epochs from the first to the last one below; beside, a span of at least a tenth of the values'
    size (``least``: its lower bound), so that what hardly moves does not look as if it did."""
    axes.set_xlabel("epoch")
    axes.set_xticks(whole_ticks(epochs))
    axes.set_xlim(min(0.5, 1 - 0.03 * epochs), epochs + max(0.5, 0.03 * epochs))
    low, high = min(values), max(values)
    missing = max(0.0, max(least, 0.1 * max(abs(low), abs(high))) - (high - low)) / 2
    room = 0.1 * (high - low + 2 * missing)
    axes.set_ylim(low - missing - room, high + missing + room)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))


def whole_ticks(epochs: int) -> list[int]:
    """Epochs to write below an axis: round steps, and always the first and the last one.

    >>> whole_ticks(1), whole_ticks(8), whole_ticks(24), whole_ticks(300)
    ([1], [1, 2, 4, 6, 8], [1, 5, 10, 15, 20, 24], [1, 50, 100, 150, 200, 250, 300])
    """
    step = next(step for step in _steps() if epochs / step <= 6)
    inner = (tick for tick in range(step, epochs, step) if 2 * (epochs - tick) > step)
    return sorted({1, epochs, *inner})


def _steps() -> Iterator[int]:
    for power in count():
        yield from (10**power, 2 * 10**power, 5 * 10**power)


def _mark_stages(axes: Axes, run: RunFolder) -> None:
    """A line where a stage begins that the run reached, and a mark where an alarm rang."""
    reached = [stage for stage in methods.stages(run.config.method) if stage.start < len(run.epochs)]
    top = axes.get_xaxis_transform()
    for number, stage in enumerate(reached if len(reached) > 1 else [], start=1):
        at = stage.start + 0.5
        axes.axvline(at, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.text(at, 1.02, f" stage {number}: {stage.name}", transform=top)
    for alarm in run.alarms:
        axes.axvline(alarm["epoch"], color="black", linewidth=0.8, linestyle=":")
        axes.text(alarm["epoch"], 0.02, f" ! {alarm.get('kind', '')}", transform=top)


def _state(run: RunFolder) -> list[Figure]:
    lines = [each for name, label in STATE.items() if (each := line(run, name, label))]
    if not lines:
        return []

    def paint(canvas: Canvas) -> None:
        grid = canvas.subplots(len(lines), 1, squeeze=False, sharex=True)
        for axes, each in zip(grid.flat, lines, strict=True):
            look = {"marker": "o"} if len(each.epochs) <= 40 else {}
            axes.plot(each.epochs, each.values, color=draw.COLOURS[0], fillstyle="none", **look)
            _frame(axes, each.values, run.config.optimise.epochs)
            axes.set_title(each.label)
            axes.set_ylim(bottom=min(0.0, *each.values), top=1.12 * max(*each.values, 0.1))
            axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
            axes.label_outer()
        if lines[0].label == STATE["feature_std"]:
            grid.flat[0].axhline(COLLAPSED, color="black", linestyle=":", linewidth=1)
            grid.flat[0].text(lines[0].epochs[0], COLLAPSED, "alarm below", va="bottom")

    caption = (
        "Spread of a batch's query embeddings: 1 when they point everywhere, 0 when all are one point; the "
        f"alarm rings below {COLLAPSED}. Distance of the key network's weights from the query network's: 0 "
        "equal, about 1.4 unrelated. Labels of mined neighbours are looked at afterwards and train nothing."
    )
    size = (WIDTH, 0.3 + 0.95 * len(lines))
    name, title = draw.slug("state", run.name), f"Embeddings and queue: {run.name}"
    return [draw.figure(name, size, paint, title=title, alt=_ends(lines), caption=caption)]


def _knn(runs: Sequence[RunFolder]) -> Figure | Note:
    """The monitor of all runs in one drawing: the same measure on all of them."""
    lines = [(place, each) for place, run in enumerate(runs) for each in _monitored(run, many=len(runs) > 1)]
    if not lines:
        command = "trainer pretrain ... --set runtime.knn_every=5"
        return Note("kNN was not measured during training.", command)
    random = [] if len(runs) > 1 else _random_knn(runs[0])

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for place, each in lines:
            look = draw.style(place) | {"linestyle": "--" if each.hard else "-"}
            axes.plot(
                each.epochs, each.values, **look, fillstyle="none" if each.hard else "full", label=each.label
            )
        for value in random:
            axes.axhline(value, color=GREY, linestyle=":", label=_RANDOM)
        values = [value for _, each in lines for value in each.values] + random
        _frame(axes, values, max(run.config.optimise.epochs for run in runs), least=10)
        axes.set_ylabel("kNN accuracy, %")
        if len(runs) == 1:
            _mark_stages(axes, runs[0])
        draw.legend(canvas, axes)

    caption = (
        "Accuracy of the nearest neighbours on the test half, looked at while training: a monitor, not a "
        "result, for it sees the test half often. The last epoch's is that of the evaluation, where the run "
        "has one. Of several encoders it is the first."
    )
    names = [each.label for _, each in lines] + [_RANDOM] * len(random)
    return draw.figure(
        "knn-over-epochs",
        (WIDTH, 2.3 + draw.legend_height(names)),
        paint,
        title="kNN while training",
        alt=f"kNN accuracy in % over the epochs. {_ends([each for _, each in lines])}",
        caption=caption,
    )


def _monitored(run: RunFolder, *, many: bool) -> list[Line]:
    """Percent, of 20 neighbours and of one, with the evaluation of the last epoch behind them."""
    prefix = f"{run.name}, " if many else ""
    found = []
    for metric, k in (("monitor_knn", 20), ("monitor_knn1", 1)):
        each = line(run, metric, f"{prefix}k = {k}", hard=k == 1)
        if each is not None:
            points = dict(zip(each.epochs, each.values, strict=True)) | _evaluated(run, k)
            values = tuple(100 * points[epoch] for epoch in sorted(points))
            found.append(replace(each, epochs=tuple(sorted(points)), values=values))
    return found


def _evaluated(run: RunFolder, k: int) -> dict[int, float]:
    """Epoch -> accuracy of evaluations that measured what the monitor does, of the encoder that it takes."""
    try:
        name = None if run.opened is None else next(iter(run.opened.method.encoders))
    except SkelError:  # its store is gone
        return {}
    return {
        saved.result.epoch: saved.result.top1
        for saved in run.results
        if saved.result.protocol.startswith("knn")
        and saved.result.settings.get("k") == k
        and saved.result.settings.get("temperature", 0.1) == 0.1
        and (saved.result.convention, saved.result.encoder) == (run.reference, name)
        and saved.result.split == run.config.data.split
        and saved.result.checkpoint_hash
    }


def _random_knn(run: RunFolder) -> list[float]:
    """What the encoder is worth without training, in percent, when a result knows it."""
    known = [saved.result.random_knn for saved in run.results if saved.result.random_knn is not None]
    return [100 * value for value in known[:1]]


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
