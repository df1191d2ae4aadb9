"""Contrastive losses: pure functions on tensors, in float32 or better regardless of any enclosing autocast.

q and k are [N, D] unit vectors, the queue is [K, D], tau is the temperature.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Reduction = Literal["sum", "mean"]

NOTHING = -1e30
"""The score of an entry without weight; see ``without``."""


def logits(q: Tensor, k: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """[N, 1+K]: similarity of each query to its own key (column 0) and to the queue, divided by tau."""
    with torch.autocast(q.device.type, enabled=False):
        q, k, queue = (t if t.dtype == torch.float64 else t.float() for t in (q, k, queue))
        q = q / temperature  # [N, D]: dividing the [N, 1+K] scores would cost another copy and backward
        positive = (q * k).sum(dim=1, keepdim=True)
        return torch.cat([positive, q @ queue.t()], dim=1)


def without(scores: Tensor, own: Tensor) -> Tensor:
    """Scores [N, 1+K] in which the queue entries ``own`` [N, K] bool have no weight and no gradient.

    They become ``NOTHING``, whose exponential is 0 next to any similarity; it is finite, so that 0 times it
    is 0.
    """
    return scores.masked_fill(F.pad(own, (1, 0)), NOTHING)


def weightless(scores: Tensor) -> Tensor:
    """[N, 1+K] -> [N, 1+K] bool: the entries that ``without`` gave no weight."""
    return scores.detach() < NOTHING / 2


def info_nce(q: Tensor, k: Tensor, queue: Tensor, *, temperature: float) -> Tensor:
    """``-log(exp(q.k/tau) / (exp(q.k/tau) + sum_i exp(q.m_i/tau)))``, batch mean. AimCLR, Eq. (1)."""
    return nce(logits(q, k, queue, temperature))


def nce(scores: Tensor) -> Tensor:
    """InfoNCE of ``logits``: [N, 1+K] whose column 0 is the positive -> scalar."""
    return F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.int64, device=scores.device))


def multi_positive_nce(scores: Tensor, positives: Tensor, *, reduction: Reduction = "sum") -> Tensor:
    """InfoNCE with several positives per query. scores [N, 1+K], positives [N, 1+K] bool -> scalar.

    AimCLR, Eq. (9): every positive contributes ``-log softmax(scores)`` and the terms are added (``sum``).
    The released code divides by their number (``mean``). Every row needs a positive.
    """
    total = -torch.where(positives, F.log_softmax(scores, dim=1), 0).sum(dim=1)
    if reduction == "mean":
        total = total / positives.sum(dim=1)
    return total.mean()


def distribution_divergence(target: Tensor, scores: Tensor) -> Tensor:
    """``-sum_j p_j log p~_j``, batch mean; p is the softmax of ``target`` (detached), p~ of ``scores``.

    Both are [N, 1+K]. AimCLR, Eq. (7) and (8).
    """
    return F.cross_entropy(scores, F.softmax(target.detach(), dim=1))


def nearest(scores: Tensor, neighbours: int) -> Tensor:
    """[N, 1+K] bool: the ``neighbours`` queue entries most similar to each query; column 0 is False.

    Entries without weight are excluded, so there may be fewer.
    """
    mask = torch.zeros_like(scores, dtype=torch.bool)
    best, places = scores[:, 1:].topk(neighbours, dim=1)
    return mask.scatter_(1, places + 1, ~weightless(best))


def pooled_nce(scores: Tensor, positives: Tensor) -> Tensor:
    """``-log sum_p softmax(scores)_p`` over the positives, batch mean: one term for all of them.

    CSCLR, Eq. (11): the exponentials of the neighbours are added inside the logarithm. scores [N, 1+K],
    positives [N, 1+K] bool; every row needs a positive.
    """
    inside = scores.masked_fill(~positives, -torch.inf)
    return (torch.logsumexp(scores, dim=1) - torch.logsumexp(inside, dim=1)).mean()


def cross_stream_nce(
    scores: Tensor,
    other: Tensor,
    *,
    neighbours: int,
    temperature: float,
    context: bool = True,
    masked: bool = False,
) -> Tensor:
    """CrosSCLR's mining: the nearest neighbours in the ``other`` stream are positives of this one. -> scalar.

    scores, other [N, 1+K]: ``logits`` of the same clips in two streams, whose queues hold the same clips in
    the same slots. With ``context``, the products of both streams' similarities to every slot, over tau, are
    K more logits with the same positives. The terms of the positives are averaged; the gradient reaches
    both streams through the products, and none passes the choice of neighbours. ``masked``: some entries are
    ``without`` weight, the same ones in both streams; their products have no weight either.
    """
    positives = nearest(other, neighbours)
    positives[:, 0] = True
    if context:
        # logits are similarities over tau: their product has one tau too many
        products = scores[:, 1:] * other[:, 1:] * temperature
        if masked:
            products = products.masked_fill(weightless(scores[:, 1:]), NOTHING)
        scores = torch.cat([scores, products], dim=1)
        positives = torch.cat([positives, positives[:, 1:]], dim=1)
    return multi_positive_nce(scores, positives, reduction="mean")


def extrapolated(scores: Tensor, strength: Tensor, *, temperature: float) -> Tensor:
    """CSCLR's positive feature transformation: scores [N, 1+K] with a harder positive in column 0 -> same.

    Eq. (8) and (9): with z_q' = l z_q + (1-l) z_k and z_k' = l z_k + (1-l) z_q, not normalised again,
    ``z_q'.z_k' = 2 l (1-l) (1 - z_q.z_k) + z_q.z_k`` for unit vectors. strength [N] is l >= 1. Pairs that
    would get a negative similarity keep their own.
    """
    similarity = scores[:, 0] * temperature
    harder = 2 * strength * (1 - strength) * (1 - similarity) + similarity
    positive = torch.where(harder < 0, similarity, harder) / temperature
    return torch.cat([positive[:, None], scores[:, 1:]], dim=1)


def with_negative(
    scores: Tensor, q: Tensor, negative: Tensor, *, temperature: float, detach: bool = True
) -> Tensor:
    """``logits`` [N, 1+K] with one more negative for each query: [N, 2+K]. q and negative are [N, D].

    ``detach``: no gradient flows into the negative. SkeleMixCLR, Eq. (4) and (5); "detach" in its Table VII.
    """
    dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
    negative = negative.detach() if detach else negative
    extra = (q.to(dtype) * negative.to(dtype)).sum(dim=1, keepdim=True) / temperature
    return torch.cat([scores, extra], dim=1)
