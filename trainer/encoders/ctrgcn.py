"""CTR-GCN: graph convolutions whose learned graph is refined for each channel and clip.

Source: Chen et al., "Channel-wise Topology Refinement Graph Convolution for Skeleton-Based Action
Recognition", ICCV 2021, one stream of it. Its layer, Eq. (3) to (7), sums over three subsets k:
``out_c[u] = sum_k sum_v (A_k + alpha Q_kc)[u, v] (W_k x)_c[v]`` with A learned and shared by all channels,
and ``Q_k = xi_k(tanh(phi_k(x)[u] - psi_k(x)[v]))`` computed from the mean over frames. Temporal convolutions
have several dilations.

Convolutions and alpha are shared between conventions; each convention has its own A and input BatchNorm.
Padded joints are removed at the input.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.encoders.bodies import COORDINATES
from trainer.encoders.graph_network import (
    SMALL,
    SUBSETS,
    LearnedGraphNetwork,
    LearnedGraphOptions,
    LearnedGraphs,
    Width,
    input_norm,
    inward_outward,
    shortcut,
    through,
)
from trainer.kernels.conv_norm import conv_norm
from trainer.skeleton import Skeleton

FIRST = 8
"""Channels of phi and psi in the first block, whose input is the clip. Released CTR-GCN."""


class CTRGCNOptions(LearnedGraphOptions):
    temporal_kernel: int = Field(default=5, ge=1)
    """Kernel size of a dilated branch in frames. CTR-GCN: 5."""
    dilations: tuple[Width, ...] = (1, 2)
    """Dilations of the temporal branches; two more branches, a maximum over three frames and a 1x1
    convolution, have equally many channels. CTR-GCN: 1 and 2."""
    reduction: int = Field(default=8, ge=1)
    """Ratio of a block's channels to those from which a refinement is computed. CTR-GCN: 8."""
    init: Literal["released", "default", "normal"] = "released"
    """``released``: CTR-GCN's, fan-out normal weights, BatchNorm scales N(1, 0.02) in the temporal branches
    and 1e-6 after the graph. ``default``: PyTorch's. ``normal``: N(0, 0.02) weights and N(1, 0.02) BatchNorm
    scales."""

    @model_validator(mode="after")
    def _check(self) -> CTRGCNOptions:
        branches = len(self.dilations) + 2
        if any(width % branches for width in self.channels):
            raise ValueError(f"channels must be multiples of {branches}, the number of branches over time")
        return self


class CTRGCN(LearnedGraphNetwork):
    """``forward(x [N,3,T,Vmax,M], convention) -> [N, feature_dim]``."""

    Options = CTRGCNOptions
    name = "ctrgcn"

    def __init__(self, skeletons: Mapping[str, Skeleton], *, options: CTRGCNOptions) -> None:
        super().__init__(
            {name: Convention(skeleton, options) for name, skeleton in skeletons.items()},
            (
                Block(channels, out, stride=stride, residual=residual, options=options)
                for channels, out, stride, residual in options.blocks
            ),
            options=options,
            init=options.init,
            released=_as_released,
        )


class Convention(LearnedGraphs):
    """The learned graph A of every block, and the input BatchNorm, of one convention."""

    def __init__(self, skeleton: Skeleton, options: CTRGCNOptions) -> None:
        super().__init__()
        self.joints = skeleton.num_joints
        self.graphs = nn.ParameterList(inward_outward(skeleton.spec) for _ in options.channels)
        self.data_bn = input_norm(skeleton.num_joints, options)

    def graphs_of_blocks(self) -> Iterable[Tensor]:
        return self.graphs


class RefinedGraphConvolution(nn.Module):
    """The sum over subsets of Eq. (7): [N,C,T,V] -> [N,C',T,V] with a graph [3,V,V].

    ``graph[k, u, v]`` is the weight with which u receives from v.
    """

    def __init__(self, channels: int, out: int, *, reduction: int) -> None:
        super().__init__()
        related = FIRST if channels == COORDINATES else max(channels // reduction, 1)
        self.phi = nn.Conv2d(channels, SUBSETS * related, 1)
        self.psi = nn.Conv2d(channels, SUBSETS * related, 1)
        self.conv = nn.Conv2d(channels, SUBSETS * out, 1)
        self.xi = nn.Conv2d(SUBSETS * related, SUBSETS * out, 1, groups=SUBSETS)
        self.alpha = nn.Parameter(torch.zeros(1))

    def refined(self, x: Tensor, graph: Tensor) -> Tensor:
        """[N,C,T,V], [3,V,V] -> [N, 3, C', V, V]: the graph of every channel."""
        # phi and psi are linear, so applying them to the mean over frames gives their mean over frames.
        mean = x.mean(dim=2, keepdim=True)
        taking, giving = self.phi(mean).squeeze(2), self.psi(mean).squeeze(2)
        assert self.xi.bias is not None
        refinement = F.conv2d(
            torch.tanh(taking[..., :, None] - giving[..., None, :]),
            self.xi.weight * self.alpha,
            self.xi.bias * self.alpha,
            groups=SUBSETS,
        )
        refinement = refinement.unflatten(1, (SUBSETS, -1))
        return refinement + graph[:, None].to(refinement.dtype)

    def forward(self, x: Tensor, graph: Tensor) -> Tensor:
        mixed = self.conv(x).unflatten(1, (SUBSETS, -1))
        return torch.matmul(mixed, self.refined(x, graph).transpose(-2, -1)).sum(dim=1)


class TemporalBranches(nn.Module):
    """Parallel temporal branches: [N,C,T,V] -> [N,C,ceil(T / stride),V].

    They are convolutions at several dilations, a maximum over three frames and a 1x1 convolution. All but the
    last are preceded by a 1x1 convolution of their own.
    """

    def __init__(self, channels: int, *, kernel: int, dilations: tuple[int, ...], stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.width = channels // (len(dilations) + 2)
        self.entry = nn.Conv2d(channels, channels - self.width, 1)
        self.entry_bn = nn.BatchNorm2d(channels - self.width)
        self.dilated = nn.ModuleList(
            nn.Conv2d(
                self.width,
                self.width,
                (kernel, 1),
                (stride, 1),
                (dilation * (kernel - 1) // 2, 0),
                dilation=(dilation, 1),
            )
            for dilation in dilations
        )
        self.exit_bn = nn.BatchNorm2d(channels - self.width)
        self.plain = nn.Conv2d(channels, self.width, 1)
        self.plain_bn = nn.BatchNorm2d(self.width)

    def forward(self, x: Tensor) -> Tensor:
        *parts, pooled = F.relu(conv_norm(x, self.entry, self.entry_bn)).split(self.width, dim=1)
        seen = [layer(part) for layer, part in zip(self.dilated, parts, strict=True)]
        seen.append(F.max_pool2d(pooled, (3, 1), (self.stride, 1), (1, 0)).to(seen[0].dtype))
        # A stride by slicing, for the reason in ``shortcut``.
        plain = conv_norm(x[:, :, :: self.stride], self.plain, self.plain_bn)
        return torch.cat([self.exit_bn(torch.cat(seen, dim=1)), plain], dim=1)


class Block(nn.Module):
    """Refined graph layer, BatchNorm, shortcut, ReLU, temporal branches; plus residual; ReLU."""

    def __init__(
        self, channels: int, out: int, *, stride: int, residual: bool, options: CTRGCNOptions
    ) -> None:
        super().__init__()
        self.graph = RefinedGraphConvolution(channels, out, reduction=options.reduction)
        self.graph_bn = nn.BatchNorm2d(out)
        self.shortcut = shortcut(channels, out)
        self.temporal = TemporalBranches(
            out, kernel=options.temporal_kernel, dilations=options.dilations, stride=stride
        )
        self.has_residual, self.stride = residual, stride
        self.residual = shortcut(channels, out, stride=stride) if residual else nn.Identity()

    def forward(self, x: Tensor, graph: Tensor) -> Tensor:
        y = F.relu(self.graph_bn(self.graph(x, graph)) + through(self.shortcut, x))
        y = self.temporal(y)
        return F.relu(y + through(self.residual, x[:, :, :: self.stride]) if self.has_residual else y)


@torch.no_grad()
def _as_released(module: nn.Module) -> None:
    """Released CTR-GCN: N(0, sqrt(2 / fan-out)) weights for each subset and branch, biases 0."""
    if isinstance(module, nn.Conv2d):
        # Layers that are fused here are separate layers in the released code.
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, RefinedGraphConvolution):
        for layer in (module.phi, module.psi, module.conv, module.xi):
            nn.init.normal_(layer.weight, 0, math.sqrt(2 * SUBSETS / layer.out_channels))
    elif isinstance(module, TemporalBranches):
        nn.init.normal_(module.entry.weight, 0, math.sqrt(2 / module.width))
        for norm in (module.entry_bn, module.exit_bn, module.plain_bn):
            nn.init.normal_(norm.weight, 1, 0.02)
    elif isinstance(module, Block):
        module.graph_bn.weight.fill_(SMALL)
