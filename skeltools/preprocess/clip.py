"""What every step receives and returns: the clip, the recipe's goal, and the outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import SkeletonSpec
from skeltools.sequence import Mask, SkeletonSequence

Array = NDArray[Any]
"""Joints, in float64 while steps run; ``prepare`` rounds once, at the end."""


@dataclass(frozen=True)
class Goal:
    """The shape that a recipe works towards."""

    spec: SkeletonSpec
    frames: int
    bodies: int


@dataclass(frozen=True)
class Prepared:
    """One row of a joint stream."""

    joint: NDArray[np.float32]
    """[3, T, V, M] float32, with the frames T and bodies M of the goal; absent bodies are zero."""
    counts: dict[str, int] = field(default_factory=dict)
    """What the steps encountered, without zeros, e.g. ``{"bodies dropped": 1}``."""


@dataclass(frozen=True)
class Dropped:
    """Nothing is left of the clip, for this reason."""

    reason: str


Counts = dict[str, int]
Step = Callable[..., "tuple[SkeletonSequence, Counts] | Dropped"]

NOBODY = Dropped("no body in any frame")


def with_joints(clip: SkeletonSequence, joints: Array, present: Mask) -> SkeletonSequence:
    """Replace the joints of a clip; from here on the order of bodies in the file is their index on axis M."""
    places = np.arange(present.shape[1], dtype=np.int8)
    order = np.where(present, places, np.int8(-1))
    ids = clip.body_ids if len(clip.body_ids) == len(places) else tuple(range(len(places)))
    return replace(clip, joints=joints, present=present, order=order, body_ids=ids)


def motion_energy(joints: Array, present: Mask) -> NDArray[np.float64]:
    """[T, M, V, 3], [T, M] -> [M]: ``sum_t mean_v |x[t, v] - mean_t x[v]|^2`` over the frames present.

    The unit is square metres times frames.
    """
    weight = present[:, :, None, None].astype(np.float64)
    mean = (joints * weight).sum(axis=0) / np.maximum(weight.sum(axis=0), 1)
    away = np.square((joints - mean) * weight).sum(axis=-1)
    return np.asarray(away.mean(axis=-1).sum(axis=0), dtype=np.float64)


def first_frame(clip: SkeletonSequence) -> int:
    """Index of the first frame in which the first body is present."""
    return int(clip.present[:, 0].argmax())
