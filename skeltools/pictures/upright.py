"""Turn people upright in the picture: recipes may rotate them without recording which way is up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas import SkeletonSpec


def turn(spec: SkeletonSpec, poses: NDArray[np.floating]) -> NDArray[np.float32]:
    """A rotation R [3, 3] by quarter turns: ``joints @ R.T`` has y up and people's left at negative x.

    ``poses`` [n, V, 3] that are all zero or not finite are ignored. Up is the axis on which the shoulders are
    above the legs, across the one on which the shoulders are apart. The result is the identity if y is up
    already, for a convention without shoulders, and if there are no poses.
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
    # People turn around: the mean extent of the shoulder line, not its mean, shows which axis it lies on.
    widths = np.abs(bodies[:, left] - bodies[:, right]).mean(axis=0)
    widths[up] = -1
    across = int(widths.argmax())
    rows = np.zeros((3, 3), dtype=np.float32)
    rows[0, across] = -(np.sign(mean[left, across] - mean[right, across]) or 1.0)
    rows[1, up] = np.sign(upward[up]) or 1.0
    rows[2] = np.cross(rows[0], rows[1])
    return rows
