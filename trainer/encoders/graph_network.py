"""Common base of A-GCN and CTR-GCN: an input BatchNorm and graphs per convention, with shared blocks.

The input is normalised per body, which allows any number of bodies, or per body slot, as in the released
code. Padded joints are removed at the input.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from schemas._model import Model
from trainer.encoders.bodies import by_body, encode_each, pool_map
from trainer.encoders.input_norm import COORDINATES, alike, by_slot, input_norm

SUBSETS = 3
"""Identity, inward, outward."""
SMALL = 1e-6
"""Initial scale of the BatchNorm after the graph, so that a block starts as its shortcut. Released 2s-AGCN
and CTR-GCN."""

Width = Annotated[int, Field(ge=1)]


class GraphOptions(Model):
    channels: tuple[Width, ...] = Field(default=(64, 64, 64, 64, 128, 128, 128, 256, 256, 256), min_length=1)
    """Output channels of each block; the last is the feature dimension. Default: 2s-AGCN and CTR-GCN."""
    stride_blocks: tuple[Width, ...] = (5, 8)
    """Blocks, counted from 1, that halve the frames. 2s-AGCN and CTR-GCN: 5 and 8."""
    temporal_kernel: int = Field(ge=1)
    """Kernel size of a temporal convolution in frames."""
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
    def _check_graph(self) -> GraphOptions:
        if self.temporal_kernel % 2 == 0:
            raise ValueError("temporal_kernel must be odd")
        if any(block > len(self.channels) for block in self.stride_blocks):
            raise ValueError(f"stride_blocks must lie in 1..{len(self.channels)}, the number of channels")
        if self.input_norm == "slot" and self.bodies == "present":
            raise ValueError("input_norm slot counts absent bodies and goes with bodies average only")
        return self

    @property
    def blocks(self) -> list[tuple[int, int, int, bool]]:
        """For each block: input and output channels, stride, whether it has a residual."""
        widths = (COORDINATES, *self.channels)
        return [
            (widths[place], out, 2 if place + 1 in self.stride_blocks else 1, place > 0)
            for place, out in enumerate(self.channels)
        ]


class GraphConvention(nn.Module):
    """The parts of one convention only: its graphs and its input BatchNorm."""

    joints: int
    data_bn: nn.BatchNorm1d

    def graphs_of_blocks(self) -> Iterable[Tensor]:
        """The graph [SUBSETS, V, V] of each block."""
        raise NotImplementedError


def norm_of(joints: int, options: GraphOptions) -> nn.BatchNorm1d:
    return input_norm(joints, slots=options.max_bodies if options.input_norm == "slot" else 1)


class GraphNetwork(nn.Module):
    """``forward(x [N,3,T,Vmax,M], convention) -> [N, feature_dim]``."""

    name: ClassVar[str]
    map_axes: Literal["TV"] | None = "TV"

    def __init__(
        self,
        conventions: dict[str, GraphConvention],
        blocks: Iterable[nn.Module],
        *,
        options: GraphOptions,
    ) -> None:
        super().__init__()
        self.options = options
        self.feature_dim = options.channels[-1]
        self.conventions = nn.ModuleDict(conventions)
        self.blocks = nn.ModuleList(blocks)

    @property
    def steps(self) -> tuple[str, ...]:
        return tuple(rf"blocks\.{place}\..*" for place in range(len(self.blocks)))

    def feature_map(self, x: Tensor, convention: str) -> Tensor:
        """x [N,3,T,Vmax,M] -> [N*M, feature_dim, T', V]: the last block's output, by sample, then body."""
        own = self.conventions[convention]
        assert isinstance(own, GraphConvention)

        def encode(features: Tensor) -> Tensor:
            for block, graph in zip(self.blocks, own.graphs_of_blocks(), strict=True):
                features = block(features, graph)
            return features

        if self.options.input_norm == "slot":
            # After it, absent bodies are no longer zero, and those of two slots differ.
            slots = self.options.max_bodies
            return encode(by_slot(x, own.data_bn, own.joints, slots=slots, encoder=self.name))
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
