"""Linear evaluation: one linear layer on frozen features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from schemas import OptimiseConfig, SkelError
from schemas._model import Model
from trainer import few, optim, seeds
from trainer.evaluate import balance, heads, knn
from trainer.evaluate.balance import Batches, ClassWeights
from trainer.evaluate.crop import Crop
from trainer.evaluate.features import Features
from trainer.evaluate.protocol import Needs
from trainer.evaluate.scores import Scores
from trainer.metrics import accuracy

NEEDS = Needs()


class Options(Model):
    """Defaults: MS-CLR, section 4.2: 100 epochs, batch size 128, rate 3.0, a tenth of it from epoch 80.

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
    """Scale each feature to zero mean and unit variance over the training half. The papers use features as
    they are."""
    class_weights: ClassWeights = "none"
    """Class weights of the cross-entropy: ``balanced`` weights a clip inversely to the size of its class. No
    paper does this."""
    batches: Batches = "shuffled"
    """``balanced`` draws the clips of an epoch so that every class is equally probable. No paper does
    this."""
    crop: Crop | None = None
    """Temporal crops instead of whole clips: ISC. Training clips are encoded anew in every epoch."""
    streams: Literal["apart", "together"] = "apart"
    """For a method that trains several. ``apart``: one classifier each, whose scores are fused. ``together``:
    as in released CrosSCLR, one classifier each, trained together on the mean of their logits (its
    configuration of linear evaluation for three views, ``view: all``)."""


def evaluate(
    train: Features, test: Features, *, classes: tuple[str, ...], seed: int, options: Options
) -> list[Scores]:
    """The result is that of the last epoch; the best test epoch is only reported beside it.

    With ``streams`` together, each of the encoders whose features lie side by side has its own classifier. A
    second classifier is trained without a fifth of the training half to calibrate the confidence of the first
    (``heads``). Raises SkelError when the layer diverged.
    """
    widths = train.widths if options.streams == "together" else ()
    scaling = _scaling(train.values, options, parts=max(len(widths), 1))
    test_values = scaling(test.values)
    sizes = widths or (train.values.shape[1],)
    layer, without = (_initial(sizes, len(classes), seed) for _ in range(2))
    held_out, best = heads.held_out_rows(train.labels, train.ids, seed=seed), 0.0
    for epoch in range(options.epochs):
        values = scaling(train.values if train.anew is None or epoch == 0 else train.anew(epoch))
        _epoch(layer, values, train.labels, seed=seed, epoch=epoch, options=options)
        if held_out is not None:
            _epoch(
                without, values[~held_out], train.labels[~held_out], seed=seed, epoch=epoch, options=options
            )
        logits = layer.scores(test_values)
        best = max(best, accuracy(logits, test.labels))
    if not torch.isfinite(logits).all():
        raise _diverged(options)
    head = heads.Head(layer.weight, layer.bias, shift=scaling.shift, scale=scaling.scale)
    if held_out is not None:
        head = _sure(head, without, scaling, train, held_out)
    return [
        Scores(
            test.ids,
            test.labels,
            logits,
            classes,
            protocol="linear",
            settings=options.model_dump(mode="json"),
            best_top1=best,
            head=head,
            details=_doubts(train, test, logits, options=options),
        )
    ]


def learned(values: Tensor, labels: Tensor, *, classes: int, seed: int, options: Options) -> heads.Head:
    """The layer trained on features [N, D] and labels [N]; nothing is held out or measured.

    Raises SkelError when it diverged.
    """
    scaling = _scaling(values, options, parts=1)
    scaled, layer = scaling(values), _initial((values.shape[1],), classes, seed)
    for epoch in range(options.epochs):
        _epoch(layer, scaled, labels, seed=seed, epoch=epoch, options=options)
    if not torch.isfinite(layer.weight).all():
        raise _diverged(options)
    return heads.Head(layer.weight, layer.bias, shift=scaling.shift, scale=scaling.scale)


def _diverged(options: Options) -> SkelError:
    return SkelError(
        f"the linear layer diverged at learning rate {options.lr}",
        remedy="Set linear.lr lower, or linear.standardise=true",
    )


FEW_STEPS = 1000
"""Below this number of steps, rate 3.0 on unscaled features is unreliable; the papers take 4,000 and more."""

FAR_BELOW = 0.1
"""How far the layer's accuracy may be below kNN on the same features before a note says so."""


def _doubts(train: Features, test: Features, logits: Tensor, *, options: Options) -> dict[str, Any]:
    """``notes`` on a layer on unscaled features that may not have learned what is in them.

    Only with fewer training clips than the papers have, and not for standardised features.
    """
    if options.standardise or len(train.values) >= few.FEW:
        return {}
    steps = options.epochs * math.ceil(len(train.values) / options.batch_size)
    nearest = knn.top1(train, test, classes=logits.shape[1])
    top1 = accuracy(logits, test.labels)
    below = top1 < nearest - FAR_BELOW
    if not below and steps >= FEW_STEPS:
        return {}
    deviation = float(train.values.std(dim=0).mean()) if len(train.values) > 1 else 0.0
    text = (
        f"{steps} steps at rate {options.lr:g} on {len(train.values)} clips and features of deviation "
        f"{deviation:.2g}"
    )
    if below:
        text += f": far below kNN of the same features, {100 * nearest:.1f} %, so it says little of them"
    return {"notes": [f"linear: {text}. Try --set linear.standardise=true --set linear.lr=0.1"]}


def _epoch(layer: Layer, values: Tensor, labels: Tensor, *, seed: int, epoch: int, options: Options) -> None:
    """One pass over all rows, in an order derived from seed and epoch."""
    rate = optim.learning_rate(_rates(options), epoch)
    order = balance.order_of(labels, options.batches, seeds.generator("cpu", seed, "linear", epoch))
    weights = balance.weights_of(labels, len(layer.bias), options.class_weights)
    batches = values[order].split(options.batch_size), labels[order].split(options.batch_size)
    for x, own in zip(*batches, strict=True):
        layer.step(x, own, lr=rate, options=options, weights=weights)


def _sure(
    head: heads.Head, without: Layer, scaling: Scaling, train: Features, held_out: Tensor
) -> heads.Head:
    """Add the calibration from the clips that ``without`` did not learn from; unchanged if that diverged."""
    logits = without.scores(scaling(train.values[held_out]))
    if not torch.isfinite(logits).all():
        return head
    known = heads.sureness_of(
        logits,
        train.values[held_out],
        train.labels[held_out],
        others=train.values[~held_out],
        others_labels=train.labels[~held_out],
    )
    return head.surely(train.values, train.labels, known)


@dataclass(frozen=True)
class Layer:
    """Softmax regression under SGD with momentum; its explicit gradient takes a third of autograd's time.

    ``parts`` classifiers whose logits are averaged are one layer on their features side by side, divided by
    their number. Its bias is the mean of theirs and is updated by the mean of their updates.
    """

    weight: Tensor
    """[classes, inputs]"""
    bias: Tensor
    """[classes]"""
    momentum: tuple[Tensor, Tensor]
    """Running sums of the gradients of both, as torch.optim.SGD keeps them."""
    parts: int = 1

    def scores(self, x: Tensor) -> Tensor:
        """Logits: [N, inputs] -> [N, classes]."""
        return torch.addmm(self.bias, x, self.weight.T)

    def step(
        self, x: Tensor, labels: Tensor, *, lr: float, options: Options, weights: Tensor | None = None
    ) -> None:
        """One SGD step on a batch's mean cross-entropy, in place; ``weights`` [classes] weight its clips."""
        error = self.scores(x).softmax(dim=1)
        error[torch.arange(len(x)), labels] -= 1
        if weights is None:
            error /= len(x)
        else:
            error *= (weights[labels] / weights[labels].sum())[:, None]
        gradients = error.T @ x, error.sum(dim=0) / self.parts
        parts = zip((self.weight, self.bias), gradients, self.momentum, strict=True)
        for parameter, gradient, momentum in parts:
            momentum.mul_(options.momentum).add_(gradient)
            if options.weight_decay:
                momentum.add_(parameter, alpha=options.weight_decay)
            parameter.sub_(momentum, alpha=lr)


def _rates(options: Options) -> OptimiseConfig:
    return OptimiseConfig(
        **options.model_dump(
            exclude={"standardise", "batch_size", "class_weights", "batches", "crop", "streams"}
        ),
        schedule="step",
    )


def _initial(widths: Sequence[int], classes: int, seed: int) -> Layer:
    """Uniform in +-1/sqrt(inputs), as torch.nn.Linear is initialised, from a separate generator."""
    generator = seeds.generator("cpu", seed, "linear", "init")
    drawn = [_uniform(width, classes, generator) for width in widths]
    weight, bias = torch.cat([each for each, _ in drawn], dim=1), sum(each for _, each in drawn) / len(drawn)
    assert isinstance(bias, Tensor)
    return Layer(weight, bias, (torch.zeros_like(weight), torch.zeros_like(bias)), len(widths))


def _uniform(inputs: int, classes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Weight and bias of a layer."""
    bound = 1 / math.sqrt(inputs)
    weight = torch.empty(classes, inputs).uniform_(-bound, bound, generator=generator)
    return weight, torch.empty(classes).uniform_(-bound, bound, generator=generator)


@dataclass(frozen=True)
class Scaling:
    """Scaling of features before the layer: ``(x - shift) / scale``; None skips the step."""

    shift: Tensor | None
    scale: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        moved = x if self.shift is None else x - self.shift
        return moved if self.scale is None else moved / self.scale


def _scaling(train: Tensor, options: Options, *, parts: int) -> Scaling:
    """Scaling by the means and deviations of ``train`` with ``standardise``, and by ``parts``."""
    if not options.standardise:
        return Scaling(None, None if parts == 1 else torch.full((train.shape[1],), float(parts)))
    deviation = train.std(dim=0).clamp_min(1e-6)
    return Scaling(train.mean(dim=0), deviation * parts)
