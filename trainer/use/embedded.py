"""Features of clips from any source, and the content of their file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from schemas import SkelError, UsageError
from trainer.evaluate.features import Features, concatenated
from trainer.use import sources
from trainer.use.embedded_files import KIND
from trainer.use.model import Model
from trainer.use.sources import Asked, OnProblem

OnProgress = Callable[[int], None]
"""Called with the number of clips processed so far."""


@dataclass(frozen=True)
class Embedded:
    """Features of N clips; the arrays are those of the file."""

    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    """[N]: index in ``classes``, -1 if the class is unknown."""
    classes: tuple[str, ...]
    features: dict[str, NDArray[np.float32]]
    """Encoder -> [N, D]; for several conventions, ENCODER_CONVENTION -> [N, D]."""
    conventions: tuple[str, ...]
    about: dict[str, Any] = field(default_factory=dict)
    """Origin of the features, as plain JSON."""

    @property
    def fused(self) -> NDArray[np.float32]:
        """[N, D1 + D2 + ...] as for kNN: unchanged for one encoder, else side by side at unit length each."""
        several = [Features(torch.from_numpy(each), _NONE) for each in self.features.values()]
        return (concatenated(several, unit=True) if len(several) > 1 else several[0]).values.numpy()

    @property
    def named(self) -> dict[str, NDArray[np.float32]]:
        """By their names in a file: ``features``, or for several encoders ``features_joint`` and so on."""
        single = len(self.features) == 1
        return {("features" if single else f"features_{name}"): each for name, each in self.features.items()}

    @property
    def arrays(self) -> dict[str, Any]:
        """All arrays of an ``.npz``."""
        return {
            "ids": np.array(self.ids, dtype=np.str_),
            "labels": self.labels,
            "classes": np.array(self.classes, dtype=np.str_),
            **self.named,
        }


_NONE = torch.empty(0, dtype=torch.int64)


def embedded(
    models: Mapping[str, Model],
    asked: Asked,
    *,
    conventions: Sequence[str] = (),
    fused: bool = False,
    on_problem: OnProblem,
    on_progress: OnProgress | None = None,
) -> Embedded:
    """Features of all requested clips from each encoder.

    ``conventions``: as for ``sources.conventions_at``; with several, only the clips that have all of them.
    ``fused``: concatenate all features into one. Raises UsageError if the places are not in the same
    conventions, and as ``sources.parts``.
    """
    names = _conventions(models, asked, conventions)
    read: dict[str, _Read] = {}
    for number, (convention, encoder) in enumerate(product(names, models)):
        one = replace(asked, convention=convention)
        listener = (lambda _: None) if number % len(models) else on_problem
        key = encoder if len(names) == 1 else f"{encoder}_{convention}"
        read[key] = _of_one(models[encoder], one, listener, on_progress)
    first = next(iter(read.values()))
    rows = _common(read, asked) if len(names) > 1 else dict.fromkeys(read, slice(None))
    if any(each.ids != first.ids for each in read.values()) and len(names) == 1:
        raise SkelError("the encoders saw other clips", remedy="Choose one of them with --encoder")
    own = rows[next(iter(read))]
    classes, labels = sources.classes_of(asked, np.array(first.names, dtype=object)[own].tolist())
    ids = tuple(np.array(first.ids, dtype=object)[own].tolist())
    features = {key: each.values[rows[key]] for key, each in read.items()}
    about = _about(models, names, fused=fused)
    result = Embedded(ids, np.array(labels, np.int64), classes, features, tuple(names), about)
    return replace(result, features={"fused": result.fused}) if fused else result


@dataclass(frozen=True)
class _Read:
    """Features of N clips from one encoder in one convention."""

    ids: tuple[str, ...]
    names: tuple[str | None, ...]
    values: NDArray[np.float32]
    """[N, D]."""


def _of_one(model: Model, asked: Asked, on_problem: OnProblem, on_progress: OnProgress | None) -> _Read:
    ids: list[str] = []
    names: list[str | None] = []
    values = []
    for part in sources.parts(model.card, asked, on_problem):
        values.append(model.embed(part.clips.numpy(), sources.convention_of(model.card, asked)))
        ids += part.ids
        names += part.names
        if on_progress is not None:
            on_progress(len(ids))
    return _Read(tuple(ids), tuple(names), np.concatenate(values))


def _common(read: Mapping[str, _Read], asked: Asked) -> dict[str, list[int]]:
    """The rows of the clips that all have, in the order of the first.

    Raises SkelError if there is no such clip, or if two clips have the same id.
    """
    places = {key: {id: row for row, id in enumerate(each.ids)} for key, each in read.items()}
    twice = any(len(places[key]) != len(each.ids) for key, each in read.items())
    ids = [id for id in next(iter(places.values())) if all(id in each for each in places.values())]
    if twice or not ids:
        what = "several clips have one id" if twice else "no clip has all conventions"
        raise SkelError(what, where=asked.places[0], remedy="Embed one --convention at a time")
    return {key: [each[id] for id in ids] for key, each in places.items()}


def _about(models: Mapping[str, Model], names: Sequence[str], *, fused: bool) -> dict[str, Any]:
    card = next(iter(models.values())).card
    record = {"kind": KIND, "method": card.method, "epoch": card.epoch, "checkpoint": card.checkpoint_hash}
    return record | {"encoders": list(models), "conventions": list(names), "fused": fused}


def _conventions(models: Mapping[str, Model], asked: Asked, given: Sequence[str]) -> list[str]:
    """The conventions, which must be the same for all places; raises UsageError if they differ."""
    card = next(iter(models.values())).card
    if not given:
        return [sources.convention_of(card, asked)]
    by_place = [sources.conventions_at(card, place, given, asked) for place in asked.places]
    if any(each != by_place[0] for each in by_place):
        other = next(place for place, each in zip(asked.places, by_place, strict=True) if each != by_place[0])
        raise UsageError(
            f"is not in the same conventions as {asked.places[0]}",
            where=other,
            remedy="Embed them one after the other, or in one --convention that both have",
        )
    return by_place[0]
