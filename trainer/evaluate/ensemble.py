"""Ensembles of saved scores: streams first, then skeleton conventions. No encoder, store or GPU is needed.

Source: AimCLR, CSCLR 4.2 and MS-CLR 4.2 add three streams with weights 0.6, 0.6, 0.4; SkeleMixCLR with equal
ones; MS-CLR 3.5 takes the mean over conventions. Released code adds raw logits; the default here is softmax.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

import torch
from torch import Tensor

from schemas import ConfigError, SkelError, UsageError
from trainer.evaluate import fusion
from trainer.evaluate.scores import Scores, probabilities

WEIGHTS: dict[str, dict[str, float]] = {
    "paper": {"joint": 0.6, "bone": 0.6, "motion": 0.4},
    "equal": {"joint": 1.0, "bone": 1.0, "motion": 1.0},
}
"""``paper``: AimCLR, CSCLR, MS-CLR. ``equal``: SkeleMixCLR."""


@dataclass(frozen=True)
class Member:
    """Scores that go into an ensemble."""

    name: str
    """Where they come from, for messages: a file."""
    stream: str
    convention: str
    scores: Scores


def combined(
    members: Sequence[Member], *, weights: Mapping[str, float], scores: Literal["softmax", "logits"]
) -> Scores:
    """The mean over conventions of the weighted mean over streams; the samples in the first member's order.

    Members of one stream and convention, such as runs of several seeds, share the weight of their stream.
    A stream without a weight in ``weights`` has 1. Raises as ``aligned``, UsageError for logits of scores
    that are none, and ConfigError when all weights are zero.
    """
    members = aligned(members)
    for member in members:
        if scores == "logits" and member.scores.kind != "logits":
            raise UsageError(
                f"these are {member.scores.kind}, not logits",
                where=member.name,
                remedy="Combine them with --scores softmax",
            )
    by_convention = [_streams(list(group), weights, scores) for group in _grouped(members, "convention")]
    kind: Literal["logits", "probabilities"] = "logits" if scores == "logits" else "probabilities"
    return replace(members[0].scores, values=_mean(by_convention), kind=kind)


def _streams(members: Sequence[Member], weights: Mapping[str, float], scores: str) -> Tensor:
    """[N, classes] float64 of the members of one convention."""
    parts = {}
    for group in _grouped(members, "stream"):
        values = [
            m.scores.values.double()
            if scores == "logits"
            else probabilities(m.scores.values.double(), m.scores.kind)
            for m in group
        ]
        parts[group[0].stream] = _mean(values)
    mine = {stream: float(weights.get(stream, 1.0)) for stream in parts}
    if not any(mine.values()):
        raise ConfigError(f"every stream has weight 0: {', '.join(mine)}", where="weights")
    return fusion.mean(parts, mine)


def _grouped(members: Sequence[Member], key: str) -> list[list[Member]]:
    ordered = sorted(members, key=lambda member: str(getattr(member, key)))
    return [list(group) for _, group in groupby(ordered, key=lambda member: str(getattr(member, key)))]


def _mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean(dim=0)


def aligned(members: Sequence[Member], *, common: bool = False) -> list[Member]:
    """The members with their samples in the order of the first.

    ``common``: the samples that all have, instead of refusing different ones. Raises SkelError that names
    what differs: class names, samples, or the label of a sample.
    """
    first = members[0]
    for other in members[1:]:
        _check_classes(first, other)
    ids = first.scores.ids
    if common:
        shared = set.intersection(*(set(member.scores.ids) for member in members))
        ids = tuple(name for name in ids if name in shared)
        if not ids:
            raise _differ(first, members[1], "they have no sample in common")
    else:
        for other in members[1:]:
            _check_ids(first, other)
    found = [replace(member, scores=_ordered(member.scores, ids)) for member in members]
    for other in found[1:]:
        _check_labels(found[0], other)
    return found


def _ordered(scores: Scores, ids: tuple[str, ...]) -> Scores:
    if scores.ids == ids:
        return scores
    place = {name: row for row, name in enumerate(scores.ids)}
    return scores.rows([place[name] for name in ids])


def _check_classes(first: Member, other: Member) -> None:
    ours, theirs = first.scores.classes, other.scores.classes
    if len(ours) != len(theirs):
        raise _differ(first, other, f"{len(ours)} classes and {len(theirs)}")
    for place, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        if our != their:
            raise _differ(first, other, f"class {place} is '{our}' and '{their}'")


def _check_ids(first: Member, other: Member) -> None:
    ours, theirs = set(first.scores.ids), set(other.scores.ids)
    if ours == theirs:
        return
    parts = [
        f"{len(lacking)} only in the {which} ({min(lacking)}{', ...' if len(lacking) > 1 else ''})"
        for which, lacking in (("first", ours - theirs), ("second", theirs - ours))
        if lacking
    ]
    raise _differ(first, other, f"{len(ours)} samples and {len(theirs)}, {' and '.join(parts)}")


def _check_labels(first: Member, other: Member) -> None:
    different = (first.scores.labels != other.scores.labels).nonzero().flatten().tolist()
    if different:
        row, names = different[0], first.scores.classes
        our, their = (names[int(m.scores.labels[row])] for m in (first, other))
        raise _differ(
            first,
            other,
            f"{len(different)} samples have other labels, {first.scores.ids[row]} '{our}' and '{their}'",
        )


def _differ(first: Member, other: Member, what: str) -> SkelError:
    return SkelError(
        f"these scores are of different samples than those of {first.name}: {what}",
        where=other.name,
        remedy="Evaluate both on the same split of the same store",
    )
