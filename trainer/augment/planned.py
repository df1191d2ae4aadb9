"""Augmentations in two steps: a plan is drawn for each sample, then executed.

Between the steps a chain knows all its plans: it merges transforms and works in place on clips of its own.
Executing a plan draws nothing, so it can be compiled.
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
    """What an augmentation will do to a batch of clips, with all random numbers drawn."""

    resizes: bool = False
    """Whether the number of frames may change; later augmentations are planned after it is executed."""

    @abstractmethod
    def of(self, x: Tensor, *, own: bool = False) -> Tensor:
        """x [N,3,T,V,M] -> same. ``own``: x is not needed elsewhere and may be overwritten."""


@dataclass(frozen=True)
class Everywhere(Plan):
    """A plan that applies ``change(x [N,3,T,V,M])`` to the whole batch, out of place."""

    change: Callable[[Tensor], Tensor]
    resizes: bool = False

    def of(self, x: Tensor, *, own: bool = False) -> Tensor:
        """x [N,3,T,V,M] -> same, or with another number of frames."""
        return self.change(x)


class Planned(Generic[P]):
    """An augmentation defined by the function that draws its plan.

    ``plan(x, skeleton, generator, *, options...)`` may use only x's shape and device.
    """

    def __init__(self, plan: Callable[Concatenate[Tensor, Skeleton, torch.Generator, P], Plan]) -> None:
        self.plan = plan
        functools.update_wrapper(self, plan)

    def __call__(
        self, x: Tensor, skeleton: Skeleton, generator: torch.Generator, *args: P.args, **options: P.kwargs
    ) -> Tensor:
        """x [N,3,T,V,M] -> same; x itself is not changed."""
        return self.plan(x, skeleton, generator, *args, **options).of(x)
