"""Augmentations of the coordinates: SkeletonCLR's shear; AimCLR's flip, rotate and axis mask; ISC's two.

Canonical axes: x to the sensor's left, y up, z away from the sensor. All maps are linear and the same for the
whole clip, so joints that are zero (absent bodies, padding) stay zero.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from schemas import require
from trainer.augment.draws import NonNegative, Probability, draw, integers, uniform
from trainer.augment.planned import Everywhere, Planned
from trainer.augment.transforms import Transform, linear_map
from trainer.skeleton import Skeleton


@Planned
def shear(
    x: Tensor, skeleton: Skeleton, generator: torch.Generator, *, amplitude: NonNegative = 0.5
) -> Transform:
    """Multiply each sample by a matrix with unit diagonal and six entries from U(-amplitude, amplitude).

    x [N,3,T,V,M] -> same. 0.5 is SkeletonCLR's; "Shear" of AimCLR's normal and extreme augmentations.
    """
    return _shear(x, generator, amplitude)


@Planned
def spatial_flip(
    x: Tensor,
    skeleton: Skeleton,
    generator: torch.Generator,
    *,
    p: Probability = 0.5,
    mirror_axis: bool = True,
) -> Transform:
    """Swap left and right joints of each sample with probability ``p``. x [N,3,T,V,M] -> same.

    To mirror the body, the left-right axis x is also negated; the released code of AimCLR only permutes the
    joints, which swaps the sides of a body without mirroring it: ``mirror_axis=False``.
    """
    require(skeleton.spec, ("left_right_swap",), by="augmentation spatial_flip", remedy="Leave it out")
    swap = torch.tensor([*(skeleton.spec.left_right_swap or ()), *range(skeleton.num_joints, x.shape[3])])
    chosen = draw(p, generator, len(x)).chosen
    if not mirror_axis:
        return Transform(swapped=chosen, swap=swap.to(x.device))
    mirrored = chosen[:, None] & (torch.arange(3, device=x.device) == 0)
    signs = torch.where(mirrored, -1.0, 1.0)
    return Transform(matrices=signs.diag_embed(), swapped=chosen, swap=swap.to(x.device))


@Planned
def rotate(
    x: Tensor,
    skeleton: Skeleton,
    generator: torch.Generator,
    *,
    main: NonNegative = 30.0,
    others: NonNegative = 1.0,
    sense: Literal["right", "left"] = "right",
) -> Transform:
    """Rotate about x, y and z: a random one by U(0, main) degrees, the other two by U(0, others).

    x [N,3,T,V,M] -> same; rotations are about the origin, first x, then y, then z. 30 and 1 degrees are
    AimCLR's. ``sense``: ``right`` turns y towards z, z towards x and x towards y, ``left`` the opposite way,
    as in AimCLR's released code; the paper does not say. Angles have one sign, so the two senses make
    different clips.
    """
    size = len(x)
    is_main = integers(generator, size, 3)[:, None] == torch.arange(3, device=x.device)
    degrees = uniform(generator, size, 3) * torch.where(is_main, main, others)
    degrees = degrees if sense == "right" else -degrees
    about_x, about_y, about_z = (turn(axis, torch.deg2rad(degrees[:, axis])) for axis in range(3))
    return Transform(matrices=about_z @ about_y @ about_x)


@Planned
def rotate_y(
    x: Tensor, skeleton: Skeleton, generator: torch.Generator, *, angle: NonNegative = 0.8
) -> Transform:
    """Rotate about the vertical axis by U(-angle, angle) radians: the person seen from another side.

    x [N,3,T,V,M] -> same. Not from a paper; it helps where few cameras see few people, as in NW-UCLA.
    """
    limit = min(angle, math.pi)
    return Transform(matrices=turn(1, uniform(generator, len(x), low=-limit, high=limit)))


@Planned
def axis_mask(
    x: Tensor, skeleton: Skeleton, generator: torch.Generator, *, p: Probability = 0.5
) -> Transform:
    """Zero a random coordinate axis of each sample with probability ``p``. x [N,3,T,V,M] -> same."""
    axis = integers(generator, len(x), 3)[:, None] == torch.arange(3, device=x.device)
    axes_left = ~(axis & draw(p, generator, len(x)).chosen[:, None])
    return Transform(matrices=axes_left.float().diag_embed())


@Planned
def pose_augmentation(
    x: Tensor, skeleton: Skeleton, generator: torch.Generator, *, amplitude: NonNegative = 1.0
) -> Transform:
    """ISC's shear, Eq. (1): ``shear`` with off-diagonals from U(-1, 1), twice SkeletonCLR's.

    x [N,3,T,V,M] -> same. Like a clip seen from another place, nearer or farther.
    """
    return _shear(x, generator, amplitude)


@Planned
def joint_jitter(
    x: Tensor,
    skeleton: Skeleton,
    generator: torch.Generator,
    *,
    share: Probability = 0.6,
    amplitude: NonNegative = 1.0,
    zero_p: Probability = 0.0,
) -> Everywhere:
    """Multiply a random share of each sample's joints by a 3x3 matrix from U(-amplitude, amplitude).

    x [N,3,T,V,M] -> same; the joints and the matrix are the same in every frame and body. ISC, Eq. (2), uses
    15 of 25 joints; for other conventions the number is proportional, rounded. ``zero_p``: probability that a
    sample's chosen joints are set to zero instead, 0.5 in the released code and not in the paper.
    """
    size, joints = len(x), skeleton.num_joints
    order = uniform(generator, size, joints).argsort(dim=1).argsort(dim=1)
    chosen = torch.zeros(size, x.shape[3], dtype=torch.bool, device=x.device)
    chosen[:, :joints] = order < round(share * joints)
    matrices = uniform(generator, size, 3, 3, low=-amplitude, high=amplitude)
    nonzero = uniform(generator, size) >= zero_p
    matrices, there = matrices * nonzero.view(-1, 1, 1), chosen.view(size, 1, 1, -1, 1)
    return Everywhere(lambda x: torch.where(there, linear_map(x, matrices), x))


def _shear(x: Tensor, generator: torch.Generator, amplitude: float) -> Transform:
    off_diagonal = 1 - torch.eye(3, device=x.device)
    draws = uniform(generator, len(x), 3, 3, low=-amplitude, high=amplitude)
    return Transform(matrices=draws * off_diagonal + torch.eye(3, device=x.device))


def turn(axis: int, angles: Tensor) -> Tensor:
    """[N] radians -> [N,3,3]: right-handed rotations about one coordinate axis (0 x, 1 y, 2 z)."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrices = torch.eye(3, device=angles.device).repeat(len(angles), 1, 1)
    matrices[:, first, first] = matrices[:, second, second] = angles.cos()
    matrices[:, first, second] = -angles.sin()
    matrices[:, second, first] = angles.sin()
    return matrices
