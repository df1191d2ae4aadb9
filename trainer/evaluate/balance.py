"""Class by class: loss weights, batches in which all classes are equally frequent, and drawn clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from trainer import seeds

ClassWeights = Literal["none", "balanced"]
"""Weights of the cross-entropy. ``balanced``: clips / (classes * clips of the class), scikit-learn's rule."""

Batches = Literal["shuffled", "balanced"]
"""``shuffled``: every clip once per epoch. ``balanced``: the same number of clips, drawn with replacement so
that every class is equally probable; clips of small classes occur more than once."""


def weights_of(labels: Tensor, classes: int, kind: ClassWeights) -> Tensor | None:
    """[classes] float32 weights for ``labels`` [N], with mean 1 over the N clips; None for ``none``.

    A class without clips has weight 0 and does not count among the classes.
    """
    if kind == "none":
        return None
    counts = torch.bincount(labels, minlength=classes).float()
    return torch.where(counts > 0, len(labels) / ((counts > 0).sum() * counts.clamp_min(1)), 0.0)


def order_of(labels: Tensor, kind: Batches, generator: torch.Generator) -> Tensor:
    """[N] int64: the rows of an epoch, in their order, for ``labels`` [N] on the CPU."""
    if kind == "shuffled":
        return torch.randperm(len(labels), generator=generator)
    chances = 1.0 / torch.bincount(labels).clamp_min(1)[labels].double()
    return torch.multinomial(chances, len(labels), replacement=True, generator=generator)


def drawn(
    labels: Tensor,
    ids: Sequence[str],
    count: Callable[[int], int],
    *,
    seed: int,
    address: Sequence[int | str],
) -> Tensor:
    """[N] bool: of every class of n clips the ``count(n)`` whose hashes of seed, address and id come first.

    The selection is the same on every machine and for every order of the rows.
    """
    by_class: dict[int, list[int]] = {}
    for row, label in enumerate(labels.tolist()):
        by_class.setdefault(label, []).append(row)
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for rows in by_class.values():
        ordered = sorted(rows, key=lambda row: (seeds.derive(seed, *address, ids[row]), ids[row]))
        chosen[ordered[: count(len(rows))]] = True
    return chosen
