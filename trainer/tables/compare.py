"""Whether a result measures the same quantity as a published number, and how comparable the two are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from schemas import EvaluationResult, RunConfig
from trainer.tables.model import Published
from trainer.tables.reader import same_parts, unmet

SIZES: dict[tuple[str, str], tuple[int, int]] = {
    ("ntu60", "xsub"): (40091, 16487),
    ("ntu60", "xview"): (37646, 18932),
    ("ntu120", "xsub"): (63026, 50919),
    ("ntu120", "xset"): (54468, 59477),
    ("pku-mmd-1", "xsub"): (18841, 2704),
    ("pku-mmd-2", "xsub"): (5332, 1613),
}
"""Numbers of training and test samples. NTU RGB+D: without the clips whose skeletons its authors list as
missing. PKU-MMD: ISC 4.1."""

RECORDINGS: dict[tuple[str, str], tuple[int, int]] = {
    ("pku-mmd-1", "xsub"): (944, 132),
    ("pku-mmd-2", "xsub"): (775, 234),
    ("pku-mmd-2", "xview"): (671, 338),
}
"""Numbers of whole training and test recordings of PKU-MMD, by its split lists."""

_CLOSE = 0.01
"""Share of a half that may be missing: papers leave out different defective clips."""

_SHARE = re.compile(r"semi-(\d[\d.e+-]*)")
"""Names of results of protocol semi, with the percentage of the labels; results from other initial weights do
not match."""

_TUNED = ("demo", "nw-ucla", "small")
"""Prefixes of the names of presets that are not from a paper."""


@dataclass(frozen=True)
class Verdict:
    """What differs, in words; empty if comparable."""

    data: tuple[str, ...]
    schedule: tuple[str, ...]


def mismatches(cell: Published, result: EvaluationResult, config: RunConfig | None) -> list[str]:
    """Why the result is a different quantity than the published number; empty if it is the same.

    ``config`` None: the settings of the run are unknown, and a number that requires some does not match.
    """
    asked: list[tuple[str, Any, Any]] = [
        ("protocol", protocol(result), cell.protocol),
        ("method", result.method, result.method if cell.method == "any" else cell.method),
        ("dataset", result.dataset, cell.dataset),
        ("split", result.split, cell.split),
    ]
    differs = [f"{name} {ours or '-'}, not {theirs}" for name, ours, theirs in asked if ours != theirs]
    if not same_parts(result.stream, cell.stream or ""):
        differs.append(f"stream {result.stream}, not {cell.stream}")
    conventions = "+".join(cell.conventions)
    if not same_parts(result.convention, conventions):
        differs.append(f"convention {result.convention}, not {conventions}")
    if cell.encoder is not None and not same_parts(result.encoder, cell.encoder):
        differs.append(f"encoder {result.encoder or '-'}, not {cell.encoder}")
    if value_of(cell, result) is None:
        differs.append(f"the result has no {cell.measure}")
    if cell.share is not None and share_of(result) != cell.share:
        ours = f"{100 * share_of(result):g} %" if share_of(result) else "all"
        differs.append(f"{ours} of the labels, not {100 * cell.share:g} %")
    if cell.from_dataset is not None and _pretrained_on(result) != cell.from_dataset:
        differs.append(f"pre-trained on {_pretrained_on(result)}, not {cell.from_dataset}")
    if cell.settings and config is None:
        differs.append("the settings of the run are not known")
    elif config is not None:
        differs += [f"the run is without {setting}" for setting in unmet(cell, config)]
    return differs


def value_of(cell: Published, result: EvaluationResult) -> float | None:
    """The quantity that the number measures, 0..1; None if the result does not have it."""
    if cell.measure == "top1":
        return result.top1
    value = result.details.get("figures", {}).get(cell.measure)
    return float(value) if isinstance(value, int | float) else None


def verdict(cell: Published, result: EvaluationResult) -> Verdict:
    """How data and schedule of a matching result differ from those of the published number."""
    return Verdict(tuple(_data(cell, result)), tuple(_schedule(cell, result)))


def protocol(result: EvaluationResult) -> str:
    """The protocol; for an ensemble, that of its members, and ``semi`` for every share of the labels."""
    return "semi" if _SHARE.fullmatch(_figure(result)) else _figure(result)


def share_of(result: EvaluationResult) -> float:
    """Share of the training labels that protocol semi drew: 0.05 for ``semi-5``; 0 for other protocols."""
    percent = _SHARE.fullmatch(_figure(result))
    return round(float(percent[1]) / 100, 6) if percent else 0


def _figure(result: EvaluationResult) -> str:
    return str(result.settings.get("of")) if result.protocol == "ensemble" else result.figure


def _pretrained_on(result: EvaluationResult) -> str:
    return str(result.details.get("transfer", {}).get("source", {}).get("dataset", "-"))


def _data(cell: Published, result: EvaluationResult) -> list[str]:
    differs = ["synthetic data"] if result.synthetic else []
    counted = [("test", result.test_samples), ("training", result.train_samples)]
    known, of = (RECORDINGS, "recordings") if cell.protocol == "segment" else (SIZES, "samples")
    sizes = dict(zip(("training", "test"), known.get((cell.dataset, cell.split), ()), strict=False))
    for half, count in counted[:1] if cell.protocol == "semi" else counted:
        if half in sizes and abs(count - sizes[half]) > _CLOSE * sizes[half]:
            differs.append(f"{count} of {sizes[half]} {half} {of}")
    if cell.recipe and result.recipe and result.recipe != cell.recipe:
        differs.append(f"recipe {result.recipe}, the paper's is {cell.recipe}")
    if cell.frames and result.frames and result.frames != cell.frames:
        differs.append(f"clips of {result.frames} frames, published {cell.frames}")
    return differs


def _schedule(cell: Published, result: EvaluationResult) -> list[str]:
    differs = []
    if result.epochs is not None and result.epoch < result.epochs:
        differs.append(f"unfinished: epoch {result.epoch} of {result.epochs}")
    if cell.epochs is not None and result.epoch != cell.epochs:
        differs.append(f"{result.epoch} epochs, published after {cell.epochs}")
    if result.preset.rpartition("/")[2].startswith(_TUNED):
        differs.append(f"preset {result.preset}, no paper's")
    probe = result.settings.get("epochs")
    if cell.probe_epochs is not None and probe is not None and probe != cell.probe_epochs:
        differs.append(f"{probe} epochs on the labels, published {cell.probe_epochs}")
    if result.protocol != "ensemble":  # whose members' settings are in their own files
        differs += _options(cell, result)
    if result.settings.get("standardise"):
        differs.append("standardised features, which no paper uses")
    if result.settings.get("class_weights", "none") != "none" or result.settings.get("batches") == "balanced":
        differs.append("classes balanced, which no paper does")
    if result.settings.get("validation"):
        differs.append("an epoch chosen by a validation part, which no paper does")
    weights = (result.settings.get("fusion") or result.settings).get("weights")
    if cell.weights and weights and _shares(weights) != _shares(cell.weights):
        differs.append(f"streams weighted {_listed(weights)}, published {_listed(cell.weights)}")
    return differs


def _options(cell: Published, result: EvaluationResult) -> list[str]:
    return [
        f"{name} {_plain(result.settings.get(name))}, published {_plain(value)}"
        for name, value in cell.options.items()
        if name != "epochs" and not _within(value, result.settings.get(name))
    ]


def _within(asked: Any, actual: Any) -> bool:
    """Whether the actual value is the required one; a mapping may have additional keys."""
    if isinstance(asked, dict) and isinstance(actual, dict):
        return all(_within(value, actual.get(name)) for name, value in asked.items())
    return bool(asked == actual)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name} {_plain(each)}" for name, each in value.items())
    return "-" if value is None else str(value)


def _shares(weights: dict[str, float]) -> dict[str, float]:
    total = sum(weights.values()) or 1.0
    return {stream: round(weight / total, 6) for stream, weight in weights.items()}


def _listed(weights: dict[str, float]) -> str:
    return " ".join(f"{stream} {weight:g}" for stream, weight in weights.items())
