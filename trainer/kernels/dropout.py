"""Dropout with masks drawn eight values at a time on the CPU, where drawing them one by one is slow."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 256
"""One byte decides about each value, so on the CPU the rate is rounded to a multiple of 1/256."""


class Dropout(nn.Dropout):
    """``torch.nn.Dropout`` with PyTorch's global generator; kept values are divided by their share."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return input
        if input.device.type != "cpu" or torch.compiler.is_compiling():
            return F.dropout(input, self.p, training=True)
        levels = LEVELS - round(self.p * LEVELS)
        if levels == 0:
            return torch.zeros_like(input)
        return input * (_bytes(input) < levels).to(input.dtype).mul_(LEVELS / levels)


def _bytes(like: Tensor) -> Tensor:
    """Uniform uint8 in the shape and layout of a tensor."""
    words = torch.empty(-(-like.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
    drawn = words.view(torch.uint8)[: like.numel()]
    if like.dim() == 4 and like.is_contiguous(memory_format=torch.channels_last):
        samples, channels, *rest = like.shape
        return drawn.view(samples, *rest, channels).permute(0, 3, 1, 2)
    return drawn.view(like.shape)
