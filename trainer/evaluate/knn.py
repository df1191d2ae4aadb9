"""Nearest neighbours: nothing is trained, so the figure describes the features alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from schemas._model import Model
from trainer.evaluate.features import Features
from trainer.evaluate.protocol import Needs
from trainer.evaluate.scores import Scores
from trainer.metrics import accuracy

NEEDS = Needs(fuse="features")

_BLOCK = 1 << 25
"""Similarities held at once, 256 MiB of them, whatever the number of training rows."""


class Options(Model):
    """Weighted vote of the ``k`` most similar samples.

    Source: Wu et al., CVPR 2018, section 3.4 (there k = 200); the values: SkeleMixCLR, Evaluation Protocol.
    """

    k: int = Field(default=20, ge=1)
    temperature: float = Field(default=0.1, gt=0)


def evaluate(
    train: Features, test: Features, *, classes: tuple[str, ...], seed: int, options: Options
) -> list[Scores]:
    """``knn`` with the options' k, and ``knn1``, the nearest neighbour; ``seed`` is not used."""
    votes = _votes(train, test, (options.k, 1), classes=len(classes), temperature=options.temperature)
    named = {"knn": options.model_dump(mode="json"), "knn1": {"k": 1}}
    return [
        Scores(
            test.ids,
            test.labels,
            values,
            classes,
            "votes",
            protocol=name,
            settings=settings,
            details=_doubts(train, settings["k"]),
        )
        for values, (name, settings) in zip(votes, named.items(), strict=True)
    ]


def _doubts(train: Features, k: int) -> dict[str, Any]:
    """``notes`` if the k nearest are most of the training half, so that the largest class tends to win."""
    rows = len(train.values)
    if k == 1 or k * 2 <= rows:
        return {}
    smaller = max(1, rows // 10)
    return {"notes": [f"knn: {min(k, rows)} of {rows} training samples vote. Try --set knn.k={smaller}"]}


def top1(train: Features, test: Features, *, classes: int) -> float:
    """Accuracy with the default options, by which random weights are measured."""
    return accuracy(vote(train, test, classes=classes, options=Options()), test.labels)


def vote(train: Features, test: Features, *, classes: int, options: Options) -> Tensor:
    """[N_test, classes] float32: each of the k nearest by cosine votes exp(similarity / temperature).

    The search is exact. With fewer than k training rows, all of them vote. The votes of a row share a common
    factor.
    """
    return _votes(train, test, (options.k,), classes=classes, temperature=options.temperature)[0]


def _votes(
    train: Features, test: Features, ks: tuple[int, ...], *, classes: int, temperature: float
) -> list[Tensor]:
    """The votes for every k, from a single comparison with the training half."""
    targets = one_hot(train.labels, classes).double()
    blocks: list[list[Tensor]] = [[] for _ in ks]
    for block in similarities(train.values, test.values):
        similarity, index = block.topk(min(max(ks), len(targets)), dim=1)
        weight = torch.exp((similarity - similarity[:, :1]) / temperature)
        for place, k in enumerate(ks):
            votes = weight[:, :k, None] * targets[index[:, :k]]
            blocks[place].append(votes.sum(dim=1).float())
    return [torch.cat(votes) for votes in blocks]


def similarities(bank: Tensor, queries: Tensor) -> Iterator[Tensor]:
    """Cosines of all rows of ``queries`` with ``bank``, in blocks [some queries, bank] float64.

    float64 keeps neighbours whose cosines agree to seven digits in their true order.
    """
    bank = normalize(bank.double(), dim=1)
    for rows in queries.split(max(1, _BLOCK // len(bank))):
        yield normalize(rows.double(), dim=1) @ bank.T
