"""MoCo's components: the key network, its moving average, the queue of past keys and the projector.

Source: He et al., "Momentum Contrast", CVPR 2020, and MoCo v2's projector, as adopted by CrosSCLR.
"""

from __future__ import annotations

import copy
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Network = TypeVar("Network", bound=nn.Module)


def frozen_copy(network: Network) -> Network:
    """A deep copy whose parameters need no gradient: a key network that starts equal to the query network."""
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def update_(key: nn.Module, query: nn.Module, momentum: float) -> None:
    """In place: ``key <- momentum * key + (1 - momentum) * query``, parameters only.

    Buffers are not changed: the key network's BatchNorm tracks its own batches.
    """
    keys, queries = _parameters(key), _parameters(query)
    torch._foreach_mul_(keys, momentum)
    torch._foreach_add_(keys, queries, alpha=1 - momentum)


@torch.no_grad()
def parameter_distance(query: nn.Module, key: nn.Module) -> Tensor:
    """Scalar ``||query - key|| / ||query||`` over the weights: 0 when equal, near 1.4 when unrelated.

    Weights are the matrices and kernels. Scales, biases and edge importances are left out: they start at the
    same values in every network and would mask the distance of the rest.
    """
    queries, keys = _weights(query), _weights(key)
    apart = torch.stack(torch._foreach_norm(torch._foreach_sub(queries, keys)))
    size = torch.stack(torch._foreach_norm(queries))
    return apart.norm() / size.norm()


def _parameters(network: nn.Module) -> list[Tensor]:
    return [parameter.detach() for parameter in network.parameters()]


def _weights(network: nn.Module) -> list[Tensor]:
    return [
        parameter.detach()
        for name, parameter in network.named_parameters()
        if name.split(".")[-1].startswith("weight") and parameter.dim() > 1
    ]


class Queue(nn.Module):
    """The last ``size`` keys, first in, first out: a ring that wraps around for any batch size."""

    keys: Tensor
    """[size, dim] unit vectors, random at the start."""
    rows: Tensor
    """[size] int64: training-split row of each key's clip, -1 for keys drawn at the start."""
    steps: Tensor
    """[size] int64: the ``enqueue`` call that added each key, from 1; 0 for keys drawn at the start."""
    pointer: Tensor
    """int64 scalar: the slot of the next key."""

    def __init__(self, size: int, dim: int, *, generator: torch.Generator) -> None:
        super().__init__()
        keys = torch.randn(size, dim, generator=generator, device=generator.device)
        self.register_buffer("keys", F.normalize(keys, dim=1))
        self.register_buffer("rows", torch.full((size,), -1, device=generator.device))
        self.register_buffer("steps", torch.zeros(size, dtype=torch.int64, device=generator.device))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64, device=generator.device))

    @torch.no_grad()
    def enqueue(self, keys: Tensor, rows: Tensor, *, in_place: bool = False) -> None:
        """Replace the N oldest keys by ``keys`` [N, dim] of ``rows`` [N], or by the last ``size`` of them.

        ``in_place`` avoids a copy of the queue; no loss computed from it may be differentiated afterwards.
        """
        size = len(self.keys)
        places = torch.arange(len(keys), device=self.keys.device)[-size:]
        slots = (self.pointer + places) % size
        if not in_place:
            self.keys = self.keys.clone()
        self.keys.index_copy_(0, slots, keys[-size:].to(self.keys.dtype))
        self.rows.index_copy_(0, slots, rows[-size:])
        self.steps.index_copy_(0, slots, (self.steps.max() + 1).expand(len(slots)))
        self.pointer = (self.pointer + len(keys)) % size

    @torch.no_grad()
    def age(self) -> Tensor:
        """Scalar float: mean age in steps of the enqueued keys, 0 for the newest; nan if there are none."""
        ages = (self.steps.max() - self.steps).masked_fill(self.steps == 0, 0).sum()
        return ages / (self.steps > 0).sum()

    @torch.no_grad()
    def random_share(self) -> Tensor:
        """Scalar float: share of the keys that are still the random ones drawn at the start."""
        return (self.steps == 0).float().mean()


def projector(
    features: int, hidden: int, dim: int, *, norm: Literal["none", "batch"] = "none"
) -> nn.Sequential:
    """``Linear - [BatchNorm] - ReLU - Linear``: [N, features] -> [N, dim]. MoCo v2 has no BatchNorm."""
    middle = [nn.BatchNorm1d(hidden)] if norm == "batch" else []
    return nn.Sequential(nn.Linear(features, hidden), *middle, nn.ReLU(inplace=True), nn.Linear(hidden, dim))
