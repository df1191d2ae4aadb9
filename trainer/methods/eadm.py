"""AimCLR's energy-based attention-guided drop module (EADM): drop the features that stand out most.

Source: Guo et al., "Contrastive Learning from Extremely Augmented Skeleton Sequences", AAAI 2022, Eq. (3)
and Algorithm 1. The attention is SimAM's: the sigmoid of a neuron's inverse energy.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from trainer import distributed

TemporalMap = Literal["neuron", "joint", "frame"]

ENERGY_REGULARISER = 1e-4
"""Lambda of Eq. (3), SimAM's value."""


@torch.no_grad()
def attention(features: Tensor) -> Tensor:
    """[B,C,T,V] -> same: ``sigmoid((x - mu)^2 / (4 (var + 1e-4)) + 0.5)`` within each channel of each body.

    The inverse of Eq. (3), without a gradient. The variance divides by T*V - 1, as in SimAM.
    """
    deviation = (features - features.mean(dim=(2, 3), keepdim=True)).square()
    neurons = features.shape[2] * features.shape[3]
    variance = deviation.sum(dim=(2, 3), keepdim=True) / max(neurons - 1, 1)
    return torch.sigmoid_(deviation.div_(4 * (variance + ENERGY_REGULARISER)).add_(0.5))


def drop(
    features: Tensor,
    *,
    threshold: float = 0.7,
    temporal_map: TemporalMap = "neuron",
    counted: Tensor | None = None,
) -> Tensor:
    """[B,C,T,V] -> same float32, with joints and then neurons, joints or frames of high attention zeroed.

    First, the joints whose attention, averaged over channels and frames, reaches ``threshold`` are dropped.
    Then ``temporal_map`` selects the unit: ``neuron`` is a single value of channel, joint and frame (the
    released code), ``joint`` a joint in a frame (averaged over channels), ``frame`` a frame (averaged over
    channels and joints). Each time, the rest is scaled by count / count_kept of the whole batch over all
    processes, counting the bodies ``counted`` [B] bool, None for all. Bodies that an encoder leaves out,
    whose features are zeros, must not count as kept. A body is never dropped entirely.
    """
    features = features.float()
    with torch.no_grad():
        energy = attention(features)
        averaged = {"neuron": (), "joint": (1,), "frame": (1, 3)}[temporal_map]
        temporal = energy.mean(dim=averaged, keepdim=True) if averaged else energy
        joints_kept = _weights(energy.mean(dim=(1, 2), keepdim=True), threshold, counted)
        weights = _weights(temporal, threshold, counted) * joints_kept
    return features * weights


def _weights(energy: Tensor, threshold: float, counted: Tensor | None) -> Tensor:
    """1 / (share kept) where ``energy`` is below the threshold, else 0; a body all above it is kept whole."""
    mask = energy < threshold
    mask = mask | ~mask.flatten(1).any(dim=1).view(-1, 1, 1, 1)
    whole = torch.tensor(mask.numel(), device=mask.device)
    if counted is not None:
        mask = mask & counted.view(-1, 1, 1, 1)
        whole = counted.sum() * energy[0].numel()
    whole, left = distributed.total(torch.stack([whole, mask.sum()]))
    return mask * (whole / left)
