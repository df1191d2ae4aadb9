"""Chains of augmentations: all plans are drawn first, then executed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.augment.planned import Plan, Planned
from trainer.augment.transforms import Transform
from trainer.skeleton import Skeleton

Doing = Callable[[Tensor, Sequence[Plan], bool], Tensor]


def do(x: Tensor, plans: Sequence[Plan], own: bool) -> Tensor:
    """Execute the plans in order. x [N,3,T,V,M] -> same, or with another number of frames.

    ``own``: x is not needed elsewhere and may be overwritten. Nothing is drawn here, so it may be compiled.
    """
    for plan in _merged(plans):
        done = plan.of(x, own=own)
        own = own or done is not x
        x = done
    return x


@dataclass(frozen=True)
class Chain:
    """``chain(x, skeleton, generator)``: augmentations in order, each with its options."""

    links: tuple[Planned[[]], ...]
    do: Doing = do
    """``chain.do``, or a compiled form of it."""

    def __call__(self, x: Tensor, skeleton: Skeleton, generator: torch.Generator) -> Tensor:
        """x [N,3,T,V,M] -> same, or with another number of frames; x itself is not changed."""
        # Half precision would round coordinates to centimetres.
        with torch.autocast(x.device.type, enabled=False):
            plans: list[Plan] = []
            own = False
            for link in self.links:
                plans.append(link.plan(x, skeleton, generator))
                if plans[-1].resizes:
                    x, plans, own = self.do(x, plans, own), [], True
            return self.do(x, plans, own)


def _merged(plans: Sequence[Plan]) -> list[Plan]:
    """Merge consecutive transforms into one."""
    merged: list[Plan] = []
    for plan in plans:
        last = merged[-1] if merged else None
        if isinstance(last, Transform) and isinstance(plan, Transform):
            merged[-1] = last.then(plan)
        else:
            merged.append(plan)
    return merged
