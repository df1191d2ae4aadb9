"""Accuracies, and running means that need no synchronisation with the device at each step."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trainer import distributed


def accuracy(scores: Tensor, labels: Tensor, *, top: int = 1) -> float:
    """Fraction of rows of ``scores`` [N, classes] whose label is among the ``top`` highest."""
    return float((ranks(scores, labels) < top).double().mean())


def ranks(scores: Tensor, labels: Tensor) -> Tensor:
    """[N] int64: number of classes ranked before the label; ties go to the first class, as in argmax."""
    own = scores.gather(1, labels[:, None])
    earlier = torch.arange(scores.shape[1], device=scores.device) < labels[:, None]
    return ((scores > own) | ((scores == own) & earlier)).sum(dim=1)


def confusion(scores: Tensor, labels: Tensor) -> Tensor:
    """[classes, classes] int64 on the CPU: counts of samples by label (row) and highest score (column)."""
    classes = scores.shape[1]
    cells = labels * classes + scores.argmax(dim=1)
    return torch.bincount(cells.cpu(), minlength=classes * classes).view(classes, classes)


def per_class(scores: Tensor, labels: Tensor, names: tuple[str, ...]) -> dict[str, float]:
    """Top-1 accuracy of each class that occurs in ``labels``."""
    table = confusion(scores, labels)
    total = table.sum(dim=1).tolist()
    right = table.diagonal().tolist()
    return {name: right[k] / total[k] for k, name in enumerate(names) if total[k]}


@dataclass
class Meter:
    """The metrics of every step of an epoch. They stay on the device until they are read."""

    rows: list[dict[str, float]] = field(default_factory=list)
    waiting: list[dict[str, Tensor]] = field(default_factory=list)

    def add(self, metrics: dict[str, Tensor]) -> None:
        self.waiting.append({name: value.detach() for name, value in metrics.items()})

    def settle(self) -> list[dict[str, float]]:
        """Move waiting metrics to the host in one transfer and return all rows of the epoch so far.

        With several processes the values are means over them, so all must call this at the same time.
        """
        if self.waiting:
            values = [value.float().reshape(()) for row in self.waiting for value in row.values()]
            numbers = iter(distributed.mean(torch.stack(values)).tolist())
            self.rows += [{name: next(numbers) for name in row} for row in self.waiting]
            self.waiting.clear()
        return self.rows

    def mean(self, last: int | None = None) -> dict[str, float]:
        """Means over the ``last`` steps, or over all; steps where a metric is absent or nan are left out."""
        rows = self.settle()[-last:] if last else self.settle()
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {
            name: [row[name] for row in rows if not math.isnan(row.get(name, math.nan))] for name in names
        }
        return {
            name: math.fsum(column) / len(column) if column else math.nan for name, column in columns.items()
        }

    def clear(self) -> None:
        self.rows.clear()
        self.waiting.clear()
