"""Combined scores of several encoders, streams and conventions; needs no encoder, store or GPU.

Source: AimCLR, CSCLR 4.2 and MS-CLR 4.2 add three streams with weights 0.6, 0.6, 0.4; SkeleMixCLR uses equal
weights; MS-CLR 3.5 averages over conventions. Released code adds raw logits; the default here is softmax.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar

from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from schemas import ConfigError, EvaluationResult, SkelError, UsageError
from schemas._model import Model
from trainer.evaluate.results import ensemble_result
from trainer.evaluate.scores import Scores, probabilities
from trainer.evaluate.significance import McNemar, mcnemar
from trainer.metrics import ranks
from trainer.run import JOINED, SavedResult

WEIGHTS: dict[str, dict[str, float]] = {
    "paper": {"joint": 0.6, "bone": 0.6, "motion": 0.4},
    "equal": {"joint": 1.0, "bone": 1.0, "motion": 1.0},
}
"""``paper``: AimCLR, CSCLR, MS-CLR. ``equal``: SkeleMixCLR."""

Weight = Annotated[float, Field(ge=0)]
Averaged = Literal["softmax", "logits"]
Values = TypeVar("Values", Tensor, NDArray[Any])


class Options(Model):
    """The ``fusion`` settings of an evaluation, for methods that train one encoder per stream.

    Default weights of the streams' scores: AimCLR, Pretext training; CSCLR 4.2; MS-CLR 4.2.
    """

    joint: Weight = 0.6
    bone: Weight = 0.6
    motion: Weight = 0.4
    scores: Averaged = "softmax"
    """What is added. ``logits``: raw scores, as in released code; the most confident stream then weighs
    most."""


def weighted_mean(values: Sequence[Values], weights: Sequence[float]) -> Values:
    """In the type of the values: float64 so that the order does not matter."""
    total: Any = sum(weight * value for weight, value in zip(weights, values, strict=True))
    return total / sum(weights)


def fused(encoders: Sequence[Scores], options: Options) -> Scores:
    """The weighted mean of the scores of a method's encoders on the same rows.

    Encoders are named after their stream; those of other representations all have the same weight. Random
    draws are fused draw by draw. Raises ConfigError when every stream has weight 0.
    """
    weights = {scores.encoder: float(getattr(options, scores.encoder, 1.0)) for scores in encoders}
    if not any(weights.values()):
        raise ConfigError("every stream has weight 0", where=f"fusion.{encoders[0].encoder}")
    logits = options.scores == "logits"

    def mean(values: Sequence[Tensor]) -> Tensor:
        shares = [
            value if logits else probabilities(value, scores.kind)
            for value, scores in zip(values, encoders, strict=True)
        ]
        return weighted_mean([share.double() for share in shares], [*weights.values()]).float()

    how: dict[str, Any] = {"of": "scores", "weights": weights, "scores": options.scores}
    return replace(
        encoders[0],
        values=mean([scores.values for scores in encoders]),
        draws=tuple(map(mean, zip(*(scores.draws for scores in encoders), strict=True))),
        kind="logits" if logits else "probabilities",
        settings=encoders[0].settings | {"fusion": how},
        encoder=JOINED.join(weights),
        stream=JOINED.join(dict.fromkeys(scores.stream for scores in encoders)),
        best_top1=None,
        details={},
        head=None,
    )


def over_conventions(conventions: Sequence[Scores], *, scores: Averaged) -> Scores:
    """The mean of the scores in several conventions, on the samples that all have.

    Source: MS-CLR 3.5: a classifier for each convention on the shared encoder, their softmax scores averaged.
    Scores other than logits are averaged as probabilities.
    """
    how: Averaged = scores if all(each.kind == "logits" for each in conventions) else "softmax"
    names = [each.convention for each in conventions]
    mean = combined(aligned(conventions, common=True), weights={}, scores=how)
    return replace(
        mean,
        settings=mean.settings | {"ensemble": {"of": "conventions", "scores": how, "members": names}},
        convention=JOINED.join(names),
        best_top1=None,
        details={},
    )


def combined(members: Sequence[Scores], *, weights: Mapping[str, float], scores: Averaged) -> Scores:
    """The mean over conventions of the weighted mean over streams; samples are in the first member's order.

    Members of one stream and convention, such as runs with several seeds, share the weight of their stream. A
    stream missing from ``weights`` has weight 1. Raises as ``aligned`` does, UsageError for logits of scores
    that are not logits, and ConfigError when all weights are zero.
    """
    members = aligned(members)
    for member in members:
        if scores == "logits" and member.kind != "logits":
            raise UsageError(
                f"these are {member.kind}, not logits",
                where=member.origin,
                remedy="Combine them with --scores softmax",
            )

    def mean(values: Sequence[Tensor]) -> Tensor:
        by_convention: dict[str, dict[str, list[Tensor]]] = {}
        for member, value in sorted(zip(members, values, strict=True), key=lambda each: _place(each[0])):
            shares = value.double() if scores == "logits" else probabilities(value.double(), member.kind)
            by_convention.setdefault(member.convention, {}).setdefault(member.stream, []).append(shares)
        return _plain_mean([_streams(streams, weights) for streams in by_convention.values()])

    return replace(
        members[0],
        values=mean([member.values for member in members]),
        draws=tuple(map(mean, zip(*(member.draws for member in members), strict=True))),
        kind="logits" if scores == "logits" else "probabilities",
        head=None,
    )


def _place(member: Scores) -> tuple[str, str]:
    return member.convention, member.stream


def _streams(values: Mapping[str, Sequence[Tensor]], weights: Mapping[str, float]) -> Tensor:
    """[N, classes] float32 of one convention; ``values``: stream -> scores of its members, float64."""
    chosen = [float(weights.get(stream, 1.0)) for stream in values]
    if not any(chosen):
        raise ConfigError(f"every stream has weight 0: {', '.join(values)}", where="weights")
    return weighted_mean([_plain_mean(each) for each in values.values()], chosen).float()


def _plain_mean(values: Sequence[Tensor]) -> Tensor:
    return weighted_mean(values, [1.0] * len(values))


def aligned(members: Sequence[Scores], *, common: bool = False) -> list[Scores]:
    """The members with their samples in the order of the first member.

    ``common``: keep the samples that all members have instead of refusing different ones. Raises SkelError
    that names what differs: class names, samples, or the label of a sample.
    """
    first = members[0]
    for other in members[1:]:
        _check_classes(first, other)
    ids = first.ids
    if common:
        shared = set.intersection(*(set(member.ids) for member in members))
        ids = tuple(name for name in ids if name in shared)
        if not ids:
            raise _differ(first, members[1], "they have no sample in common")
    else:
        for other in members[1:]:
            _check_ids(first, other)
    ordered = [_ordered(member, ids) for member in members]
    for other in ordered[1:]:
        _check_labels(ordered[0], other)
    return ordered


def _ordered(scores: Scores, ids: tuple[str, ...]) -> Scores:
    if scores.ids == ids:
        return scores
    place = {name: row for row, name in enumerate(scores.ids)}
    return scores.rows([place[name] for name in ids])


def _check_classes(first: Scores, other: Scores) -> None:
    ours, theirs = first.classes, other.classes
    if len(ours) != len(theirs):
        raise _differ(first, other, f"{len(ours)} classes and {len(theirs)}")
    for place, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        if our != their:
            raise _differ(first, other, f"class {place} is '{our}' and '{their}'")


def _check_ids(first: Scores, other: Scores) -> None:
    ours, theirs = set(first.ids), set(other.ids)
    if ours == theirs:
        return
    parts = [
        f"{len(lacking)} only in the {which} ({min(lacking)}{', ...' if len(lacking) > 1 else ''})"
        for which, lacking in (("first", ours - theirs), ("second", theirs - ours))
        if lacking
    ]
    raise _differ(first, other, f"{len(ours)} samples and {len(theirs)}, {' and '.join(parts)}")


def _check_labels(first: Scores, other: Scores) -> None:
    different = (first.labels != other.labels).nonzero().flatten().tolist()
    if different:
        row = different[0]
        our, their = (first.classes[int(scores.labels[row])] for scores in (first, other))
        text = f"{len(different)} samples have other labels, {first.ids[row]} '{our}' and '{their}'"
        raise _differ(first, other, text)


def _differ(first: Scores, other: Scores, what: str) -> SkelError:
    return SkelError(
        f"these scores are of different samples than those of {first.origin}: {what}",
        where=other.origin,
        remedy="Evaluate both on the same split of the same store",
    )


def ensemble_of(
    saved: Sequence[SavedResult],
    *,
    weights: Mapping[str, float],
    scores: Averaged = "softmax",
    common: bool = False,
) -> tuple[EvaluationResult, Scores]:
    """Combine saved results: streams weighted by name, then the mean over conventions.

    ``common``: use the samples that all have. Raises SkelError for fewer than two results and for results of
    different names, and as ``combined`` does.
    """
    started, results = time.perf_counter(), [each.result for each in saved]
    if len(saved) < 2:
        raise SkelError(
            "an ensemble needs two results or more, this is one",
            where=saved[0].path,
            remedy="Name more runs, or evaluate this one in more streams or conventions (--convention all)",
        )
    for other in saved[1:]:  # e.g. draws of different shares of the labels do not form an ensemble
        if other.result.figure != results[0].figure:
            raise SkelError(
                f"this is a result of {other.result.figure}, {saved[0].path} of {results[0].figure}",
                where=other.path,
                remedy="Name one of them with --protocol",
            )
    members = aligned([saved_scores(each) for each in saved], common=common)
    together = combined(members, weights=weights, scores=scores)
    streams = sorted({member.stream for member in members})
    described = ("method", "convention", "encoder", "stream", "epoch", "checkpoint_hash", "top1")
    settings = {
        "of": results[0].figure,
        "scores": scores,
        "weights": {stream: weights.get(stream, 1.0) for stream in streams},
        "members": [
            {"file": f"{each.path.parent.parent.name}/{each.path.stem}"}
            | each.result.model_dump(include=set(described))
            for each in saved
        ],
    }
    return ensemble_result(results, settings, together, seconds=time.perf_counter() - started), together


def saved_scores(saved: SavedResult) -> Scores:
    """The scores of a saved result, labelled with what they are of; raises as ``SavedResult.scores``."""
    result = saved.result
    return replace(
        saved.scores(),
        encoder=result.encoder,
        stream=result.stream,
        convention=result.convention,
        origin=str(saved.path),
    )


def compare(first: SavedResult, second: SavedResult) -> McNemar:
    """McNemar's test of two results on the same samples; raises as ``aligned`` does."""
    one, two = aligned([saved_scores(first), saved_scores(second)])
    return mcnemar(*(ranks(scores.values, scores.labels) == 0 for scores in (one, two)))


def best_encoders(results: Sequence[EvaluationResult]) -> set[tuple[str, str, str]]:
    """(figure, convention, encoder) of the best single encoder wherever several have a result."""
    rivals: dict[tuple[str, str], list[EvaluationResult]] = {}
    for result in results:
        if JOINED not in result.encoder:
            rivals.setdefault((result.figure, result.convention), []).append(result)
    best = {place: max(alike, key=lambda result: result.top1) for place, alike in rivals.items()}
    return {(*place, best[place].encoder) for place, alike in rivals.items() if len(alike) > 1}
