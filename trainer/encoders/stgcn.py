"""ST-GCN for several skeleton conventions at once.

Source: Yan et al., "Spatial Temporal Graph Convolutional Networks", AAAI 2018, in the quarter-width form of
CrosSCLR and AimCLR; the sharing between conventions is MS-CLR's (section 3.2): convolutions are shared,
every convention has its own adjacency, edge importance and input BatchNorm.

Padded joints are removed at the input, so they enter no statistic, graph, mean or gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.encoders.bodies import COORDINATES, by_body, encode_each
from trainer.encoders.graph_network import (
    SUBSETS,
    BlockOptions,
    GraphNetwork,
    Width,
    inward_outward,
    normalised,
    shortcut,
    through,
)
from trainer.kernels.conv_norm import conv_norm, scale_and_shift, weights_of
from trainer.kernels.dropout import Dropout
from trainer.kernels.kept import cached
from trainer.kernels.normalise import normalise
from trainer.skeleton import Skeleton


class STGCNOptions(BlockOptions):
    channels: tuple[Width, ...] = Field(default=(16, 16, 16, 16, 32, 32, 32, 64, 64, 256), min_length=1)
    """Output channels of each block; the last is the feature dimension. Default: CrosSCLR, AimCLR."""
    temporal_kernel: int = Field(default=9, ge=1)
    """Kernel size of a temporal convolution in frames. ST-GCN: 9."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout after every temporal convolution except that of block 1. ST-GCN: 0.5."""
    edge_importance: bool = True
    """Whether every edge has a learnable weight in every block, initially one. ST-GCN, section 3.5."""
    adjacency: Literal["spatial", "degenerate", "inward_outward"] = "spatial"
    """``spatial``: root, centripetal and centrifugal over full hop distances. ``degenerate``: hop distances
    cut at one, as computed by released code; old weights need it. ``inward_outward``: A-GCN's identity,
    inward and outward edges, as in the released code of SkeleMixCLR."""
    init: Literal["default", "normal"] = "default"
    """``normal``: N(0, 0.02) weights and N(1, 0.02) BatchNorm scales, as in CrosSCLR and AimCLR."""
    bodies: Literal["average", "present"] = "average"
    """How bodies are joined after pooling. ``average``: over all slots, with absent bodies encoded as zeros
    (the papers). ``present``: absent bodies are neither encoded nor included in any statistic or mean, which
    also saves their time."""
    padding: Literal["inert", "counted"] = "inert"
    """Treatment of joints that other conventions have and this one lacks. ``inert``: they are left out.
    ``counted``: in training, the clip is padded with them after the input BatchNorm; no joint receives from
    them, but all other BatchNorms count them, as in the released code of MS-CLR."""


class STGCN(GraphNetwork):
    """``forward(x [N,3,T,Vmax,M], convention) -> [N, feature_dim]``."""

    Options = STGCNOptions

    def __init__(self, skeletons: Mapping[str, Skeleton], *, options: STGCNOptions) -> None:
        super().__init__(
            {name: Convention(skeleton, options) for name, skeleton in skeletons.items()},
            (
                Block(
                    channels,
                    out,
                    kernel=options.temporal_kernel,
                    stride=stride,
                    dropout=options.dropout if residual else 0.0,
                    residual=residual,
                )
                for channels, out, stride, residual in options.blocks
            ),
            options=options,
            init=options.init,
        )
        self.most_joints = max(skeleton.num_joints for skeleton in skeletons.values())

    def feature_map(self, x: Tensor, convention: str) -> Tensor:
        """x [N,3,T,Vmax,M] -> [N*M, feature_dim, T', V]: the last block's output, by sample, then body."""
        own = self.conventions[convention]
        assert isinstance(own, Convention)

        counted = self.options.padding == "counted" and self.training
        more = self.most_joints - own.joints if counted else 0

        def encode(bodies: Tensor) -> Tensor:
            features = normalised(bodies, own.data_bn).contiguous(memory_format=torch.channels_last)
            if more:
                features = F.pad(features, (0, more)).contiguous(memory_format=torch.channels_last)
            for block, adjacency in zip(self.blocks, own.adjacencies(len(self.blocks)), strict=True):
                features = block(features, F.pad(adjacency, (0, more, 0, more)) if more else adjacency)
            return features[..., : own.joints] if more else features

        bodies = by_body(x, own.joints)
        return encode_each(
            bodies, encode, join=self.options.bodies, training=self.training, network=self, name=convention
        )


class Convention(nn.Module):
    """The parts of one convention only: its graph, edge importance and input BatchNorm."""

    adjacency: Tensor

    def __init__(self, skeleton: Skeleton, options: STGCNOptions) -> None:
        super().__init__()
        self.joints = skeleton.num_joints
        self.register_buffer("adjacency", _graph(skeleton, options.adjacency).detach().clone().float())
        blocks = len(options.channels) if options.edge_importance else 0
        self.importance = nn.ParameterList(torch.ones_like(self.adjacency) for _ in range(blocks))
        self.data_bn = nn.BatchNorm1d(self.joints * COORDINATES)

    def adjacencies(self, blocks: int) -> list[Tensor]:
        """The weighted adjacency [3, V, V] of each block."""
        if not self.importance:
            return [self.adjacency] * blocks
        weights = [self.adjacency, *self.importance]
        return cached(
            self, "adjacencies", weights, lambda: [self.adjacency * weight for weight in weights[1:]]
        )


def _graph(skeleton: Skeleton, kind: str) -> Tensor:
    if kind == "inward_outward":
        return inward_outward(skeleton.spec)
    return skeleton.adjacency if kind == "spatial" else skeleton.adjacency_degenerate


class GraphConvolution(nn.Module):
    """``out[:, w] = sum_k sum_v (W_k x[:, v] + b_k) A_k[v, w]``: [N,C,T,V] -> [N,C',T,V].

    Neighbours are gathered first and channels are mixed afterwards, both as matrix products in channels-last
    layout, so nothing is transposed in memory. The weights are those of a 1x1 convolution to 3*C' channels.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.out = out
        self.conv = nn.Conv2d(channels, SUBSETS * out, 1)

    def forward(self, x: Tensor, adjacency: Tensor, norm: nn.Module) -> Tensor:
        """Apply the layer and the BatchNorm after it, which is folded into the layer in evaluation."""
        samples, channels, frames, joints = x.shape
        weights = [*weights_of(self.conv, norm), adjacency]
        gather, flat, bias = cached(norm, "matrices", weights, lambda: self._matrices(adjacency, norm))
        rows = x.permute(0, 2, 3, 1).reshape(samples * frames, joints, channels)
        gathered = torch.bmm(gather.to(x.dtype).expand(samples * frames, -1, -1), rows)
        mixed = F.linear(gathered.view(samples * frames * joints, SUBSETS * channels), flat)
        mixed = mixed.view(samples, frames, joints, self.out) + bias.to(mixed.dtype)
        out: Tensor = mixed.permute(0, 3, 1, 2)
        return normalise(out, norm) if norm.training else out

    def _matrices(self, adjacency: Tensor, norm: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
        """[V*3,V] that gathers neighbours, [C',3*C] that mixes channels, and the bias [V,C']."""
        joints = adjacency.shape[1]
        gather = adjacency.permute(2, 0, 1).reshape(joints * SUBSETS, joints)
        weight = self.conv.weight.view(SUBSETS, self.out, -1)
        assert self.conv.bias is not None
        bias = adjacency.sum(1).t() @ self.conv.bias.view(SUBSETS, self.out)
        if not norm.training:
            scale, shift = scale_and_shift(norm)
            weight, bias = weight * scale[:, None], bias * scale + shift
        return gather, weight.transpose(0, 1).flatten(1), bias


class Block(nn.Module):
    """Graph convolution, BatchNorm, ReLU, temporal convolution, BatchNorm, dropout; plus residual; ReLU."""

    def __init__(
        self, channels: int, out: int, *, kernel: int, stride: int, dropout: float, residual: bool
    ) -> None:
        super().__init__()
        self.graph = GraphConvolution(channels, out)
        self.graph_bn = nn.BatchNorm2d(out)
        self.temporal = nn.Conv2d(out, out, (kernel, 1), (stride, 1), ((kernel - 1) // 2, 0))
        self.temporal_bn = nn.BatchNorm2d(out)
        self.dropout = Dropout(dropout)
        self.has_residual = residual
        self.stride = stride
        self.residual = shortcut(channels, out, stride=stride) if residual else nn.Identity()

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        y = F.relu(self.graph(x, adjacency, self.graph_bn), inplace=True)
        y = self.dropout(conv_norm(y, self.temporal, self.temporal_bn))
        if self.has_residual:
            y = y + through(self.residual, x[:, :, :: self.stride])
        return F.relu(y, inplace=True)
