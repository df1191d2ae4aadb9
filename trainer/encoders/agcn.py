"""A-GCN: graph convolutions whose graph is partly learned and partly made from each clip.

Source: Shi et al., "Two-Stream Adaptive Graph Convolutional Networks for Skeleton-Based Action Recognition"
(2s-AGCN), CVPR 2019, one stream of it, as ISC uses it for graphs. Its adaptive layer, Eq. (3), sums over the
subsets k of the graph: ``out = sum_k W_k x (A_k + B_k + C_k)`` with A the skeleton, B learned, C attention.

As in ST-GCN here, convolutions are shared between conventions; A, B and the input BatchNorm are each one's
own. The input is normalised per body, so that any number of bodies fits, or per place of a body, as in the
released code. Padded joints are cut off at the entrance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from schemas._model import Model
from trainer.encoders.bodies import by_body, encode_each, pool_map
from trainer.encoders.graphs import inward_outward
from trainer.encoders.initial import initialise
from trainer.encoders.input_norm import COORDINATES, alike, by_slot, input_norm
from trainer.kernels.conv_norm import conv_norm
from trainer.skeleton import Skeleton

SUBSETS = 3
"""Identity, inward, outward."""

Width = Annotated[int, Field(ge=1)]

SMALL = 1e-6
"""Where the learned graph starts, and with init ``released`` the scale of its BatchNorm. Released 2s-AGCN."""


class AGCNOptions(Model):
    channels: tuple[Width, ...] = Field(default=(64, 64, 64, 64, 128, 128, 128, 256, 256, 256), min_length=1)
    """Output channels of each block; the last is the feature dimension. Default: 2s-AGCN."""
    stride_blocks: tuple[Width, ...] = (5, 8)
    """Blocks, counted from 1, that halve the frames. 2s-AGCN: 5 and 8."""
    temporal_kernel: int = Field(default=9, ge=1)
    """Frames that a temporal convolution sees. 2s-AGCN: 9."""
    init: Literal["default", "normal", "released"] = "default"
    """``normal``: N(0, 0.02) weights and N(1, 0.02) BatchNorm scales. ``released``: 2s-AGCN's, fan-out
    normal weights, and BatchNorm scales of 1e-6 behind the graph, so that a block starts as its shortcut."""
    input_norm: Literal["body", "slot"] = "body"
    """What the input BatchNorm takes its statistics of. ``body``: all bodies alike. ``slot``: each place of a
    body for itself, with the zeros of the absent ones, as released 2s-AGCN: 150 channels for two bodies of 25
    joints. Weights of the one do not fit the other."""
    max_bodies: int = Field(default=2, ge=1)
    """Places that ``input_norm: slot`` has; 2s-AGCN: 2. Where clips have fewer bodies the places behind them
    learn from the same bodies, and the mean is over the bodies that clips have: the released mean over two
    wants a store of two."""
    bodies: Literal["average", "present"] = "average"
    """How bodies join after pooling. ``average``: over all slots, and absent ones are encoded as the zeros
    that they are. ``present``: absent bodies are neither encoded nor in any statistic or mean."""

    @model_validator(mode="after")
    def _check(self) -> AGCNOptions:
        if self.temporal_kernel % 2 == 0:
            raise ValueError("temporal_kernel must be odd")
        if any(block > len(self.channels) for block in self.stride_blocks):
            raise ValueError(f"stride_blocks must lie in 1..{len(self.channels)}, the number of channels")
        if self.input_norm == "slot" and self.bodies == "present":
            raise ValueError("input_norm slot counts absent bodies and goes with bodies average only")
        return self


class AGCN(nn.Module):
    """``forward(x [N,3,T,Vmax,M], convention) -> [N, feature_dim]``."""

    Options = AGCNOptions
    map_axes: Literal["TV"] | None = "TV"

    def __init__(self, skeletons: Mapping[str, Skeleton], *, options: AGCNOptions) -> None:
        super().__init__()
        self.options = options
        self.feature_dim = options.channels[-1]
        blocks = len(options.channels)
        self.conventions = nn.ModuleDict(
            {name: Convention(skeleton, options) for name, skeleton in skeletons.items()}
        )
        widths = (COORDINATES, *options.channels)
        self.blocks = nn.ModuleList(
            Block(
                widths[place],
                widths[place + 1],
                kernel=options.temporal_kernel,
                stride=2 if place + 1 in options.stride_blocks else 1,
                residual=place > 0,
            )
            for place in range(blocks)
        )
        if options.init == "released":
            self.apply(_as_released)
        else:
            initialise(self, options.init)

    def feature_map(self, x: Tensor, convention: str) -> Tensor:
        """x [N,3,T,Vmax,M] -> [N*M, feature_dim, T', V]: the last block's output, bodies inside samples."""
        own = self.conventions[convention]
        assert isinstance(own, Convention)

        def encode(features: Tensor) -> Tensor:
            for block, learned in zip(self.blocks, own.learned, strict=True):
                features = block(features, own.graph + learned)
            return features

        if self.options.input_norm == "slot":
            # Behind it absent bodies are no zeros any more, and those of two places are not alike.
            return encode(by_slot(x, own.data_bn, own.joints, encoder="agcn"))
        return encode_each(
            by_body(x, own.joints),
            lambda bodies: encode(alike(bodies, own.data_bn)),
            join=self.options.bodies,
            training=self.training,
        )

    def pool(self, features: Tensor, bodies: int) -> Tensor:
        """[N*M, C, T', V] -> [N, C] float32: mean over frames and joints, then over the bodies."""
        return pool_map(features, bodies, join=self.options.bodies)

    def forward(self, x: Tensor, convention: str) -> Tensor:
        return self.pool(self.feature_map(x, convention), x.shape[4])


class Convention(nn.Module):
    """What a convention does not share: its graph A, what is learned on top, B, and its input BatchNorm."""

    graph: Tensor

    def __init__(self, skeleton: Skeleton, options: AGCNOptions) -> None:
        super().__init__()
        self.joints = skeleton.num_joints
        self.register_buffer("graph", inward_outward(skeleton.spec))
        self.learned = nn.ParameterList(torch.full_like(self.graph, SMALL) for _ in options.channels)
        self.data_bn = input_norm(
            skeleton.num_joints, slots=options.max_bodies if options.input_norm == "slot" else 1
        )


class AdaptiveGraphConvolution(nn.Module):
    """``out[:, w] = sum_k W_k sum_v x[:, v] (G_k + C_k)[v, w]``: [N,C,T,V] -> [N,C',T,V], G = A + B.

    ``C_k = softmax_v(theta_k(x)[v] . phi_k(x)[w] / (E T))``, the products summed over the E channels of the
    embeddings theta and phi, a quarter of C', and over the frames. There is no bias: BatchNorm follows.
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
    """Adaptive graph layer with its shortcut, ReLU, temporal convolution, BatchNorm; plus residual; ReLU."""

    def __init__(self, channels: int, out: int, *, kernel: int, stride: int, residual: bool) -> None:
        super().__init__()
        self.graph = AdaptiveGraphConvolution(channels, out)
        self.graph_bn = nn.BatchNorm2d(out)
        self.shortcut: nn.Module = nn.Identity()
        if channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1), nn.BatchNorm2d(out))
        self.temporal = nn.Conv2d(out, out, (kernel, 1), (stride, 1), ((kernel - 1) // 2, 0))
        self.temporal_bn = nn.BatchNorm2d(out)
        self.has_residual = residual
        self.stride = stride
        self.residual: nn.Module = nn.Identity()
        if residual and (channels != out or stride != 1):
            self.residual = nn.Sequential(nn.Conv2d(channels, out, 1), nn.BatchNorm2d(out))

    def forward(self, x: Tensor, graph: Tensor) -> Tensor:
        shortcut = conv_norm(x, *self.shortcut) if isinstance(self.shortcut, nn.Sequential) else x
        y = F.relu(self.graph_bn(self.graph(x, graph)) + shortcut)
        y = conv_norm(y, self.temporal, self.temporal_bn)
        if self.has_residual:
            # A stride inside the 1x1 convolution is the same, but the CPU's oneDNN (torch 2.13, AVX2) then
            # writes outside of its memory for less than 8 channels.
            x = x[:, :, :: self.stride]
            y = y + (conv_norm(x, *self.residual) if isinstance(self.residual, nn.Sequential) else x)
        return F.relu(y)


@torch.no_grad()
def _as_released(module: nn.Module) -> None:
    """Released 2s-AGCN: N(0, sqrt(2 / fan-out)) weights, biases 0.

    The embeddings of a subset have a fan-out of their own. The weights of its graph convolution have
    N(0, sqrt(2 / (3 inputs outputs))), three for the subsets (``conv_branch_init``).
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
