"""Augmentations in two steps: what happens to each sample is drawn, then it is done.

In between, a chain can see what follows: it merges moves, and works in place on clips that are its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, Generic, ParamSpec, Protocol

import torch
from torch import Tensor

from trainer.skeleton import Skeleton

P = ParamSpec("P")


class Plan(Protocol):
    """What an augmentation is going to do to a batch of clips."""

    def of(self, x: Tensor, *, own: bool = False) -> Tensor:
        """x [N,3,T,V,M] -> same. ``own``: nobody else needs x, which may be overwritten."""
        ...


class Planned(Generic[P]):
    """An augmentation made of what draws its plan: ``plan(x, skeleton, generator, *, options...)``.

    That may look at nothing of x but its shape and device, which plans leave as they are.
    """

    def __init__(self, plan: Callable[Concatenate[Tensor, Skeleton, torch.Generator, P], Plan]) -> None:
        self.plan = plan
        functools.update_wrapper(self, plan)

    def __call__(
        self, x: Tensor, skeleton: Skeleton, generator: torch.Generator, *args: P.args, **options: P.kwargs
    ) -> Tensor:
        """x [N,3,T,V,M] -> same; x itself stays as it is."""
        return self.plan(x, skeleton, generator, *args, **options).of(x)
