"""The baseline of every table: the same encoder, from fresh random weights, on the same labels.

What a finetuned encoder gains over it is the benefit of its pre-training.
"""

from __future__ import annotations

from typing import Unpack

from torch import nn

from trainer.data import Source
from trainer.evaluate.fit import Around, learned
from trainer.evaluate.protocol import Needs
from trainer.evaluate.scores import Scores
from trainer.evaluate.training import Training

NEEDS = Needs(clips=True, random_weights=True)


class Options(Training):
    """Defaults: those of ``finetune``, so that the initial weights are the only difference."""


def evaluate(
    encoder: nn.Module, train: Source, test: Source, *, options: Options, **around: Unpack[Around]
) -> list[Scores]:
    """As ``finetune``; ``encoder`` comes with random weights."""
    return [learned("supervised", encoder, train, test, options=options, **around)]
