"""Random parameters, one per sample, and the types of options that are ranges."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from trainer.augment.planned import Plan
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
    """Draw a float32 tensor of ``shape`` from U(low, high), on the generator's device."""
    return low + (high - low) * _rows(generator, shape, torch.rand)


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Draw a float32 tensor of ``shape`` from N(0, 1), on the generator's device."""
    return _rows(generator, shape, torch.randn)


def integers(generator: torch.Generator, size: int, below: int) -> Tensor:
    """Draw [size] int64 from 0 .. below - 1, on the generator's device."""
    return _rows(generator, (size,), lambda shape, **place: torch.randint(below, shape, **place))


@dataclass(frozen=True)
class Drawn:
    """The samples of a batch that an augmentation changes."""

    chosen: Tensor
    """[N] bool."""
    rows: Rows
    """Index of samples in [N,...]: the chosen ones on the CPU, all of them elsewhere, where the host would
    have to wait for the device to learn which were chosen."""
    first: int
    """On the CPU, for a part of a batch: number of samples chosen before the part."""
    count: int
    """On the CPU: number of samples chosen in the whole batch."""

    @classmethod
    def among(cls, chosen: Tensor) -> Drawn:
        """Build from ``chosen`` [N] bool of a batch that is not part of another."""
        if chosen.device.type != "cpu":
            return cls(chosen, slice(None), 0, len(chosen))
        rows = chosen.nonzero().flatten()
        return cls(chosen, rows, 0, len(rows))

    def change(self, x: Tensor, change: Change, *, own: bool = False) -> Tensor:
        """x [N,...] with the chosen samples replaced by ``change(samples [n,...], rows)``.

        ``own``: x is not needed elsewhere and may be overwritten.
        """
        if isinstance(self.rows, slice):
            there = self.chosen.view(-1, *[1] * (x.dim() - 1))
            return torch.where(there, change(x, self.rows), x)
        if not len(self.rows):
            return x
        changed = change(x.index_select(0, self.rows), self.rows)
        return (x.index_copy_ if own else x.index_copy)(0, self.rows, changed)

    def normal(self, generator: torch.Generator, *shape: int) -> Tensor:
        """float32 [n, *shape] from N(0, 1) for the samples ``rows``; on the CPU from 65,536 quantiles."""
        if isinstance(self.rows, slice):
            return normal(generator, len(self.chosen), *shape)
        drawn = _normal_by_table(generator, self.count, *shape)
        return drawn[self.first : self.first + len(self.rows)]


def draw(p: float, generator: torch.Generator, size: int) -> Drawn:
    """Choose each of ``size`` samples with probability ``p``."""
    start, total = 0, size
    if isinstance(generator, PartGenerator) and size == generator.stop - generator.start:
        start, total = generator.start, generator.total
    whole = torch.rand(total, generator=generator, device=generator.device) < p
    drawn = Drawn.among(whole[start : start + size])
    if whole.device.type != "cpu" or size == total:
        return drawn
    return replace(drawn, first=int(whole[:start].sum()), count=int(whole.sum()))


@dataclass(frozen=True)
class Sometimes(Plan):
    """A plan that applies ``change(samples [n,...], rows)`` to the drawn samples; see ``Drawn``."""

    drawn: Drawn
    change: Change

    def of(self, x: Tensor, *, own: bool = False) -> Tensor:
        """x [N,...] -> same. ``own``: x is not needed elsewhere and may be overwritten."""
        return self.drawn.change(x, self.change, own=own)


def present(x: Tensor) -> Tensor:
    """x [N,3,T,V,M] -> [N,1,T,1,M] bool: the bodies present in each frame; an absent one is all zeros."""
    # A sum of absolute values, over distant memory first: much faster than testing each value.
    return (x.abs().sum(dim=1, keepdim=True).transpose(3, 4).sum(dim=4) != 0).unsqueeze(3)


@functools.cache
def _quantiles() -> Tensor:
    """[65536] float32: quantiles of N(0, 1) at the midpoints of as many equal shares, within +-4.3."""
    middles = (torch.arange(2**16, dtype=torch.float64) + 0.5) / 2**16
    return torch.special.ndtri(middles).to(torch.float32)


def _normal_by_table(generator: torch.Generator, *shape: int) -> Tensor:
    """float32 ``shape`` from N(0, 1) on the CPU: four values per random word, faster than randn."""
    size = math.prod(shape)
    words = torch.empty(-(-size // 4), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    return _quantiles().index_select(0, words.view(torch.uint16)[:size].int()).view(shape)


def _rows(generator: torch.Generator, shape: tuple[int, ...], draw: Callable[..., Tensor]) -> Tensor:
    """Draw a tensor; for a part of a batch, draw for the whole batch and return the part's rows."""
    place = {"generator": generator, "device": generator.device}
    if isinstance(generator, PartGenerator) and shape[:1] == (generator.stop - generator.start,):
        return draw((generator.total, *shape[1:]), **place)[generator.start : generator.stop]
    return draw(shape, **place)
