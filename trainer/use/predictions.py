"""A classifier's predictions: probabilities, names, and whether a clip is of a known class at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from schemas import UsageError, unknown
from trainer.evaluate import heads
from trainer.evaluate.heads import Sureness
from trainer.export.classifier import Kept

UNKNOWN = "unknown"
"""Name for a clip that resembles no class."""

By = Literal["energy", "distance"]


@dataclass(frozen=True)
class Predictions:
    """Predictions for N clips; NumPy arrays if the clips were arrays, otherwise tensors."""

    classes: tuple[str, ...]
    probabilities: Any
    """[N, classes] float32: rows sum to one. Calibrated by one temperature if ``calibrated``."""
    energy: Any
    """[N] float32: the higher, the less a clip looks like any class."""
    distance: Any
    """[N] float32: one minus the cosine to the nearest class mean; None if no means were saved."""
    known: Any
    """[N] bool: False for a clip judged to be of no known class; all True if this was not requested."""
    calibrated: bool
    """Whether the probabilities were calibrated on held-out clips."""

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def labels(self) -> Any:
        """[N] int64: the most likely class, -1 for unknown."""
        best, nobody = self.probabilities.argmax(1), -1
        if isinstance(best, Tensor):
            return torch.where(self.known, best, nobody)
        return np.where(self.known, best, nobody)

    @property
    def names(self) -> tuple[str, ...]:
        """The most likely class of every clip, or ``unknown``."""
        return tuple(UNKNOWN if label < 0 else self.classes[label] for label in self.labels.tolist())

    def top(self, count: int = 5) -> list[list[tuple[str, float]]]:
        """The most likely classes of every clip with their probabilities, most likely first."""
        rows = torch.as_tensor(self.probabilities)
        best = rows.topk(min(count, rows.shape[1]), dim=1)
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [[(self.classes[place], value) for place, value in zip(*pair, strict=True)] for pair in pairs]

    def rows(self, chosen: Sequence[int]) -> Predictions:
        """Only the ``chosen`` clips, in the given order."""
        place = list(chosen)
        return self._each(lambda values: values[place])

    def numpy(self) -> Predictions:
        """The same predictions as NumPy arrays."""
        return self._each(lambda values: values.cpu().numpy() if isinstance(values, Tensor) else values)

    def _each(self, change: Callable[[Any], Any]) -> Predictions:
        """With ``change`` applied to all arrays."""
        arrays = {name: getattr(self, name) for name in ("probabilities", "energy", "distance", "known")}
        changed = {name: change(values) for name, values in arrays.items() if values is not None}
        return replace(self, **changed)


def predicted(
    classifier: Kept, features: Tensor, *, by: By | None, keep: float, where: object = None
) -> Predictions:
    """Predictions from features [N, D].

    ``by``: the criterion for unknown clips; None: none are marked. ``keep``: the share of clips of known
    classes that should remain known, in 0..1. Raises UsageError if no clips were held out to decide it.
    """
    head, sure = classifier.head, classifier.head.sureness
    logits = head.logits(features)
    temperature = 1.0 if sure is None else sure.temperature
    energy = heads.energies(logits)
    distance = None if head.means is None else head.distance(features)
    known = torch.ones(len(features), dtype=torch.bool)
    if by is not None:
        limit = threshold(sure, by, keep, classifier, where=where)
        value = energy if by == "energy" else distance
        assert value is not None
        known = value <= limit
    return Predictions(
        classifier.card.classes,
        (logits / temperature).softmax(dim=1),
        energy,
        distance,
        known,
        sure is not None,
    )


def threshold(sure: Sureness | None, by: str, keep: float, classifier: Kept, *, where: object) -> float:
    """The value that a share ``keep`` of the held-out clips does not exceed."""
    if by not in get_args(By):
        raise unknown("way to tell unknown clips", by, get_args(By))
    if not 0 < keep <= 1:
        raise UsageError(f"keep is {keep}, expected a share of the clips in 0..1")
    if sure is None:
        figure = classifier.card.figure.split("-")[0]
        raise UsageError(
            f"the classifier of {classifier.card.figure} saw all training clips: none says what is unknown "
            "to it",
            where=where,
            remedy="Evaluate linear with 50 training clips or more"
            if figure == "linear"
            else f"Take that of linear, or evaluate with --set {figure}.calibrate=true",
        )
    quantiles = getattr(sure, by)
    place = keep * (len(quantiles) - 1)
    low = min(int(place), len(quantiles) - 2)
    share = place - low
    return float(quantiles[low] * (1 - share) + quantiles[low + 1] * share)


def in_one(parts: Sequence[Predictions]) -> Predictions:
    """Concatenate one classifier's predictions for several parts of the clips, as NumPy arrays."""
    each = [part.numpy() for part in parts]
    distances = [part.distance for part in each]
    return replace(
        each[0],
        probabilities=np.concatenate([part.probabilities for part in each]),
        energy=np.concatenate([part.energy for part in each]),
        distance=None if distances[0] is None else np.concatenate(distances),
        known=np.concatenate([part.known for part in each]),
    )


def together(members: Sequence[Predictions], weights: Sequence[float]) -> Predictions:
    """The weighted mean of several classifiers' predictions for the same clips; of one, its own.

    Raises UsageError if their classes differ.
    """
    first = members[0]
    if len(members) == 1:
        return first
    for other in members[1:]:
        if other.classes != first.classes:
            raise UsageError(
                f"the classifiers have other classes: {', '.join(first.classes[:3])} and "
                f"{', '.join(other.classes[:3])}",
                remedy="Evaluate all encoders of the run on one store",
            )
    total = sum(weights)
    shares = [each.probabilities * (weight / total) for each, weight in zip(members, weights, strict=True)]
    energy = [each.energy * (weight / total) for each, weight in zip(members, weights, strict=True)]
    return replace(
        first,
        probabilities=sum(shares[1:], start=shares[0]),
        energy=sum(energy[1:], start=energy[0]),
        distance=None,
        calibrated=all(each.calibrated for each in members),
    )
