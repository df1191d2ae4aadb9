"""Finetuning: encoder and linear classifier learn together on all labels (AimCLR, CSCLR, SkeleMixCLR).

Released code leaves the encoder in eval mode meanwhile; ``mode=eval`` does the same.
"""

from __future__ import annotations

from typing import Unpack

from torch import nn

from trainer.evaluate.fit import Around, measured
from trainer.evaluate.outcome import Outcome
from trainer.evaluate.training import Training
from trainer.store import Samples

NEEDS = "clips"
FUSES = "scores"


class Options(Training):
    """Defaults: those of AimCLR and CSCLR."""


def evaluate(
    encoder: nn.Module, train: Samples, test: Samples, *, options: Options, **around: Unpack[Around]
) -> list[Outcome]:
    """The result is the last epoch's; the best test epoch is only reported beside it."""
    return [measured("finetune", encoder, train, test, options=options, **around)]
