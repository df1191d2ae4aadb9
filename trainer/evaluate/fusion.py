"""Several encoders of one method on the same clips: their scores added, or their features side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from schemas import ConfigError, EvaluationResult
from schemas._model import Model
from trainer.evaluate.features import Features
from trainer.evaluate.outcome import Outcome
from trainer.evaluate.scores import Kind, probabilities

JOINED = "+"
"""Between the names of encoders that are evaluated together: joint+motion+bone."""

Weight = Annotated[float, Field(ge=0)]


class Options(Model):
    """Settings ``fusion`` of an evaluation, for methods that train an encoder per stream.

    Weights of the streams' scores: AimCLR, Pretext training; CSCLR 4.2; MS-CLR 4.2.
    """

    joint: Weight = 0.6
    bone: Weight = 0.6
    motion: Weight = 0.4
    scores: Literal["softmax", "logits"] = "softmax"
    """What is added. ``logits``: raw scores, as released code does; the surest stream then weighs most."""


def weighted(outcomes: Mapping[str, Outcome], options: Options) -> Outcome:
    """The weighted mean of the scores of several encoders. encoder -> outcome on the same test rows.

    Encoders are named after their stream; those of other representations all weigh the same. Random draws
    are fused draw by draw. Raises ConfigError when none of the streams has any weight.
    """
    weights = {name: float(getattr(options, name, 1.0)) for name in outcomes}
    if not any(weights.values()):
        raise ConfigError("every stream has weight 0", where=f"fusion.{next(iter(weights))}")
    first = next(iter(outcomes.values()))
    kind: Kind = "logits" if options.scores == "logits" else "probabilities"

    def fused(scores: Mapping[str, Tensor]) -> Tensor:
        parts = {
            name: each if kind == "logits" else probabilities(each, outcomes[name].kind)
            for name, each in scores.items()
        }
        return mean(parts, weights)

    how: dict[str, Any] = {"of": "scores", "weights": weights, "scores": options.scores}
    return Outcome(
        first.protocol,
        fused({name: outcome.scores for name, outcome in outcomes.items()}),
        first.settings | {"fusion": how},
        kind=kind,
        name=first.name,
        draws=tuple(
            fused({name: outcome.draws[draw] for name, outcome in outcomes.items()})
            for draw in range(len(first.draws))
        ),
    )


def mean(parts: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """[N, classes]: the weighted mean, in float64 on the way, so that the order does not matter."""
    total = sum(weights[name] * part.double() for name, part in parts.items())
    assert isinstance(total, Tensor)
    return (total / sum(weights[name] for name in parts)).float()


def concatenated(parts: Sequence[Features], *, unit: bool = False) -> Features:
    """The features of several encoders side by side, [N, D1 + D2 + ...].

    ``unit``: each encoder's are scaled to length one before, so that a cosine between rows is the mean of the
    encoders' cosines, however long their features are.
    """
    values = [normalize(part.values, dim=1) if unit else part.values for part in parts]
    return Features(torch.cat(values, dim=1), parts[0].labels, parts[0].ids)


def best_encoders(results: Sequence[EvaluationResult]) -> set[tuple[str, str, str]]:
    """(figure, convention, encoder) of the best single encoder, where several were measured alike."""
    best = set()
    for kind in {(result.figure, result.convention) for result in results}:
        alike = [r for r in results if (r.figure, r.convention) == kind and JOINED not in r.encoder]
        if len(alike) > 1:
            best.add((*kind, max(alike, key=lambda result: result.top1).encoder))
    return best
