"""Masks of hidden cells in a clip; a cell is a few frames of one joint of one body.

The number of hidden cells is fixed, so that every body has equally many visible ones; which cells are hidden
is drawn for every body. Draws are assigned to joints by name, so the joints' numbering does not matter.

Sources: random cells and cells by motion, Mao et al., "Masked Motion Predictors are Strong 3D Action
Representation Learners" (MAMP), ICCV 2023, section 3.3, and its released code. Tubes, and tubes of whole body
parts, follow the idea of "semantic tube masking" of Do et al., "Less is More: Decoder-Free Masked Modeling
for Efficient Skeleton Representation Learning" (SLiM), arXiv:2603.10648; the numbers are this project's own.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from schemas import SkeletonSpec
from trainer.augment.draws import uniform
from trainer.encoders.bodies import body_rows
from trainer.encoders.vit import whole

Kind = Literal["tube", "parts", "random", "motion"]

NOTHING = 1e-10
"""Added to divisors and to arguments of logarithms. Released MAMP."""


def cells(x: Tensor, patch: int) -> Tensor:
    """x [N,3,T,V,M] -> [N*M, T', V, 3*patch], T' = ceil(T / patch): the values of every cell, axis by axis.

    The last frame is repeated if the number of frames is not a multiple of ``patch``.
    """
    bodies = whole(body_rows(x, x.shape[3]), patch)
    return bodies.unflatten(2, (-1, patch)).permute(0, 2, 4, 1, 3).flatten(3)


def seen(of: int, ratio: float) -> int:
    """How many of ``of`` cells are not hidden: the share 1 - ``ratio``, rounded down, but at least one.

    >>> seen(750, 0.9), seen(25, 0.9), seen(4, 0.9)
    (74, 2, 1)
    """
    return max(1, int(of * (1 - ratio)))  # as in released MAMP, which has 74 of 750


def draw(
    x: Tensor,
    spec: SkeletonSpec,
    generator: torch.Generator,
    *,
    kind: Kind,
    ratio: float,
    patch: int,
    tube: int,
    temperature: float,
) -> Tensor:
    """x [N,3,T,V,M] -> [N*M, T', V] bool: the hidden cells, equally many in every body.

    - ``random``: any cells, leaving ``seen`` of T'*V;
    - ``motion``: likewise, but cells that move more are hidden more probably: the distribution is the softmax
      of a cell's motion over ``temperature`` times the body's largest;
    - ``tube``: the same joints for ``tube`` cells in time, leaving ``seen`` of V, then drawn again;
    - ``parts``: tubes of whole body parts, as far as the number of hidden joints allows.
    """
    size, joints, bodies = len(x), x.shape[3], x.shape[4]
    times = math.ceil(x.shape[2] / patch)
    if kind in ("random", "motion"):
        scores = _noise(generator, size, bodies, times, spec).flatten(1)
        if kind == "motion":
            scores = gumbel(scores) + intensity(cells(x, patch)).flatten(1) / temperature
        return _largest(scores, seen(times * joints, ratio)).view(-1, times, joints)
    stretches = math.ceil(times / tube)
    scores = _noise(generator, size, bodies, stretches, spec)
    if kind == "parts":
        parts = _parts(spec).to(x.device)
        drawn = uniform(generator, size, bodies, stretches, int(parts.max()) + 1).flatten(0, 1)
        scores = scores + drawn.argsort(dim=2).argsort(dim=2)[..., parts]
    return _largest(scores, seen(joints, ratio)).repeat_interleave(tube, dim=1)[:, :times]


def intensity(cells: Tensor) -> Tensor:
    """[B, T', V, D] -> [B, T', V]: a cell's difference from the one before it, scaled to at most 1 per body.

    It is the mean absolute difference; the first cell has that of the second. Released MAMP.
    """
    step = (cells[:, 1:] - cells[:, :-1]).abs().mean(dim=3)
    step = torch.cat([step[:, :1], step], dim=1) if step.shape[1] else cells.new_zeros(cells.shape[:3])
    return step / (step.amax(dim=(1, 2), keepdim=True) + NOTHING)


def gumbel(uniform: Tensor) -> Tensor:
    """U(0, 1) -> Gumbel noise: the largest scores plus noise are draws from the softmax of the scores."""
    return -torch.log(-torch.log(uniform + NOTHING) + NOTHING)


def frames_of(hidden: Tensor, patch: int, frames: int) -> Tensor:
    """Expand a mask of cells [N*M, T', V] to frames [N*M, T, V]."""
    return hidden.repeat_interleave(patch, dim=1)[:, :frames]


def visible(hidden: Tensor, count: int) -> Tensor:
    """[B, T', V] bool with ``count`` False entries each -> [B, count] int64: their positions, ascending."""
    return hidden.flatten(1).byte().argsort(dim=1, stable=True)[:, :count]


def count_visible(kind: Kind, times: int, joints: int, ratio: float) -> int:
    """How many cells of a body ``draw`` leaves visible."""
    return seen(times * joints, ratio) if kind in ("random", "motion") else times * seen(joints, ratio)


def _noise(generator: torch.Generator, samples: int, bodies: int, times: int, spec: SkeletonSpec) -> Tensor:
    """[N*M, times, V] from U(0, 1); a joint's column is its position among the sorted names."""
    order = sorted(range(spec.num_joints), key=lambda joint: spec.joints[joint])
    places = torch.tensor(order, device=generator.device).argsort()
    return uniform(generator, samples, bodies, times, spec.num_joints)[..., places].flatten(0, 1)


def _largest(scores: Tensor, left: int) -> Tensor:
    """[..., L] -> [..., L] bool: True for all but the ``left`` smallest."""
    return scores.argsort(dim=-1).argsort(dim=-1) >= left


def _parts(spec: SkeletonSpec) -> Tensor:
    """[V] int64: the body part of every joint, as an index into the sorted part names."""
    parts = torch.zeros(spec.num_joints, dtype=torch.int64)
    for place, (_, joints) in enumerate(sorted((spec.body_parts or {}).items())):
        parts[list(joints)] = place
    return parts
