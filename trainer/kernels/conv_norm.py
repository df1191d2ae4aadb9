"""A convolution along time followed by BatchNorm; in evaluation, both in one pass over memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.kernels.kept import cached
from trainer.kernels.normalise import normalise
from trainer.kernels.temporal import conv_time


def conv_norm(x: Tensor, conv: nn.Conv2d, norm: nn.Module) -> Tensor:
    """``norm(conv(x))``: [N,C,T,V] -> [N,C',T',V]. ``norm`` is a BatchNorm; gradients pass in both modes.

    ``conv`` has a K x 1 kernel with K odd, padding that keeps T, and a bias.
    """
    assert conv.bias is not None
    if norm.training:
        return normalise(conv_time(x, conv.weight, conv.bias, stride=conv.stride[0]), norm)
    weight, bias, kernels = cached(norm, "folded", weights_of(conv, norm), lambda: _folded(conv, norm))
    return conv_time(x, weight, bias, stride=conv.stride[0], kernels=kernels)


def _folded(conv: nn.Conv2d, norm: nn.Module) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
    """Weight and bias of both layers folded into one, and a cache for the kernels of ``conv_time``."""
    assert conv.bias is not None
    scale, shift = scale_and_shift(norm)
    return conv.weight * scale.view(-1, 1, 1, 1), conv.bias * scale + shift, {}


def weights_of(*layers: nn.Module) -> list[Tensor]:
    """Parameters and running statistics of layers without sublayers."""
    own = (each for layer in layers for each in (*layer._parameters.values(), *layer._buffers.values()))
    return [each for each in own if each is not None]


def scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Scale and shift [C] of a BatchNorm in evaluation: ``norm(x) = scale * x + shift``."""
    assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale
