"""The predictor of a clip's hidden cells from a map of the visible ones: a transformer over all cells.

Source: the decoder of Mao et al., "Masked Motion Predictors are Strong 3D Action Representation Learners"
(MAMP), ICCV 2023, with sinusoidal instead of learned time embeddings, so that a clip may have any length.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trainer.encoders.joint_names import common_name
from trainer.encoders.vit import Layer, embedding, waves
from trainer.skeleton import Skeleton

MLP_RATIO = 4
"""Ratio of the width inside a layer's perceptron to the token width. MAMP."""


class Predictor(nn.Module):
    """A map [B, features, T', V] and a mask of hidden cells [B,T',V] -> predictions [B,T',V,numbers]."""

    def __init__(
        self,
        features: int,
        numbers: int,
        skeletons: Mapping[str, Skeleton],
        *,
        width: int,
        layers: int,
        heads: int,
    ) -> None:
        super().__init__()
        self.names = {
            name: [common_name(joint) for joint in each.spec.joints] for name, each in skeletons.items()
        }
        self.entrance = nn.Linear(features, width)
        self.mark = nn.Parameter(embedding(width))
        known = sorted({joint for names in self.names.values() for joint in names})
        self.joints = nn.ParameterDict({joint: embedding(width) for joint in known})
        self.layers = nn.ModuleList(
            Layer(width, heads=heads, hidden=MLP_RATIO * width) for _ in range(layers)
        )
        self.exit = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, numbers))

    def forward(self, features: Tensor, hidden: Tensor, convention: str) -> Tensor:
        tokens = self.entrance(features.permute(0, 2, 3, 1))
        joints = torch.stack([self.joints[name] for name in self.names[convention]])
        times = waves(tokens.shape[1], tokens.shape[3], device=tokens.device)
        tokens = tokens + hidden[..., None] * self.mark + joints + times[:, None]
        flat = tokens.flatten(1, 2)
        for layer in self.layers:
            flat = layer(flat)
        predicted: Tensor = self.exit(flat)
        return predicted.view(*tokens.shape[:3], -1)
