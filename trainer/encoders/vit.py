"""ViT: a plain transformer whose tokens are a few frames of one joint.

Source: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, with the sizes and tokens of Mao et
al., "Masked Motion Predictors are Strong 3D Action Representation Learners" (MAMP), ICCV 2023: tokens of 4
frames of a joint, 8 pre-norm layers of width 256 with 8 heads. Each body is a separate sequence.

Conventions share all weights: a joint is identified by its name (``joint_names``), not by its index.
``adopt`` adds a convention that was never trained on. Padded joints are removed at the input.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from schemas import SkeletonSpec
from schemas._model import Model
from trainer.encoders.bodies import COORDINATES, BodyEncoder, body_rows, encode_each, encoded
from trainer.encoders.initial import initialise
from trainer.encoders.joint_names import common_name
from trainer.skeleton import Skeleton

DEVIATION = 0.02
"""Standard deviation of the initial embeddings of joints and times. MAMP."""
LONGEST = 10_000.0
"""Longest period of ``sinusoidal``, divided by 2 pi. Vaswani et al., NeurIPS 2017, section 3.5."""


class ViTOptions(Model):
    dim: int = Field(default=256, ge=2)
    """Width of the tokens and of the feature. MAMP: 256."""
    layers: int = Field(default=8, ge=1)
    """Number of transformer layers. MAMP: 8."""
    heads: int = Field(default=8, ge=1)
    """Attention heads per layer; they share ``dim``. MAMP: 8."""
    mlp_ratio: float = Field(default=4, gt=0)
    """Ratio of the width inside a layer's perceptron to ``dim``. MAMP: 4."""
    patch: int = Field(default=4, ge=1)
    """Frames per token; the last frame is repeated if the clip's length is not a multiple. MAMP: 4."""
    time: Literal["learned", "sinusoidal"] = "learned"
    """Time embedding of a token. ``learned``: a vector for each of ``positions`` (MAMP). ``sinusoidal``:
    fixed waves, for clips of any length."""
    positions: int = Field(default=30, ge=1)
    """Number of ``learned`` times: 30 of 4 frames, 120 frames in all (MAMP). A shorter clip uses the first
    ones; for a longer clip they are interpolated."""
    init: Literal["released", "default", "normal"] = "released"
    """``released``: MAMP's, Xavier weights and biases 0. ``default``: PyTorch's. ``normal``: N(0, 0.02)."""
    bodies: Literal["average", "present"] = "average"
    """How bodies are joined after pooling. ``average``: over all slots, with absent bodies encoded as zeros
    (MAMP). ``present``: absent bodies are neither encoded nor included in any mean."""

    @model_validator(mode="after")
    def _check(self) -> ViTOptions:
        if self.dim % self.heads:
            raise ValueError("dim must be a multiple of heads")
        if self.dim % 2:
            raise ValueError("dim must be even")
        return self


class ViT(BodyEncoder):
    """``forward(x [N,3,T,Vmax,M], convention) -> [N, feature_dim]``: the mean of all tokens."""

    Options = ViTOptions

    def __init__(self, skeletons: Mapping[str, Skeleton], *, options: ViTOptions) -> None:
        super().__init__()
        self.options = options
        self.feature_dim = options.dim
        self.patches = nn.Conv2d(COORDINATES, options.dim, (options.patch, 1), (options.patch, 1))
        names = dict.fromkeys(common_name(joint) for each in skeletons.values() for joint in each.spec.joints)
        self.joints = nn.ParameterDict({name: embedding(options.dim) for name in names})
        learned = options.time == "learned"
        self.times = nn.Parameter(embedding(options.positions, options.dim)) if learned else None
        hidden = round(options.mlp_ratio * options.dim)
        self.layers = nn.ModuleList(
            Layer(options.dim, heads=options.heads, hidden=hidden) for _ in range(options.layers)
        )
        self.norm = nn.LayerNorm(options.dim)
        self.sources: dict[str, tuple[tuple[str, ...], ...]] = {}
        for name, skeleton in skeletons.items():
            self.adopt(name, skeleton.spec)
        initialise(self, options.init, released=_as_released)

    @property
    def steps(self) -> tuple[str, ...]:
        return *(rf"layers\.{place}\..*" for place in range(len(self.layers))), r"norm\..*"

    def adopt(self, convention: str, spec: SkeletonSpec) -> tuple[str, ...]:
        """Accept clips of this convention, too; returns its joints that have no embedding of their own.

        Such a joint gets the mean embedding of the joints that have one and are fewest edges away in the
        tree, or zero if no joint has one. No weight is added.
        """
        self.sources[convention] = tuple(
            _nearest(spec, joint, self.joints) for joint in range(spec.num_joints)
        )
        return tuple(joint for joint in spec.joints if common_name(joint) not in self.joints)

    def feature_map(self, x: Tensor, convention: str) -> Tensor:
        """x [N,3,T,Vmax,M] -> [N*M, dim, ceil(T / patch), V]: the tokens after the last layer."""
        embedded = self.embedded(convention)

        def encode(bodies: Tensor) -> Tensor:
            tokens = self._tokens(bodies, embedded)
            return self._read(tokens.flatten(1, 2)).view(tokens.shape).permute(0, 3, 1, 2)

        bodies = body_rows(x, len(embedded))
        return encode_each(bodies, encode, join=self.options.bodies, training=self.training)

    def part_map(self, x: Tensor, convention: str, visible: Tensor) -> Tensor:
        """Like ``feature_map`` for some tokens only: the others are not read, and their features are zero.

        visible [N*M, K] int64: positions of a body's tokens in its flattened map.
        """
        embedded = self.embedded(convention)
        bodies = body_rows(x, len(embedded))
        there = encoded(x, join=self.options.bodies)
        rows = slice(None) if there is None else there.nonzero().flatten()
        tokens = self._tokens(bodies[rows], embedded)
        shape, places = tokens.shape, visible[rows, :, None].expand(-1, -1, tokens.shape[3])
        seen = self._read(tokens.flatten(1, 2).gather(1, places))
        whole = seen.new_zeros(shape).flatten(1, 2).scatter(1, places, seen).view(shape)
        if there is not None:
            whole = whole.new_zeros(len(bodies), *shape[1:]).index_copy(0, rows, whole)  # type: ignore[arg-type]
        return whole.permute(0, 3, 1, 2)

    def _tokens(self, bodies: Tensor, embedded: Tensor) -> Tensor:
        """[B,3,T,V], [V, dim] -> tokens [B,T',V, dim], with the embeddings of their joint and time."""
        tokens = self.patches(whole(bodies, self.options.patch)).permute(0, 2, 3, 1)
        embedded_tokens: Tensor = tokens + embedded + self.at(tokens.shape[1])[:, None].to(tokens)
        return embedded_tokens

    def _read(self, tokens: Tensor) -> Tensor:
        """[B, L, dim] -> same: the layers and the last norm."""
        for layer in self.layers:
            tokens = layer(tokens)
        out: Tensor = self.norm(tokens)
        return out

    def embedded(self, convention: str) -> Tensor:
        """[V, dim]: the embedding of every joint of a convention."""
        none = self.patches.weight.new_zeros(self.options.dim)
        return torch.stack(
            [
                torch.stack([self.joints[name] for name in names]).mean(dim=0) if names else none
                for names in self.sources[convention]
            ]
        )

    def at(self, count: int) -> Tensor:
        """[count, dim]: the embedding of every time."""
        if self.times is None:
            return waves(count, self.options.dim, device=self.patches.weight.device)
        if count <= len(self.times):
            return self.times[:count]
        stretched = F.interpolate(self.times.t()[None], size=count, mode="linear", align_corners=True)
        return stretched[0].t()


class Layer(nn.Module):
    """A pre-norm transformer layer [B, L, dim] -> same: self-attention and a perceptron, both residual."""

    def __init__(self, dim: int, *, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.joined = nn.Linear(dim, dim)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        three = self.query_key_value(self.attention_norm(x)).unflatten(2, (3, self.heads, -1))
        query, keys, values = three.permute(2, 0, 3, 1, 4)
        attended = attend(query, keys, values)
        x = x + self.joined(attended.transpose(1, 2).flatten(2))
        out: Tensor = x + self.perceptron(x)
        return out


def attend(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Scaled dot-product attention of [B, heads, L, D] tensors.

    On the CPU, bf16 tensors with a gradient are attended to in float32, and the result is rounded: PyTorch's
    bf16 attention takes 1.3 to 4.3 times as long there, forward and backward (torch 2.13, with AMX;
    benchmarks/attention.py).
    """
    given = query.dtype
    if query.device.type != "cpu" or given != torch.bfloat16 or not query.requires_grad:
        return F.scaled_dot_product_attention(query, keys, values)
    with torch.autocast("cpu", enabled=False):
        attended = F.scaled_dot_product_attention(query.float(), keys.float(), values.float())
    return attended.to(given)


def whole(x: Tensor, patch: int) -> Tensor:
    """[B,3,T,V] -> [B,3,T',V], T' the next multiple of ``patch``, by repeating the last frame."""
    more = -x.shape[2] % patch
    return torch.cat([x, x[:, :, -1:].expand(-1, -1, more, -1)], dim=2) if more else x


def waves(count: int, dim: int, *, device: torch.device) -> Tensor:
    """[count, dim]: sines, then cosines, of the times 0, 1, ... at dim / 2 frequencies."""
    share = torch.arange(dim // 2, device=device) / (dim // 2)
    angles = torch.arange(count, device=device)[:, None] * torch.exp(-math.log(LONGEST) * share)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _nearest(spec: SkeletonSpec, joint: int, known: nn.ParameterDict) -> tuple[str, ...]:
    """Names of the known joints that are fewest edges away from a joint; its own if it is known."""
    seen, here = {joint}, [joint]
    while here:
        names = tuple(dict.fromkeys(name for v in here if (name := common_name(spec.joints[v])) in known))
        if names:
            return names
        edges = [*spec.edges, *((b, a) for a, b in spec.edges)]
        here = sorted({b for a, b in edges if a in here} - seen)
        seen.update(here)
    return ()


def embedding(*shape: int) -> Tensor:
    """A tensor of initial embeddings, from a truncated N(0, DEVIATION)."""
    return nn.init.trunc_normal_(torch.empty(*shape), std=DEVIATION)


def _as_released(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
