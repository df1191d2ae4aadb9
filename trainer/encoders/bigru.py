"""A bidirectional GRU over a clip as a sequence of vectors: the sequence representation of ISC.

Source: Thoker et al., "Skeleton-Contrastive 3D Action Representation Learning" (ISC), ACM MM 2021, section
4.2: three layers of 1024 units, after Su et al., "Predict & Cluster", CVPR 2020. A frame is the vector of the
coordinates of all joints of all bodies.

Conventions differ in the length of a frame, so each has its own first layer; the others are shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from schemas import UsageError
from schemas._model import Model
from trainer.encoders.bodies import COORDINATES
from trainer.skeleton import Skeleton


class BiGRUOptions(Model):
    units: int = Field(default=1024, ge=1)
    """Units of each direction in every layer; the feature has twice as many. ISC: 1024."""
    layers: int = Field(default=3, ge=1)
    """Number of layers. ISC: 3."""
    max_bodies: int = Field(default=2, ge=1)
    """Bodies that a frame has room for; those that a clip lacks are zero. ISC: 2."""
    pooling: Literal["last", "mean"] = "last"
    """``last``: the final states of the two directions, each after reading the whole clip (the final state of
    Predict & Cluster). ``mean``: the outputs of the top layer, averaged over the frames."""
    unidirectional_inference: bool = False
    """Step the network frame by frame, as the released code does: the backward half then also runs forward in
    time and never sees the future. Slow; only for figures and weights of that code."""
    init: Literal["default", "xavier"] = "default"
    """``default``: PyTorch's, U(-1/sqrt(units), 1/sqrt(units)). ``xavier``: every matrix from U(-a, a) with a
    = sqrt(6 / (rows + columns)), the three gates being one matrix; biases remain PyTorch's (released ISC)."""


class BiGRU(nn.Module):
    """``forward(x [N,3,T,Vmax,M], convention) -> [N, feature_dim]``.

    Its map joins the bodies and has no joint axis: attention on neurons and masks cannot be used.
    """

    Options = BiGRUOptions
    map_axes: Literal["TV"] | None = None

    def __init__(self, skeletons: Mapping[str, Skeleton], *, options: BiGRUOptions) -> None:
        super().__init__()
        self.options = options
        self.feature_dim = 2 * options.units
        self.joints = {name: skeleton.num_joints for name, skeleton in skeletons.items()}
        self.first = nn.ModuleDict(
            {
                name: _gru(options.max_bodies * joints * COORDINATES, options.units, layers=1)
                for name, joints in self.joints.items()
            }
        )
        deeper = options.layers - 1
        self.rest = _gru(2 * options.units, options.units, layers=deeper) if deeper else None
        if options.init == "xavier":
            for parameter in self.parameters():
                if parameter.dim() == 2:
                    nn.init.xavier_uniform_(parameter)

    @property
    def steps(self) -> tuple[str, ...]:
        return r"first\..*", *(rf"rest\..*_l{layer}(_reverse)?" for layer in range(self.options.layers - 1))

    def feature_map(self, x: Tensor, convention: str) -> Tensor:
        """x [N,3,T,Vmax,M] -> [N, feature_dim, T, 1]: outputs of the top layer, forward half first.

        Raises UsageError when x has more bodies than a frame has room for.
        """
        outputs = self._run(self.first[convention], self._frames(x, convention))
        if self.rest is not None:
            outputs = self._run(self.rest, outputs)
        return outputs.transpose(1, 2).unsqueeze(3)

    def pool(self, features: Tensor, bodies: int) -> Tensor:
        """[N, feature_dim, T, 1] -> [N, feature_dim] float32; the ``bodies`` are already joined."""
        features = features.squeeze(3).float()
        if self.options.pooling == "mean":
            return features.mean(dim=2)
        forward, backward = features.chunk(2, dim=1)
        end = -1 if self.options.unidirectional_inference else 0
        return torch.cat([forward[..., -1], backward[..., end]], dim=1)

    def forward(self, x: Tensor, convention: str) -> Tensor:
        return self.pool(self.feature_map(x, convention), x.shape[4])

    def _frames(self, x: Tensor, convention: str) -> Tensor:
        """[N,3,T,Vmax,M] -> [N, T, max_bodies*V*3]: without padded joints, with zeros for missing bodies."""
        missing = self.options.max_bodies - x.shape[4]
        if missing < 0:
            raise UsageError(
                f"the clips have {x.shape[4]} bodies, bigru has room for {self.options.max_bodies}",
                where="encoder.options.max_bodies",
                remedy=f"Train with max_bodies={x.shape[4]}",
            )
        x = F.pad(x[..., : self.joints[convention], :], (0, missing))
        return x.permute(0, 2, 4, 3, 1).flatten(2)

    def _run(self, network: nn.Module, frames: Tensor) -> Tensor:
        """[N, T, inputs] -> [N, T, 2*units]."""
        if not self.options.unidirectional_inference:
            outputs: Tensor = network(frames)[0]
            return outputs
        state, steps = None, []
        for frame in frames.split(1, dim=1):
            output, state = network(frame, state)
            steps.append(output)
        return torch.cat(steps, dim=1)


def _gru(inputs: int, units: int, *, layers: int) -> nn.GRU:
    return nn.GRU(inputs, units, num_layers=layers, batch_first=True, bidirectional=True)
