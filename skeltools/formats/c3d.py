"""C3D: named points of a motion capture system, in a binary format.

Described in the C3D File Format User Guide (Motion Lab Systems, https://www.c3d.org): a header of 512 bytes,
grouped parameters, then for each frame x, y, z and residual of every point, and analog samples, which are
skipped. Numbers are in PC, VAX or MIPS format. A point with a negative residual was not seen.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import RawDataError, SkeletonSpec, regular
from schemas.skeleton import Direction
from skeltools.custom.clip_files import ClipFormat, Poses
from skeltools.custom.markers import poses_of_points
from skeltools.custom.settings import Directions, Settings
from skeltools.raw_items import MAX_BYTES, RawItem, read_bytes

_BLOCK = 512
_KEY = 0x50
"""Second byte of every file."""
_PC, _VAX, _MIPS = 84, 85, 86
"""Processor types of the parameter section."""
_CHAR, _BYTE, _INTEGER, _REAL = -1, 1, 2, 4
_MAX_FRAMES = 65535
"""The largest value of a header field."""


@dataclass(frozen=True)
class _File:
    data: bytes
    processor: int
    parameters: dict[str, Any]
    """``POINT:LABELS`` -> a list of texts, or an array."""

    @property
    def order(self) -> str:
        return ">" if self.processor == _MIPS else "<"

    def words(self) -> NDArray[Any]:
        """The header as unsigned 16-bit words."""
        return np.frombuffer(self.data, f"{self.order}u2", _BLOCK // 2)

    def reals(self, data: bytes) -> NDArray[np.float32]:
        """Decode 32-bit floats; VAX F format swaps the words, and its exponent is 2 larger."""
        if self.processor != _VAX:
            return np.frombuffer(data, f"{self.order}f4").astype(np.float32)
        swapped = np.frombuffer(data, "<u2").reshape(-1, 2)[:, ::-1].tobytes()
        return (np.frombuffer(swapped, "<f4") / 4).astype(np.float32)


def _holds(file: Path, head: bytes) -> bool:
    return len(head) >= _BLOCK and head[1] == _KEY and head[0] > 0


def read(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """Read one clip. Raises RawDataError: damaged, no points, or no label is a joint of the convention."""
    data = read_bytes(item)
    try:
        with np.errstate(all="ignore"):
            file = _open(data)
            labels, points = _labels(file), _points(file)
            units = "".join(_texts(file, "POINT:UNITS")[:1])
            axes = _screen(file)
    except (ValueError, IndexError, KeyError, struct.error, OverflowError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise RawDataError(
            f"cannot be read as C3D ({reason})", where=item.where, remedy="Export it again"
        ) from error
    return poses_of_points(labels, points, item, settings, spec, units=units, axes=axes)


# --- parameters ---------------------------------------------------------------------------------------------


def _open(data: bytes) -> _File:
    if len(data) < 2 * _BLOCK or data[1] != _KEY:
        raise ValueError("no C3D file, or an empty one")
    start = (data[0] - 1) * _BLOCK
    if data[0] < 1 or start + 4 > len(data):
        raise ValueError("its parameters lie behind its end")
    processor = data[start + 3]
    if processor not in (_PC, _VAX, _MIPS):
        raise ValueError(f"processor type {processor}, expected 84, 85 or 86")
    section = data[start : start + data[start + 2] * _BLOCK] if data[start + 2] else data[start:]
    file = _File(data, processor, {})
    return _File(data, processor, _parameters(file, section))


def _parameters(file: _File, section: bytes) -> dict[str, Any]:
    groups: dict[int, str] = {}
    entries: list[tuple[int, str, Any]] = []
    place = 4
    while place + 4 < len(section):
        length, group = struct.unpack_from("bb", section, place)
        after = place + 2 + abs(length)
        if length == 0 or after + 2 > len(section):
            break
        name = section[place + 2 : after].decode("ascii", "replace").upper()
        (step,) = struct.unpack_from(f"{file.order}h", section, after)
        if group < 0:
            groups[-group] = name
        else:
            entries.append((group, name, _value(file, section, after + 2)))
        if step <= 0:
            break
        place = after + step
    return {f"{groups.get(group, '')}:{name}": value for group, name, value in entries}


def _value(file: _File, section: bytes, place: int) -> Any:
    """A parameter's value: a list of texts for characters, else a flat array, first axis fastest."""
    kind, count = struct.unpack_from("bB", section, place)
    sizes = list(section[place + 2 : place + 2 + count])
    start, width = place + 2 + count, abs(kind)
    if kind not in (_CHAR, _BYTE, _INTEGER, _REAL) or count > 7:
        raise ValueError(f"a parameter of type {kind}")
    data = section[start : start + math.prod(sizes) * width]
    if len(data) < math.prod(sizes) * width:
        raise ValueError("a parameter is cut off")
    if kind == _CHAR:
        size = sizes[0] if sizes else 1
        number = math.prod(sizes[1:])
        texts = (data[n * size : (n + 1) * size] for n in range(number if size else 0))
        return [text.decode("utf-8", "replace").strip(" \0") for text in texts]
    if kind == _REAL:
        return file.reals(data)
    return np.frombuffer(data, {_BYTE: "u1", _INTEGER: f"{file.order}u2"}[kind])


def _texts(file: _File, name: str) -> list[str]:
    values = file.parameters.get(name, [])
    return values if isinstance(values, list) else []


def _labels(file: _File) -> list[str]:
    """POINT:LABELS, continued in LABELS2, ... for more than 255 points."""
    labels = _texts(file, "POINT:LABELS")
    number = 2
    while more := _texts(file, f"POINT:LABELS{number}"):
        labels = labels + more
        number += 1
    return labels


def _screen(file: _File) -> Directions | None:
    """Directions of the laboratory's axes from POINT:X_SCREEN and Y_SCREEN, such as ``+X`` and ``+Z``: the
    axes that point right and up for a viewer of the scene; the third completes a right-handed frame. None if
    they are missing, or if the screen's up is a negative axis: some programs write ``-Z`` for worlds with z
    up."""
    texts = ["".join(_texts(file, f"POINT:{axis}_SCREEN")[:1]).upper() for axis in "XY"]
    places = ["XYZ".find(text[-1:]) if len(text) == 2 and text[0] in "+-" else -1 for text in texts]
    if min(places) < 0 or places[0] == places[1] or texts[1][0] == "-":
        return None
    right, up = (
        np.eye(3)[place] * (1 if text[0] == "+" else -1) for place, text in zip(places, texts, strict=True)
    )
    towards = np.cross(right, up)
    words: list[tuple[NDArray[np.float64], Direction, Direction]] = [
        (right, "right", "left"), (up, "up", "down"), (towards, "backward", "forward"),
    ]  # fmt: skip
    axes = [
        plus if vector[axis] > 0 else minus
        for axis in range(3)
        for vector, plus, minus in words
        if vector[axis] != 0
    ]
    return axes[0], axes[1], axes[2]


# --- points -------------------------------------------------------------------------------------------------


def _points(file: _File) -> NDArray[np.float64]:
    """The points [T, N, 3] in the file's unit; NaN where the residual is negative."""
    words = file.words()
    count, analog, start = int(words[1]), int(words[2]), (int(words[8]) - 1) * _BLOCK
    if count == 0:
        raise ValueError("it holds no points, maybe analog channels alone")
    (scale,) = file.reals(file.data[12:16])
    whole = scale > 0
    width = (4 * count + analog) * (2 if whole else 4)
    frames = _frames(file, max(0, len(file.data) - start) // width if start >= _BLOCK else 0)
    if frames * count * 32 > 4 * MAX_BYTES:
        raise ValueError(f"{frames} frames of {count} points are too many for one clip")
    data = file.data[start : start + frames * width]
    read = np.frombuffer(data, f"{file.order}i2") if whole else file.reals(data)
    values = read.reshape(frames, -1)[:, : 4 * count].reshape(frames, count, 4)
    points = values[..., :3].astype(np.float64) * (float(scale) if whole else 1.0)
    return np.where((values[..., 3] < 0)[..., None], np.nan, points)


def _frames(file: _File, there: int) -> int:
    """The declared number of frames: 16 bits in the header, or 32 in a parameter for longer recordings."""
    words = file.words()
    counts = [int(words[4]) - int(words[3]) + 1] if words[4] < _MAX_FRAMES else []
    field = [file.parameters.get(f"TRIAL:ACTUAL_{end}_FIELD") for end in ("START", "END")]
    if all(isinstance(value, np.ndarray) and value.dtype.kind == "u" and len(value) == 2 for value in field):
        first, last = (int(value[0]) + 65536 * int(value[1]) for value in field if value is not None)
        counts = [last - first + 1, *counts]
    for name in ("POINT:LONG_FRAMES", "POINT:FRAMES"):
        longer = file.parameters.get(name)
        if isinstance(longer, np.ndarray) and len(longer) and np.isfinite(longer[0]):
            counts.append(int(longer[0]))
    fits = [number for number in counts if 1 <= number <= there]
    if not fits:
        raise ValueError(f"it promises {max(counts, default=0)} frames, {there} are there")
    return fits[0]


def rate(file: Path) -> float | None:
    """Frames per second, POINT:RATE."""
    with regular.open_file(file) as opened:
        head = opened.read(2 * 256 * _BLOCK)  # the parameters begin, and end, within 255 blocks
    try:
        return float(_open(head).parameters["POINT:RATE"][0])
    except struct.error:
        return None


C3D = ClipFormat("c3d", (".c3d",), _holds, read, rate=rate)
