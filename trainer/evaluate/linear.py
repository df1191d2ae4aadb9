"""Linear evaluation: one linear layer on features that stay as they are."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from schemas import OptimiseConfig, SkelError
from schemas._model import Model
from trainer import optim, seeds
from trainer.evaluate.features import Features
from trainer.evaluate.outcome import Outcome
from trainer.metrics import accuracy

NEEDS = "features"
FUSES = "scores"


class Options(Model):
    """Defaults: MS-CLR, section 4.2: 100 epochs, batch 128, rate 3.0, a tenth of it from epoch 80.

    Momentum 0.9 and no weight decay are those of the released code of CrosSCLR, AimCLR and MS-CLR.
    """

    epochs: int = Field(default=100, ge=1)
    lr: float = Field(default=3.0, gt=0)
    milestones: tuple[int, ...] = (80,)
    gamma: float = Field(default=0.1, gt=0, le=1)
    batch_size: int = Field(default=128, ge=1)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    standardise: bool = False
    """Zero mean and unit variance per feature over the training half. The papers use features as they are."""


def evaluate(train: Features, test: Features, *, classes: int, seed: int, options: Options) -> list[Outcome]:
    """The result is the last epoch's; the best test epoch is only reported beside it."""
    values, test_values = (
        _scaled(train.values, test.values) if options.standardise else (train.values, test.values)
    )
    best = 0.0
    weight, bias = _initial(values.shape[1], classes, seed)
    optimise = OptimiseConfig(**options.model_dump(exclude={"standardise", "batch_size"}), schedule="step")
    optimiser = optim.sgd([weight, bias], optimise)
    for epoch in range(options.epochs):
        optim.set_learning_rate(optimiser, optim.learning_rate(optimise, epoch))
        order = torch.randperm(len(values), generator=seeds.generator("cpu", seed, "linear", epoch))
        for rows in order.split(options.batch_size):
            loss = cross_entropy(linear(values[rows], weight, bias), train.labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        scores = linear(test_values, weight, bias).detach()
        best = max(best, accuracy(scores, test.labels))
    if not torch.isfinite(scores).all():
        raise SkelError(
            f"the linear layer diverged at learning rate {options.lr}",
            remedy="Set linear.lr lower, or linear.standardise=true",
        )
    return [Outcome("linear", scores, options.model_dump(mode="json"), best_top1=best)]


def _initial(inputs: int, classes: int, seed: int) -> tuple[torch.nn.Parameter, torch.nn.Parameter]:
    """Uniform in +-1/sqrt(inputs), as torch.nn.Linear starts, from a generator of our own."""
    generator = seeds.generator("cpu", seed, "linear", "init")
    bound = 1 / math.sqrt(inputs)
    weight = torch.empty(classes, inputs).uniform_(-bound, bound, generator=generator)
    bias = torch.empty(classes).uniform_(-bound, bound, generator=generator)
    return torch.nn.Parameter(weight), torch.nn.Parameter(bias)


def _scaled(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    mean, deviation = train.mean(dim=0), train.std(dim=0).clamp_min(1e-6)
    return (train - mean) / deviation, (test - mean) / deviation
