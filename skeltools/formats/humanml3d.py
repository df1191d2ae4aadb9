"""Features of HumanML3D and KIT-ML, ``.npy`` [T, 12 V - 1], converted to joint positions.

A frame holds, in this order (Guo et al., "Generating Diverse and Natural 3D Human Motions from Text", CVPR
2022, section 5, and recover_from_ric in https://github.com/EricGuo5513/HumanML3D, motion_process.py):

=====================  =====================================================================================
1                      half the root's rotation about y to the next frame, in radians
2                      the root's step to the next frame along x and z, in the heading of that frame
1                      the root's height
3 (V - 1)              the other joints, x and z relative to the root, in its heading; y above the floor
6 (V - 1)              rotations of these joints, not needed here
3 V                    velocities of all joints, not needed here
4                      contacts of the feet, not needed here
=====================  =====================================================================================

The heading of the first frame is z; the root starts above the origin. Lengths are in metres.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas import RawDataError, SkeletonSpec
from skeltools.custom.clip_files import ClipFormat, Poses
from skeltools.custom.settings import Settings
from skeltools.files.arrays import npy_file
from skeltools.raw_items import MAX_BYTES, RawItem

WIDTHS = (263, 251)
"""Values per frame in HumanML3D (22 joints) and KIT-ML (21). Neither is a multiple of 2, 3 or 4."""

_HEIGHT = (0.05, 3.0)
"""Plausible height of the root in the median frame, in metres, even for a person lying or climbing."""


def _holds(file: Path, head: bytes) -> bool:
    array = npy_file(file)
    return array.ndim == 2 and array.shape[1] in WIDTHS and array.dtype.kind == "f"


def read(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """Read one clip. Raises RawDataError: too large, wrong number of joints, or normalised features."""
    array = npy_file(Path(item.path))
    size = (array.shape[1] + 1) // 12 if array.ndim == 2 else 0
    if size != spec.num_joints or array.shape[1] not in WIDTHS:
        raise RawDataError(
            f"features of shape {array.shape} are of {size} joints, {spec.name} has {spec.num_joints}",
            where=item.where,
            remedy="HumanML3D's (263) are of convention smpl_22",
        )
    if array.nbytes > MAX_BYTES or not len(array):
        raise RawDataError(f"{len(array)} frames are none, or too many for one clip", where=item.where)
    features = np.asarray(array, np.float64)
    with np.errstate(all="ignore"):
        height = float(np.median(features[:, 3]))
        values = joints_of(features, size)
    if not _HEIGHT[0] <= height <= _HEIGHT[1]:
        raise RawDataError(
            f"the root's median height is {height:.3g} m: features are normalised, or not HumanML3D's",
            where=item.where,
            remedy="Multiply them by its Std.npy and add its Mean.npy, or take new_joints",
        )
    return Poses(values[:, None])


def joints_of(features: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Joint positions [T, V, 3] from features [T, 12 V - 1], where V is ``size``."""
    half = np.concatenate([[0.0], np.cumsum(features[:-1, 0])])
    steps = np.zeros((len(features), 3))
    steps[1:, [0, 2]] = features[:-1, 1:3]
    root = np.cumsum(_turned_back(steps, half), axis=0)
    root[:, 1] = features[:, 3]
    others = features[:, 4 : 4 + 3 * (size - 1)].reshape(len(features), size - 1, 3)
    joints = _turned_back(others, half[:, None])
    joints[..., [0, 2]] += root[:, None, [0, 2]]
    return np.concatenate([root[:, None], joints], axis=1)


def _turned_back(points: NDArray[np.float64], half: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotate points [..., 3] from the heading, ``-2 * half`` radians about y from z, into the world."""
    c, s = np.cos(2 * half), np.sin(2 * half)
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    return np.stack([c * x - s * z, y, s * x + c * z], axis=-1)


HUMANML3D = ClipFormat("humanml3d", (".npy",), _holds, read)
