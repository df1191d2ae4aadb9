"""What methods are assembled from: the settings around them, and the views of a clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from schemas import AugmentConfig, Component, UsageError
from trainer.augment import Chain, compile_chain
from trainer.batch import Batch
from trainer.skeleton import Skeleton
from trainer.streams import derive


@dataclass(frozen=True)
class Parts:
    """Everything around a method's own options."""

    encoder: Component
    skeletons: Mapping[str, Skeleton]
    augment: AugmentConfig
    stream: str
    """joint, bone or motion."""
    generator: torch.Generator
    """On the CPU: initial weights and queue."""


@dataclass(frozen=True)
class Views:
    """Augmented copies of a batch's clips, in the run's stream."""

    skeletons: Mapping[str, Skeleton]
    normal_chain: Chain
    extreme_chain: Chain
    stream: str

    def normal(self, batch: Batch, convention: str) -> Tensor:
        """[N,3,T,V,M] after the normal chain."""
        return self._made_by(self.normal_chain, batch, convention)

    def extreme(self, batch: Batch, convention: str) -> Tensor:
        """[N,3,T,V,M] after the extreme chain."""
        return self._made_by(self.extreme_chain, batch, convention)

    def _made_by(self, chain: Chain, batch: Batch, convention: str) -> Tensor:
        skeleton = self.skeletons[convention]
        # Without padding, so that random draws do not depend on the other conventions of the store.
        joints = batch.clips[convention][..., : skeleton.num_joints, :]
        return derive(chain(joints, skeleton, batch.generator), self.stream, skeleton.spec)


def make_views(parts: Parts) -> Views:
    return Views(
        skeletons=parts.skeletons,
        normal_chain=compile_chain(parts.augment.normal, where="augment.normal"),
        extreme_chain=compile_chain(parts.augment.extreme, where="augment.extreme"),
        stream=parts.stream,
    )


def only_convention(batch: Batch, *, method: str) -> str:
    """The convention of a batch that has one. Raises UsageError when there are several."""
    if len(batch.clips) != 1:
        raise UsageError(
            f"{method} trains on one skeleton convention, the run has {', '.join(batch.clips)}",
            where="data.conventions",
            remedy="Choose one of them, or train with --method ms-clr",
        )
    return next(iter(batch.clips))
