"""What graph networks have in common: blocks shared by conventions, each with its own graphs and input norm.

ST-GCN has a fixed graph; those of A-GCN and CTR-GCN are learned. Padded joints are removed at the input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from schemas import SkeletonSpec, UsageError
from schemas._model import Model
from trainer.encoders.bodies import COORDINATES, BodyEncoder, by_body, encode_each
from trainer.encoders.initial import initialise
from trainer.kernels.conv_norm import conv_norm

SUBSETS = 3
"""Subsets of a graph's edges: identity, inward, outward; for ST-GCN root, centripetal, centrifugal."""
SMALL = 1e-6
"""Initial scale of the BatchNorm after the graph, so that a block starts as its shortcut. Released 2s-AGCN
and CTR-GCN."""

Width = Annotated[int, Field(ge=1)]


class BlockOptions(Model):
    """Options of every graph network."""

    channels: tuple[Width, ...] = Field(min_length=1)
    """Output channels of each block; the last is the feature dimension."""
    stride_blocks: tuple[Width, ...] = (5, 8)
    """Blocks, counted from 1, that halve the frames. ST-GCN, 2s-AGCN and CTR-GCN: 5 and 8."""
    temporal_kernel: int = Field(ge=1)
    """Kernel size of a temporal convolution in frames."""

    @model_validator(mode="after")
    def _check_blocks(self) -> BlockOptions:
        if self.temporal_kernel % 2 == 0:
            raise ValueError("temporal_kernel must be odd")
        if any(block > len(self.channels) for block in self.stride_blocks):
            raise ValueError(f"stride_blocks must lie in 1..{len(self.channels)}, the number of channels")
        return self

    @property
    def blocks(self) -> list[tuple[int, int, int, bool]]:
        """For each block: input and output channels, stride, whether it has a residual."""
        widths = (COORDINATES, *self.channels)
        return [
            (widths[place], out, 2 if place + 1 in self.stride_blocks else 1, place > 0)
            for place, out in enumerate(self.channels)
        ]


class LearnedGraphOptions(BlockOptions):
    """Options of A-GCN and CTR-GCN."""

    channels: tuple[Width, ...] = Field(default=(64, 64, 64, 64, 128, 128, 128, 256, 256, 256), min_length=1)
    """Output channels of each block; the last is the feature dimension. Default: 2s-AGCN and CTR-GCN."""
    input_norm: Literal["body", "slot"] = "body"
    """Statistics of the input BatchNorm. ``body``: shared by all bodies. ``slot``: separate for each body
    slot, including the zeros of absent bodies, as in the released code: 150 channels for two bodies of 25
    joints. The two kinds have incompatible weights."""
    max_bodies: int = Field(default=2, ge=1)
    """Number of slots of ``input_norm: slot``; released: 2. Where clips have fewer bodies, the remaining
    slots learn from the same bodies, and the mean is over the bodies that clips have; the released mean over
    two needs a store with two."""
    bodies: Literal["average", "present"] = "average"
    """How bodies are joined after pooling. ``average``: over all slots, with absent bodies encoded as zeros.
    ``present``: absent bodies are neither encoded nor included in any statistic or mean."""

    @model_validator(mode="after")
    def _check_bodies(self) -> LearnedGraphOptions:
        if self.input_norm == "slot" and self.bodies == "present":
            raise ValueError("input_norm slot counts absent bodies and goes with bodies average only")
        return self


class GraphNetwork(BodyEncoder):
    """Blocks ``block(x [B,C,T,V], graph [SUBSETS,V,V]) -> [B,C',T',V]`` in a row."""

    def __init__(
        self,
        conventions: dict[str, nn.Module],
        blocks: Iterable[nn.Module],
        *,
        options: BlockOptions,
        init: str,
        released: Callable[[nn.Module], None] | None = None,
    ) -> None:
        """``init`` and ``released`` are those of ``initialise``."""
        super().__init__()
        self.options = options
        self.feature_dim = options.channels[-1]
        self.conventions = nn.ModuleDict(conventions)
        self.blocks = nn.ModuleList(blocks)
        initialise(self, init, released=released)

    @property
    def steps(self) -> tuple[str, ...]:
        return tuple(rf"blocks\.{place}\..*" for place in range(len(self.blocks)))


class LearnedGraphs(nn.Module):
    """The parts of one convention only: its graphs and its input BatchNorm."""

    joints: int
    data_bn: nn.BatchNorm1d

    def graphs_of_blocks(self) -> Iterable[Tensor]:
        """The graph [SUBSETS, V, V] of each block."""
        raise NotImplementedError


class LearnedGraphNetwork(GraphNetwork):
    """The base of A-GCN and CTR-GCN, whose ``conventions`` are ``LearnedGraphs``.

    The input is normalised per body, which allows any number of bodies, or per body slot, as in the released
    code.
    """

    name: ClassVar[str]

    def feature_map(self, x: Tensor, convention: str) -> Tensor:
        """x [N,3,T,Vmax,M] -> [N*M, feature_dim, T', V]: the last block's output, by sample, then body."""
        own = self.conventions[convention]
        assert isinstance(own, LearnedGraphs)

        def encode(features: Tensor) -> Tensor:
            for block, graph in zip(self.blocks, own.graphs_of_blocks(), strict=True):
                features = block(features, graph)
            return features

        if self.options.input_norm == "slot":
            # After it, absent bodies are no longer zero, and those of two slots differ.
            slots = self.options.max_bodies
            return encode(normalised_by_slot(x, own.data_bn, own.joints, slots=slots, encoder=self.name))
        return encode_each(
            by_body(x, own.joints),
            lambda bodies: encode(normalised(bodies, own.data_bn).contiguous()),
            join=self.options.bodies,
            training=self.training,
        )


def input_norm(joints: int, options: LearnedGraphOptions) -> nn.BatchNorm1d:
    """The BatchNorm of each coordinate of each joint, over bodies and frames, by ``options.input_norm``."""
    slots = options.max_bodies if options.input_norm == "slot" else 1
    return nn.BatchNorm1d(slots * joints * COORDINATES)


def normalised(bodies: Tensor, norm: nn.Module) -> Tensor:
    """[B, V*3, T] -> a view [B,3,T,V], with statistics shared by all bodies."""
    samples, channels, frames = bodies.shape
    x: Tensor = norm(bodies).view(samples, channels // COORDINATES, COORDINATES, frames)
    return x.permute(0, 2, 3, 1)


def normalised_by_slot(x: Tensor, norm: nn.Module, joints: int, *, slots: int, encoder: str) -> Tensor:
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


def shortcut(channels: int, out: int, *, stride: int = 1) -> nn.Module:
    """The layers beside others that change the shape: a 1x1 convolution and BatchNorm, or none if it is kept.

    Its input has every ``stride``-th frame already: a stride inside the 1x1 convolution is the same, but the
    CPU's oneDNN (torch 2.13, AVX2) then writes outside of its memory for less than 8 channels.
    """
    if channels == out and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(channels, out, 1), nn.BatchNorm2d(out))


def through(layers: nn.Module, x: Tensor) -> Tensor:
    """x [N,C,T,V] through the layers of a ``shortcut``."""
    return conv_norm(x, *layers) if isinstance(layers, nn.Sequential) else x


def inward_outward(spec: SkeletonSpec) -> Tensor:
    """[3, V, V] float32: A-GCN's identity, inward and outward edges; ``A[k, v, w]`` weights v's input to w.

    A joint gathers itself (0), its parent (1) and the mean of its children (2): each subset is normalised by
    columns separately, while the spatial partition normalises the three together. Source: 2s-AGCN (Shi et
    al., CVPR 2019); the normalisation is that of its released code.
    """
    joints = torch.arange(spec.num_joints)
    child = joints[joints != spec.center]
    parent = torch.tensor(spec.parents)[child]
    graph = torch.zeros(SUBSETS, spec.num_joints, spec.num_joints)
    graph[0, joints, joints] = 1
    graph[1, parent, child] = 1
    graph[2, child, parent] = 1
    return graph / graph.sum(dim=1, keepdim=True).clamp_min(1)
