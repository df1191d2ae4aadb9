"""Joint training of encoder and linear classifier on labels, for every protocol that changes weights.

The given encoder is left unchanged: a copy is trained. The result is that of the last epoch. Equal seeds give
equal numbers: order, augmentation and dropout are drawn from addresses (trainer.seeds).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from schemas import SkelError
from trainer import data, optim, seeds, shards
from trainer import device as devices
from trainer.data import Source
from trainer.encoders.initial import draws_from
from trainer.evaluate import balance, heads
from trainer.evaluate.features import extract
from trainer.evaluate.halves import chosen
from trainer.evaluate.heads import Head
from trainer.evaluate.scores import Scores
from trainer.evaluate.training import Training
from trainer.evaluate.validation import Best, held_out
from trainer.metrics import accuracy
from trainer.store import OnProgress, Samples


class Around(TypedDict):
    """The arguments of a protocol on clips other than halves and options; see trainer.evaluate."""

    convention: str
    classes: tuple[str, ...]
    seed: int
    device: torch.device
    augment: Callable[[Tensor, torch.Generator], Tensor]
    on_progress: OnProgress | None


class Classifier(nn.Module):
    """``forward(x [N,3,T,V,M], convention) -> [N, classes]`` logits."""

    def __init__(self, encoder: nn.Module, classes: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.encoder = encoder
        width: Any = encoder.feature_dim
        with draws_from(generator):
            self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor, convention: str) -> Tensor:
        logits: Tensor = self.head(self.encoder(x, convention))
        return logits


@dataclass
class Fitted:
    """The outcome of a training."""

    scores: Tensor
    """[N_test, classes] float32 logits on the CPU, of the last epoch."""
    loss: list[float] = field(default_factory=list)
    """Mean cross-entropy of the training clips in each epoch, accumulated during the epoch."""
    test_top1: dict[int, float] = field(default_factory=dict)
    """Epoch, counted from 1 -> test accuracy, for the epochs after which the test half was evaluated."""
    validation: dict[str, Any] = field(default_factory=dict)
    """With a validation part: its accuracies, and the epoch that the scores are of."""
    head: Head | None = None
    """The learned classifier, with the weights of the encoder."""

    @property
    def best_top1(self) -> float | None:
        """Optimistic, because it is chosen on the test half; None if that was evaluated only once."""
        return max(self.test_top1.values()) if len(self.test_top1) > 1 else None

    def curves(self) -> dict[str, Any]:
        """The curves as plain JSON."""
        test_top1 = {str(epoch): top1 for epoch, top1 in self.test_top1.items()}
        return {"loss": self.loss, "test_top1": test_top1} | self.validation


def learned(
    protocol: str,
    encoder: nn.Module,
    train: Source,
    test: Source,
    *,
    options: Training,
    **around: Unpack[Around],
) -> Scores:
    """Train once and return the scores of ``protocol``; raises as ``fit`` does."""
    fitted = fit(protocol, encoder, train, test, options=options, **around)
    return Scores(
        test.ids,
        test.labels,
        fitted.scores,
        around["classes"],
        protocol=protocol,
        settings=settings(options, around["device"]),
        best_top1=fitted.best_top1,
        details=fitted.curves(),
        head=fitted.head,
    )


def settings(options: Training, device: torch.device) -> dict[str, Any]:
    """The options as plain JSON, with the precision that is actually used."""
    return options.model_dump(mode="json") | {
        "precision": devices.settled_precision(device, options.precision)
    }


def fit(
    protocol: str,
    encoder: nn.Module,
    train: Source,
    test: Source,
    *,
    options: Training,
    **around: Unpack[Around],
) -> Fitted:
    """Train a copy of ``encoder`` and a fresh classifier on all of ``train``.

    With ``calibrate``, another copy is trained without a fifth of ``train`` to calibrate the confidence of
    the first (``heads``). PyTorch's global generator is restored afterwards. Raises SkelError when the loss
    is no longer finite.
    """
    fitted, model = _trained(protocol, encoder, train, test, options=options, **around)
    state = {name: value.detach().cpu().clone() for name, value in model.encoder.state_dict().items()}
    layer = model.head
    fitted.head = Head(layer.weight.detach().cpu().clone(), layer.bias.detach().cpu().clone(), encoder=state)
    held_out = (
        heads.held_out_rows(train.labels, train.ids, seed=around["seed"]) if options.calibrate else None
    )
    if held_out is not None:
        others, left = _divided(train, held_out)
        quick = options.model_copy(update={"test_every": 0})
        again, without = _trained(protocol, encoder, others, left, options=quick, **around)
        known = heads.sureness_of(
            again.scores,
            _outputs(without.encoder, left, options, around),
            left.labels.cpu(),
            others=_outputs(without.encoder, others, options, around),
            others_labels=others.labels.cpu(),
        )
        features = _outputs(model.encoder, train, options, around)
        fitted.head = fitted.head.surely(features, train.labels.cpu(), known)
    return fitted


def _trained(
    protocol: str,
    encoder: nn.Module,
    train: Source,
    test: Source,
    *,
    options: Training,
    **around: Unpack[Around],
) -> tuple[Fitted, Classifier]:
    """Scores and curves, and the trained model; raises as ``fit`` does."""
    device, left, best = around["device"], None, Best(options.patience)
    if options.validation:
        share, seed = options.validation, around["seed"]
        train, left = _divided(train, held_out(train.labels.cpu(), train.ids, share=share, seed=seed))
    generator = seeds.generator("cpu", around["seed"], "classifier")
    model = Classifier(copy.deepcopy(encoder), len(around["classes"]), generator=generator).to(device)
    optimiser = optim.build(model.parameters(), options.rates())
    labels, train, test = test.labels.cpu(), data.near(train, device), data.near(test, device)
    fitted = Fitted(torch.empty(0))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for epoch in range(options.epochs):
            loss = _epoch(model, optimiser, train, epoch=epoch, options=options, **around)
            fitted.loss.append(loss)
            stop = left is not None and best.look(
                model, _outputs(model, left, options, around), left.labels.cpu()
            )
            looks = options.test_every and (epoch + 1) % options.test_every == 0
            if looks or epoch + 1 == options.epochs:
                fitted.scores = _outputs(model, test, options, around)
                fitted.test_top1[epoch + 1] = accuracy(fitted.scores, labels)
            if not (math.isfinite(loss) and torch.isfinite(fitted.scores).all()):
                raise SkelError(
                    f"the training diverged in epoch {epoch + 1} at learning rate {options.lr}",
                    where=protocol,
                    remedy=f"Set {protocol}.lr lower, or {protocol}.warmup_epochs higher",
                )
            if stop:
                break
    if left is not None:
        model.load_state_dict(best.state)
        fitted.scores = _outputs(model, test, options, around)
        fitted.test_top1[best.epoch] = accuracy(fitted.scores, labels)
        fitted.validation = best.details()
    return fitted, model


def _divided(half: Source, held_out: Tensor) -> tuple[Source, Source]:
    """The clips to learn from, and those in ``held_out`` [N] bool."""
    learned_from, left = (chosen(half, rows.nonzero().flatten()) for rows in (~held_out, held_out))
    return learned_from, left


def _epoch(
    model: Classifier,
    optimiser: torch.optim.Optimizer,
    train: Source,
    *,
    epoch: int,
    options: Training,
    **around: Unpack[Around],
) -> float:
    """One pass over all clips; returns their mean loss, fetched from the device once."""
    seed, device, on_progress = around["seed"], around["device"], around["on_progress"]
    number = math.ceil(len(train) / options.batch_size)
    weights = balance.weights_of(train.labels.cpu(), len(around["classes"]), options.class_weights)
    weights = None if weights is None else weights.to(device)
    precision, rates = devices.settled_precision(device, options.precision), options.rates()
    total = torch.zeros((), device=device)
    _set_mode(model, options.mode)
    for step, (rows, clips) in enumerate(_batches(train, options, seed=seed, epoch=epoch)):
        optim.set_learning_rate(optimiser, optim.learning_rate(rates, epoch + step / number))
        x = clips[around["convention"]]
        if options.crop is not None:
            x = options.crop.drawn(x, seeds.generator(device, seed, epoch, step, "crop"))
        if options.augment == "normal":
            x = around["augment"](x, seeds.generator(device, seed, epoch, step, "augment"))
        # Dropout draws from the global generator; seeding it by address makes a step reproducible.
        torch.manual_seed(seeds.derive(seed, epoch, step, "dropout"))
        with devices.autocast(device, precision):
            loss = cross_entropy(model(x, around["convention"]).float(), train.labels[rows], weight=weights)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        total += loss.detach() * len(rows)
        if on_progress is not None:
            on_progress(epoch * number + step + 1, options.epochs * number)
    return float(total) / len(train)


def _batches(
    train: Source, options: Training, *, seed: int, epoch: int
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Rows and clips of an epoch's batches, on the device of the labels.

    Batch sizes are those of ``batches`` wherever the clips are. Clips in the store come in the order of
    shuffled shards, as in pre-training.
    """
    order = batches(len(train), batch_size=options.batch_size, seed=seed, epoch=epoch)
    drawn = None
    if options.batches == "balanced":
        generator = seeds.generator("cpu", seed, epoch, "order")
        drawn = balance.order_of(train.labels.cpu(), "balanced", generator)
    if isinstance(train, Samples):
        return data.indexed(train, order if drawn is None else drawn.tensor_split(len(order)))
    counts = None if drawn is None else drawn.bincount(minlength=len(train))
    buffers = shards.plan(train, seed=seed, epoch=epoch, turn=0, counts=counts)
    return data.sent(shards.batches(train, buffers, sizes=map(len, order)), train)


def batches(count: int, *, batch_size: int, seed: int, epoch: int) -> tuple[Tensor, ...]:
    """Rows [n] int64 of an epoch's batches, in random order.

    The fewest batches that hold all rows, with sizes that differ by at most one: with few labels, an
    incomplete last batch is too much to drop, and a batch of a few clips would give meaningless BatchNorm
    statistics and noisy steps.
    """
    order = torch.randperm(count, generator=seeds.generator("cpu", seed, epoch, "order"))
    return order.tensor_split(math.ceil(count / batch_size))


def _set_mode(model: nn.Module, mode: str) -> None:
    model.train(mode == "train")
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            module.train()  # cuDNN has no gradient in eval mode; without dropout the mode makes no difference


def _outputs(network: nn.Module, half: Source, options: Training, around: Around) -> Tensor:
    """[N, ...] float32 on the CPU: what a network makes of all clips, cropped as in tests."""
    crop = options.crop
    centre = None if crop is None else lambda clips, _: crop.centre(clips)
    return extract(
        network, half, convention=around["convention"], device=around["device"], view=centre
    ).values
