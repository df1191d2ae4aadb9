"""Contrastive losses: pure functions on tensors, in float32 or better, whatever the autocast around them.

q and k are [N, D] unit vectors, the queue is [K, D], tau is the temperature.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Reduction = Literal["sum", "mean"]


def logits(q: Tensor, k: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """[N, 1+K]: similarity of each query to its own key (column 0) and to the queue, divided by tau."""
    with torch.autocast(q.device.type, enabled=False):
        q, k, queue = (t if t.dtype == torch.float64 else t.float() for t in (q, k, queue))
        positive = (q * k).sum(dim=1, keepdim=True)
        return torch.cat([positive, q @ queue.t()], dim=1) / temperature


def info_nce(q: Tensor, k: Tensor, queue: Tensor, *, temperature: float) -> Tensor:
    """``-log(exp(q.k/tau) / (exp(q.k/tau) + sum_i exp(q.m_i/tau)))``, batch mean. AimCLR, Eq. (1)."""
    return nce(logits(q, k, queue, temperature))


def nce(scores: Tensor) -> Tensor:
    """InfoNCE of ``logits``: [N, 1+K] whose column 0 is the positive -> scalar."""
    return -F.log_softmax(scores, dim=1)[:, 0].mean()


def multi_positive_nce(scores: Tensor, positives: Tensor, *, reduction: Reduction = "sum") -> Tensor:
    """InfoNCE with several positives per query. scores [N, 1+K], positives [N, 1+K] bool -> scalar.

    AimCLR, Eq. (9): every positive has a term ``-log softmax(scores)`` and the terms are added (``sum``).
    The released code divides by their number (``mean``). Every row needs a positive.
    """
    terms = -F.log_softmax(scores, dim=1) * positives
    total = terms.sum(dim=1)
    if reduction == "mean":
        total = total / positives.sum(dim=1)
    return total.mean()


def distribution_divergence(target: Tensor, scores: Tensor) -> Tensor:
    """``-sum_j p_j log p~_j``, mean over the batch: p of ``target`` (detached), p~ of ``scores``, [N, 1+K].

    AimCLR, Eq. (7) and (8).
    """
    goal = F.softmax(target.detach(), dim=1)
    return -(goal * F.log_softmax(scores, dim=1)).sum(dim=1).mean()


def nearest(scores: Tensor, neighbours: int) -> Tensor:
    """[N, 1+K] bool: the ``neighbours`` queue entries most similar to each query; column 0 is False."""
    mask = torch.zeros_like(scores, dtype=torch.bool)
    best = scores[:, 1:].topk(neighbours, dim=1).indices + 1
    return mask.scatter_(1, best, True)
