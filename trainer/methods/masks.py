"""What is hidden of a clip: cells, each some frames of one joint of one body.

How many is fixed, so that every body has as many to see; which is drawn for every body. Draws belong to the
names of joints: their numbering does not matter.

Sources: random cells and cells by their motion, Mao et al., "Masked Motion Predictors are Strong 3D Action
Representation Learners" (MAMP), ICCV 2023, section 3.3, and its released code. Tubes, and tubes of whole body
parts, after "semantic tube masking" of Do et al., "Less is More: Decoder-Free Masked Modeling for Efficient
Skeleton Representation Learning" (SLiM), arXiv:2603.10648, whose text gives the idea; the numbers are ours.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from schemas import SkeletonSpec
from trainer.augment.draws import uniform
from trainer.encoders.vit import whole

Kind = Literal["tube", "parts", "random", "motion"]

NOTHING = 1e-10
"""Added to what is divided by, or of which the logarithm is taken. Released MAMP."""


def cells(x: Tensor, patch: int) -> Tensor:
    """x [N,3,T,V,M] -> [N*M, T', V, 3*patch], T' = ceil(T / patch): the numbers of every cell, axis by axis.

    The last frame is repeated where the clip does not divide.
    """
    bodies = whole(x.permute(0, 4, 1, 2, 3).flatten(0, 1), patch)
    return bodies.unflatten(2, (-1, patch)).permute(0, 2, 4, 1, 3).flatten(3)


def seen(of: int, ratio: float) -> int:
    """How many of so many are not hidden: the share 1 - ``ratio`` rounded down, and one at least.

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
    """x [N,3,T,V,M] -> [N*M, T', V] bool: what is hidden, of every body equally much.

    - ``random``: any cells, ``seen`` of T'*V left;
    - ``motion``: likewise, a cell the more probably the more it moves: the distribution is the softmax of its
      motion over ``temperature`` times the largest of the body;
    - ``tube``: of every ``tube`` cells in time the same joints, ``seen`` of V left, drawn anew for the next;
    - ``parts``: tubes of whole body parts, as far as the number allows.
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
    """[B, T', V, D] -> [B, T', V]: how much a cell differs from the one before it, the largest of a body 1.

    The mean absolute difference; the first one has that of the second. Released MAMP.
    """
    step = (cells[:, 1:] - cells[:, :-1]).abs().mean(dim=3)
    step = torch.cat([step[:, :1], step], dim=1) if step.shape[1] else cells.new_zeros(cells.shape[:3])
    return step / (step.amax(dim=(1, 2), keepdim=True) + NOTHING)


def gumbel(uniform: Tensor) -> Tensor:
    """U(0, 1) -> Gumbel noise: the largest of scores with it are drawn by the softmax of the scores."""
    return -torch.log(-torch.log(uniform + NOTHING) + NOTHING)


def frames_of(hidden: Tensor, patch: int, frames: int) -> Tensor:
    """[N*M, T', V] of cells -> [N*M, T, V] of frames."""
    return hidden.repeat_interleave(patch, dim=1)[:, :frames]


def visible(hidden: Tensor, count: int) -> Tensor:
    """[B, T', V] bool, ``count`` of each False -> [B, count] int64: the places of these, ascending."""
    return hidden.flatten(1).byte().argsort(dim=1, stable=True)[:, :count]


def count_visible(kind: Kind, times: int, joints: int, ratio: float) -> int:
    """How many cells of a body ``draw`` leaves."""
    return seen(times * joints, ratio) if kind in ("random", "motion") else times * seen(joints, ratio)


def _noise(generator: torch.Generator, samples: int, bodies: int, times: int, spec: SkeletonSpec) -> Tensor:
    """[N*M, times, V] from U(0, 1), a joint's column by its place among the sorted names."""
    order = sorted(range(spec.num_joints), key=lambda joint: spec.joints[joint])
    places = torch.tensor(order, device=generator.device).argsort()
    return uniform(generator, samples, bodies, times, spec.num_joints)[..., places].flatten(0, 1)


def _largest(scores: Tensor, left: int) -> Tensor:
    """[..., L] -> same bool: all but the ``left`` smallest."""
    return scores.argsort(dim=-1).argsort(dim=-1) >= left


def _parts(spec: SkeletonSpec) -> Tensor:
    """[V] int64: the body part of every joint, by the order of the parts' names."""
    parts = torch.zeros(spec.num_joints, dtype=torch.int64)
    for place, (_, joints) in enumerate(sorted((spec.body_parts or {}).items())):
        parts[list(joints)] = place
    return parts
