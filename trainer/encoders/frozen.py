"""BatchNorm behind a linear layer in evaluation, folded into its weights: one pass over memory less."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv_norm(x: Tensor, conv: nn.Conv2d, norm: nn.Module) -> Tensor:
    """``norm(conv(x))``: [N,C,H,W] -> [N,C',H',W']. ``norm`` is a BatchNorm; gradients pass in both modes."""
    if norm.training:
        out: Tensor = norm(conv(x))
        return out
    scale, shift = scale_and_shift(norm)
    bias = shift if conv.bias is None else conv.bias * scale + shift
    return F.conv2d(x, conv.weight * scale.view(-1, 1, 1, 1), bias, conv.stride, conv.padding)


def scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Of a BatchNorm in evaluation, [C] each: ``norm(x) = scale * x + shift``."""
    assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale
