"""SkeletonSequence: one recorded action in memory, whatever file it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from schemas import Finding

Joints = NDArray[np.float32]
Mask = NDArray[np.bool_]

UNKNOWN = -1
"""Label or protocol field that the source does not tell."""


@dataclass(frozen=True)
class SkeletonSequence:
    """One clip in canonical axes: right-handed, x to the sensor's left, y up, z away from it, metres.

    Shapes: T frames, M bodies, V joints of ``convention``. A body keeps its place on axis M for the whole
    clip. Where ``present`` is False, joints are zero and ``order`` is -1.
    """

    id: str
    convention: str
    joints: Joints
    """[T, M, V, 3] float32."""
    present: Mask
    """[T, M] bool: this body was seen in this frame."""
    order: NDArray[np.int8]
    """[T, M]: place of the body among those of its frame in the file, 0-based; -1 where absent."""
    body_ids: tuple[int, ...]
    """Length M: the source's own id of each body."""
    label: int = UNKNOWN
    """0-based class."""
    subject: int = UNKNOWN
    camera: int = UNKNOWN
    setup: int = UNKNOWN
    repetition: int = UNKNOWN
    findings: tuple[Finding, ...] = field(default=())
    """What the reader met and mended in this clip."""

    def __post_init__(self) -> None:
        frames, bodies = self.present.shape
        if self.joints.ndim != 4 or self.joints.shape[:2] != (frames, bodies) or self.joints.shape[3] != 3:
            raise ValueError(f"joints {self.joints.shape} and present {self.present.shape} do not fit")
        if self.order.shape != (frames, bodies) or len(self.body_ids) != bodies:
            raise ValueError(f"order {self.order.shape} or {len(self.body_ids)} body ids do not fit")

    @classmethod
    def from_joints(cls, id: str, joints: ArrayLike, convention: str, **fields: Any) -> SkeletonSequence:
        """A clip from an array [T, M, V, 3], or [T, V, 3] of one person, in canonical axes and metres.

        A body is absent in a frame where one of its joints is NaN, or all of them are zero. ``fields``:
        label, subject, camera, setup, repetition. Raises ValueError for an array of another rank.
        """
        values = np.asarray(joints, dtype=np.float32)
        values = values[:, None] if values.ndim == 3 else values
        if values.ndim != 4 or values.shape[3] != 3 or 0 in values.shape:
            raise ValueError(f"{id}: joints of shape {np.shape(joints)}, expected [T, M, V, 3] or [T, V, 3]")
        present: Mask = np.asarray(np.isfinite(values).all(axis=(2, 3)) & values.any(axis=(2, 3)))
        places = np.arange(values.shape[1], dtype=np.int8)
        return cls(
            id,
            convention,
            np.where(present[:, :, None, None], values, np.float32(0)),
            present,
            np.where(present, places, np.int8(-1)),
            tuple(places.tolist()),
            **fields,
        )

    @property
    def frames(self) -> int:
        return int(self.present.shape[0])

    @property
    def bodies(self) -> int:
        return int(self.present.shape[1])
