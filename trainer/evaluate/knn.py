"""Nearest neighbours: nothing is trained, so the figure speaks about the features alone."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from schemas._model import Model
from trainer.evaluate.features import Features
from trainer.evaluate.outcome import Outcome

NEEDS = "features"
FUSES = "features"

_CHUNK = 1024
"""Test rows compared at a time: a block of [1024, train] similarities fits any memory."""


class Options(Model):
    """Weighted vote of the ``k`` most similar; source: Wu et al., CVPR 2018, section 3.4 (there k = 200)."""

    k: int = Field(default=20, ge=1)
    temperature: float = Field(default=0.1, gt=0)


def evaluate(train: Features, test: Features, *, classes: int, seed: int, options: Options) -> list[Outcome]:
    """``knn`` with the options' k, and ``knn1``, the nearest neighbour. Nothing is drawn from ``seed``."""
    nearest = options.model_copy(update={"k": 1})
    return [
        Outcome("knn", vote(train, test, classes=classes, options=options), options.model_dump(mode="json")),
        Outcome("knn1", vote(train, test, classes=classes, options=nearest), {"k": 1}),
    ]


def vote(train: Features, test: Features, *, classes: int, options: Options) -> Tensor:
    """[N_test, classes]: each of the k nearest by cosine votes exp(similarity / temperature) for its class.

    Exact. With fewer than k training rows all of them vote. The votes of a row share a common factor.
    """
    bank, targets = normalize(train.values, dim=1), one_hot(train.labels, classes).float()
    k = min(options.k, len(bank))
    scores = []
    for rows in normalize(test.values, dim=1).split(_CHUNK):
        similarity, index = (rows @ bank.T).topk(k, dim=1)
        weight = torch.exp((similarity - similarity[:, :1]) / options.temperature)
        scores.append((weight[:, :, None] * targets[index]).sum(dim=1))
    return torch.cat(scores)
