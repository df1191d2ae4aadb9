"""Curves of the log over the epochs: loss, similarities, kNN, and the state of embeddings and queue.

The metrics available depend on the method (docs/reference/methods.md). Similarities are drawn as in Fig. 4 of
SkeleMixCLR: easy pairs solid, the hard pairs that a method creates dashed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from schemas import SkelError
from trainer.loop.watch import COLLAPSED
from trainer.report import draw
from trainer.report.collect import RunFolder
from trainer.report.draw import GREY, WIDTH
from trainer.report.lines import Line, ends, frame, line, mark_stages, merged
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
    "monitor_rankme": "RankMe: dimensions that features use",
    "monitor_lidar": "LiDAR: dimensions that tell clips apart",
    "query_key_distance": "distance of key and query weights",
    "queue_age": "age of the queue (epochs)",
    "mined_same_label": "mined neighbours of the same class",
    "mined_itself": "mined neighbours that are the clip itself",
}
_PLACE = {"event", "epoch", "step", "stage", "stage_name", "lr", "clips_per_second", "queue_random"}
_INTRO = "Means of every epoch, as the log has them. A line that lies on another one is told with it: a = b."
_RANDOM = "random encoder"
_MOST = len(draw.COLOURS)
"""Maximum number of lines in a drawing: one for each colour."""


def curves_section(runs: Sequence[RunFolder]) -> Section:
    """kNN of all runs in one drawing, the other curves for each run, and alarms in a table."""
    parts: list[Part] = [*_alarms(runs), _knn(runs)]
    for run in runs:
        if run.epochs:
            drawn = [*_loss(run), *_similarities(run), *_state(run)]
            parts += [_without_repeated_caption(each, parts) for each in drawn]
        else:
            init = run.config.init_from
            imported = init is not None and init.kind == "released"
            reason = "imported weights have no log" if imported else "no epoch is finished yet"
            parts.append(Note(f"{run.name}: {reason}, so there are no curves.", kind="info"))
    return Section("curves", "Training", tuple(parts), _INTRO)


def _without_repeated_caption(figure: Figure, parts: Sequence[Part]) -> Figure:
    """Drop a caption that an earlier drawing already has."""
    repeated = any(isinstance(part, Figure) and part.caption == figure.caption for part in parts)
    return replace(figure, caption="") if repeated else figure


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
    shown = merged(lines)[:_MOST]

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for index, each in enumerate(shown):
            look = draw.style(index, markers=len(each.epochs) <= 40) | _width(index)
            look |= {"linestyle": "--" if each.hard else "-"}
            axes.plot(each.epochs, each.values, **look, label=each.label)
        axes.set_ylabel(unit)
        frame(axes, [value for each in shown for value in each.values], run.config.optimise.epochs)
        mark_stages(axes, run)
        draw.legend(canvas, axes)

    return [
        draw.figure(
            draw.slug(kind, run.name),
            (WIDTH, 2.3 + draw.legend_height([each.label for each in shown])),
            paint,
            title=f"{title}: {run.name}",
            alt=f"{title} over {len(run.epochs)} epochs. {ends(lines)}",
            caption=caption,
        )
    ]


def _width(index: int) -> dict[str, Any]:
    """Later lines are thinner, so that earlier ones remain visible where they overlap."""
    return {"linewidth": max(1.2, 2.4 - 0.4 * index), "fillstyle": "full" if index % 2 else "none"}


def _state(run: RunFolder) -> list[Figure]:
    lines = [each for name, label in STATE.items() if (each := line(run, name, label))]
    if not lines:
        return []

    def paint(canvas: Canvas) -> None:
        grid = canvas.subplots(len(lines), 1, squeeze=False, sharex=True)
        for axes, each in zip(grid.flat, lines, strict=True):
            look = {"marker": "o"} if len(each.epochs) <= 40 else {}
            axes.plot(each.epochs, each.values, color=draw.COLOURS[0], fillstyle="none", **look)
            frame(axes, each.values, run.config.optimise.epochs)
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
        "equal, about 1.4 unrelated. RankMe and LiDAR: how many dimensions the features use, all of them and "
        "those in which clips differ more than views of a clip. Labels of mined neighbours are looked at "
        "afterwards and train nothing."
    )
    size = (WIDTH, 0.3 + 0.95 * len(lines))
    name, title = draw.slug("state", run.name), f"Embeddings and queue: {run.name}"
    return [draw.figure(name, size, paint, title=title, alt=ends(lines), caption=caption)]


def _knn(runs: Sequence[RunFolder]) -> Figure | Note:
    """The kNN monitor of all runs in one drawing, because the measure is the same for all."""
    lines = [(place, each) for place, run in enumerate(runs) for each in _monitored(run, many=len(runs) > 1)]
    if not lines:
        command = "trainer pretrain ... --set runtime.knn_every=5"
        return Note("kNN was not measured during training.", command)
    results = () if len(runs) > 1 else runs[0].results
    random = [100 * saved.result.random_knn for saved in results if saved.result.random_knn is not None][:1]

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
        frame(axes, values, max(run.config.optimise.epochs for run in runs), least=10)
        axes.set_ylabel("kNN accuracy, %")
        if len(runs) == 1:
            mark_stages(axes, runs[0])
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
        alt=f"kNN accuracy in % over the epochs. {ends([each for _, each in lines])}",
        caption=caption,
    )


def _monitored(run: RunFolder, *, many: bool) -> list[Line]:
    """Accuracy in percent with 20 neighbours and with one, followed by evaluations of the same measure."""
    prefix = f"{run.name}, " if many else ""
    lines = []
    for metric, k in (("monitor_knn", 20), ("monitor_knn1", 1)):
        each = line(run, metric, f"{prefix}k = {k}", hard=k == 1)
        if each is not None:
            points = dict(zip(each.epochs, each.values, strict=True)) | _evaluated(run, k)
            values = tuple(100 * points[epoch] for epoch in sorted(points))
            lines.append(replace(each, epochs=tuple(sorted(points)), values=values))
    return lines


def _evaluated(run: RunFolder, k: int) -> dict[int, float]:
    """Epoch -> accuracy of evaluations that measure the same as the monitor, with the same encoder."""
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


def _alarms(runs: Sequence[RunFolder]) -> list[Part]:
    rows = tuple(
        (run.name, str(alarm["epoch"]), str(alarm.get("kind", "")), str(alarm.get("text", "")))
        for run in runs
        for alarm in run.alarms
    )
    if not rows:
        return []
    return [Table("Alarms from the log", ("run", "epoch", "alarm", "text"), rows, frozenset({1}))]
