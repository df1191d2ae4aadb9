"""Lines of the body and the rotations that turn them onto an axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from schemas import SkeletonSpec, require
from skeltools.preprocess.clip import Array

TINY = 1e-6
"""Published threshold (A-GCN, data_gen/rotation.py): lines and axes with a smaller 1-norm are ignored."""

X = (1.0, 0.0, 0.0)
Y = (0.0, 1.0, 0.0)
Z = (0.0, 0.0, 1.0)


def shoulder_line(joints: Array, spec: SkeletonSpec) -> Array:
    """[..., V, 3] -> [..., 3]: right minus left shoulder, the published direction.

    Raises UsageError for a convention without shoulders.
    """
    require(spec, ("shoulders",), by="the shoulder line", remedy="Choose a recipe that does not turn people")
    left, right = spec.shoulders or (0, 0)
    return joints[..., right, :] - joints[..., left, :]


def onto(line: Array, target: tuple[float, float, float], *, opposite: str) -> NDArray[np.float64]:
    """[..., 3] -> [..., 3, 3]: smallest rotation that turns a line onto X, Y or Z (``joints @ rotation.T``).

    Axis and angle come from cross product and arc cosine, the matrix from Euler-Rodrigues, as in A-GCN's
    ``pre_normalization``. Without a line there is no rotation. ``opposite`` says what happens to a line that
    points the other way, for which the smallest rotation is not unique: ``stay``, or ``about y``.
    """
    along = target.index(1.0)
    length = np.linalg.norm(line, axis=-1)
    some = np.abs(line).sum(axis=-1) >= TINY
    cosine = np.clip(line[..., along] / np.where(some, length, 1.0), -1.0, 1.0)
    axis = _cross(line, along)
    sideways = np.abs(axis).sum(axis=-1) >= TINY
    if opposite == "about y":
        axis = np.where((some & ~sideways & (cosine < 0))[..., None], (0.0, 1.0, 0.0), axis)
        sideways |= some & (cosine < 0)
    angle = np.where(some & sideways, np.arccos(cosine), 0.0)
    angle = np.where(angle < TINY, 0.0, angle)
    axis = axis / np.where(sideways, np.linalg.norm(axis, axis=-1), 1.0)[..., None]
    return _euler_rodrigues(axis, angle)


def _cross(line: Array, along: int) -> Array:
    """Cross product of a line with the unit vector of one axis."""
    after, before = (along + 1) % 3, (along + 2) % 3
    axis = np.zeros_like(line)
    axis[..., after], axis[..., before] = line[..., before], -line[..., after]
    return axis


def _euler_rodrigues(axis: Array, angle: Array) -> NDArray[np.float64]:
    """Unit axis [..., 3] and angle [...] in radians -> rotation matrix [..., 3, 3]; identity for angle 0."""
    a = np.cos(angle / 2)
    b, c, d = np.moveaxis(axis * np.sin(angle / 2)[..., None], -1, 0)
    rows = [
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def about_y(cosine: ArrayLike, sine: ArrayLike) -> NDArray[np.float64]:
    """[...] each -> [..., 3, 3]: the rotation about y that turns (cosine, 0, sine) onto +x."""
    cosine, sine = np.asarray(cosine), np.asarray(sine)
    zero, one = np.zeros_like(cosine), np.ones_like(cosine)
    rows = [[cosine, zero, sine], [zero, one, zero], [-sine, zero, cosine]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def angles(lines: Array, target: tuple[float, float, float]) -> NDArray[np.float64]:
    """[P, 3] -> [P]: degrees between lines and a unit vector; 180 for a line of no length."""
    length = np.linalg.norm(lines, axis=1)
    cosine = np.where(length < TINY, -1.0, lines @ np.array(target) / np.maximum(length, TINY))
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


MEDIAN_STEPS = 100
"""Most steps of Weiszfeld's method."""

MEDIAN_REACHED = 1e-5
"""Metres; iteration ends after a shorter step.

Lines of NW-UCLA's clips are then within 0.02 degrees of the exact ones.
"""


def spatial_median(points: Array) -> NDArray[np.float64]:
    """[P, D] -> [D]: close to the point of least summed distance, by Weiszfeld's method from the mean.

    Like the median of numbers, it stays with the majority of the points wherever the others are. Unlike the
    medians of the coordinates it turns with the points, so it does not depend on where the sensor stands.
    """
    median = points.mean(axis=0)
    for _ in range(MEDIAN_STEPS):
        away = points - median
        weight = 1 / np.maximum(np.sqrt(np.einsum("pd,pd->p", away, away)), TINY)
        step = weight @ away / weight.sum()
        median = median + step
        if np.sqrt(step @ step) < MEDIAN_REACHED:
            break
    return np.asarray(median)


def trunk_joints(spec: SkeletonSpec) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Joints whose means are the lower and the upper end of the trunk: hips and shoulders.

    The hips are the topmost joints of both legs. Empty without legs or shoulders.
    """
    parent = spec.parents
    legs = [set((spec.body_parts or {}).get(name, ())) for name in ("left_leg", "right_leg")]
    if not all(legs) or spec.shoulders is None:
        return (), ()
    return tuple(v for leg in legs for v in sorted(leg) if parent[v] not in leg), spec.shoulders


def spine_joints(spec: SkeletonSpec) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Joints whose means are the lower and the upper end of the hip-to-spine bone; empty without legs.

    The hip is the joint from which both legs branch, the spine the next joint towards the centre: in Kinect
    v2 SpineBase and SpineMid, joints 0 and 1, as in A-GCN. Where the legs branch only at the centre (coco_17,
    lsp_14), the middle of the hips and the middle of the shoulders are used instead.
    """
    parent, (hips, shoulders) = spec.parents, trunk_joints(spec)
    if not hips:
        return (), ()
    chains = [_ancestors(parent, root) for root in hips]
    hip = next(v for v in chains[0] if all(v in chain for chain in chains))
    if hip == spec.center:
        return hips, shoulders
    return (hip,), (parent[hip],)


def _ancestors(parent: tuple[int, ...], joint: int) -> list[int]:
    """The joint and all joints above it, up to the centre."""
    above = [joint]
    while parent[above[-1]] != above[-1]:
        above.append(parent[above[-1]])
    return above
