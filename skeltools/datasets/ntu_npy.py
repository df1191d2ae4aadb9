"""``.skeleton.npy``: a clip as saved by the authors' script ``txt2npy.py`` (shahroudy/NTURGB-D).

The file is a pickled dict in an array of objects, which is interpreted, never executed:

    file_name, nbodys [T] bodies per frame, njoints 25, skel_body0 [T, 25, 3] metres, skel_body1, ...

Body k of a frame is the k-th one of the text. The ids by which Kinect tracks people are lost, so a body is
identified by its place alone.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import RawDataError
from skeltools.datasets.ntu_text import JOINTS, Bodies
from skeltools.raw_items import MAX_BYTES

_BODY = re.compile(r"skel_body(\d{1,2})", re.ASCII)


def parse(data: bytes, *, where: str) -> Bodies:
    """Parse a dict as above; raises RawDataError for anything else."""
    from skeltools.formats import unpickle  # formats depend on data sets

    content = unpickle.of_npy(data, where=where)
    if not isinstance(content, dict) or "skel_body0" not in content:
        what = unpickle.describe(content)
        raise _wrong(f"holds no dict of skel_body0 ... as txt2npy.py writes it but {what}", where)
    numbers = sorted(int(match[1]) for key in content if (match := _BODY.fullmatch(str(key))))
    clip = [_body(content, number, where) for number in numbers]
    if sum(body.size for body in clip) * 4 > MAX_BYTES:  # one array may stand for many bodies
        raise _wrong(f"{len(clip)} bodies take more than {MAX_BYTES} bytes", where)
    if numbers != list(range(len(clip))) or len({body.shape for body in clip}) != 1:
        raise _wrong("skel_body0, skel_body1, ... are not as long as each other", where)
    with np.errstate(over="ignore", invalid="ignore"):
        joints = np.stack(clip, axis=1).astype(np.float32)
    there = _there(content.get("nbodys"), joints, where)
    frame, place = np.nonzero(there)
    return Bodies(len(joints), frame, place, place.tolist(), joints[frame, place])


def _body(content: dict[Any, Any], number: int, where: str) -> NDArray[Any]:
    """The [T, 25, 3] floating-point array of one body."""
    values: Any = content.get(f"skel_body{number}")
    is_array = isinstance(values, np.ndarray)
    if not is_array or values.dtype.kind != "f" or values.shape[1:] != (JOINTS, 3) or not len(values):
        what = f"{values.dtype} {values.shape}" if is_array else "no array"
        raise _wrong(f"skel_body{number} is {what}, expected (frames, {JOINTS}, 3)", where)
    return np.asarray(values)


def _there(counts: Any, joints: NDArray[np.float32], where: str) -> NDArray[np.bool_]:
    """[T, M]: body k is in a frame with more than k bodies; without counts, where it is not all zero."""
    frames, bodies = joints.shape[:2]
    if counts is None:
        return np.asarray(joints.any(axis=(2, 3)))
    numbers = counts.tolist() if isinstance(counts, np.ndarray) else counts
    sound = isinstance(numbers, list) and all(type(n) is int and 0 <= n <= bodies for n in numbers)
    if not sound or len(numbers) != frames:
        raise _wrong(f"nbodys is no list of {frames} numbers from 0 to {bodies}", where)
    return np.asarray(np.arange(bodies) < np.array(numbers)[:, None])


def _wrong(message: str, where: str) -> RawDataError:
    return RawDataError(message, where=where, remedy="Use the .skeleton text that it was made from")
