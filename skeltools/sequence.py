"""SkeletonSequence: one recorded action in memory, whatever file it came from."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import Finding, UsageError, unknown

Joints = NDArray[np.float32]
Mask = NDArray[np.bool_]

LEAST_SEEN = 0.25
"""Share of a body's joints that must be seen for the body to be present.

The upper body of a person behind a table is a third of most conventions; fewer joints than a quarter are
hardly a pose.
"""

UNKNOWN = -1
"""Label or protocol field that the source does not state."""


@dataclass(frozen=True)
class SkeletonSequence:
    """One clip in canonical axes: right-handed, x to the sensor's left, y up, z away from it, metres.

    Shapes: T frames, M bodies, V joints of ``convention``. A body keeps its index on axis M for the whole
    clip. Where ``present`` is False, joints are zero and ``order`` is -1. Where ``unseen`` is True, the joint
    of a present body was not seen and is zero. 2D poses have z = 0.
    """

    id: str
    convention: str
    joints: Joints
    """[T, M, V, 3] float32."""
    present: Mask
    """[T, M] bool: whether the body was seen in the frame."""
    order: NDArray[np.int8]
    """[T, M]: 0-based position of the body among those of its frame in the file; -1 where absent."""
    body_ids: tuple[int, ...]
    """Length M: the source's own id of each body."""
    label: int = UNKNOWN
    """0-based class."""
    subject: int = UNKNOWN
    camera: int = UNKNOWN
    setup: int = UNKNOWN
    repetition: int = UNKNOWN
    findings: tuple[Finding, ...] = field(default=())
    """Problems that the reader found and repaired in this clip."""
    unseen: Mask | None = None
    """[T, M, V] bool: joints that were not seen although their body was; None: all were seen."""
    score: Joints | None = None
    """[T, M, V] float32: the estimator's confidence in each joint, as in the source; None: not recorded."""

    def __post_init__(self) -> None:
        frames, bodies = self.present.shape
        for per_joint in (self.unseen, self.score):
            if per_joint is not None and per_joint.shape != self.joints.shape[:3]:
                raise ValueError(
                    f"joints {self.joints.shape} and a value a joint {per_joint.shape} do not fit"
                )
        if self.joints.ndim != 4 or self.joints.shape[:2] != (frames, bodies) or self.joints.shape[3] != 3:
            raise ValueError(f"joints {self.joints.shape} and present {self.present.shape} do not fit")
        if self.order.shape != (frames, bodies) or len(self.body_ids) != bodies:
            raise ValueError(f"order {self.order.shape} or {len(self.body_ids)} body ids do not fit")

    @classmethod
    def from_joints(cls, id: str, joints: Any, convention: str, **fields: int) -> SkeletonSequence:
        """Build a clip from an array [T, M, V, 3], or [T, V, 3] of one person, in canonical axes and metres.

        ``joints``: a NumPy array, a tensor or nested lists of numbers. A joint is unseen where one of its
        coordinates is not finite; a body is absent from a frame where fewer than ``LEAST_SEEN`` of its joints
        are seen, or all of them are zero. ``fields``: label, subject, camera, setup, repetition, as whole
        numbers. Raises UsageError for joints of another shape, and for other fields.
        """
        values = pose_array(joints, where=id)
        with np.errstate(over="ignore"):  # too large for float32 counts as not finite
            values = values.astype(np.float32)
        seen: Mask = np.asarray(np.isfinite(values).all(axis=3))
        values = np.where(seen[..., None], values, np.float32(0))
        somebody: Mask = np.asarray(values.any(axis=(2, 3)))
        present, unseen = presence(seen & somebody[..., None])
        places = np.arange(values.shape[1], dtype=np.int8)
        numbers: dict[str, Any] = {name: _number(name, value, where=id) for name, value in fields.items()}
        return cls(
            id,
            convention,
            np.where(present[:, :, None, None], values, np.float32(0)),
            present,
            np.where(present, places, np.int8(-1)),
            tuple(places.tolist()),
            unseen=unseen,
            **numbers,
        )

    @property
    def frames(self) -> int:
        return int(self.present.shape[0])

    @property
    def bodies(self) -> int:
        return int(self.present.shape[1])


def presence(seen: Mask) -> tuple[Mask, Mask | None]:
    """Seen joints [T, M, V] -> present bodies [T, M], and the unseen joints of these [T, M, V].

    The second is None where every joint of every present body is seen.
    """
    present: Mask = np.asarray(seen.mean(axis=2) >= LEAST_SEEN) & seen.any(axis=2)
    unseen: Mask = present[..., None] & ~seen
    return present, unseen if unseen.any() else None


def per_body(clip: SkeletonSequence, bodies: Any) -> SkeletonSequence:
    """Select the bodies at these indices of axis M, in this order; ``bodies``: whole numbers."""
    places = list(bodies)
    return replace(
        clip,
        joints=clip.joints[:, places],
        present=clip.present[:, places],
        order=clip.order[:, places],
        body_ids=tuple(clip.body_ids[place] for place in places),
        unseen=None if clip.unseen is None else clip.unseen[:, places],
        score=None if clip.score is None else clip.score[:, places],
    )


def per_frame(clip: SkeletonSequence, span: slice) -> SkeletonSequence:
    """Select a range of frames."""
    return replace(
        clip,
        joints=clip.joints[span],
        present=clip.present[span],
        order=clip.order[span],
        unseen=None if clip.unseen is None else clip.unseen[span],
        score=None if clip.score is None else clip.score[span],
    )


_FIELDS = ("label", "subject", "camera", "setup", "repetition")
"""Whole numbers that a source may state about a clip."""

_MOST_BODIES = 127
"""Most bodies on axis M that ``order`` can number."""


def pose_array(joints: Any, *, where: object) -> NDArray[Any]:
    """Convert an array, a tensor or nested lists [T, M, V, 3] or [T, V, 3] to an array [T, M, V, 3].

    Masked values become NaN. Raises UsageError for anything but numbers; ``where``: the id of the clip.
    """
    expected = "expected an array of numbers [T, M, V, 3], or [T, V, 3] of one person"
    if hasattr(joints, "detach"):  # a tensor; PyTorch need not be imported
        joints = joints.detach().cpu()
    if isinstance(joints, np.ma.MaskedArray) and joints.dtype.kind in "fiu":
        joints = np.ma.filled(joints.astype(np.float64), np.nan)
    try:
        values = np.asarray(joints)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{expected}, found {type(joints).__name__} ({error})", where=where) from error
    if values.dtype.kind not in "fiu":
        raise UsageError(f"{expected}, found {_what(joints, values)}", where=where)
    values = values[:, None] if values.ndim == 3 else values
    if values.ndim != 4 or values.shape[3] != 3 or 0 in values.shape:
        raise UsageError(
            f"joints of shape {np.shape(joints)}, expected [T, M, V, 3] or [T, V, 3]",
            where=where,
            remedy="2D poses go through files and a dataset.yaml with coordinates: xy"
            if values.ndim == 4 and values.shape[3] == 2
            else "Axes are frames, bodies, joints and coordinates, in this order; none is empty",
        )
    if values.shape[1] > _MOST_BODIES:
        raise UsageError(f"{values.shape[1]} bodies: is M the second axis of [T, M, V, 3]?", where=where)
    return values


def _what(given: Any, values: NDArray[Any]) -> str:
    array = values.ndim > 0 and values.dtype.kind != "O"
    return f"an array of {values.dtype}" if array else type(given).__name__


def _number(name: str, value: Any, *, where: object) -> int:
    if name not in _FIELDS:
        raise unknown("field of a clip", name, _FIELDS, where=where)
    try:
        return operator.index(value)
    except TypeError:
        raise UsageError(f"{name} is {value!r}, expected a whole number", where=where) from None
