"""Features of clips from anywhere, and the file that keeps them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from schemas import SkelError, UsageError
from trainer.evaluate.features import Features, concatenated
from trainer.evaluate.scores import replacing
from trainer.use import sources
from trainer.use.model import Model
from trainer.use.sources import Asked, OnProblem

OnProgress = Callable[[int], None]
"""Called with the number of clips so far."""


@dataclass(frozen=True)
class Embedded:
    """Of N clips. The arrays are those of the file."""

    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    """[N]: place in ``classes``, -1 where the class is not known."""
    classes: tuple[str, ...]
    features: dict[str, NDArray[np.float32]]
    """Encoder -> [N, D]."""
    convention: str

    @property
    def fused(self) -> NDArray[np.float32]:
        """[N, D1 + D2 + ...] as kNN takes them: one encoder's as they are; several side by side, each scaled
        to length one."""
        parts = [
            Features(torch.from_numpy(each), torch.from_numpy(self.labels)) for each in self.features.values()
        ]
        return (concatenated(parts, unit=True) if len(parts) > 1 else parts[0]).values.numpy()

    @property
    def arrays(self) -> dict[str, Any]:
        """By their names in a file: ``features``, of several encoders ``features_joint`` and so on."""
        single = len(self.features) == 1
        named = {("features" if single else f"features_{name}"): each for name, each in self.features.items()}
        return {
            "ids": np.array(self.ids, dtype=np.str_),
            "labels": self.labels,
            "classes": np.array(self.classes, dtype=np.str_),
            **named,
        }


def embedded(
    models: Mapping[str, Model], asked: Asked, *, on_problem: OnProblem, on_progress: OnProgress | None = None
) -> Embedded:
    """Features of all clips that are asked for, of each encoder. Raises as ``sources.parts``."""
    ids: dict[str, tuple[str, ...]] = {}
    names: list[str | None] = []
    features: dict[str, NDArray[np.float32]] = {}
    for number, (name, model) in enumerate(models.items()):
        convention = sources.convention_of(model.card, asked)
        found: list[NDArray[np.float32]] = []
        own: list[str] = []
        for part in sources.parts(model.card, asked, (lambda _: None) if number else on_problem):
            found.append(model.embed(part.clips.numpy(), convention))
            own += part.ids
            names += () if number else part.names
            if on_progress is not None:
                on_progress(len(own))
        ids[name], features[name] = tuple(own), np.concatenate(found)
    first = next(iter(ids.values()))
    if any(each != first for each in ids.values()):
        raise SkelError("the encoders saw other clips", remedy="Choose one of them with --encoder")
    classes, labels = sources.classes_of(asked, names)
    return Embedded(first, np.array(labels, np.int64), classes, features, convention)


def write(found: Embedded, path: Path) -> None:
    """``.npz``, complete or absent; no pickle. Raises UsageError for another suffix."""
    check_suffix(path)
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **found.arrays)


def check_suffix(path: Path) -> None:
    if path.suffix.lower() != ".npz":
        raise UsageError(f"{path} is no .npz", where="--out", remedy="Name a file such as features.npz")
