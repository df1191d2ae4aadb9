"""How the bodies of a clip go through an encoder that shares its weights between them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def by_body(x: Tensor, joints: int) -> Tensor:
    """[N,3,T,Vmax,M] -> [N*M, V*3, T]: without padding, the bodies of a sample behind one another."""
    samples, coordinates, frames, _, bodies = x.shape
    x = x[..., :joints, :].permute(0, 4, 3, 1, 2)
    return x.reshape(samples * bodies, joints * coordinates, frames)


def pool_map(features: Tensor, bodies: int, *, join: str) -> Tensor:
    """[N*M, C, T', V] -> [N, C] float32: mean over frames and joints, then over the bodies.

    ``join``: ``average`` over all M slots, or those that are ``present``.
    """
    means = features.mean(dim=(2, 3), dtype=torch.float32).view(-1, bodies, features.shape[1])
    return means.mean(dim=1) if join == "average" else mean_of_present(means)


def only_present(bodies: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
    """``encode(bodies [B, ...]) -> [B, ...]`` of the bodies that are there; absent ones, all zero, get zeros.

    They take no time and enter no statistic. A batch without anybody is encoded as it is.
    """
    rows = (bodies != 0).flatten(1).any(dim=1).nonzero().flatten()
    if len(rows) in (0, len(bodies)):
        return encode(bodies)
    features = encode(bodies[rows])
    return features.new_zeros(len(bodies), *features.shape[1:]).index_copy(0, rows, features)


def mean_of_present(features: Tensor) -> Tensor:
    """[N, M, C], nowhere negative -> [N, C]: mean over the bodies that are not all zero."""
    # Behind a ReLU nothing is negative: features that are all zero are those of an absent body.
    present = (features > 0).any(dim=2).sum(dim=1, keepdim=True)
    return features.sum(dim=1) / present.clamp_min(1)
