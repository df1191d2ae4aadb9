"""Classifiers trained by an evaluation, saved for use: ``RUN/results/<stem>.safetensors`` beside the result.

A file holds tensors and one line of JSON, the card: classes, convention, stream, recipe and the calibration
of the classifier's confidence. No code in it is run. For ``finetune``, ``semi``, ``supervised`` and
``transfer`` it also holds the weights of the encoder, which was trained with the head.

Confidence is calibrated on a fifth of the training clips, unseen by a second classifier that is trained like
the first on the other four fifths: one temperature for its logits (Guo et al., ICML 2017, section 4.2), and
how far clips of known classes lie from what is known, as energy (Liu et al., NeurIPS 2020, equation 4, at
temperature 1) and as cosine distance to the nearest class mean. The test half is never used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from schemas import CheckpointError, Component, regular
from schemas._model import Model
from schemas.parsing import refusing
from trainer.cards import checked
from trainer.evaluate import balance

FORMAT = 1
SUFFIX = ".safetensors"
HELD_OUT = 5
"""One in this many clips is held out, class by class."""
LEAST_HELD_OUT = 10
"""Minimum number of held-out clips for a temperature; fewer would make it meaningless."""
SHARES = 101
"""Number of quantiles stored of energies and distances: at 0, 0.01, ... 1."""

_COLDEST, _HOTTEST = math.log(0.02), math.log(50.0)
_OPTIONAL = ("shift", "scale", "centre", "means")
_KEY = "classifier"
_ENCODER = "encoder."
_KIND = "skeltools classifier"


class Recipe(Model):
    """The preprocessing of the clips that were learned from, as in the manifest of their store."""

    name: str
    steps: tuple[Component, ...]


class ClassifierCard(Model):
    """Format 1: everything that the tensors do not contain."""

    kind: Literal["skeltools classifier"] = "skeltools classifier"
    format: int = Field(ge=1)
    tool: str
    figure: str
    """Figure of the result that the classifier belongs to: ``linear``, ``finetune``, ``semi-5``, ..."""
    settings: dict[str, Any]
    """Settings of the protocol."""
    classes: tuple[str, ...] = Field(min_length=1)
    convention: str
    stream: str
    encoder: str
    """Which of the method's encoders; several whose features lie side by side are joined by ``+``."""
    frames: int = Field(ge=1)
    bodies: int = Field(ge=1)
    recipe: Recipe
    dataset: str
    synthetic: bool
    split: str
    store_hash: str
    checkpoint_hash: str
    """Hash of the run's checkpoint whose encoder computed the features, or was trained further."""
    train_samples: int = Field(ge=1)
    test_top1: float = Field(ge=0, le=1)
    temperature: float | None = Field(default=None, gt=0)
    """Logits are divided by it; None: no clips were held out, and probabilities are not calibrated."""
    held_out: int = Field(default=0, ge=0)
    """Number of clips that ``temperature`` and the quantiles come from."""


@dataclass(frozen=True)
class Sureness:
    """The calibration of a classifier on held-out clips."""

    temperature: float
    held_out: int
    energy: Tensor
    """[SHARES] float32, ascending: quantiles of the energy of clips of known classes."""
    distance: Tensor
    """[SHARES] float32, ascending: quantiles of their distance to the nearest class mean."""


@dataclass(frozen=True)
class Head:
    """``logits(features [N, D]) -> [N, classes]``."""

    weight: Tensor
    """[classes, D] float32."""
    bias: Tensor
    """[classes] float32."""
    shift: Tensor | None = None
    """[D]: subtracted from the features first; None: nothing."""
    scale: Tensor | None = None
    """[D]: what they are divided by next; None: nothing."""
    centre: Tensor | None = None
    """[D]: mean of the training clips' features, present with ``sureness``: a network's features share most
    of their direction, so cosines are taken without it."""
    means: Tensor | None = None
    """[classes, D] float32: class means of the training clips' centred features, each of unit length; zero
    for a class without clips. Present with ``sureness``."""
    encoder: dict[str, Tensor] = field(default_factory=dict)
    """Weights of the encoder trained with the head, by its own names; empty: the encoder is as
    pre-trained."""
    sureness: Sureness | None = None

    def logits(self, features: Tensor) -> Tensor:
        """The logits [N, classes] of features [N, D], bit for bit those of the evaluation."""
        x = features if self.shift is None else features - self.shift
        x = x if self.scale is None else x / self.scale
        return torch.addmm(self.bias, x, self.weight.T)

    def distance(self, features: Tensor) -> Tensor:
        """[N]: one minus the cosine to the nearest class mean, 0..2; requires ``sureness``."""
        assert self.means is not None
        assert self.centre is not None
        return distances(features - self.centre, self.means)

    def surely(self, features: Tensor, labels: Tensor, sureness: Sureness) -> Head:
        """Add centre and class means of the training clips' features [N, D], and the calibration."""
        centre = features.mean(dim=0)
        means = class_means(features - centre, labels, len(self.weight))
        return replace(self, centre=centre, means=means, sureness=sureness)


def class_means(features: Tensor, labels: Tensor, classes: int) -> Tensor:
    """[classes, D]: the mean of each class's features; features and means are scaled to unit length."""
    sums = torch.zeros(classes, features.shape[1], dtype=torch.float64)
    sums.index_add_(0, labels.cpu(), normalize(features.double().cpu(), dim=1))
    return normalize(sums, dim=1).float()


def distances(features: Tensor, means: Tensor) -> Tensor:
    """[N] float32: one minus the cosine to the nearest of ``means`` that is not zero."""
    cosines = normalize(features, dim=1) @ means.T
    return 1 - cosines.masked_fill(~means.any(dim=1), -1).amax(dim=1)


def energies(logits: Tensor) -> Tensor:
    """[N]: minus the log-sum-exp of the logits; the higher, the less a clip looks like any class.

    Liu et al., NeurIPS 2020, equation 4, at temperature 1.
    """
    return -logits.logsumexp(dim=1)


def held_out_rows(labels: Tensor, ids: Sequence[str], *, seed: int) -> Tensor | None:
    """[N] bool: one in ``HELD_OUT`` clips of every class, by the hash of seed and id; None for too few.

    A class keeps at least one clip to learn from. Too few: fewer than ``LEAST_HELD_OUT`` in total.
    """
    names = ids or tuple(map(str, range(len(labels))))
    chosen = balance.drawn(labels, names, lambda clips: clips // HELD_OUT, seed=seed, address=("held out",))
    return chosen if int(chosen.sum()) >= LEAST_HELD_OUT else None


def sureness_of(
    logits: Tensor, features: Tensor, labels: Tensor, *, others: Tensor, others_labels: Tensor
) -> Sureness:
    """Calibrate on held-out clips: their logits [n, classes], features [n, D] and labels.

    ``others``: the features [N, D] of the clips that the classifier learned from.
    """
    centre = others.mean(dim=0)
    means = class_means(others - centre, others_labels, logits.shape[1])
    shares = torch.linspace(0, 1, SHARES, dtype=torch.float64)
    energy, distance = energies(logits).double(), distances(features - centre, means).double()
    return Sureness(
        fitted_temperature(logits, labels),
        len(labels),
        torch.quantile(energy, shares).float(),
        torch.quantile(distance, shares).float(),
    )


def fitted_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature in 0.02..50 at which the mean cross-entropy of the logits is lowest.

    The loss is convex in the inverse temperature, so golden-section search finds it, here to a millionth of
    its value.
    """
    values = logits.double()
    low, high, share = _COLDEST, _HOTTEST, (math.sqrt(5) - 1) / 2

    def loss(place: float) -> float:
        return float(cross_entropy(values / math.exp(place), labels))

    left, right = high - share * (high - low), low + share * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > 1e-6:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - share * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + share * (high - low)
            at_right = loss(right)
    return math.exp((low + high) / 2)


def to_bytes(head: Head, card: ClassifierCard) -> bytes:
    """The content of a classifier file; equal heads give equal bytes."""
    tensors = {name: getattr(head, name) for name in ("weight", "bias", *_OPTIONAL)}
    tensors = {name: value for name, value in tensors.items() if value is not None}
    if head.sureness is not None:
        tensors |= {"energy": head.sureness.energy, "distance": head.sureness.distance}
    tensors |= {f"{_ENCODER}{name}": value for name, value in head.encoder.items()}
    ready = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return save(ready, metadata={_KEY: card.model_dump_json()})


def read_head(path: Path) -> tuple[Head, ClassifierCard]:
    """Read a classifier file; raises CheckpointError if it is absent, damaged, newer or something else."""
    if not path.is_file():
        raise CheckpointError(
            "no classifier here", where=path, remedy="Make one with `trainer evaluate RUN --protocol linear`"
        )
    with refusing(lambda why: _unreadable(path, why)), safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get(_KEY)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    card = _card(path, text)
    head = _head(tensors, card)
    if head is None:
        raise _unreadable(path, "its tensors do not fit its classes")
    return head, card


def _card(path: Path, text: str | None) -> ClassifierCard:
    with refusing(lambda why: _unreadable(path, f"it has no card: {why}")):
        content = regular.parse_json((text or "").encode())
    return checked(content, path, kind=_KIND, newest=FORMAT, model=ClassifierCard, refuse=_unreadable)


def _head(tensors: dict[str, Tensor], card: ClassifierCard) -> Head | None:
    """The head from its tensors; None if they are not those of ``Head``."""
    weight = tensors.get("weight", torch.empty(0))
    if weight.dim() != 2 or len(weight) != len(card.classes):
        return None
    shapes = {"bias": weight.shape[:1]}
    shapes |= {name: weight.shape[1:] for name in ("shift", "scale") if name in tensors}
    sure = card.temperature is not None
    shapes |= {"means": weight.shape, "centre": weight.shape[1:]} if sure else {}
    shapes |= {name: torch.Size([SHARES]) for name in ("energy", "distance") if sure}
    own = {name: tensors.get(name) for name in ("weight", *shapes)}
    if any(value is None or value.dtype != torch.float32 for value in own.values()):
        return None
    if any(tensors[name].shape != shape for name, shape in shapes.items()):
        return None
    encoder = {
        name.removeprefix(_ENCODER): value for name, value in tensors.items() if name.startswith(_ENCODER)
    }
    shift, scale, centre, means = map(tensors.get, _OPTIONAL)
    head = Head(weight, tensors["bias"], shift, scale, centre, means, encoder)
    if card.temperature is None:
        return head
    known = Sureness(card.temperature, card.held_out, tensors["energy"], tensors["distance"])
    return replace(head, sureness=known)


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        "this is not a classifier of `trainer evaluate`, or it is damaged: "
        f"{(reason or 'empty').splitlines()[0]}",
        where=path,
        remedy="Evaluate the run again",
    )
