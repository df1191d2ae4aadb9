"""A classifier of a live stream: frames come one by one, and every so many there is an answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from schemas import SkelError, SkeletonSpec, UsageError
from trainer.evaluate import ensemble
from trainer.use.predictions import By, Predictions, together

if TYPE_CHECKING:
    from trainer.use.model import Model

Pose = NDArray[np.float32]
"""[M, V, 3] of one frame: metres, x to the sensor's left, y up, z away from it; NaN: not seen."""


@dataclass(frozen=True)
class Frame:
    """What a sensor says at one moment."""

    pose: Pose | None
    """None: nobody is seen."""
    t: float | None = None
    """When, in any unit; it is only handed on."""


@dataclass(frozen=True)
class FollowedWindow:
    """What is said of a window: frames ``start`` to ``stop`` of the stream, from 0, ``stop`` excluded."""

    start: int
    stop: int
    said: Predictions | None
    """Of one clip; None where nobody is seen, or too little of anybody."""
    times: tuple[float | None, float | None] = (None, None)
    """Of the first and the last frame, where the stream has times."""

    @property
    def name(self) -> str | None:
        """The class, or ``unknown``; None where nobody is seen."""
        return None if self.said is None else self.said.names[0]


def follow(
    models: Mapping[str, Model],
    frames: Iterable[Frame],
    convention: str,
    *,
    window: int,
    stride: int,
    weights: Mapping[str, float] | None = None,
    unknown: By | None = None,
    keep: float = 0.95,
) -> Iterator[FollowedWindow]:
    """An answer when a window is complete, and again every ``stride`` frames: that of ``Model.predict`` for
    the same frames as a clip. Several encoders answer together, by ``weights`` as in ``answers``.

    Holds one window. Raises UsageError for a stream that is shorter, and as ``Model.predict``.
    """
    weights = weights or ensemble.WEIGHTS["paper"]
    shares = [float(weights.get(name, 1.0)) for name in models]
    held: deque[Frame] = deque(maxlen=window)
    count = 0
    for count, frame in enumerate(frames, start=1):
        held.append(frame)
        if count >= window and (count - window) % stride == 0:
            said = _said(models, _stacked(held, models, convention), convention, shares, unknown, keep)
            yield FollowedWindow(count - window, count, said, (held[0].t, held[-1].t))
    if count < window:
        raise UsageError(
            f"the stream ended after {count} frames, and a window has {window}: there was nothing to answer",
            where="the stream",
            remedy=f"Choose --window {count}, or send more frames" if count > 1 else "Send more frames",
        )


def _said(
    models: Mapping[str, Model],
    joints: Pose,
    convention: str,
    weights: Sequence[float],
    unknown: By | None,
    keep: float,
) -> Predictions | None:
    try:
        said = [each.predict(joints, convention, unknown=unknown, keep=keep) for each in models.values()]
    except UsageError:
        raise
    except SkelError:  # the recipe leaves nothing
        return None
    return said[0] if len(said) == 1 else together(said, weights)


def _stacked(held: Iterable[Frame], models: Mapping[str, Model], convention: str) -> Pose:
    """[T, M, V, 3]: bodies keep their place; what is not there is NaN."""
    poses = [frame.pose for frame in held]
    bodies = max((len(pose) for pose in poses if pose is not None), default=1)
    joints = next(iter(models.values())).card.conventions[convention].num_joints
    stacked = np.full((len(poses), max(bodies, 1), joints, 3), np.nan, np.float32)
    for frame, pose in enumerate(poses):
        if pose is not None:
            stacked[frame, : len(pose)] = pose
    return stacked


def frames_of(given: Iterable[Any], spec: SkeletonSpec) -> Iterator[Frame]:
    """Arrays, tensors or nested lists [M, V, 3], or [V, 3] of one person, and None for nobody.

    Raises UsageError, with the number of the frame, for anything else.
    """
    for number, each in enumerate(given):
        yield each if isinstance(each, Frame) else Frame(None if each is None else _pose(each, spec, number))


def _pose(given: Any, spec: SkeletonSpec, number: int) -> Pose:
    pose: Pose
    try:
        pose = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given, dtype=np.float32)
    except (TypeError, ValueError):
        pose = np.zeros((), np.float32)
    pose = pose[None] if pose.ndim == 2 else pose
    if pose.ndim != 3 or pose.shape[1:] != (spec.num_joints, 3):
        raise UsageError(
            f"found {type(given).__name__} of shape {np.shape(pose)}, expected [M, {spec.num_joints}, 3] or "
            f"[{spec.num_joints}, 3]: the joints of {spec.name}",
            where=f"frame {number}",
            remedy="Give None for a frame without anybody, NaN for a joint that is not seen",
        )
    return pose
