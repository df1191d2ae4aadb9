"""A convention as the trainer uses it: its spec and its graphs as tensors."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from schemas import SkeletonSpec


@dataclass(frozen=True)
class Skeleton:
    """V joints of one convention, without padding."""

    spec: SkeletonSpec
    adjacency: Tensor
    """[3, V, V] float32: root, centripetal, centrifugal, from full hop distances."""
    adjacency_degenerate: Tensor
    """[3, V, V] float32: the released code bases' partition (hop distances cut at one)."""

    @property
    def num_joints(self) -> int:
        return self.spec.num_joints
