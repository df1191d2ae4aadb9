"""Lower bounds on time, from operation and byte counts and the machine's measured rates.

A layer takes at least the longer of two times: its multiply-adds at the rate of a large matrix product, and
its bytes at the rate of a large copy, every input read and every output written once. Layers run in sequence.
BatchNorm, ReLU, dropout and the residual sum count as nothing, as if fused into neighbouring layers; of the
adjacency matrix only the non-zeros count. So no direct computation of these layers one by one can be faster.
A convolution that is not computed directly can: the temporal one needs fewer products in the frequency domain
(``trainer/kernels/temporal.py``), but counts as direct.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SUBSETS, COORDINATES = 3, 3


@dataclass(frozen=True)
class Rates:
    """Rates that the machine reaches."""

    products: float
    """Multiply-adds per second of a large matrix product in our precision."""
    copies: float
    """Bytes per second of a large copy, read and written."""


@dataclass(frozen=True)
class Layer:
    """Counts of one layer for one clip."""

    products: float
    """Multiply-adds."""
    read: float
    """Values read; ``written`` counts values as well."""
    written: float


def measure(device: torch.device, *, precision: str = "fp32", quick: bool = False, repeats: int = 5) -> Rates:
    """Measure both rates, the best of several repeats: other load on the machine must not raise the floor."""
    large = device.type == "cuda"
    size = 512 if quick and not large else 8192 if large else 2048
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    product = torch.empty_like(a)
    source = torch.zeros((2**30 if large else 2**24 if quick else 2**26) // 4, device=device)
    copied = torch.empty_like(source)
    seconds = _best(lambda: torch.mm(a, b, out=product), device, repeats)
    moved = _best(lambda: copied.copy_(source), device, repeats)
    return Rates(size**3 / seconds, 2 * source.nbytes / moved)


def _best(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    seconds = []
    for _ in range(repeats + 1):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        begin = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - begin)
    return min(seconds[1:])


def stgcn(
    adjacency: Tensor,
    *,
    frames: int,
    bodies: int,
    channels: Sequence[int],
    stride_blocks: Sequence[int],
    kernel: int,
) -> list[Layer]:
    """Layers of an ST-GCN's forward pass on one clip; neighbours are gathered on the narrower side."""
    joints, edges = adjacency.shape[-1], int((adjacency != 0).sum())
    layers, given = [], COORDINATES
    for block, out in enumerate(channels, start=1):
        points = bodies * frames * joints
        gathered = bodies * frames * edges * min(given, out)
        layers.append(Layer(gathered + points * SUBSETS * given * out, points * given, points * out))
        frames_out = -(-frames // 2) if block in stride_blocks else frames
        points_out = bodies * frames_out * joints
        layers.append(Layer(points_out * kernel * out * out, points * out, points_out * out))
        if block > 1 and (given != out or frames_out != frames):
            layers.append(Layer(points_out * given * out, points_out * given, points_out * out))
        frames, given = frames_out, out
    return layers


def queue(clips: int, *, keys: int, dim: int) -> Layer:
    """Similarities of a batch of queries to all keys: counts per batch, not per clip."""
    return Layer(clips * keys * dim, keys * dim, clips * keys)


def forward(layers: Iterable[Layer], rates: Rates, *, value_bytes: int = 4) -> float:
    """Seconds of the forward pass."""
    return sum(_longer(each.products, each.read + each.written, rates, value_bytes) for each in layers)


def training(layers: Iterable[Layer], rates: Rates, *, value_bytes: int = 4) -> float:
    """Seconds of the forward and backward pass; the gradients of input and weights take one product each.

    The backward pass reads the gradient of the output and the input, and writes the gradient of the input.
    """
    layers = list(layers)
    back = sum(
        _longer(2 * each.products, 2 * each.read + each.written, rates, value_bytes) for each in layers
    )
    return forward(layers, rates, value_bytes=value_bytes) + back


def copying(values: int, rates: Rates) -> float:
    """Seconds to read and write ``values`` float32 values once."""
    return 2 * 4 * values / rates.copies


def _longer(products: float, values: float, rates: Rates, value_bytes: int) -> float:
    return max(products / rates.products, values * value_bytes / rates.copies)
