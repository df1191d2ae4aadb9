"""Classes of clips from anywhere: one encoder's answer, or that of all encoders of a run together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas import UsageError
from trainer.evaluate import ensemble
from trainer.use import sources
from trainer.use.model import Model
from trainer.use.predictions import By, Predictions, together
from trainer.use.sources import Asked, OnProblem, Part


@dataclass(frozen=True)
class Answer:
    """About some clips."""

    ids: tuple[str, ...]
    names: tuple[str | None, ...]
    """Their classes, where they are known."""
    said: Predictions


def answers(
    models: Mapping[str, Model],
    asked: Asked,
    *,
    unknown: By | None = None,
    keep: float = 0.95,
    on_problem: OnProblem,
) -> Iterator[Answer]:
    """Part by part. Several encoders are weighed as streams are in an evaluation: 0.6 joint, 0.6 bone, 0.4
    motion, others alike. Raises UsageError for ``unknown`` of several, and as ``Model.predict``.
    """
    if unknown is not None and len(models) > 1:
        raise UsageError(
            "unknown clips are told by one encoder",
            where="--unknown",
            remedy=f"Choose one, as --encoder {next(iter(models))}",
        )
    weights = [float(getattr(ensemble.Options(), name, 1.0)) for name in models]
    found = [
        sources.parts(model.card, asked, (lambda _: None) if number else on_problem)
        for number, model in enumerate(models.values())
    ]
    for model in models.values():
        model.classifier(sources.convention_of(model.card, asked))  # said before anything is read
    for part in zip(*found, strict=True):
        said = [
            _said(model, each, asked, unknown, keep)
            for model, each in zip(models.values(), part, strict=True)
        ]
        yield Answer(part[0].ids, part[0].names, said[0] if len(said) == 1 else together(said, weights))


def _said(model: Model, part: Part, asked: Asked, unknown: By | None, keep: float) -> Predictions:
    convention = sources.convention_of(model.card, asked)
    return model.predict(part.clips.numpy(), convention, unknown=unknown, keep=keep)


def as_records(answer: Answer, *, top: int) -> list[dict[str, Any]]:
    """As plain JSON, a mapping for each clip."""
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
        }
        for row, id in enumerate(answer.ids)
    ]
