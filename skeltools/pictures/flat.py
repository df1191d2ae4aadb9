"""Parallel projection of a track: right, up, and towards the viewer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas import UsageError
from skeltools.pictures.scene import Track, seen

Numbers = NDArray[np.float64]
View = Literal["front", "side", "top", "three-quarter"]
VIEWS: tuple[View, ...] = ("front", "side", "top", "three-quarter")

_TURN, _RAISE = 0.5, 0.22
"""Angles of the three-quarter view, to the side and from above, in radians; as in ``page/camera.js``."""

_STRAY = 8.0
"""A joint this many times as far from the median position as the median joint is left out of the bounds; for
a person walking through a room of 6 m the ratio is 4."""

_NOBODY = (-0.5, 0.0, 0.5, 1.8)
"""The box (left, bottom, right, top) of an empty clip, with room for one person."""

_FACTORS = (1, 2, 5, 10, 20, 50)
_LONGEST = 0.12
"""Motions are enlarged by the largest factor that keeps 95 % of them below this share of the height."""


class Box(NamedTuple):
    """A rectangle in the plane of the picture; vertical coordinates increase upwards."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.top - self.bottom


@dataclass(frozen=True, eq=False)
class Flat:
    """A track seen from one direction: T frames, M bodies, V joints."""

    track: Track
    view: View
    points: Numbers
    """[T, M, V, 3]: right, up, towards the viewer; metres, or the unit of a 2D track."""
    seen: NDArray[np.bool_]
    """[T, M, V]."""
    absent: NDArray[np.bool_]
    """[T, M, V]: unseen joints of a present body, whose positions are guessed."""
    vectors: Numbers | None
    """[T, M, V, 3]: bones or motions, rotated like the points."""
    box: Box
    """The bounds of everything drawn, without outliers."""
    floor: Numbers | None
    """[4, 2]: corners of the floor under the people; None if there is no floor."""
    factor: float = 1.0
    """Factor by which motions are enlarged."""


def directions(view: View) -> Numbers:
    """[3, 3]: the directions right, up and towards the viewer, in canonical axes.

    ``front`` is the sensor's view. ``side`` is seen from the sensor's right: a person facing the sensor looks
    left. ``top`` is seen from above, with the sensor at the lower edge. ``three-quarter`` is between them.
    """
    x, y, z = np.eye(3)
    if view == "top":
        return np.stack([-x, z, y])
    angle = {"front": 0.0, "side": np.pi / 2, "three-quarter": _TURN}[view]
    right = -np.cos(angle) * x + np.sin(angle) * z
    towards = np.cross(right, y)
    lift = _RAISE if view == "three-quarter" else 0.0
    up = np.cos(lift) * y - np.sin(lift) * towards
    return np.stack([right, up, np.cross(right, up)])


def flatten(tracks: Sequence[Track], view: View = "front", *, floor: bool = True) -> list[Flat]:
    """Project tracks; their motions are enlarged by a common factor. ``floor``: make room for the floor.

    Raises UsageError for any view of 2D poses but the front.
    """
    flats = [_flatten(track, view, room=floor) for track in tracks]
    factor = min((flat.factor for flat in flats), default=1.0)
    return [replace(flat, factor=factor) for flat in flats]


def _flatten(track: Track, view: View, *, room: bool) -> Flat:
    if track.coordinates == "xy" and view != "front":
        raise UsageError(f"{track.name} has 2D poses, which have no {view}", remedy="Take the view front")
    turn = directions(view)
    drawn = seen(track)
    joints = np.where(drawn[..., None], track.joints, 0).astype(np.float64)
    joints, absent = _guessed(joints, drawn, track.present)
    points = joints @ turn.T
    floor = None if track.coordinates == "xy" or view == "top" else _floor(joints[drawn], turn)
    wider = floor if room and floor is not None and view == "three-quarter" else ()
    box = _box(points[drawn], wider)
    vectors = None
    if track.vectors is not None:
        finite = drawn & np.isfinite(track.vectors).all(axis=-1)
        vectors = np.where(finite[..., None], track.vectors, 0).astype(np.float64) @ turn.T
    factor = _factor(vectors, box) if track.kind == "motion" and vectors is not None else 1.0
    return Flat(track, view, points, drawn, absent, vectors, box, floor, factor)


def _guessed(
    joints: Numbers, drawn: NDArray[np.bool_], present: NDArray[np.bool_]
) -> tuple[Numbers, NDArray[np.bool_]]:
    """Give unseen joints the position in the body that they have in the nearest frame where they are seen."""
    count = drawn.sum(axis=2)[..., None]
    middle = joints.sum(axis=2) / np.maximum(count, 1)  # [T, M, 3]: joints that are not drawn are zero
    nearest = _nearest(drawn)
    absent = present[:, :, None] & ~drawn & (nearest >= 0) & (count > 0)
    frames, bodies, number = np.nonzero(absent)
    source = nearest[absent]
    guessed = joints.copy()
    guessed[absent] = joints[source, bodies, number] - middle[source, bodies] + middle[frames, bodies]
    return guessed, absent


def _nearest(drawn: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[T, M, V]: the nearest frame in which the joint was seen; -1 if there is none."""
    frames = len(drawn)
    time = np.arange(frames)[:, None, None]
    before = np.maximum.accumulate(np.where(drawn, time, -1), axis=0)
    after = np.minimum.accumulate(np.where(drawn, time, 2 * frames)[::-1], axis=0)[::-1]
    later = (before < 0) | (after - time < time - before)
    nearest = np.where(later, after, before)
    return np.where(nearest < frames, nearest, -1)


def _box(points: Numbers, more: Iterable[Numbers] = ()) -> Box:
    """The bounds of points [n, 2 or more], without outliers, and of ``more``."""
    close = points[_near(points[:, :2])][:, :2]
    if not len(close):
        return Box(*_NOBODY)
    close = np.array([*close, *more])
    (left, bottom), (right, top) = close.min(axis=0), close.max(axis=0)
    least = 0.05 * max(right - left, top - bottom) or 1.0
    wide, tall = max(0.0, least - (right - left)) / 2, max(0.0, least - (top - bottom)) / 2
    return Box(left - wide, bottom - tall, right + wide, top + tall)


def _near(points: Numbers) -> NDArray[np.bool_]:
    if not len(points):
        return np.zeros(0, dtype=bool)
    distance = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    return distance <= _STRAY * np.median(distance) + 1e-9


def _floor(joints: Numbers, turn: Numbers) -> Numbers | None:
    """Corners [4, 2] of the floor under joints [n, 3], with a small margin."""
    close = joints[_near(joints)]
    if not len(close):
        return None
    low, high = close.min(axis=0), close.max(axis=0)
    margin = 0.04 * float((high - low).max())
    (left, _, near), (right, _, far) = low - margin, high + margin
    corners = [(left, near), (right, near), (right, far), (left, far)]
    return np.array([(x, low[1], z) for x, z in corners]) @ turn.T[:, :2]


def _factor(vectors: Numbers, box: Box) -> float:
    lengths = np.linalg.norm(vectors, axis=-1)
    longest = float(np.percentile(lengths[lengths > 0], 95)) if (lengths > 0).any() else 0.0
    return float(max((each for each in _FACTORS if each * longest <= _LONGEST * box.height), default=1))


def pose_box(flat: Flat, frame: int) -> Box:
    """The bounds of one frame, or those of the clip if nobody is present."""
    points = flat.points[frame][flat.seen[frame]]
    inside = points[_inside(points, flat.box)]
    return _box(inside) if len(inside) else flat.box


def _inside(points: Numbers, box: Box) -> NDArray[np.bool_]:
    low, high = np.array(box[:2]) - 1e-9, np.array(box[2:]) + 1e-9
    return np.asarray(((points[:, :2] >= low) & (points[:, :2] <= high)).all(axis=1))
