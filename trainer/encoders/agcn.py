"""A-GCN: graph convolutions whose graph is partly learned and partly computed from each clip.

Source: Shi et al., "Two-Stream Adaptive Graph Convolutional Networks for Skeleton-Based Action Recognition"
(2s-AGCN), CVPR 2019, one stream of it, as ISC uses it for graphs. Its adaptive layer, Eq. (3), sums over the
subsets k of the graph: ``out = sum_k W_k x (A_k + B_k + C_k)`` with A the skeleton, B learned, C attention.

As in this package's ST-GCN, convolutions are shared between conventions; each convention has its own A, B and
input BatchNorm. The input is normalised per body, which allows any number of bodies, or per body slot, as in
the released code. Padded joints are removed at the input.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.encoders.graph_network import (
    SMALL,
    SUBSETS,
    LearnedGraphNetwork,
    LearnedGraphOptions,
    LearnedGraphs,
    input_norm,
    inward_outward,
    shortcut,
    through,
)
from trainer.kernels.conv_norm import conv_norm
from trainer.skeleton import Skeleton


class AGCNOptions(LearnedGraphOptions):
    temporal_kernel: int = Field(default=9, ge=1)
    """Kernel size of a temporal convolution in frames. 2s-AGCN: 9."""
    init: Literal["default", "normal", "released"] = "default"
    """``normal``: N(0, 0.02) weights and N(1, 0.02) BatchNorm scales. ``released``: 2s-AGCN's, fan-out
    normal weights, and BatchNorm scales of 1e-6 after the graph, so that a block starts as its shortcut."""


class AGCN(LearnedGraphNetwork):
    """``forward(x [N,3,T,Vmax,M], convention) -> [N, feature_dim]``."""

    Options = AGCNOptions
    name = "agcn"

    def __init__(self, skeletons: Mapping[str, Skeleton], *, options: AGCNOptions) -> None:
        super().__init__(
            {name: Convention(skeleton, options) for name, skeleton in skeletons.items()},
            (
                Block(channels, out, kernel=options.temporal_kernel, stride=stride, residual=residual)
                for channels, out, stride, residual in options.blocks
            ),
            options=options,
            init=options.init,
            released=_as_released,
        )


class Convention(LearnedGraphs):
    """A convention's graph A, the learned addition B, and its input BatchNorm."""

    graph: Tensor

    def __init__(self, skeleton: Skeleton, options: AGCNOptions) -> None:
        super().__init__()
        self.joints = skeleton.num_joints
        self.register_buffer("graph", inward_outward(skeleton.spec))
        self.learned = nn.ParameterList(torch.full_like(self.graph, SMALL) for _ in options.channels)
        self.data_bn = input_norm(skeleton.num_joints, options)

    def graphs_of_blocks(self) -> Iterable[Tensor]:
        return (self.graph + learned for learned in self.learned)


class AdaptiveGraphConvolution(nn.Module):
    """``out[:, w] = sum_k W_k sum_v x[:, v] (G_k + C_k)[v, w]``: [N,C,T,V] -> [N,C',T,V], G = A + B.

    ``C_k = softmax_v(theta_k(x)[v] . phi_k(x)[w] / (E T))``, with the products summed over the E channels of
    the embeddings theta and phi, a quarter of C', and over the frames. There is no bias: BatchNorm follows.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        embedded = SUBSETS * max(out // 4, 1)
        self.theta = nn.Conv2d(channels, embedded, 1)
        self.phi = nn.Conv2d(channels, embedded, 1)
        self.conv = nn.Conv2d(channels, SUBSETS * out, 1, bias=False)

    def attention(self, x: Tensor) -> Tensor:
        """[N,C,T,V] -> [N, 3, V, V] float32; every column sums to one."""
        samples, _, _, joints = x.shape
        theta, phi = (layer(x).reshape(samples, SUBSETS, -1, joints) for layer in (self.theta, self.phi))
        scores = torch.matmul(theta.transpose(2, 3), phi).float() / theta.shape[2]
        return F.softmax(scores, dim=2)

    def forward(self, x: Tensor, graph: Tensor) -> Tensor:
        samples, _, frames, joints = x.shape
        mixed = self.conv(x).view(samples, SUBSETS, -1, joints)
        adjacency = (graph + self.attention(x)).to(mixed.dtype)
        return torch.matmul(mixed, adjacency).sum(dim=1).view(samples, -1, frames, joints)


class Block(nn.Module):
    """Adaptive graph layer with shortcut, ReLU, temporal convolution, BatchNorm; plus residual; ReLU."""

    def __init__(self, channels: int, out: int, *, kernel: int, stride: int, residual: bool) -> None:
        super().__init__()
        self.graph = AdaptiveGraphConvolution(channels, out)
        self.graph_bn = nn.BatchNorm2d(out)
        self.shortcut = shortcut(channels, out)
        self.temporal = nn.Conv2d(out, out, (kernel, 1), (stride, 1), ((kernel - 1) // 2, 0))
        self.temporal_bn = nn.BatchNorm2d(out)
        self.has_residual = residual
        self.stride = stride
        self.residual = shortcut(channels, out, stride=stride) if residual else nn.Identity()

    def forward(self, x: Tensor, graph: Tensor) -> Tensor:
        added = through(self.shortcut, x)
        y = F.relu(self.graph_bn(self.graph(x, graph)) + added)
        y = conv_norm(y, self.temporal, self.temporal_bn)
        if self.has_residual:
            y = y + through(self.residual, x[:, :, :: self.stride])
        return F.relu(y)


@torch.no_grad()
def _as_released(module: nn.Module) -> None:
    """Released 2s-AGCN: N(0, sqrt(2 / fan-out)) weights, biases 0.

    The embeddings of each subset have their own fan-out. The weights of its graph convolution are
    N(0, sqrt(2 / (3 inputs outputs))), where 3 is the number of subsets (``conv_branch_init``).
    """
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, AdaptiveGraphConvolution):
        for embedding in (module.theta, module.phi):
            nn.init.normal_(embedding.weight, 0, math.sqrt(2 * SUBSETS / embedding.out_channels))
        nn.init.normal_(module.conv.weight, 0, math.sqrt(2 / module.conv.weight.numel()))
    elif isinstance(module, Block):
        module.graph_bn.weight.fill_(SMALL)
