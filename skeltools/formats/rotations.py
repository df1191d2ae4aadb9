"""Rotations about the coordinate axes, as used by the channels of motion capture files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def about(axis: int, angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Right-handed rotations about x, y or z (0, 1, 2): [T] radians -> [T, 3, 3]."""
    one, other = (axis + 1) % 3, (axis + 2) % 3
    turn = np.zeros((len(angle), 3, 3))
    turn[:, axis, axis] = 1
    turn[:, one, one] = turn[:, other, other] = np.cos(angle)
    turn[:, other, one] = np.sin(angle)
    turn[:, one, other] = -turn[:, other, one]
    return turn
