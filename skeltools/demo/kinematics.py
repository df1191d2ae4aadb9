"""Pose a body from controls: forward kinematics of the trunk, inverse kinematics of arms and legs.

Bones keep their length by construction; elbows and knees bend in one direction only and within their range. A
stage is the acting person's frame of reference: origin on the floor between the feet, x to the left, y up, z
to the front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from skeltools.demo.body import (
    BALL,
    FOREARM,
    SHANK,
    SIDES,
    THIGH,
    UPPER_ARM,
    Array,
    Body,
    mirrored,
    points,
    segment_index,
    segments,
    sided,
)
from skeltools.demo.motion import Vector, ease, soft_positive

SOLE = 0.011
"""Height of the ball of the foot above the floor, statures: ankle height minus the drop to the ball."""
ELBOW_LIMIT, KNEE_LIMIT = np.radians(148.0), np.radians(140.0)
"""Maximum flexion: tables of Winter and the AAOS list about 145-150 and 135-140 degrees."""
DOWN_AND_OUT: Vector = (0.55, -0.55, -0.60)
"""Default direction of the left elbow, in the chest's axes."""


@dataclass(frozen=True)
class Key:
    """The position of the left wrist at a time; the right is its mirror image.

    ``frame`` is ``hang`` (origin in the shoulder, upright, turned with the chest), ``chest``, ``head``,
    ``pelvis`` or ``stage``; ``offset`` is in statures, one position [3] or one per frame [T, 3]. ``pole`` is
    the direction of the elbow, in the chest's axes. Angles are in radians: ``twist`` turns the palm forward
    (pronation if negative), ``flex`` bends the wrist towards the palm, ``curl`` closes the fingers. ``bow``
    is how far the path to the key bulges forward, to pass around the shoulder.
    """

    time: float
    frame: str
    offset: ArrayLike
    pole: Vector = DOWN_AND_OUT
    twist: float = 0.0
    flex: float = 0.0
    curl: float = 0.5
    bow: float = 0.0


@dataclass(frozen=True)
class Foot:
    """Controls of one foot."""

    shift: Array
    """[T, 3]: displacement of the ball of the foot from standing, statures."""
    pitch: Array
    """[T]: heel raised, radians."""
    yaw: float
    """Toes turned out, radians."""


@dataclass(frozen=True)
class Controls:
    """Controls of one person over T frames. Angles (pitch forward, yaw left, roll right) in radians."""

    time: Array
    """[T] 0..1, the time axis of the keys."""
    root: Array
    """[T, 3]: displacement of the pelvis from standing with straight knees, statures."""
    pelvis: Array
    """[T, 3]"""
    trunk: Array
    """[T, 3]: shared by the lumbar and the thoracic joint."""
    head: Array
    """[T, 3]: shared by the neck and the head joint."""
    hands: Mapping[int, Sequence[Key]]
    feet: Mapping[int, Foot]
    stance: float
    """Half the distance between the feet, statures."""


@dataclass(frozen=True)
class Pose:
    """A body over T frames: ``rotation`` [T, S, 3, 3] and ``origin`` [T, S, 3] (metres) of every segment."""

    body: Body
    rotation: Array
    origin: Array

    def joints(self, convention: str) -> Array:
        """The joints of a convention as [T, V, 3], metres."""
        place = points(convention)
        offset = place.offset * self.body.scale[place.segment, None]
        turned = np.einsum("tvij,vj->tvi", self.rotation[:, place.segment], offset)
        return np.asarray(turned + self.origin[:, place.segment])

    def cut(self, start: int, stop: int) -> Pose:
        """Frames ``start`` to ``stop - 1``."""
        return Pose(self.body, self.rotation[start:stop], self.origin[start:stop])

    def moved(self, yaw: float, shift: ArrayLike) -> Pose:
        """The pose rotated by ``yaw`` (radians, to the left) about the vertical, then shifted (metres)."""
        turn = euler(np.array([[0.0, yaw, 0.0]]))[0]
        return Pose(self.body, turn @ self.rotation, self.origin @ turn.T + np.asarray(shift))


def euler(angles: Array) -> Array:
    """Rotations [T, 3, 3] of (pitch, yaw, roll) [T, 3]: roll about z, pitch about x, then yaw about y."""
    (sx, sy, sz), (cx, cy, cz) = np.sin(angles).T, np.cos(angles).T
    rows = [
        [cy * cz + sy * sx * sz, -cy * sz + sy * sx * cz, sy * cx],
        [cx * sz, cx * cz, -sx],
        [-sy * cz + cy * sx * sz, sy * sz + cy * sx * cz, cy * cx],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def pose(body: Body, controls: Controls) -> Pose:
    """The posed body in its stage, metres."""
    build = _Build(body, len(controls.time))
    balls = {side: _ball(body, controls, side) for side in SIDES}
    _place_trunk(build, controls, balls)
    for side in SIDES:
        _place_leg(build, controls, side, balls[side])
        _place_arm(build, controls, side)
    return Pose(body, build.rotation, build.origin)


class _Build:
    """The segments placed so far."""

    def __init__(self, body: Body, frames: int) -> None:
        self.body = body
        self.rotation = np.zeros((frames, len(segments()), 3, 3))
        self.origin = np.zeros((frames, len(segments()), 3))

    def put(self, name: str, rotation: Array, origin: Array | None = None) -> None:
        index = segment_index()[name]
        self.rotation[:, index] = rotation
        self.origin[:, index] = self.joint(name) if origin is None else origin

    def joint(self, name: str) -> Array:
        """[T, 3]: the point where a segment attaches to its parent."""
        parent, offset = segments()[name]
        return self.at(parent, offset)

    def at(self, segment: str, offset: ArrayLike) -> Array:
        """[T, 3]: a point of a segment; ``offset`` in statures."""
        index = segment_index()[segment]
        local = np.broadcast_to(np.asarray(offset) * self.body.scale[index], (len(self.origin), 3))
        return np.asarray(self.origin[:, index] + np.einsum("tij,tj->ti", self.rotation[:, index], local))

    def turn(self, segment: str) -> Array:
        return np.asarray(self.rotation[:, segment_index()[segment]])


def _place_trunk(build: _Build, controls: Controls, balls: Mapping[int, Array]) -> None:
    body = build.body
    root = controls.root * body.stature
    root[:, 1] += body.pelvis_height
    build.put("pelvis", euler(controls.pelvis), root)
    root[:, 1] -= _too_high(build, controls, balls)
    build.put("pelvis", euler(controls.pelvis), root)
    for parent, name, angles in (
        ("pelvis", "lumbar", 0.55 * controls.trunk),
        ("lumbar", "thorax", 0.45 * controls.trunk),
        ("thorax", "neck", 0.45 * controls.head),
        ("neck", "head", 0.55 * controls.head),
    ):
        build.put(name, build.turn(parent) @ euler(angles))


def _too_high(build: _Build, controls: Controls, balls: Mapping[int, Array]) -> Array:
    """[T]: how far the pelvis must come down for the standing legs to reach the floor, metres."""
    body, excess = build.body, np.full(len(build.origin), -0.1)
    for side in SIDES:
        hip, ankle = build.joint(sided("thigh", side)), _ankle(body, controls, side, balls[side])
        across = np.sum((hip - ankle)[:, ::2] ** 2, axis=1)
        reach = np.sqrt(np.maximum((0.9985 * body.leg) ** 2 - across, 0.01))
        height = np.maximum(controls.feet[side].shift[:, 1], 0.0)
        standing = np.exp(-((height / 0.02) ** 2))
        excess = np.maximum(excess, (hip[:, 1] - ankle[:, 1] - reach) * standing - 0.1 * (1 - standing))
    return soft_positive(excess, 0.004)


def _ball(body: Body, controls: Controls, side: int) -> Array:
    """[T, 3]: position of the ball of the foot, metres. When standing, the ankles are under the hips."""
    ahead = BALL[2] * body.of("left foot")
    yaw = controls.feet[side].yaw * side
    ankle = np.array([side * controls.stance, 0.0, -0.03]) * body.stature
    stand = ankle + np.array([ahead * np.sin(yaw), SOLE * body.of("left foot"), ahead * np.cos(yaw)])
    return np.asarray(stand + controls.feet[side].shift * body.stature)


def _foot_turn(controls: Controls, side: int) -> Array:
    foot = controls.feet[side]
    yaw = np.full_like(foot.pitch, foot.yaw * side)
    return euler(np.stack([foot.pitch, yaw, np.zeros_like(yaw)], axis=1))


def _ankle(body: Body, controls: Controls, side: int, ball: Array) -> Array:
    ankle_from_ball = -np.array(BALL) * body.of("left foot")
    return np.asarray(ball + _foot_turn(controls, side) @ ankle_from_ball)


def _place_leg(build: _Build, controls: Controls, side: int, ball: Array) -> None:
    body = build.body
    hip, ankle = build.joint(sided("thigh", side)), _ankle(body, controls, side, ball)
    foot = _foot_turn(controls, side)
    ahead = foot @ np.array([0.0, 0.0, 1.0]) + build.turn("pelvis") @ np.array([0.1 * side, 0.0, 1.0])
    lengths = THIGH * body.of("left thigh"), SHANK * body.of("left shank")
    thigh, shank = two_bones(hip, ankle, ahead, lengths=lengths, limit=KNEE_LIMIT, forward=True)
    build.put(sided("thigh", side), thigh)
    build.put(sided("shank", side), shank)
    build.put(sided("foot", side), foot)
    height = controls.feet[side].shift[:, 1]
    flat = np.exp(-((np.maximum(height, 0) / 0.03) ** 2))  # on the floor the toes stay flat
    toes = np.stack([-np.clip(controls.feet[side].pitch, 0, 1) * flat, 0 * flat, 0 * flat], axis=1)
    build.put(sided("toes", side), foot @ euler(toes))


def _place_arm(build: _Build, controls: Controls, side: int) -> None:
    body, keys = build.body, controls.hands[side]
    clavicle = sided("clavicle", side)
    chest = build.turn("thorax")
    build.put(clavicle, chest)
    build.put(sided("upperarm", side), chest)  # for the frame ``hang``; replaced below
    wrist = _blend(controls.time, keys, [_anchor(build, key, side) for key in keys])
    wrist += chest[:, :, 2] * (_bulge(controls.time, keys) * body.stature)[:, None]
    toward = np.einsum("tji,tj->ti", chest, wrist - build.joint(sided("upperarm", side)))
    build.put(clavicle, chest @ euler(_shrug(toward / body.stature, side)))
    shoulder = build.joint(sided("upperarm", side))
    pole = _blend(controls.time, keys, [np.array(mirrored(key.pole, side)) for key in keys])
    lengths = UPPER_ARM * body.of("left upperarm"), FOREARM * body.of("left forearm")
    elbow_to = np.einsum("tij,tj->ti", chest, pole)
    upper, fore = two_bones(shoulder, wrist, elbow_to, lengths=lengths, limit=ELBOW_LIMIT, forward=False)
    build.put(sided("upperarm", side), upper)
    twist, flex, curl = (
        _blend(controls.time, keys, [np.array([getattr(key, name)]) for key in keys])[:, 0]
        for name in ("twist", "flex", "curl")
    )
    zero = np.zeros_like(twist)
    fore = fore @ euler(np.stack([zero, 0.5 * twist * side, zero], axis=1))  # forearm and hand share a twist
    build.put(sided("forearm", side), fore)
    hand = fore @ euler(np.stack([zero, 0.5 * twist * side, -flex * side], axis=1))
    build.put(sided("hand", side), hand)
    build.put(sided("fingers", side), hand @ euler(np.stack([zero, zero, -curl * side], axis=1)))


def _anchor(build: _Build, key: Key, side: int) -> Array:
    """[T, 3]: the position of a key in the stage, metres."""
    stature = build.body.stature
    offset = np.broadcast_to(np.asarray(key.offset, dtype=np.float64), (len(build.origin), 3))
    offset = offset * np.array([side, 1, 1]) * stature
    if key.frame == "stage":
        return offset
    if key.frame == "hang":
        chest = build.turn("thorax")
        yaw = np.arctan2(-chest[:, 2, 0], chest[:, 0, 0])  # of the shoulder line: valid even when bent double
        upright = euler(np.stack([0 * yaw, yaw, 0 * yaw], axis=1))
        shoulder = build.joint(sided("upperarm", side))
        return np.asarray(shoulder + np.einsum("tij,tj->ti", upright, offset))
    segment = {"chest": "thorax"}.get(key.frame, key.frame)
    return build.at(segment, offset / build.body.of(segment))


def _blend(time: Array, keys: Sequence[Key], values: Sequence[Array]) -> Array:
    """[T, C]: interpolates between the values of the keys, which may vary over time themselves."""
    track = np.broadcast_to(values[0], (len(time), values[0].shape[-1])).copy()
    for (before, here), (after, there) in pairwise(zip(keys, values, strict=True)):
        track += ease((time - before.time) / (after.time - before.time))[:, None] * (there - here)
    return track


def _bulge(time: Array, keys: Sequence[Key]) -> Array:
    """[T]: the bow of the path between keys, largest half-way; statures."""
    bulge = np.zeros_like(time)
    for before, after in pairwise(keys):
        share = ease((time - before.time) / (after.time - before.time))
        bulge += after.bow * (4 * share * (1 - share)) ** 2
    return bulge


def _shrug(toward: Array, side: int) -> Array:
    """[T, 3]: rotation of the clavicle for the wrist at ``toward`` from the shoulder, in statures.

    ``toward`` is in the chest's axes. The shoulder girdle contributes about a third of arm elevation beyond
    30 degrees (scapulohumeral rhythm, Inman 1944); here less, as it is a single segment.
    """
    length = np.linalg.norm(toward, axis=1)
    up = toward[:, 1] / length
    lift = 0.40 * ease((up + 0.35) / 1.35)
    front = 0.25 * np.clip(toward[:, 2], -0.2, 0.33) / 0.33
    return np.stack([0 * lift, -side * front, side * lift], axis=1)


def two_bones(
    start: Array, target: Array, pole: Array, *, lengths: tuple[float, float], limit: float, forward: bool
) -> tuple[Array, Array]:
    """Rotations [T, 3, 3] of two bones that start at ``start`` and end at ``target``, both [T, 3] metres.

    The bones lie along -y of their frames, the hinge between them is x. The middle joint points towards
    ``pole`` [T, 3]. Out-of-reach targets are approached as far as the joint's range (0 to ``limit`` radians
    of flexion) allows. ``forward``: the middle joint points forward when bent (a knee).
    """
    first, second = lengths
    nearest = float(np.sqrt(first**2 + second**2 + 2 * first * second * np.cos(limit)))
    away = target - start
    distance = np.linalg.norm(away, axis=1)
    axis = away / distance[:, None]
    longest = 0.999 * (first + second)
    reach = longest - soft_positive(longest - distance, 0.004)
    reach = nearest + soft_positive(reach - nearest, 0.004)
    reach = np.minimum(reach, longest)
    out = pole - np.sum(pole * axis, axis=1, keepdims=True) * axis
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    along = (reach**2 + first**2 - second**2) / (2 * reach)
    aside = np.sqrt(np.maximum(first**2 - along**2, 0.0))
    middle = along[:, None] * axis + aside[:, None] * out
    end = reach[:, None] * axis
    hinge = np.cross(out, axis) * (1 if forward else -1)
    return _frame(-middle / first, hinge), _frame((middle - end) / second, hinge)


def _frame(up: Array, left: Array) -> Array:
    """Frames [T, 3, 3] with columns x, y, z from their perpendicular y and x axes."""
    return np.stack([left, up, np.cross(left, up)], axis=2)
