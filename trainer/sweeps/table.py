"""The table of a sweep: a line for each result, and means over seeds."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from schemas import EvaluationResult
from schemas.system import replacing
from trainer.run import CONFIG, SavedResult, read_result, read_results
from trainer.sweeps.plan import Plan, Task

TABLE = "table.csv"
SEEDS = ("seed", "runtime.seed")
"""Axes over which figures are averaged."""

Line = dict[str, Any]


@dataclass(frozen=True)
class Mean:
    """A figure over the seeds of one combination of the other axes."""

    axes: dict[str, str]
    figure: str
    measured: tuple[str, str]
    """Convention, and encoder or stream."""
    values: tuple[float, ...]
    """Top-1 in percent, one for each seed."""

    def __str__(self) -> str:
        spread = f" ± {stdev(self.values):.1f} ({len(self.values)})" if len(self.values) > 1 else ""
        return f"{mean(self.values):.1f}{spread}"


def lines(plan: Plan) -> list[Line]:
    """A line for each existing result of each run and ensemble, in the order of the file.

    Its keys: the axes of all grids, then ``run``, ``figure``, ``convention``, ``stream``, ``encoder``,
    ``top1``, ``low``, ``high`` and ``best_top1`` in percent, counts, ``epoch``, ``epochs``, ``seconds`` and
    ``file``. Results of checkpoints kept besides the last one are excluded.
    """
    axes = _axes(plan)
    return [
        {**{axis: task.axes.get(axis, "") for axis in axes}, "run": task.name, **_fields(saved)}
        for task in (*plan.runs, *plan.ensembles)
        for saved in _results(task)
        if not saved.of_kept
    ]


def means(plan: Plan, entries: Sequence[Line]) -> list[Mean]:
    """The figures of ``entries``, with those that differ only in the seed grouped together."""
    axes = [axis for axis in _axes(plan) if axis not in SEEDS]
    groups: dict[tuple[str, ...], list[Line]] = {}
    for line in entries:
        key = (*(line[axis] for axis in axes), line["figure"], line["convention"], _of(line))
        groups.setdefault(key, []).append(line)
    return [
        Mean(
            {axis: each[0][axis] for axis in axes},
            each[0]["figure"],
            (each[0]["convention"], _of(each[0])),
            tuple(line["top1"] for line in each),
        )
        for each in groups.values()
    ]


def write(plan: Plan, entries: Sequence[Line]) -> Path:
    """Write ``table.csv`` to the folder of the sweep atomically."""
    path = plan.out / TABLE
    with replacing(path) as partial:
        partial.write_text(as_csv(entries), encoding="utf-8")
    return path


def as_csv(entries: Sequence[Line]) -> str:
    text = io.StringIO()
    if entries:
        rows = csv.DictWriter(text, list(entries[0]), lineterminator="\n")
        rows.writeheader()
        rows.writerows(entries)
    return text.getvalue()


def _axes(plan: Plan) -> list[str]:
    """The axes of all grids; those of an ensemble are those of its runs."""
    return list(dict.fromkeys(axis for task in plan.runs for axis in task.axes))


def _of(line: Line) -> str:
    return str(line["encoder"] or line["stream"])


def _results(task: Task) -> Iterator[SavedResult]:
    if task.members:
        if task.folder.is_file():
            yield read_result(task.folder)
    elif (task.folder / CONFIG).is_file():
        yield from read_results(task.folder)


def _fields(saved: SavedResult) -> Line:
    result = saved.result
    low, high = result.interval or (None, None)
    return {
        "figure": _figure(result),
        "convention": result.convention,
        "stream": result.stream,
        "encoder": result.encoder,
        "top1": _percent(result.top1),
        "low": _percent(low),
        "high": _percent(high),
        "best_top1": _percent(result.best_top1),
        "train_samples": result.train_samples,
        "test_samples": result.test_samples,
        "epoch": result.epoch,
        "epochs": result.epochs,
        "synthetic": result.synthetic,
        "seconds": round(result.seconds, 1),
        "file": str(saved.path),
    }


def _figure(result: EvaluationResult) -> str:
    """The figure of a result; for an ensemble, that of its members."""
    return str(result.settings.get("of", "")) if result.protocol == "ensemble" else result.figure


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 2)
