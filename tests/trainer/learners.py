"""Small encoders, samples and surroundings for tests of the protocols that train the encoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.trainer.clips import clips, component, generator, skeleton
from trainer import encoders
from trainer.store import Samples

KINECT = "kinectv2_25"


class Means(nn.Module):
    """Means of every joint's coordinates through a BatchNorm and a dropout: an encoder in microseconds."""

    def __init__(self, *, joints: int = 5, dropout: float = 0.0) -> None:
        super().__init__()
        self.feature_dim = 3 * joints
        self.norm = nn.BatchNorm1d(self.feature_dim)
        self.dropout = nn.Dropout(dropout)
        self.modes: list[bool] = []
        """Whether it was in training mode, for each call."""

    def forward(self, x: Tensor, convention: str) -> Tensor:
        self.modes.append(self.training)
        return self.dropout(self.norm(x.mean(dim=(2, 4)).flatten(1)))


def stgcn(**options: Any) -> nn.Module:
    small = {"channels": [8, 16], "stride_blocks": [2], "dropout": 0.25}
    return encoders.build(
        component("stgcn", **small | options), {KINECT: skeleton(KINECT)}, generator=generator(1)
    )


def samples(count: int, *, joints: int = 5, classes: int = 3, first: int = 0, seed: int = 0) -> Samples:
    """Clips of which joint ``label`` lies off its place; ids count from ``first``."""
    rows = torch.arange(first, first + count)
    labels = rows % classes
    x = clips(count, joints, frames=8, seed=seed + first)
    x[torch.arange(count), 0, :, labels, 0] += 3
    return Samples({KINECT: x}, labels, tuple(f"S{row:04}" for row in rows.tolist()), rows)


def keep(x: Tensor, generator: torch.Generator) -> Tensor:
    """An augmentation that does nothing."""
    return x


def around(**changes: Any) -> Any:
    """The keyword arguments of ``evaluate`` besides the options."""
    return {
        "convention": KINECT,
        "classes": ("a", "b", "c"),
        "seed": 5,
        "device": torch.device("cpu"),
        "augment": keep,
        "on_progress": None,
        **changes,
    }
