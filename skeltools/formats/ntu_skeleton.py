"""Text in the form of NTU RGB+D's ``.skeleton`` files, with the joints of any convention.

Lines are those of ``datasets/ntu_text.py``: numbers of frames, bodies and joints, 10 fields of a body, 12 of
a joint, of which x, y and z are read: metres in Kinect's camera space. UAV-Human has such files of 17 joints,
``.txt`` (https://github.com/SUTDCV/UAV-Human).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from schemas import RawDataError, SkeletonSpec
from skeltools.custom.clip_files import ClipFormat, Poses
from skeltools.custom.settings import Directions, Settings
from skeltools.raw_items import MAX_BYTES, RawItem, read_bytes

_SUFFIX = ".skeleton"
_AXES: Directions = ("left", "up", "forward")
_FIELDS = (10, 1, 12)
"""Numbers of fields in the lines of a body, of its number of joints, and of a joint."""


def _holds(file: Path, head: bytes) -> bool:
    return file.suffix.lower() == _SUFFIX or _joints_in(head) is not None


def _joints_in(data: bytes) -> int | None:
    """Number of joints of the first body; None for text in another form, or without a body."""
    lines = data.splitlines()
    first = next((n for n, line in enumerate(lines) if n and line.strip() != b"0"), len(lines))
    rows = [line.split() for line in (lines[:1] + lines[first : first + 4])]
    if [len(row) for row in rows] != [1, 1, *_FIELDS]:
        return None
    numbers = [row[0] for row in (rows[0], rows[1], rows[3])]
    return int(numbers[2]) if all(each.isdigit() and len(each) < 10 for each in numbers) else None


def read(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """Read one clip, with the ids of its bodies as identities.

    Raises RawDataError with the line, or for another number of joints than the convention's.
    """
    from skeltools.datasets.ntu_text import parse  # its package imports this one

    data = read_bytes(item)
    joints = _joints_in(data)
    if joints not in (None, spec.num_joints):
        raise RawDataError(
            f"has {joints} joints, {spec.name} has {spec.num_joints}",
            where=item.where,
            remedy="Name their convention in dataset.yaml, a name or your own file",
        )
    bodies = parse(data, where=item.where, joints=spec.num_joints)
    shape = (bodies.frames, int(bodies.place.max(initial=0)) + 1, spec.num_joints, 3)
    if 8 * np.prod(shape, dtype=float) > 4 * MAX_BYTES:
        raise RawDataError(
            f"{shape[0]} frames of up to {shape[1]} bodies are too many for one clip", where=item.where
        )
    values, track = np.full(shape, np.nan), np.full(shape[:2], -1, np.int64)
    numbers: dict[int, int] = {}
    at = (bodies.frame, bodies.place)
    values[at] = bodies.joints
    track[at] = [numbers.setdefault(id, len(numbers)) for id in bodies.ids]
    for place in range(1, shape[1]):  # of two bodies of one id, the first
        again = (track[:, :place] == track[:, place, None]).any(axis=1) & (track[:, place] >= 0)
        values[again, place] = np.nan
    values = values[..., :2] if settings.flat else values
    return Poses(values, units=1.0, axes=None if settings.flat else _AXES, linked=False, track=track)


NTU = ClipFormat("ntu", (_SUFFIX, ".txt"), _holds, read)
