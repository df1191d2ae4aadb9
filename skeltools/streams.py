"""Bone and motion streams derived from joints, with axes ``[..., C, T, V, M]``, C = 3, as in a store."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from schemas import SkeletonSpec

Stream = NDArray[np.float32]


def bone(joint: Stream, spec: SkeletonSpec) -> Stream:
    """[..., 3, T, V, M] -> the same shape: ``x[v] - x[parent(v)]`` over the convention's own tree.

    The centre's bone is zero, and so are all bones of an absent body.
    """
    _check(joint)
    if joint.shape[-2] != spec.num_joints:
        raise ValueError(f"{joint.shape[-2]} joints, but {spec.name} has {spec.num_joints}")
    return joint - np.take(joint, spec.parents, axis=-2)


def motion(joint: Stream) -> Stream:
    """[..., 3, T, V, M] -> the same shape: ``x[t + 1] - x[t]``; the last frame is zero."""
    _check(joint)
    moved = np.zeros_like(joint)
    moved[..., :-1, :, :] = np.diff(joint, axis=-3)
    return moved


DERIVED: dict[str, Callable[[Stream, SkeletonSpec], Stream]] = {
    "bone": bone,
    "motion": lambda joint, spec: motion(joint),
}
"""Kinds of stream other than joint: (joint [..., 3, T, V, M], spec) -> the same shape."""


def _check(joint: Stream) -> None:
    if joint.ndim < 4 or joint.shape[-4] != 3:
        raise ValueError(f"expected [..., 3, T, V, M], got {joint.shape}")
