"""Predict the classes of clips from any source, by one encoder or all encoders of a run together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from schemas import ConfigError, UsageError
from trainer.evaluate import ensemble
from trainer.run import JOINED
from trainer.use import sources
from trainer.use.model import Model
from trainer.use.predictions import By, Predictions, in_one, together
from trainer.use.sources import Asked, OnProblem


@dataclass(frozen=True)
class Answer:
    """Predictions for some clips."""

    ids: tuple[str, ...]
    names: tuple[str | None, ...]
    """Their classes, if known."""
    said: Predictions
    convention: str = ""
    """The convention they were read in; several are joined by ``+``."""


def answers(
    models: Mapping[str, Model],
    asked: Asked,
    *,
    conventions: Sequence[str] = (),
    weights: Mapping[str, float] | None = None,
    unknown: By | None = None,
    keep: float = 0.95,
    on_problem: OnProblem,
) -> Iterator[Answer]:
    """Yield predictions part by part, or place by place if several conventions are combined.

    Encoders of several streams are weighted by ``weights``, None: 0.6 joint, 0.6 bone, 0.4 motion, all others
    equally. Conventions are then averaged with equal weights, for each clip over those that it has (MS-CLR
    3.5). ``conventions``: if none is given, that of ``asked``; ``all``: every one with a classifier. Raises
    UsageError for ``unknown`` with several encoders or conventions, ConfigError for weights that are all
    zero, and as ``Model.predict``.
    """
    weights = weights or ensemble.WEIGHTS["paper"]
    shares = [float(weights.get(name, 1.0)) for name in models]
    if not any(shares):
        raise ConfigError(f"every stream has weight 0: {', '.join(models)}", where="--weights")
    planned = [(place, _conventions(models, place, conventions, asked)) for place in asked.places]
    _check_unknown(models, planned, unknown)
    for model in models.values():  # fails before anything is read
        for name in dict.fromkeys(name for _, names in planned for name in names):
            model.classifier(name)
    count = 0
    for place, names in planned:
        several = [_of_place(models, asked, place, name, shares, unknown, keep, on_problem) for name in names]
        for answer in several[0] if len(several) == 1 else _joined(several):
            count += len(answer.ids)
            yield answer
    if not count:
        raise sources.nothing(asked)


def _conventions(models: Mapping[str, Model], place: Path, given: Sequence[str], asked: Asked) -> list[str]:
    """The conventions used for a place; for ``all``, those that have a classifier, if any."""
    first = next(iter(models.values()))
    if not given:
        return [sources.convention_of(first.card, asked)]
    names = sources.conventions_at(first.card, place, given, asked)
    with_classifier = [name for name in names if all(name in model.classifiers for model in models.values())]
    return (with_classifier or names[:1]) if sources.ALL in given else names


def _check_unknown(models: Mapping[str, Model], planned: Sequence[Any], unknown: By | None) -> None:
    several = [next(iter(names)) for _, names in planned if len(names) > 1]
    if unknown is None or (len(models) == 1 and not several):
        return
    choice = f"--encoder {next(iter(models))}" if len(models) > 1 else f"--convention {several[0]}"
    raise UsageError(
        "unknown clips are told by one encoder in one convention",
        where="--unknown",
        remedy=f"Choose one, as {choice}",
    )


def _of_place(
    models: Mapping[str, Model],
    asked: Asked,
    place: Path,
    convention: str,
    weights: Sequence[float],
    unknown: By | None,
    keep: float,
    on_problem: OnProblem,
) -> Iterator[Answer]:
    """Predictions for a place in one convention, by all encoders together."""
    parts = [
        sources.of_place(model.card, asked, place, convention, (lambda _: None) if number else on_problem)
        for number, model in enumerate(models.values())
    ]
    for part in zip(*parts, strict=True):
        said = [
            model.predict(each.clips.numpy(), convention, unknown=unknown, keep=keep)
            for model, each in zip(models.values(), part, strict=True)
        ]
        yield Answer(part[0].ids, part[0].names, together(said, weights), convention)


def _joined(several: Sequence[Iterator[Answer]]) -> Iterator[Answer]:
    """Average over conventions: for each clip of a place, the mean over the conventions that it has."""
    wholes = [_whole(parts) for answers in several if (parts := list(answers))]
    rows = [{id: row for row, id in enumerate(each.ids)} for each in wholes]
    groups: dict[tuple[int, ...], list[str]] = {}
    for id in dict.fromkeys(id for each in wholes for id in each.ids):
        groups.setdefault(tuple(place for place, here in enumerate(rows) if id in here), []).append(id)
    for places, ids in groups.items():
        said = [wholes[place].said.rows([rows[place][id] for id in ids]) for place in places]
        first = wholes[places[0]]
        names = tuple(first.names[rows[places[0]][id]] for id in ids)
        both = together(said, [1.0] * len(said))
        yield Answer(tuple(ids), names, both, JOINED.join(wholes[place].convention for place in places))


def _whole(parts: Sequence[Answer]) -> Answer:
    ids = tuple(id for part in parts for id in part.ids)
    names = tuple(name for part in parts for name in part.names)
    return Answer(ids, names, in_one([part.said for part in parts]), parts[0].convention)


def as_records(answer: Answer, *, top: int) -> list[dict[str, Any]]:
    """The answer as plain JSON, with a mapping for each clip."""
    said, best = answer.said, answer.said.top(top)
    return [
        {
            "id": id,
            "class": said.names[row],
            "probability": round(best[row][0][1], 6),
            "known": bool(np.asarray(said.known)[row]),
            "calibrated": said.calibrated,
            "energy": round(float(said.energy[row]), 6),
            "distance": None if said.distance is None else round(float(said.distance[row]), 6),
            "top": [{"class": name, "probability": round(share, 6)} for name, share in best[row]],
            "label": answer.names[row],
            "convention": answer.convention,
        }
        for row, id in enumerate(answer.ids)
    ]
