"""Encoder and linear classifier trained together on labels: the loop of every protocol that changes weights.

The encoder that is handed in stays as it is: a copy learns. The result is the last epoch's. Equal seeds give
equal numbers: order, augmentation and dropout are drawn from addresses (trainer.seeds).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from schemas import SkelError
from trainer import device as devices
from trainer import optim, seeds
from trainer.encoders.initial import draws_from
from trainer.evaluate import balance, heads
from trainer.evaluate.heads import Head
from trainer.evaluate.scores import Scores
from trainer.evaluate.training import Training
from trainer.evaluate.validation import Best, held_out
from trainer.metrics import accuracy
from trainer.store import Samples

_CHUNK = 256
"""Test clips per forward pass, as many as for features."""


class Around(TypedDict):
    """What a protocol on clips is called with besides halves and options, as trainer.evaluate says."""

    convention: str
    classes: tuple[str, ...]
    seed: int
    device: torch.device
    augment: Callable[[Tensor, torch.Generator], Tensor]
    on_progress: Callable[[int, int], None] | None


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
    """A training that has ended."""

    scores: Tensor
    """[N_test, classes] float32 logits on the CPU, of the last epoch."""
    loss: list[float] = field(default_factory=list)
    """Mean cross-entropy of the training clips in each epoch, as they were seen."""
    test_top1: dict[int, float] = field(default_factory=dict)
    """Epoch, counted from 1 -> test accuracy, for the epochs after which it was looked at."""
    validation: dict[str, Any] = field(default_factory=dict)
    """With a validation part: its accuracies, and the epoch whose scores these are."""
    head: Head | None = None
    """What was learned, with the weights of the encoder."""

    @property
    def best_top1(self) -> float | None:
        """Optimistic, for it is chosen on the test half; None when that was seen once."""
        return max(self.test_top1.values()) if len(self.test_top1) > 1 else None

    def curves(self) -> dict[str, Any]:
        """As plain JSON."""
        test_top1 = {str(epoch): top1 for epoch, top1 in self.test_top1.items()}
        return {"loss": self.loss, "test_top1": test_top1} | self.validation


def learned(
    protocol: str,
    encoder: nn.Module,
    train: Samples,
    test: Samples,
    *,
    options: Training,
    **around: Unpack[Around],
) -> Scores:
    """One training as the scores of ``protocol``. Raises as ``fit``."""
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
    """The options as plain JSON, with the number format that is computed in."""
    return options.model_dump(mode="json") | {
        "precision": devices.settled_precision(device, options.precision)
    }


def fit(
    protocol: str,
    encoder: nn.Module,
    train: Samples,
    test: Samples,
    *,
    options: Training,
    **around: Unpack[Around],
) -> Fitted:
    """Trains a copy of ``encoder`` and a fresh classifier on all of ``train``.

    With ``calibrate`` another copy learns without a fifth of ``train``, to say how sure the first is
    (``heads``). PyTorch's global generator is as before afterwards. Raises SkelError when the loss is no
    longer finite.
    """
    fitted, model = _trained(protocol, encoder, train, test, options=options, **around)
    state = {name: value.detach().cpu().clone() for name, value in model.encoder.state_dict().items()}
    layer = model.head
    fitted.head = Head(layer.weight.detach().cpu().clone(), layer.bias.detach().cpu().clone(), encoder=state)
    held_out = (
        heads.held_out_rows(train.labels, train.ids, seed=around["seed"]) if options.calibrate else None
    )
    if held_out is not None:
        others, left = (_rows(train, rows, around["convention"]) for rows in (~held_out, held_out))
        quick = options.model_copy(update={"test_every": 0})
        again, without = _trained(protocol, encoder, others, left, options=quick, **around)
        known = heads.sureness_of(
            again.scores,
            _features(without, left, options, around),
            left.labels.cpu(),
            others=_features(without, others, options, around),
            others_labels=others.labels.cpu(),
        )
        features = _features(model, train, options, around)
        fitted.head = fitted.head.surely(features, train.labels.cpu(), known)
    return fitted


def _trained(
    protocol: str,
    encoder: nn.Module,
    train: Samples,
    test: Samples,
    *,
    options: Training,
    **around: Unpack[Around],
) -> tuple[Fitted, Classifier]:
    """Scores and curves, and what learned. Errors as ``fit``."""
    device, convention = around["device"], around["convention"]
    left, best = None, Best(options.patience)
    if options.validation:
        share, seed = options.validation, around["seed"]
        chosen = held_out(train.labels.cpu(), train.ids, share=share, seed=seed)
        left, train = _rows(train, chosen, convention), _rows(train, ~chosen, convention)
    generator = seeds.generator("cpu", around["seed"], "classifier")
    model = Classifier(copy.deepcopy(encoder), len(around["classes"]), generator=generator).to(device)
    optimiser = optim.build(model.parameters(), options.rates())
    clips, labels = train.clips[convention].to(device), train.labels.to(device)
    test_clips = test.clips[convention].to(device)
    if options.crop is not None:
        test_clips = options.crop.centre(test_clips)
    fitted = Fitted(torch.empty(0))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for epoch in range(options.epochs):
            loss = _epoch(model, optimiser, clips, labels, epoch=epoch, options=options, **around)
            fitted.loss.append(loss)
            stop = left is not None and best.look(
                model, _scores_of(model, left, options, around), left.labels
            )
            looks = options.test_every and (epoch + 1) % options.test_every == 0
            if looks or epoch + 1 == options.epochs:
                fitted.scores = scored(model, test_clips, convention)
                fitted.test_top1[epoch + 1] = accuracy(fitted.scores, test.labels)
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
        fitted.scores = scored(model, test_clips, convention)
        fitted.test_top1[best.epoch] = accuracy(fitted.scores, test.labels)
        fitted.validation = best.details()
    return fitted, model


def _scores_of(model: Classifier, samples: Samples, options: Training, around: Around) -> Tensor:
    """[N, classes] float32 on the CPU, of clips as tests see them."""
    clips = samples.clips[around["convention"]].to(around["device"])
    seen = clips if options.crop is None else options.crop.centre(clips)
    return scored(model, seen, around["convention"])


@torch.no_grad()
def _features(model: Classifier, samples: Samples, options: Training, around: Around) -> Tensor:
    """[N, D] float32 on the CPU, of clips as tests see them; the model stays in eval mode."""
    model.eval()
    features = []
    for chunk in samples.clips[around["convention"]].split(_CHUNK):
        clips = chunk.to(around["device"])
        seen = clips if options.crop is None else options.crop.centre(clips)
        features.append(model.encoder(seen, around["convention"]).float().cpu())
    return torch.cat(features)


def _rows(samples: Samples, chosen: Tensor, convention: str) -> Samples:
    """Some of the clips, by [N] bool, in one convention."""
    places = chosen.nonzero().flatten()
    return Samples(
        {convention: samples.clips[convention][places]},
        samples.labels[places],
        tuple(samples.ids[place] for place in places.tolist()),
        samples.rows[places],
    )


def _epoch(
    model: Classifier,
    optimiser: torch.optim.Optimizer,
    clips: Tensor,
    labels: Tensor,
    *,
    epoch: int,
    options: Training,
    **around: Unpack[Around],
) -> float:
    """One pass over all clips; their mean loss, which is fetched from the device once."""
    seed, device, on_progress = around["seed"], around["device"], around["on_progress"]
    order = batches(len(clips), batch_size=options.batch_size, seed=seed, epoch=epoch)
    known = labels.cpu()
    if options.batches == "balanced":
        rows = balance.order_of(known, "balanced", seeds.generator("cpu", seed, epoch, "order"))
        order = rows.tensor_split(len(order))
    weights = balance.weights_of(known, len(around["classes"]), options.class_weights)
    weights = None if weights is None else weights.to(device)
    precision, rates = devices.settled_precision(device, options.precision), options.rates()
    total = torch.zeros((), device=device)
    _set_mode(model, options.mode)
    for step, rows in enumerate(order):
        optim.set_learning_rate(optimiser, optim.learning_rate(rates, epoch + step / len(order)))
        rows = rows.to(device)
        x = clips[rows]
        if options.crop is not None:
            x = options.crop.drawn(x, seeds.generator(device, seed, epoch, step, "crop"))
        if options.augment == "normal":
            x = around["augment"](x, seeds.generator(device, seed, epoch, step, "augment"))
        # Dropout draws from the global generator: seeded by its address, a step repeats.
        torch.manual_seed(seeds.derive(seed, epoch, step, "dropout"))
        with devices.autocast(device, precision):
            loss = cross_entropy(model(x, around["convention"]).float(), labels[rows], weight=weights)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        total += loss.detach() * len(rows)
        if on_progress is not None:
            on_progress(epoch * len(order) + step + 1, options.epochs * len(order))
    return float(total) / len(clips)


def batches(count: int, *, batch_size: int, seed: int, epoch: int) -> tuple[Tensor, ...]:
    """Rows [n] int64 of an epoch's batches, in a random order.

    As few batches as hold all rows, equally large up to one: with few labels an incomplete last batch is too
    much to drop, and one of a few clips would give BatchNorm statistics of nothing and steps of noise.
    """
    order = torch.randperm(count, generator=seeds.generator("cpu", seed, epoch, "order"))
    return order.tensor_split(math.ceil(count / batch_size))


def _set_mode(model: nn.Module, mode: str) -> None:
    model.train(mode == "train")
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            module.train()  # cuDNN has no gradient otherwise; without dropout there is no difference


@torch.no_grad()
def scored(model: Classifier, clips: Tensor, convention: str) -> Tensor:
    """[N, classes] float32 on the CPU, of clips on the model's device; the model stays in eval mode."""
    model.eval()
    return torch.cat([model(chunk, convention).float().cpu() for chunk in clips.split(_CHUNK)])
