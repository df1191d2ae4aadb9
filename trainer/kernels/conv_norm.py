"""A convolution along time and the BatchNorm behind it: in evaluation one pass over memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.kernels.normalise import normalise
from trainer.kernels.temporal import conv_time


def conv_norm(x: Tensor, conv: nn.Conv2d, norm: nn.Module) -> Tensor:
    """``norm(conv(x))``: [N,C,T,V] -> [N,C',T',V]. ``norm`` is a BatchNorm; gradients pass in both modes.

    ``conv`` has a K x 1 kernel with K odd, padding that keeps T, and a bias.
    """
    assert conv.bias is not None
    if norm.training:
        return normalise(conv_time(x, conv.weight, conv.bias, stride=conv.stride[0]), norm)
    scale, shift = scale_and_shift(norm)
    weight, bias = conv.weight * scale.view(-1, 1, 1, 1), conv.bias * scale + shift
    return conv_time(x, weight, bias, stride=conv.stride[0])


def scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Of a BatchNorm in evaluation, [C] each: ``norm(x) = scale * x + shift``."""
    assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale
