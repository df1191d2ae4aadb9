"""HCN: a clip as an image of frames by joints, with coordinates as colour channels.

Source: Li et al., "Co-occurrence Feature Learning from Skeleton Data for Action Recognition and Detection
with Hierarchical Aggregation", IJCAI 2018: features first of single joints, then, with the joints as
channels, of all joints together; the same for the motion; and the maximum over persons. ISC's image
representation.

Conventions differ in their joints, so each has its own first convolution over all joints (one for positions,
one for motion); the others are shared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from schemas._model import Model
from trainer.encoders.bodies import COORDINATES, body_rows, encode_each
from trainer.encoders.initial import initialise
from trainer.skeleton import Skeleton

HALVINGS = 4
"""Number of poolings by two between the clip and the map."""

Width = Annotated[int, Field(ge=1)]


class HCNOptions(Model):
    point: Width = 64
    """Channels of the first convolution, on single joints in single frames. HCN: 64."""
    row: Width = 64
    """Channels of the second convolution, on single joints over time; they become an axis of the image next
    to time, which is pooled to a sixteenth. HCN has 32; ISC's feature of 4096 needs 64."""
    channels: tuple[Width, Width, Width, Width] = (32, 64, 128, 256)
    """Channels of the third to sixth convolution, on all joints together. HCN: 32, 64, 128, 256."""
    segments: int = Field(default=4, ge=1)
    """Number of time segments in the feature: those left of ISC's 64 frames after four poolings. Clips of
    other lengths are max-pooled to this number, so the feature size does not depend on the length."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout of whole channels, after the fourth, fifth and sixth convolution. HCN: 0.5."""
    fourth_relu: bool = True
    """Whether a ReLU follows the fourth convolution, like all later ones (HCN). The HCN that ISC released has
    none there."""
    init: Literal["default", "normal", "xavier"] = "default"
    """``normal``: N(0, 0.02) weights. ``xavier``: U(-a, a), a = sqrt(6 / (fan-in + fan-out)), and biases 0,
    as in the HCN that ISC released."""
    bodies: Literal["maximum", "present"] = "maximum"
    """``maximum``: over all slots, with absent bodies encoded as zeros (HCN). ``present``: over the present
    bodies, which also saves the time of the others."""


class HCN(nn.Module):
    """``forward(x [N,3,T,Vmax,M], convention) -> [N, feature_dim]``.

    Joints are mixed early, so the map has no joint axis: attention on neurons and masks cannot be used. As in
    the paper, there is no BatchNorm.
    """

    Options = HCNOptions
    map_axes: Literal["TV"] | None = None

    def __init__(self, skeletons: Mapping[str, Skeleton], *, options: HCNOptions) -> None:
        super().__init__()
        self.options = options
        self.joints = {name: skeleton.num_joints for name, skeleton in skeletons.items()}
        self.position, self.motion = (Branch(self.joints, options) for _ in range(2))
        _, both, fifth, sixth = options.channels
        self.fifth = nn.Conv2d(2 * both, fifth, 3, padding=1)
        self.sixth = nn.Conv2d(fifth, sixth, 3, padding=1)
        self.dropout = nn.Dropout2d(options.dropout)
        self.feature_dim = sixth * options.segments * math.ceil(options.row / 2**HALVINGS)
        initialise(self, options.init)

    @property
    def steps(self) -> tuple[str, ...]:
        return r"(position|motion)\..*", r"fifth\..*", r"sixth\..*"

    def feature_map(self, x: Tensor, convention: str) -> Tensor:
        """x [N,3,T,Vmax,M] -> [N*M, C, segments, row / 16]: output of the sixth convolution."""

        def encode(bodies: Tensor) -> Tensor:
            branches = self.position(bodies, convention), self.motion(moved(bodies), convention)
            features = torch.cat(branches, dim=1)
            for layer in (self.fifth, self.sixth):
                features = halved(self.dropout(F.relu(layer(features))))
            if features.shape[2] == self.options.segments:
                return features
            return F.adaptive_max_pool2d(features, (self.options.segments, features.shape[3]))

        bodies = body_rows(x, self.joints[convention])
        return encode_each(bodies, encode, join=self.options.bodies, training=self.training)

    def pool(self, features: Tensor, bodies: int) -> Tensor:
        """[N*M, C, segments, row / 16] -> [N, feature_dim] float32: the maximum over the bodies."""
        # Nothing is negative after a ReLU, so the zeros of absent bodies never exceed another value.
        return features.flatten(1).view(-1, bodies, self.feature_dim).amax(dim=1).float()

    def forward(self, x: Tensor, convention: str) -> Tensor:
        return self.pool(self.feature_map(x, convention), x.shape[4])


class Branch(nn.Module):
    """[B,3,T,V] -> [B, channels, T/4, row/4]: HCN's convolutions one to four, for positions or motion."""

    def __init__(self, joints: Mapping[str, int], options: HCNOptions) -> None:
        super().__init__()
        third, fourth = options.channels[:2]
        self.point = nn.Conv2d(COORDINATES, options.point, 1)
        self.time = nn.Conv2d(options.point, options.row, (3, 1), padding=(1, 0))
        self.together = nn.ModuleDict(
            {name: nn.Conv2d(count, third, 3, padding=1) for name, count in joints.items()}
        )
        self.fourth = nn.Conv2d(third, fourth, 3, padding=1)
        self.dropout = nn.Dropout2d(options.dropout)
        self.fourth_relu = options.fourth_relu

    def forward(self, x: Tensor, convention: str) -> Tensor:
        x = self.time(F.relu(self.point(x)))
        x = x.permute(0, 3, 2, 1)  # [B, V, T, row]: joints as channels
        x = halved(self.together[convention](x))
        x = self.fourth(x)
        return halved(self.dropout(F.relu(x) if self.fourth_relu else x))


def moved(x: Tensor) -> Tensor:
    """``x[t+1] - x[t]``, its T-1 frames resized to T by linear interpolation. [B,3,T,V] -> same."""
    if x.shape[2] == 1:
        return torch.zeros_like(x)
    step = x[:, :, 1:] - x[:, :, :-1]
    return F.interpolate(step, size=x.shape[2:], mode="bilinear", align_corners=False)


def halved(x: Tensor) -> Tensor:
    """Maximum over pairs in both axes of [B,C,H,W]; an odd last one is kept, so no clip is too short."""
    return F.max_pool2d(x, 2, ceil_mode=True)
