"""bf16 attention on the CPU: ours, in float32 where a gradient is needed, compared with PyTorch's.

    python -m benchmarks.attention

Forward and backward pass of the attention of one layer, for the sizes of two presets and of MAMP; median of
five, both in turn. The result is written to benchmarks/results/attention.json.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import record
from trainer.encoders.vit import attend

SIZES = {
    "masked/nw-ucla, hidden cells left out": (128, 4, 36, 16),
    "masked/nw-ucla, all cells": (128, 4, 120, 16),
    "masked/default, hidden cells left out": (128, 8, 75, 32),
    "masked/default, all cells": (32, 8, 750, 32),
}
"""Tokens -> bodies, heads, tokens of a body, width of a head."""

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
WAYS: dict[str, Attention] = {"ours": attend, "pytorch": F.scaled_dot_product_attention}


def main() -> None:
    torch.set_num_threads(1)
    rows = {}
    for name, size in SIZES.items():
        taken: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(6):
            for way, attention in WAYS.items():
                taken[way].append(seconds(attention, size))
        ms = {way: round(1e3 * median(each[1:]), 1) for way, each in taken.items()}
        rows[name] = {"size": size, "ms": ms, "ratio": round(ms["pytorch"] / ms["ours"], 1)}
        print(name, rows[name])
    result = {"benchmark": "bf16 attention, forward and backward, one thread", "rows": rows}
    print(f"written to {record.write('attention', result).name}")


def seconds(attention: Attention, size: tuple[int, ...]) -> float:
    """Time of one forward and one backward pass."""
    tensors = [torch.randn(size, dtype=torch.bfloat16, requires_grad=True) for _ in range(3)]
    grown = torch.randn(size, dtype=torch.bfloat16)
    begin = time.perf_counter()
    attention(*tensors).backward(grown)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
