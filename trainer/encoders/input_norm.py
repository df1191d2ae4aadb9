"""The input BatchNorm of a graph network: each coordinate of each joint, over bodies and frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from schemas import UsageError
from trainer.encoders.bodies import by_body

COORDINATES = 3


def input_norm(joints: int, *, slots: int) -> nn.BatchNorm1d:
    """A BatchNorm for ``alike`` with one slot, or for ``by_slot`` with one slot per body."""
    return nn.BatchNorm1d(slots * joints * COORDINATES)


def alike(bodies: Tensor, norm: nn.Module) -> Tensor:
    """[B, V*3, T] -> [B,3,T,V], with statistics shared by all bodies."""
    samples, channels, frames = bodies.shape
    x = norm(bodies).view(samples, channels // COORDINATES, COORDINATES, frames)
    return x.permute(0, 2, 3, 1).contiguous()


def by_slot(x: Tensor, norm: nn.Module, joints: int, *, slots: int, encoder: str) -> Tensor:
    """x [N,3,T,Vmax,M] -> [N*M,3,T,V], with separate statistics for each body slot.

    Raises UsageError when x has more bodies than there are slots.
    """
    samples, _, frames, _, bodies = x.shape
    if bodies > slots:
        raise UsageError(
            f"the clips have {bodies} bodies, the input BatchNorm of {encoder} has room for {slots}",
            where="encoder.options.max_bodies",
            remedy=f"Train with max_bodies={bodies}",
        )
    # With zeros, the variance of a slot that no clip uses would approach zero, and a body in that slot, in
    # another store later, would be amplified some hundred times.
    filled = x[..., torch.arange(slots, device=x.device) % bodies]
    channels = by_body(filled, joints).view(samples, -1, frames)
    places = norm(channels).view(samples, slots, joints, COORDINATES, frames)
    return places[:, :bodies].flatten(0, 1).permute(0, 2, 3, 1).contiguous()
