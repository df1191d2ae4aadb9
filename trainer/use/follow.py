"""Classify a live stream: frames arrive one by one, with an answer every few frames."""

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
    """One frame of a sensor."""

    pose: Pose | None
    """None if nobody is seen."""
    t: float | None = None
    """Time of the frame in any unit; it is only passed on."""


@dataclass(frozen=True)
class FollowedWindow:
    """The prediction for a window: frames ``start`` to ``stop`` of the stream, from 0, ``stop`` excluded."""

    start: int
    stop: int
    said: Predictions | None
    """Prediction for a single clip; None if nobody, or too little of anybody, is seen."""
    times: tuple[float | None, float | None] = (None, None)
    """Times of the first and the last frame, if the stream has times."""

    @property
    def name(self) -> str | None:
        """The class, or ``unknown``; None if nobody is seen."""
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
    """Yield an answer when the first window is complete, and again every ``stride`` frames.

    Each is the answer of ``Model.predict`` for the same frames as a clip. Several encoders are combined by
    ``weights`` as in ``answers``. Only one window is held in memory. Raises UsageError for a stream shorter
    than a window, and as ``Model.predict``.
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
    return together(said, weights)


def _stacked(held: Iterable[Frame], models: Mapping[str, Model], convention: str) -> Pose:
    """[T, M, V, 3]: bodies keep their index; missing values are NaN."""
    poses = [frame.pose for frame in held]
    bodies = max((len(pose) for pose in poses if pose is not None), default=1)
    joints = next(iter(models.values())).card.conventions[convention].num_joints
    stacked = np.full((len(poses), max(bodies, 1), joints, 3), np.nan, np.float32)
    for frame, pose in enumerate(poses):
        if pose is not None:
            stacked[frame, : len(pose)] = pose
    return stacked


def frames_of(given: Iterable[Any], spec: SkeletonSpec) -> Iterator[Frame]:
    """Frames from arrays, tensors or nested lists [M, V, 3], or [V, 3] of one person, and None for nobody.

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
