"""BatchNorm in training on the CPU in channels-last layout, with accurate sums.

PyTorch's kernel for that layout (2.13) adds all values of a channel one after another in float32. For 256
bodies of 50 frames and 25 joints these are 320,000, and where many are equal, like those of absent bodies,
every addition rounds the same way: the normalised values are off by 1e-2 and more. PyTorch's kernel for
contiguous tensors adds in float64 and takes two to four times as long.

Here, deviations from an estimate of the mean are added pairwise in float32 within chunks, and the sums of
chunks in float64. A chunk stays in the cache, so memory is read as often as by PyTorch's kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from trainer.batch_norm import track

CHUNK = 2**19
"""Values per chunk. With smaller chunks, threads wait for each other more often."""
SAMPLED = 16
"""The mean is estimated from every 16th frame."""
RUN = 512
"""Values that PyTorch's kernel may add one after another in float32 in the backward pass."""
WIDTH = 1024
"""Approximate number of sums that it keeps at once; more do not fit in the first-level cache."""


def normalise(x: Tensor, norm: nn.Module) -> Tensor:
    """``norm(x)`` of x [N,C,T,V] for a BatchNorm; in training on the CPU in channels last, as if in float64.

    The running statistics are updated as in ``norm``. Values, statistics and gradients are accurate to the
    rounding of float32. Other BatchNorms (those of several processes), number formats, devices and layouts
    use ``norm`` itself, and so does compiled code.
    """
    if type(norm) is not nn.BatchNorm2d or not _applies(x, norm):
        out: Tensor = norm(x)
        return out
    out, mean, variance = ChannelsLast.apply(x, norm.weight, norm.bias, norm.eps)
    count = x.numel() // x.shape[1]
    track(norm, mean, variance * count / (count - 1))
    return out


def _applies(x: Tensor, norm: nn.BatchNorm2d) -> bool:
    if not norm.training or not norm.affine or torch.compiler.is_compiling():
        return False
    if x.device.type != "cpu" or x.dtype != torch.float32:
        return False
    # A single value per channel has no variance: left to PyTorch, which raises for it.
    return x.is_contiguous(memory_format=torch.channels_last) and x.numel() > x.shape[1]


class ChannelsLast(torch.autograd.Function):
    """``apply(x [N,C,T,V], weight [C], bias [C], eps) -> x normalised, its mean and variance [C] float64``.

    The variance is biased. The arguments are float32, with x in channels-last layout. The statistics have no
    gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean, variance = statistics(x)
        inverse = (variance + eps).rsqrt()
        near = mean.float()
        shift = (bias - (mean - near) * inverse * weight).float()
        # The evaluation kernel computes no sums: it only scales and shifts.
        out = F.batch_norm(x, near, variance.float(), weight, shift, training=False, eps=eps)
        ctx.save_for_backward(x, weight, mean, inverse)
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, inverse = ctx.saved_tensors
        slope = slope.contiguous(memory_format=torch.channels_last)
        total, product = _slopes(x, slope, mean.float())
        count = x.numel() // x.shape[1]
        # d loss / d weight = sum of slope * normalised, corrected for the kernel's rounded mean.
        of_weight = (product - (mean - mean.float()) * total) * inverse
        of_slope = weight * inverse
        of_x = -of_slope * inverse * of_weight / count
        rest = -of_slope * total / count - of_x * mean
        of_slope, of_x, rest = (each.float().repeat(x.shape[3]) for each in (of_slope, of_x, rest))
        out = torch.empty_like(x)
        for values, slopes, chunk in _chunks(_frames(x), _frames(slope), _frames(out)):
            torch.addcmul(rest, values, of_x, out=chunk).addcmul_(slopes, of_slope)
        return out, of_weight.to(weight.dtype), total.to(weight.dtype), None


def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance [C] float64 of each channel of x [N,C,T,V] in channels last."""
    channels, joints = x.shape[1], x.shape[3]
    frames, count = _frames(x), x.numel() // x.shape[1]
    # Squares are of deviations from a value near the mean, so subtracting its square loses no precision.
    guess = frames[::SAMPLED].mean(0).view(joints, channels).mean(0)
    middle = guess.repeat(joints)
    away, squares = [], []
    for (values,) in _chunks(frames):
        values = values - middle
        away.append(values.sum(0))
        squares.append(values.square_().sum(0))
    mean = _by_channel(away, channels) / count
    return guess + mean, _by_channel(squares, channels) / count - mean.square()


def _slopes(x: Tensor, slope: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Sums [C] float64 of ``slope`` and of ``slope * (x - mean)``, in channels last.

    PyTorch's kernel computes both in one pass, over short runs; groups of joints count as channels of their
    own there, which shortens the runs and lengthens its vectors.
    """
    channels, joints = x.shape[1], x.shape[3]
    mean = mean.repeat(_together(joints, channels))
    one = torch.ones_like(mean)
    total, product = [], []
    pairs = (_frames(each).view(-1, len(mean)).split(RUN) for each in (x, slope))
    for values, slopes in zip(*pairs, strict=True):
        images = (each.t()[None, :, :, None] for each in (slopes, values))
        gradients = torch.ops.aten.native_batch_norm_backward(
            *images, None, mean, one, None, None, False, 0.0, [False, True, True]
        )
        product.append(gradients[1])
        total.append(gradients[2])
    return _by_channel(total, channels), _by_channel(product, channels)


def _together(joints: int, channels: int) -> int:
    """The largest size of equal groups of joints with at most ``WIDTH`` channels in all; at least one."""
    return max((each for each in range(2, WIDTH // channels + 1) if joints % each == 0), default=1)


def _frames(x: Tensor) -> Tensor:
    """A view [N*T, V*C] of [N,C,T,V] in channels last."""
    samples, channels, frames, joints = x.shape
    return x.permute(0, 2, 3, 1).view(samples * frames, joints * channels)


def _chunks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield chunks with the same rows of all tensors [rows, columns]."""
    rows = max(1, CHUNK // tensors[0].shape[1])
    return zip(*(each.split(rows) for each in tensors), strict=True)


def _by_channel(sums: list[Tensor], channels: int) -> Tensor:
    """Sums of chunks [joints * C] -> sums per channel [C] float64."""
    return torch.stack(sums).view(-1, channels).sum(0, dtype=torch.float64)
