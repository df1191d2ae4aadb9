"""Convolution along time in the frequency domain: fewer multiplications than taps times frames, on the CPU.

A convolution is a product at every frequency (convolution theorem). For T frames and K taps, a period of
``T + (K - 1) / 2`` frames prevents wrap-around in a zero-padded convolution; half of the frequencies are
conjugates of the others, and a complex product takes three real ones (Gauss). For T = 13 and K = 9, ST-GCN's
last block, that is 27 matrix products instead of 97. The transforms are small matrices, applied to a few
clips at a time that stay in the cache. In float32 the result is as accurate as that of the direct method.

bf16 clips are also convolved in float32, and the result is rounded: without AMX, a processor multiplies bf16
at twice the rate of float32 at best, and the direct method has more than three times the products.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from trainer import device as devices

LEAST_CHANNELS = 64
"""With fewer channels, the transforms cost as much as they save: with 32, nothing was gained on AVX2."""
LEAST_GAIN = 1.5
"""Ratio of products by the direct method to those in the frequency domain from which the transforms pay."""
ROWS = 400
"""Joints of clips processed together: enough for a matrix product, few enough for the cache."""


def conv_time(
    x: Tensor, weight: Tensor, bias: Tensor, *, stride: int, kernels: dict[int, Tensor] | None = None
) -> Tensor:
    """x [N,C,T,V], weight [O,C,K,1] with K odd, bias [O] -> [N,O,ceil(T / stride),V]; zeros around the clip.

    Uses the direct method or, on the CPU in float32 and bf16, the faster of the two. The result has the
    layout of x, channels last or contiguous, and under autocast its number format. ``kernels`` caches the
    transformed weight by number of frames, for a weight that does not change.
    """
    if _pays(x, weight, stride):
        given = x.to(_format(x))
        out: Tensor = ByFrequencies.apply(given, weight, kernels) + bias.view(-1, 1, 1).to(given.dtype)
        return out.contiguous() if x.is_contiguous() else out
    return F.conv2d(x, weight, bias, (stride, 1), (weight.shape[2] // 2, 0))


def _pays(x: Tensor, weight: Tensor, stride: int) -> bool:
    if x.device.type != "cpu" or stride != 1 or torch.compiler.is_compiling():
        return False
    if weight.dtype != torch.float32 or not _suits(_format(x)):
        return False
    frames, taps = x.shape[2], weight.shape[2]
    if min(weight.shape[:2]) < LEAST_CHANNELS:
        return False
    return direct_products(frames, taps) >= LEAST_GAIN * 3 * frequencies(frames, taps)


def _format(x: Tensor) -> torch.dtype:
    """Number format in which the CPU computes a convolution of x."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


def _suits(number_format: torch.dtype) -> bool:
    if number_format == torch.bfloat16:
        return not devices.multiplies_tiles()
    return number_format == torch.float32


def direct_products(frames: int, taps: int) -> int:
    """Number of pairs of an output frame and a tap that falls inside the clip."""
    side = taps // 2
    return sum(min(t, side) + 1 + min(frames - 1 - t, side) for t in range(frames))


def frequencies(frames: int, taps: int) -> int:
    """Number of frequencies of an odd period that is long enough; the first is real, the others complex."""
    return (frames + taps // 2) // 2 + 1


class ByFrequencies(torch.autograd.Function):
    """``apply(x [N,C,T,V], weight [O,C,K,1], kernels) -> [N,O,T,V]``: F.conv2d with stride 1 and no bias.

    Computes in the weight's number format; the result and the gradient of x have that of x.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, kernels: dict[int, Tensor] | None = None) -> Tensor:
        ctx.save_for_backward(x, weight)
        with torch.autocast("cpu", enabled=False):
            return _convolved(x, weight, {} if kernels is None else kernels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        with torch.autocast("cpu", enabled=False):
            return *_slopes(gradient, *ctx.saved_tensors), None


def _convolved(x: Tensor, weight: Tensor, kernels_of: dict[int, Tensor]) -> Tensor:
    into, of_taps, back = _transforms(x.shape[2], weight.shape[2], weight.dtype)
    if x.shape[2] not in kernels_of:
        kernels_of[x.shape[2]] = _kernels(of_taps, weight)
    kernels = kernels_of[x.shape[2]]
    out = x.new_empty(len(x), x.shape[2], x.shape[3], len(weight))
    for some in _portions(x):
        products = torch.bmm(_apply(into, x[some]), kernels)
        out[some] = _undo(back, products, joints=x.shape[3])
    return out.permute(0, 3, 1, 2)


def _slopes(gradient: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of x and of the weight."""
    into, of_taps, back = _transforms(x.shape[2], weight.shape[2], weight.dtype)
    kernels = _kernels(of_taps, weight)
    slopes = torch.zeros_like(kernels)
    out = x.new_empty(len(x), x.shape[2], x.shape[3], x.shape[1])
    for some in _portions(x):
        given = _apply(back.t(), gradient[some])
        slopes.baddbmm_(_apply(into, x[some]).transpose(1, 2), given)
        out[some] = _undo(into.t(), torch.bmm(given, kernels.transpose(1, 2)), joints=x.shape[3])
    of_weight = (slopes.flatten(1).t() @ of_taps).view(x.shape[1], len(weight), -1, 1)
    return out.permute(0, 3, 1, 2), of_weight.transpose(0, 1)


@functools.lru_cache(maxsize=64)
def _transforms(frames: int, taps: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Transforms [3F,T] of frames to frequencies, [3F,K] of taps to frequencies, and [T,3F] back.

    With a clip's spectrum a + bi and the kernel's c + di, the rows are a + b, a, b and c, d - c, c + d; their
    products p, q, r give (a + bi)(c + di) = (p - r) + (p + q)i.
    """
    count = frequencies(frames, taps)
    period = 2 * count - 1
    turn = 2 * math.pi / period * torch.arange(count, dtype=torch.float64)[:, None]
    at = turn * torch.arange(frames)
    real, imaginary = at.cos(), -at.sin()
    into = torch.cat([real + imaginary, real, imaginary])
    # A layer's "convolution" is a correlation: the kernel is reversed, with its middle at zero.
    at_tap = turn * (torch.arange(taps) - taps // 2)
    real_tap, imaginary_tap = at_tap.cos(), at_tap.sin()
    of_taps = torch.cat([real_tap, imaginary_tap - real_tap, real_tap + imaginary_tap])
    twice = torch.full((count, 1), 2 / period, dtype=torch.float64)
    twice[0] /= 2  # every frequency except zero also stands for its conjugate
    real, imaginary = twice * real, twice * imaginary
    back = torch.cat([real + imaginary, imaginary, -real]).t()
    return into.to(dtype), of_taps.to(dtype), back.contiguous().to(dtype)


def _kernels(of_taps: Tensor, weight: Tensor) -> Tensor:
    """[O,C,K,1] -> [3F, C, O]."""
    taps = weight.transpose(0, 1).reshape(-1, weight.shape[2])
    return (of_taps @ taps.t()).view(len(of_taps), weight.shape[1], weight.shape[0])


def _portions(x: Tensor) -> list[slice]:
    size = max(1, ROWS // x.shape[3])
    return [slice(start, start + size) for start in range(0, len(x), size)]


def _apply(transform: Tensor, x: Tensor) -> Tensor:
    """Apply a transform [3F,T] to x [n,C,T,V] -> [3F, n*V, C], in the number format of the transform."""
    frames_first = x.permute(2, 0, 3, 1).to(transform.dtype, memory_format=torch.contiguous_format)
    frames_first = frames_first.reshape(x.shape[2], -1)
    return (transform @ frames_first).view(len(transform), -1, x.shape[1])


def _undo(transform: Tensor, spectra: Tensor, *, joints: int) -> Tensor:
    """Apply a transform [T,3F] to spectra [3F, n*V, C] -> [n,T,V,C]."""
    frames = (transform @ spectra.flatten(1)).view(len(transform), -1, joints, spectra.shape[2])
    return frames.transpose(0, 1)
