"""Our figures beside the published ones, laid out as in the papers: a row per protocol, in percent.

The result is that of the last epoch; the best test epoch has a separate column that is labelled as such. A
published figure is compared only where data and schedule allow it; otherwise the table says what differs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import mean, stdev

from schemas import EvaluationResult
from trainer import tables
from trainer.evaluate import linear
from trainer.report.collect import RunFolder
from trainer.report.parts import Note, Part, Section, Table, interval, percent
from trainer.report.settings import flat, of_preset
from trainer.run import SavedResult, apart_from_seed, is_kept, kind_of, measured_on
from trainer.tables import Published, share_of

_COLUMNS = (
    "run",
    "protocol",
    "convention",
    "stream or encoder",
    "top-1 %",
    "95 % interval",
    "top-5 %",
    "macro %",
    "best epoch % (not the result)",
    "random encoder kNN %",
)
_PRINTED = ("run", "protocol", "stream", "ours %", "published %", "difference", "source", "comparable?")
_SEEDS = ("runs", "preset", "protocol", "of", "seeds", "top-1 %", "least and most")
_NAMED = 3
"""Number of differing settings that are listed one by one; 'Settings' has all of them."""


def results_section(runs: Sequence[RunFolder]) -> Section:
    """A table of all results, one of the published numbers, and notes on what is missing."""
    results = [(run, saved.result) for run in runs for saved in run.ranked]
    missing = [
        Note(f"{run.name}: nothing has been evaluated yet.", run.command("knn --protocol linear"))
        for run in runs
        if not run.results
    ]
    if not results:
        return Section("results", "Results", tuple(missing))
    caption = (
        "Top-1 accuracy on the test half after the last epoch; of several draws their mean and standard "
        "deviation. Interval: 95 % bootstrap over the test samples. Macro: mean over the classes. The best "
        "epoch is the best on the test half: optimistic, never the result. Random encoder: kNN of the same "
        "encoder with random weights."
    )
    ours = Table(
        "Results", _COLUMNS, tuple(_row(run, each) for run, each in results), frozenset(range(4, 10)), caption
    )
    parts: list[Part] = [ours, *_by_seed(runs), *_notes(results), _published(results), *missing]
    return Section("results", "Results", tuple(parts))


def _by_seed(runs: Sequence[RunFolder]) -> list[Part]:
    """Mean and deviation over runs that differ only in their seed."""
    groups: dict[tuple[str, ...], list[tuple[RunFolder, SavedResult]]] = {}
    for run in runs:
        for saved in run.ranked:
            key = (apart_from_seed(run.config), *kind_of(saved), saved.result.store_hash, saved.result.split)
            key = (*key, str(saved.result.epoch), json.dumps(saved.result.settings, sort_keys=True))
            groups.setdefault(key, []).append((run, saved))
    rows = [
        _seeds_row(group)
        for group in groups.values()
        if len({run.config.runtime.seed for run, _ in group}) > 1
    ]
    if not rows:
        return []
    caption = (
        "Runs whose settings differ by the seed alone: mean of their top-1 accuracies, sample standard "
        "deviation, least and most. Differences within a deviation or two are those of seeds."
    )
    return [Table("Over seeds", _SEEDS, tuple(rows), frozenset({4, 5, 6}), caption)]


def _seeds_row(group: Sequence[tuple[RunFolder, SavedResult]]) -> tuple[str, ...]:
    (run, first), values = group[0], [saved.result.top1 for _, saved in group]
    return (
        ", ".join(run.name for run, _ in group),
        run.config.preset,
        first.result.figure,
        measured_on(first.result),
        str(len(values)),
        f"{percent(mean(values))} ± {100 * stdev(values):.1f}",
        f"{percent(min(values))} to {percent(max(values))}",
    )


def _row(run: RunFolder, result: EvaluationResult) -> tuple[str, ...]:
    return (
        run.name,
        result.figure + (f", epoch {result.epoch}" if is_kept(result) else ""),
        result.convention,
        _encoder(result),
        _top1(result),
        interval(result.interval),
        percent(result.top5),
        percent(result.macro),
        percent(result.best_top1),
        percent(result.random_knn),
    )


def _encoder(result: EvaluationResult) -> str:
    """The stream, with the encoder if that is not named after the stream."""
    return result.stream if result.encoder in ("", result.stream) else f"{result.stream}: {result.encoder}"


def _top1(result: EvaluationResult) -> str:
    spread = f" ± {100 * result.std:.1f}" if result.std is not None else ""
    return f"{percent(result.top1)}{spread}"


def _notes(results: Sequence[tuple[RunFolder, EvaluationResult]]) -> list[Note]:
    """The notes of the results, each text once with all results that have it."""
    said: dict[str, list[str]] = {}
    for run, result in results:
        for text in result.notes:
            said.setdefault(text, []).append(f"{run.name} {result.figure}")
    return [Note(f"{', '.join(names)}: {text}", kind="info") for text, names in said.items()]


def _published(results: Sequence[tuple[RunFolder, EvaluationResult]]) -> Part:
    rows = []
    for run, result in results:
        printed = best_match(run, result)
        if printed is not None:
            rows.append(_printed_row(run, result, printed))
    if not rows:
        return Note("None of the papers prints a figure of these methods, protocols and data.", kind="info")
    caption = (
        "Published numbers as printed, top-1 %. Difference: ours minus published, in points; left out for "
        "synthetic data, which say nothing about the real ones. Comparable: whether data and schedule are "
        "those of the paper, and if not, what differs."
    )
    return Table("Beside the papers", _PRINTED, tuple(rows), frozenset({3, 4, 5}), caption)


def best_match(run: RunFolder, result: EvaluationResult) -> Published | None:
    """The published number that best matches this result; the methods' own papers come first."""
    candidates = tables.published(
        method="any" if result.protocol == "supervised" else result.method,
        dataset=result.dataset,
        split=result.split,
        stream=result.stream,
        protocol=result.protocol,
        convention=result.convention,
        config=run.config,
    )
    share, origin = share_of(result) or None, run.store.manifest.dataset if run.store is not None else None
    for each in candidates:
        if (
            each.share == share
            and each.encoder in (None, result.encoder)
            and each.from_dataset in (None, origin)
        ):
            return each
    return None


def _printed_row(run: RunFolder, result: EvaluationResult, printed: Published) -> tuple[str, ...]:
    differs = differences(run, result, printed)
    gap = "–" if result.synthetic else f"{100 * result.top1 - printed.value:+.1f}"
    spread = f" ± {printed.std:.1f}" if printed.std is not None else ""
    return (
        run.name,
        result.figure,
        _encoder(result),
        _top1(result),
        f"{printed.value:.1f}{spread}",
        gap,
        f"{printed.source} ({printed.origin})",
        f"no: {'; '.join(differs)}" if differs else "yes",
    )


def differences(run: RunFolder, result: EvaluationResult, printed: Published) -> list[str]:
    """How data and schedule differ from the paper, in words; empty if the numbers are comparable."""
    judged = tables.verdict(printed, result)
    settings = _shortened([*_probe(result, printed), *_training(run, printed)])
    return [*judged.data, *judged.schedule, *settings]


def _probe(result: EvaluationResult, printed: Published) -> list[str]:
    """Settings of linear evaluation other than the papers' defaults, without those that a verdict names."""
    if result.protocol != "linear":
        return []
    judged = {"epochs", "standardise", *printed.options}
    papers = linear.Options().model_dump(mode="json", exclude=judged)
    return [
        f"linear.{name} {result.settings[name]} instead of {value}"
        for name, value in papers.items()
        if result.settings.get(name, value) != value
    ]


def _training(run: RunFolder, printed: Published) -> list[str]:
    """Settings of the pre-training that differ from the paper's preset."""
    preset = of_preset(run.config, f"{run.config.method.name}/{printed.preset or 'paper'}")
    if preset is None:
        return []
    ours, theirs = flat(run.config), flat(preset)
    return [
        f"{path} {value} instead of {theirs.get(path, 'none')}"
        for path, value in ours.items()
        if path.startswith(("optimise.", "encoder.", "method.", "augment.")) and value != theirs.get(path)
    ]


def _shortened(differing: list[str]) -> list[str]:
    left = len(differing) - _NAMED
    return [*differing[:_NAMED], f"and {left} more settings"] if left > 1 else differing
