"""Augmentations in two steps: what happens to each sample is drawn, then it is done.

In between, a chain can see what follows: it merges transforms, and works in place on clips that are its own.
And what is done draws nothing, so that it can be compiled.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, Generic, ParamSpec

import torch
from torch import Tensor

from trainer.skeleton import Skeleton

P = ParamSpec("P")


class Plan(ABC):
    """What an augmentation is going to do to a batch of clips, with everything drawn that it needs."""

    resizes: bool = False
    """Whether the clips may get another number of frames: what follows is planned when this is done."""

    @abstractmethod
    def of(self, x: Tensor, *, own: bool = False) -> Tensor:
        """x [N,3,T,V,M] -> same. ``own``: nobody else needs x, which may be overwritten."""


@dataclass(frozen=True)
class Everywhere(Plan):
    """A plan: ``change(x [N,3,T,V,M])`` for the whole batch, which stays as it is."""

    change: Callable[[Tensor], Tensor]
    resizes: bool = False

    def of(self, x: Tensor, *, own: bool = False) -> Tensor:
        """x [N,3,T,V,M] -> same, or with another number of frames."""
        return self.change(x)


class Planned(Generic[P]):
    """An augmentation made of what draws its plan: ``plan(x, skeleton, generator, *, options...)``.

    That may look at nothing of x but its shape and device.
    """

    def __init__(self, plan: Callable[Concatenate[Tensor, Skeleton, torch.Generator, P], Plan]) -> None:
        self.plan = plan
        functools.update_wrapper(self, plan)

    def __call__(
        self, x: Tensor, skeleton: Skeleton, generator: torch.Generator, *args: P.args, **options: P.kwargs
    ) -> Tensor:
        """x [N,3,T,V,M] -> same; x itself stays as it is."""
        return self.plan(x, skeleton, generator, *args, **options).of(x)
