"""Random parameters, one per sample, and the ranges that options may have."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Tensor


def _ordered(limits: tuple[float, float]) -> tuple[float, float]:
    if not 0 < limits[0] <= limits[1]:
        raise ValueError("must be (low, high) with 0 < low <= high")
    return limits


def _share(limits: tuple[float, float]) -> tuple[float, float]:
    if _ordered(limits)[1] > 1:
        raise ValueError("must be (low, high) with 0 < low <= high <= 1")
    return limits


Probability = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
PositiveRange = Annotated[tuple[float, float], AfterValidator(_ordered)]
ShareRange = Annotated[tuple[float, float], AfterValidator(_share)]


def uniform(generator: torch.Generator, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """float32 ``shape`` from U(low, high), on the generator's device."""
    return low + (high - low) * torch.rand(shape, generator=generator, device=generator.device)


def integers(generator: torch.Generator, size: int, below: int) -> Tensor:
    """[size] int64 from 0 .. below - 1, on the generator's device."""
    return torch.randint(below, (size,), generator=generator, device=generator.device)


def sometimes(p: float, changed: Tensor, x: Tensor, generator: torch.Generator) -> Tensor:
    """``changed`` for a random share ``p`` of the samples, ``x`` for the others."""
    chosen = uniform(generator, len(x)) < p
    return torch.where(chosen.view(-1, *[1] * (x.dim() - 1)), changed, x)


def present(x: Tensor) -> Tensor:
    """x [N,3,T,V,M] -> [N,1,T,1,M] bool: the bodies that a frame has; an absent one is all zeros."""
    return (x != 0).any(dim=3, keepdim=True).any(dim=1, keepdim=True)
