"""Building blocks of methods: the settings around them, and the views of a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from schemas import AugmentConfig, Component
from trainer.augment import Chain, check_fits, compile_chain
from trainer.augment.chain import Doing
from trainer.batch import Batch
from trainer.skeleton import Skeleton
from trainer.span import AUGMENTATION, span
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
    """On the CPU; draws initial weights and queue."""


@dataclass(frozen=True)
class Views:
    """Augmented copies of a batch's clips, in the run's stream."""

    skeletons: Mapping[str, Skeleton]
    normal_chain: Chain
    extreme_chain: Chain
    stream: str

    def done_by(self, do: Doing) -> Views:
        """The same views with ``do``, a compiled form, in place of ``augment.chain.do``."""
        normal, extreme = (replace(chain, do=do) for chain in (self.normal_chain, self.extreme_chain))
        return replace(self, normal_chain=normal, extreme_chain=extreme)

    def normal(self, batch: Batch, convention: str) -> Tensor:
        """[N,3,T,V,M] after the normal chain."""
        return self._streams_of(self.normal_chain, batch, convention, (self.stream,))[self.stream]

    def extreme(self, batch: Batch, convention: str) -> Tensor:
        """[N,3,T,V,M] after the extreme chain."""
        return self._streams_of(self.extreme_chain, batch, convention, (self.stream,))[self.stream]

    def normal_streams(self, batch: Batch, convention: str, streams: Sequence[str]) -> dict[str, Tensor]:
        """stream -> [N,3,T,V,M], all from one draw of the normal chain: the same view in every stream."""
        return self._streams_of(self.normal_chain, batch, convention, streams)

    def extreme_streams(self, batch: Batch, convention: str, streams: Sequence[str]) -> dict[str, Tensor]:
        """stream -> [N,3,T,V,M], all from one draw of the extreme chain."""
        return self._streams_of(self.extreme_chain, batch, convention, streams)

    def _streams_of(
        self, chain: Chain, batch: Batch, convention: str, streams: Sequence[str]
    ) -> dict[str, Tensor]:
        skeleton = self.skeletons[convention]
        # A batch made by hand may have padded joints; draws and statistics must not depend on them.
        joints = batch.clips[convention][..., : skeleton.num_joints, :]
        with span(AUGMENTATION):
            view = chain(joints, skeleton, batch.generator)
            return {stream: derive(view, stream, skeleton.spec) for stream in streams}


def make_views(parts: Parts) -> Views:
    """Build the views. Raises UsageError for an augmentation that needs something a convention lacks."""
    check_fits(parts.augment.normal, parts.skeletons.values(), where="augment.normal")
    check_fits(parts.augment.extreme, parts.skeletons.values(), where="augment.extreme")
    return Views(
        skeletons=parts.skeletons,
        normal_chain=compile_chain(parts.augment.normal, where="augment.normal"),
        extreme_chain=compile_chain(parts.augment.extreme, where="augment.extreme"),
        stream=parts.stream,
    )
