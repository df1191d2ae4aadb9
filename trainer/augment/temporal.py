"""Augmentations along time, including ISC's crop, and AimCLR's noise and blur."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from trainer.augment.draws import (
    NonNegative,
    PositiveRange,
    Probability,
    Rows,
    ShareRange,
    Sometimes,
    draw,
    integers,
    present,
    uniform,
)
from trainer.augment.planned import Everywhere, Planned
from trainer.augment.transforms import Transform
from trainer.skeleton import Skeleton


@Planned
def temporal_crop(
    x: Tensor,
    skeleton: Skeleton,
    generator: torch.Generator,
    *,
    ratio: Annotated[int, Field(ge=1)] = 6,
) -> Transform:
    """Mirror ``T // ratio`` frames at both ends, repeating the edge frame, and cut out T frames at random.

    x [N,3,T,V,M] -> same. Ratio 6 is SkeletonCLR's.
    """
    frames = x.shape[2]
    border = frames // ratio
    start = integers(generator, len(x), 2 * border + 1) - border
    index = start[:, None] + torch.arange(frames, device=x.device)
    index = torch.where(index < 0, -1 - index, index)
    index = torch.where(index >= frames, 2 * frames - 1 - index, index)
    return Transform(frames=index)


@Planned
def temporal_crop_resize(
    x: Tensor,
    skeleton: Skeleton,
    generator: torch.Generator,
    *,
    ratio: ShareRange = (0.1, 1.0),
    min_frames: Annotated[int, Field(ge=1)] = 2,
    frames: Annotated[int, Field(ge=1)] | None = None,
    rounding: Literal["nearest", "down"] = "nearest",
    sampling: Literal["ends", "centres"] = "ends",
    absent: Literal["masked", "zeros"] = "masked",
) -> Everywhere:
    """Cut out a random segment of U(ratio) of the clip and resize it linearly to ``frames``.

    x [N,3,T,V,M] -> [N,3,frames,V,M]; None keeps T, so that a short segment plays slower. ISC, Eq. (3), with
    ratio from 0.1. A store's clips are resized to T frames without padding, so the segment is cut from the
    whole action. Lengths are rounded and at least ``min_frames``, in frames of x; the released code never
    cuts below 64 of its raw frames. To keep detail in short segments, set the run's data.frames larger than
    ``frames``.

    The paper does not say how a segment is resized; see ``stretched`` for ``sampling`` and ``absent``. In the
    released code they are ``centres`` and ``zeros``, and ``rounding`` of a length is ``down``.
    """
    total = x.shape[2]
    wanted = total if frames is None else frames
    share = uniform(generator, len(x), low=ratio[0], high=ratio[1])
    length = share * total
    length = length.floor() if rounding == "down" else length.round()
    length = length.clamp(min(min_frames, total), total)
    start = (uniform(generator, len(x)) * (total - length + 1)).floor().clamp_max(total - length)
    return Everywhere(
        lambda x: stretched(x, start, length, frames=wanted, sampling=sampling, absent=absent),
        resizes=wanted != total,
    )


@Planned
def temporal_flip(
    x: Tensor, skeleton: Skeleton, generator: torch.Generator, *, p: Probability = 0.5
) -> Transform:
    """Reverse time in each sample with probability ``p``. x [N,3,T,V,M] -> same."""
    forth = torch.arange(x.shape[2], device=x.device)
    chosen = draw(p, generator, len(x)).chosen
    return Transform(frames=torch.where(chosen[:, None], forth.flip(0), forth))


@Planned
def gaussian_noise(
    x: Tensor,
    skeleton: Skeleton,
    generator: torch.Generator,
    *,
    p: Probability = 0.5,
    std: NonNegative = 0.01,
    absent: Literal["keep", "noise"] = "keep",
) -> Sometimes:
    """Add N(0, std) metres to every coordinate of the present bodies, in each sample with probability ``p``.

    x [N,3,T,V,M] -> same. 0.01 is AimCLR's. Padded joints stay zero, and so do absent bodies (``keep``); the
    released code of AimCLR adds noise to these, too (``noise``).
    """
    drawn = draw(p, generator, len(x))
    noise = drawn.normal(generator, *x.shape[1:])
    own = torch.arange(x.shape[3], device=x.device) < skeleton.num_joints
    scale = std * own.view(-1, 1)
    if absent == "noise":
        return Sometimes(drawn, lambda part, _: torch.addcmul(part, noise, scale))
    return Sometimes(drawn, lambda part, _: torch.addcmul(part, noise, present(part) * scale))


@Planned
def gaussian_blur(
    x: Tensor,
    skeleton: Skeleton,
    generator: torch.Generator,
    *,
    p: Probability = 0.5,
    kernel_size: Annotated[int, Field(ge=1)] = 15,
    sigma: PositiveRange = (0.1, 2.0),
    normalise_kernel: bool = True,
) -> Sometimes:
    """Smooth samples in time by ``exp(-d^2 / (2 sigma^2))``, sigma ~ U(sigma) frames, with probability ``p``.

    x [N,3,T,V,M] -> same; in AimCLR the kernel spans ``kernel_size`` 15 frames and sigma is U(0.1, 2).
    With ``normalise_kernel``, every frame becomes the weighted mean of the frames in which its body is
    present, and frames without the body stay zero. The released code neither divides by the sum of the
    weights, so it amplifies up to five times, nor regards presence: ``normalise_kernel=False``.
    """
    width = uniform(generator, len(x), low=sigma[0], high=sigma[1]).view(-1, 1)
    frames = torch.arange(x.shape[2], device=x.device)
    apart = (frames[:, None] - frames).abs().flatten()
    bell = torch.exp(-(frames.float() ** 2) / (2 * width**2)) * (frames <= kernel_size // 2)

    def blur(part: Tensor, rows: Rows) -> Tensor:
        weights = bell[rows].index_select(1, apart).view(-1, len(frames), len(frames))
        blurred = _over_time(weights, part)
        if not normalise_kernel:
            return blurred
        real = present(part)
        total = _over_time(weights, real.to(part.dtype))
        share = torch.where(real, total.reciprocal(), 0.0)
        # Expanded to every joint, so that the product runs over contiguous memory.
        return blurred * share.expand(-1, -1, -1, part.shape[3], -1).contiguous()

    return Sometimes(draw(p, generator, len(x)), blur)


def stretched(
    x: Tensor,
    start: Tensor,
    length: Tensor,
    *,
    frames: int,
    sampling: Literal["ends", "centres"] = "ends",
    absent: Literal["masked", "zeros"] = "masked",
) -> Tensor:
    """Resize ``length`` [N] whole frames of every clip from ``start`` [N] on linearly to ``frames`` F.

    x [N,3,T,V,M] -> [N,3,F,V,M]. ``sampling``: with ``ends``, the first and last of L frames are kept, and
    frame t is at ``t (L - 1) / (F - 1)``; with ``centres``, frames have a width, like pixels, and frame t is
    at ``(t + 0.5) L / F - 0.5``, clamped to the segment (PyTorch's ``interpolate``). A value between two
    frames is their weighted mean. With ``absent: masked``, only frames in which the body is present are
    averaged, and the body is absent if it is absent in the nearer frame; with ``zeros``, an absent body
    counts as a skeleton shrunk to the origin.
    """
    index = torch.arange(frames, device=x.device)
    start, length = start[:, None].float(), length[:, None].float()
    if sampling == "ends":
        within = index * ((length - 1) / max(frames - 1, 1))
    else:
        within = ((index + 0.5) * (length / frames) - 0.5).clamp_min(0)
    return _at(x, start + torch.minimum(within, length - 1), masked=absent == "masked")


def _at(x: Tensor, times: Tensor, *, masked: bool) -> Tensor:
    """x [N,3,T,V,M] at times [N, F] from 0 to T-1, linearly interpolated between two frames: [N,3,F,V,M].

    ``masked``: use only frames with the body; otherwise the zeros of an absent body count as values.
    """
    before = times.floor()
    late = (times - before).view(len(x), 1, -1, 1, 1)
    real = present(x)
    values, there = [], []
    for index in (before, before + 1):
        place = index.long().clamp_max(x.shape[2] - 1).view(len(x), 1, -1, 1, 1)
        values.append(x.gather(2, place.expand(-1, x.shape[1], -1, *x.shape[3:])))
        there.append(real.gather(2, place.expand(-1, -1, -1, -1, x.shape[4])))
    if not masked:
        return (1 - late) * values[0] + late * values[1]
    weights = [(1 - late) * there[0], late * there[1]]
    total = (weights[0] + weights[1]).clamp_min(torch.finfo(x.dtype).tiny)
    between = (weights[0] * values[0] + weights[1] * values[1]) / total
    return torch.where(torch.where(late < 0.5, there[0], there[1]), between, 0.0)


def _over_time(weights: Tensor, x: Tensor) -> Tensor:
    """``out[n, c, t] = sum_s weights[n, t, s] x[n, c, s]``: weights [N,T,T], x [N,C,T,V,M]."""
    return torch.matmul(weights[:, None], x.flatten(3)).view_as(x)
