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
    """The weighted sum of the scores of every stream. stream -> outcome on the same test rows.

    Raises ConfigError when none of the streams has any weight.
    """
    weights = {stream: float(getattr(options, stream)) for stream in outcomes}
    if not any(weights.values()):
        raise ConfigError("every stream has weight 0", where=f"fusion.{next(iter(weights))}")
    total: Tensor = torch.zeros(())
    for stream, outcome in outcomes.items():
        scores = outcome.scores.softmax(dim=1) if options.scores == "softmax" else outcome.scores
        total = total + weights[stream] * scores
    first = next(iter(outcomes.values()))
    how: dict[str, Any] = {"of": "scores", "weights": weights, "scores": options.scores}
    return Outcome(first.protocol, total, first.settings | {"fusion": how})


def concatenated(parts: Sequence[Features], *, unit: bool = False) -> Features:
    """The features of several encoders side by side, [N, D1 + D2 + ...].

    ``unit``: each encoder's are scaled to length one before, so that a cosine between rows is the mean of the
    encoders' cosines, however long their features are.
    """
    values = [normalize(part.values, dim=1) if unit else part.values for part in parts]
    return Features(torch.cat(values, dim=1), parts[0].labels)


def best_encoders(results: Sequence[EvaluationResult]) -> set[tuple[str, str]]:
    """(protocol, encoder) of the best single encoder, for every protocol that several were measured by."""
    best: set[tuple[str, str]] = set()
    for protocol in {result.protocol for result in results}:
        single = [r for r in results if r.protocol == protocol and JOINED not in r.encoder]
        if len(single) > 1:
            best.add((protocol, max(single, key=lambda result: result.top1).encoder))
    return best
