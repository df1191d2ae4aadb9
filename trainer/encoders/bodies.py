"""Encoding the bodies of a clip with weights shared between them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from trainer.kernels.kept import cached, may_keep

COORDINATES = 3
"""x, y and z, the channels of a clip."""


class BodyEncoder(nn.Module):
    """An encoder whose map has frames and joints of every body, which are averaged, then the bodies."""

    options: Any
    feature_dim: int
    map_axes: Literal["TV"] | None = "TV"

    def feature_map(self, x: Tensor, convention: str) -> Tensor:
        """x [N,3,T,Vmax,M] -> [N*M, feature_dim, T', V]."""
        raise NotImplementedError

    def pool(self, features: Tensor, bodies: int) -> Tensor:
        """[N*M, C, T', V] -> [N, C] float32: mean over frames and joints, then over the bodies."""
        return pool_map(features, bodies, join=self.options.bodies)

    def forward(self, x: Tensor, convention: str) -> Tensor:
        return self.pool(self.feature_map(x, convention), x.shape[4])


def by_body(x: Tensor, joints: int) -> Tensor:
    """[N,3,T,Vmax,M] -> [N*M, V*3, T] without padding; the bodies of a sample are consecutive."""
    samples, coordinates, frames, _, bodies = x.shape
    x = x[..., :joints, :].permute(0, 4, 3, 1, 2)
    return x.reshape(samples * bodies, joints * coordinates, frames)


def body_rows(x: Tensor, joints: int) -> Tensor:
    """[N,3,T,Vmax,M] -> [N*M,3,T,V] without padding; the bodies of a sample are consecutive."""
    return x[..., :joints, :].permute(0, 4, 1, 2, 3).flatten(0, 1)


def present(x: Tensor) -> Tensor:
    """[N,3,T,V,M] -> [N*M] bool: the bodies that are present; an absent one is all zeros."""
    return (x != 0).flatten(1, 3).any(dim=1).flatten()


def pool_map(features: Tensor, bodies: int, *, join: str) -> Tensor:
    """[N*M, C, T', V] -> [N, C] float32: mean over frames and joints, then over the bodies.

    ``join``: ``average`` over all M slots, or those that are ``present``.
    """
    means = map_mean(features).view(-1, bodies, features.shape[1])
    return means.mean(dim=1) if join == "average" else mean_of_present(means)


def map_mean(features: Tensor) -> Tensor:
    """[B,C,T,V] -> [B,C] float32: mean over frames and joints, whose gradient has the layout of the map.

    The gradient of a plain mean is laid out in the order of dimensions, and mixed layouts slow the layers
    down.
    """
    if features.is_contiguous(memory_format=torch.channels_last):
        return features.permute(0, 2, 3, 1).mean(dim=(1, 2), dtype=torch.float32)
    return features.mean(dim=(2, 3), dtype=torch.float32)


def encode_each(
    bodies: Tensor,
    encode: Callable[[Tensor], Tensor],
    *,
    join: str,
    training: bool,
    network: nn.Module | None = None,
    name: str = "",
) -> Tensor:
    """Apply ``encode(bodies [B, ...]) -> [B, ...]`` at the least cost; ``join`` is the encoder's option.

    ``present``: absent bodies get zeros; see ``only_present``. Otherwise absent bodies are encoded, too: all
    of them in training, since they are part of BatchNorm's statistics; one for all in evaluation, and only
    once for all batches where ``encode`` depends only on ``name`` and the weights of ``network``.
    """
    if join == "present":
        return only_present(bodies, encode)
    if training or torch.compiler.is_compiling():  # a traced graph keeps one shape
        return encode(bodies)
    weights = [] if network is None else [*network.parameters(), *network.buffers()]
    if network is None or not may_keep(network, weights):
        return absent_once(bodies, encode)
    one = bodies.new_zeros(1, *bodies.shape[1:])
    absent = partial(cached, network, f"absent {name} {tuple(one.shape)}", weights, lambda: encode(one))
    return absent_known(bodies, encode, absent)


def absent_known(bodies: Tensor, encode: Callable[[Tensor], Tensor], absent: Callable[[], Tensor]) -> Tensor:
    """``encode(bodies)``, with ``absent()`` [1, ...] as the features of bodies that are all zero."""
    there = _present(bodies)
    rows = there.nonzero().flatten()
    if len(rows) == len(bodies):
        return encode(bodies)
    features = [absent(), encode(bodies[rows])] if len(rows) else [absent()]
    return torch.cat(features)[there.cumsum(0) * there]


def absent_once(bodies: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
    """``encode(bodies)`` in evaluation mode, where equal bodies have equal features.

    Absent bodies, all zero, are encoded only once, which saves time: most clips of most data sets show one
    person and have room for two.
    """
    there = _present(bodies)
    absent = (~there).nonzero().flatten()
    if len(absent) < 2:
        return encode(bodies)
    first = there.index_fill(0, absent[:1], True)
    place = first.cumsum(0) - 1  # of each body among those that are encoded
    return encode(bodies[first])[place.index_fill(0, absent, place[absent[0]])]


def only_present(bodies: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply ``encode(bodies [B, ...]) -> [B, ...]`` to present bodies; absent ones, all zero, get zeros.

    Absent bodies take no time and enter no statistic. A batch without any body is encoded as it is.
    """
    rows = _present(bodies).nonzero().flatten()
    if len(rows) in (0, len(bodies)):
        return encode(bodies)
    features = encode(bodies[rows])
    return features.new_zeros(len(bodies), *features.shape[1:]).index_copy(0, rows, features)


def leaves_out_absent(encoder: nn.Module) -> bool:
    """Whether an encoder encodes only present bodies, whose number varies between batches."""
    return getattr(encoder.options, "bodies", None) == "present"


def encoded(x: Tensor, *, join: str) -> Tensor | None:
    """[N,3,T,V,M] -> [N*M] bool: the bodies that ``encode_each`` encodes with this ``join``; None for all."""
    if join != "present":
        return None
    there = present(x)
    return there | ~there.any()


def mean_of_present(features: Tensor) -> Tensor:
    """[N, M, C] -> [N, C]: mean over the present bodies; the features of absent ones are all zero."""
    present = (features != 0).any(dim=2).sum(dim=1, keepdim=True)
    return features.sum(dim=1) / present.clamp_min(1)


def _present(bodies: Tensor) -> Tensor:
    """[B, ...] -> [B] bool: the bodies that are not all zero."""
    return (bodies != 0).flatten(1).any(dim=1)
