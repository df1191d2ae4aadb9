"""Finetuning: encoder and linear classifier are trained on all labels (AimCLR, CSCLR, SkeleMixCLR).

Released code leaves the encoder in eval mode meanwhile; ``mode=eval`` does the same.
"""

from __future__ import annotations

from typing import Unpack

from torch import nn

from trainer.data import Source
from trainer.evaluate.fit import Around, learned
from trainer.evaluate.protocol import Needs
from trainer.evaluate.scores import Scores
from trainer.evaluate.training import Training

NEEDS = Needs(clips=True)


class Options(Training):
    """Defaults: those of AimCLR and CSCLR."""


def evaluate(
    encoder: nn.Module, train: Source, test: Source, *, options: Options, **around: Unpack[Around]
) -> list[Scores]:
    """The result is that of the last epoch; the best test epoch is only reported beside it."""
    return [learned("finetune", encoder, train, test, options=options, **around)]
