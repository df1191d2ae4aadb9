"""MATLAB's ``.mat`` files: one numeric array in the layout of dataset.yaml, or UTD-MHAD's ``d_skel``.

Versions 4 to 7 are parsed here, since scipy's reader crashes on some damaged files; version 7.3 is HDF5 and
read by h5py. Declared sizes are checked against ``MAX_BYTES`` before memory is allocated; structures, cells
and objects are named in messages, never built.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from schemas import RawDataError, SkeletonSpec, regular
from skeltools.custom.clip_files import ClipFormat, Poses
from skeltools.custom.poses import of_array
from skeltools.custom.settings import Settings
from skeltools.files.hdf5_inside import inside, open_hdf5
from skeltools.raw_items import HDF5_ERRORS, MAX_BYTES, RawItem, read_bytes

UTD = "d_skel"
"""UTD-MHAD's array [20, 3, T] (https://personal.utdallas.edu/~kehtar/UTD-MHAD.html): metres, Kinect v1."""

UTD_JOINTS = (
    "Head", "ShoulderCenter", "Spine", "HipCenter",
    "ShoulderLeft", "ElbowLeft", "WristLeft", "HandLeft",
    "ShoulderRight", "ElbowRight", "WristRight", "HandRight",
    "HipLeft", "KneeLeft", "AnkleLeft", "FootLeft",
    "HipRight", "KneeRight", "AnkleRight", "FootRight",
)  # fmt: skip
"""Its joint order, as given on the data set's page, with the names of ``kinectv1_20``."""

_COMPRESSED, _MATRIX = 15, 14
"""Element types (MathWorks, "MAT-File Format", table 1-1)."""
_COMPLEX = 0x08

_CLASSES = {
    1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "double", 7: "single", 8: "int8",
    9: "uint8", 10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64", 15: "uint64",
    16: "function_handle", 17: "opaque",
}  # fmt: skip
"""MATLAB's classes (same source, table 1-3)."""
_NUMBERS = frozenset(_CLASSES[number] for number in range(6, 16))

_STORED = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"
}  # fmt: skip
_STORED_4 = {0: "f8", 1: "f4", 2: "i4", 3: "i2", 4: "u2", 5: "u1"}


def read(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """Read one clip. Raises RawDataError: damaged, no such array, not numeric, too large, or wrong shape."""
    try:
        with regular.open_file(item.path) as file:
            newer = b"MATLAB 7.3" in file.read(128)
    except (OSError, ValueError) as error:
        raise _damaged(item, error) from error
    name, array = _newer(item, settings) if newer else _older(item, settings)
    if name != UTD:
        return of_array(array, item, settings, spec)
    layout = settings.layout or "V C T"
    poses = of_array(array, item, settings.model_copy(update={"layout": layout}), spec)
    named = set(UTD_JOINTS) <= set(spec.joints) and poses.values.shape[2] == len(UTD_JOINTS)
    return replace(poses, joints=UTD_JOINTS) if named else poses


def _choose(sizes: dict[str, tuple[tuple[int, ...], str]], item: RawItem, settings: Settings) -> str:
    """Name of the array to read: ``key``, UTD-MHAD's, or the only numeric one that is not a scalar.

    ``sizes``: name -> shape and MATLAB class. Raises RawDataError, also for an array that is too large.
    """
    able = [name for name, (shape, kind) in sizes.items() if kind in _NUMBERS and math.prod(shape) > 1]
    name = settings.key or (UTD if UTD in able else able[0] if len(able) == 1 else "")
    listed = ", ".join(f"{n} ({kind} {' x '.join(map(str, s))})" for n, (s, kind) in list(sizes.items())[:8])
    if name not in sizes:
        what = f"has no array '{name}'" if name else "expected one array of numbers"
        hint = ""
        if able:
            largest = max(able, key=lambda name: math.prod(sizes[name][0]))
            hint = f"; `key: {largest}` in dataset.yaml reads {'it' if len(able) == 1 else 'the largest'}"
        raise RawDataError(
            f"{what}; it has {listed or 'nothing'}{hint}",
            where=item.where,
            remedy="Name the one that holds the joints" if able else _save_array(sizes),
        )
    shape, kind = sizes[name]
    if kind not in _NUMBERS:
        raise RawDataError(
            f"'{name}' is a MATLAB {kind}, expected an array of numbers",
            where=item.where,
            remedy=_save_array({name: sizes[name]}),
        )
    if math.prod(shape) * 8 > MAX_BYTES:
        raise RawDataError(f"'{name}' {shape} is too large for one clip", where=item.where)
    return name


def _save_array(sizes: dict[str, tuple[tuple[int, ...], str]]) -> str:
    name = next(iter(sizes), "x")
    return (
        f"In MATLAB, take the array out of it and save that: poses = {name}. ...; save('clip.mat', 'poses')"
    )


# --- 4 to 7 -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Variable:
    """One array in a file of version 4 to 7, before its numbers are decoded."""

    shape: tuple[int, ...]
    kind: str
    """MATLAB's class."""
    stored: np.dtype[Any] | None = None
    """Storage type of the numbers, which may differ from the class."""
    data: bytes = b""


def _older(item: RawItem, settings: Settings) -> tuple[str, NDArray[Any]]:
    data = read_bytes(item)
    try:
        variables = dict(_variables_5(data) if data[126:128] in (b"IM", b"MI") else _variables_4(data))
    except (struct.error, zlib.error, ValueError, KeyError, OverflowError) as error:
        raise _damaged(item, error) from error
    name = _choose({name: (each.shape, each.kind) for name, each in variables.items()}, item, settings)
    chosen = variables[name]
    count = math.prod(chosen.shape)
    if chosen.stored is None or count * chosen.stored.itemsize > len(chosen.data):
        raise _damaged(item, f"'{name}' {chosen.shape} is cut off")
    values = np.frombuffer(chosen.data, chosen.stored, count)
    return name, values.reshape(chosen.shape, order="F")


def _damaged(item: RawItem, error: object) -> RawDataError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return RawDataError(f"cannot be read as .mat ({reason})", where=item.where, remedy="Fetch it again")


def _variables_5(data: bytes) -> Iterator[tuple[str, _Variable]]:
    """The variables of versions 5 to 7, of which the decompressed size is limited to ``MAX_BYTES``."""
    order = "<" if data[126:128] == b"IM" else ">"
    place, left = 128, MAX_BYTES
    while place < len(data):
        kind, size = struct.unpack_from(f"{order}II", data, place)
        element = data[place + 8 : place + 8 + size]
        place += 8 + size
        if kind == _COMPRESSED:
            inflated = zlib.decompressobj().decompress(element, left + 1)
            left -= len(inflated)
            if left < 0:
                raise ValueError(f"it holds more than {MAX_BYTES} bytes, deflated")
            kind, size = struct.unpack_from(f"{order}II", inflated)
            element = inflated[8 : 8 + size]
        if kind == _MATRIX and element:
            yield _matrix(element, order)


def _matrix(element: bytes, order: str) -> tuple[str, _Variable]:
    """Parse an array element, whose parts are flags, sizes, name and numbers, in this order."""
    _, flags, place = _part(element, 0, order)
    if len(flags) < 4:
        raise ValueError("the flags of an array are cut off")
    _, sizes, place = _part(element, place, order)
    _, name, place = _part(element, place, order)
    kind = _CLASSES.get(flags[0 if order == "<" else 3], "object")
    if kind == "opaque":
        return "", _Variable((), kind)
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    if not shape or len(shape) > 8 or min(shape) < 0:
        raise ValueError(f"sizes {shape[:8]}")
    text = name.decode("ascii", "replace")
    if kind not in _NUMBERS:
        return text, _Variable(shape, kind)
    if flags[1 if order == "<" else 2] & _COMPLEX:
        return text, _Variable(shape, "complex")
    stored, numbers, _ = _part(element, place, order)
    return text, _Variable(shape, kind, np.dtype(order + _STORED[stored]), numbers)


def _part(element: bytes, place: int, order: str) -> tuple[int, bytes, int]:
    """(type, data, position of the next part); up to four bytes of data may be in the tag itself."""
    kind, size = struct.unpack_from(f"{order}II", element, place)
    if kind >> 16:
        return kind & 0xFFFF, element[place + 4 : place + 4 + min(4, kind >> 16)], place + 8
    end = place + 8 + size
    if end > len(element):
        raise ValueError("an array is cut off")
    return kind, element[place + 8 : end], end + -size % 8


def _variables_4(data: bytes) -> Iterator[tuple[str, _Variable]]:
    """The variables of version 4: each is a header of five numbers, a name and a table of numbers."""
    place = 0
    order = "<" if data[:4] and int.from_bytes(data[:4], "little") < 5000 else ">"
    while place < len(data):
        kind, rows, columns, imaginary, length = struct.unpack_from(f"{order}5i", data, place)
        machine, form, table = kind // 1000, kind // 10 % 100, kind % 10
        if machine not in (0, 1) or form not in _STORED_4 or min(rows, columns) < 0 or not 0 < length < 256:
            raise ValueError("no header of an array")
        stored = np.dtype(order + _STORED_4[form])
        start = place + 20 + length
        end = start + rows * columns * stored.itemsize * (2 if imaginary else 1)
        name = data[place + 20 : start - 1].decode("ascii", "replace")
        class_name = "complex" if imaginary else {0: "double", 1: "char"}.get(table, "sparse")
        yield name, _Variable((rows, columns), class_name, stored, data[start:end])
        place = end


# --- 7.3 ----------------------------------------------------------------------------------------------------


def _newer(item: RawItem, settings: Settings) -> tuple[str, NDArray[Any]]:
    """Read version 7.3, in which MATLAB's first axis is the file's last."""
    try:
        with open_hdf5(item.path) as file:
            variables = {name: inside(file, name) for name in file if not name.startswith("#")}
            sizes = {name: _shape_and_class(each) for name, each in variables.items()}
            name = _choose(sizes, item, settings)
            if not isinstance(variables[name], h5py.Dataset) or variables[name].dtype.kind not in "fiub":
                raise ValueError(f"{name} is no array of numbers")
            return name, np.asarray(variables[name][()]).T
    except HDF5_ERRORS as error:
        reason = " ".join(str(error).split())[:200]
        raise RawDataError(f"cannot be read as .mat 7.3 ({reason})", where=item.where) from error


def _shape_and_class(variable: Any) -> tuple[tuple[int, ...], str]:
    """Shape and MATLAB class of a variable."""
    kind = variable.attrs.get("MATLAB_class", b"double" if isinstance(variable, h5py.Dataset) else b"struct")
    shape = tuple(reversed(variable.shape)) if isinstance(variable, h5py.Dataset) else ()
    return shape, kind.decode("ascii", "replace") if isinstance(kind, bytes) else str(kind)


MAT = ClipFormat("mat", (".mat",), lambda _file, _head: True, read)
