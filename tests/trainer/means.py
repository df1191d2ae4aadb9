"""A protocol that is in no registry: the class whose mean of the training features is nearest."""

from __future__ import annotations

import torch
from pydantic import Field

from schemas._model import Model
from trainer.evaluate.features import Features
from trainer.evaluate.protocol import Needs
from trainer.evaluate.scores import Scores

NEEDS = Needs()


class Options(Model):
    power: float = Field(default=1.0, gt=0)


def evaluate(
    train: Features, test: Features, *, classes: tuple[str, ...], seed: int, options: Options
) -> list[Scores]:
    """The score of a class is minus a power of the distance to its mean."""
    means = torch.stack([train.values[train.labels == label].mean(dim=0) for label in range(len(classes))])
    values = -(torch.cdist(test.values, means) ** options.power)
    settings = options.model_dump(mode="json")
    return [Scores(test.ids, test.labels, values, classes, protocol="means", settings=settings)]
