"""Standing people up in the picture: recipes may have turned them, and say nothing of where up is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas import SkeletonSpec


def turn(spec: SkeletonSpec, poses: NDArray[np.floating]) -> NDArray[np.float32]:
    """[3, 3] rotation R by quarter turns: ``joints @ R.T`` has y up and the left of people at minus x.

    ``poses`` [n, V, 3], of which those that are all zero or not finite say nothing. Up is the axis on which
    shoulders are above legs, across that on which shoulders are apart. Where y is up already, and for a
    convention without shoulders or nobody at all, it is the identity: nothing is turned that stands.
    """
    bodies = poses[np.isfinite(poses).all(axis=(1, 2)) & (poses != 0).any(axis=(1, 2))]
    if not len(bodies) or spec.shoulders is None:
        return np.eye(3, dtype=np.float32)
    left, right = spec.shoulders
    parts = spec.body_parts or {}
    legs = [*parts.get("left_leg", ()), *parts.get("right_leg", ())] or [spec.center]
    mean = bodies.mean(axis=0)
    upward = (mean[left] + mean[right]) / 2 - mean[legs].mean(axis=0)
    up = int(np.abs(upward).argmax())
    if up == 1 and upward[up] > 0:
        return np.eye(3, dtype=np.float32)
    # People turn: the mean length of the shoulder line, not its mean, says which axis it lies on.
    widths = np.abs(bodies[:, left] - bodies[:, right]).mean(axis=0)
    widths[up] = -1
    across = int(widths.argmax())
    rows = np.zeros((3, 3), dtype=np.float32)
    rows[0, across] = -(np.sign(mean[left, across] - mean[right, across]) or 1.0)
    rows[1, up] = np.sign(upward[up]) or 1.0
    rows[2] = np.cross(rows[0], rows[1])
    return rows
