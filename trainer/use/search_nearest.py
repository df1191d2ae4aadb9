"""Nearest rows by cosine, computed in blocks without a matrix of all pairs, for any number of rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.evaluate.knn import similarities


@dataclass(frozen=True)
class Nearest:
    """The k rows of a bank most similar to each of Q queries, most similar first."""

    rows: Tensor
    """[Q, k] int64."""
    cosines: Tensor
    """[Q, k] float64."""

    @property
    def distances(self) -> Tensor:
        """[Q, k] float64: Euclidean distances between unit-length features, in 0..2."""
        return (2 - 2 * self.cosines).clamp(min=0).sqrt()


def nearest(bank: Tensor, queries: Tensor | None = None, *, k: int) -> Nearest:
    """The ``k`` nearest rows of ``bank`` [N, D] to every row of ``queries`` [Q, D], exactly as in kNN.

    ``queries`` None: the rows of the bank, none of which is its own neighbour. Fewer than k if the bank has
    no more. Memory: the bank in float64, and the block of similarities of ``evaluate.knn``.
    """
    alone = queries is None
    asked = bank if queries is None else queries
    count = min(k, len(bank) - alone)
    rows, cosines, start = [], [], 0
    for block in similarities(bank, asked):
        if alone:
            own = torch.arange(len(block))
            block[own, start + own] = -torch.inf
        best = block.topk(count, dim=1)
        rows.append(best.indices)
        cosines.append(best.values)
        start += len(block)
    return Nearest(torch.cat(rows), torch.cat(cosines))
