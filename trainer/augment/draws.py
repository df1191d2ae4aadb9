"""Random parameters, one per sample, and the ranges that options may have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from trainer.seeds import PartGenerator


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

Rows = Tensor | slice
Change = Callable[[Tensor, Rows], Tensor]


def uniform(generator: torch.Generator, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """float32 ``shape`` from U(low, high), on the generator's device."""
    return low + (high - low) * _rows(generator, shape, torch.rand)


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """float32 ``shape`` from N(0, 1), on the generator's device."""
    return _rows(generator, shape, torch.randn)


def integers(generator: torch.Generator, size: int, below: int) -> Tensor:
    """[size] int64 from 0 .. below - 1, on the generator's device."""
    return _rows(generator, (size,), lambda shape, **place: torch.randint(below, shape, **place))


def sometimes(p: float, change: Change, x: Tensor, generator: torch.Generator) -> Tensor:
    """``change(x, every row)`` for a random share ``p`` of the samples, ``x`` for the others.

    ``change(part, rows)`` gets samples [n,...] and what picks their rows out of parameters [N,...]. On CPU
    it gets the drawn samples alone. Elsewhere it gets all of them: to ask which were drawn, the host would
    have to wait for the device.
    """
    chosen = uniform(generator, len(x)) < p
    if x.device.type != "cpu":
        changed = change(x, slice(None))
        return torch.where(chosen.view(-1, *[1] * (x.dim() - 1)), changed, x)
    rows = chosen.nonzero().flatten()
    return x.index_copy(0, rows, change(x.index_select(0, rows), rows)) if len(rows) else x


def present(x: Tensor) -> Tensor:
    """x [N,3,T,V,M] -> [N,1,T,1,M] bool: the bodies that a frame has; an absent one is all zeros."""
    return (x != 0).any(dim=3, keepdim=True).any(dim=1, keepdim=True)


def _rows(generator: torch.Generator, shape: tuple[int, ...], draw: Callable[..., Tensor]) -> Tensor:
    """A draw; of a part of a batch, the part's rows of the draw for the whole batch."""
    place = {"generator": generator, "device": generator.device}
    if isinstance(generator, PartGenerator) and shape[:1] == (generator.stop - generator.start,):
        return draw((generator.total, *shape[1:]), **place)[generator.start : generator.stop]
    return draw(shape, **place)
