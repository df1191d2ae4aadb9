"""Arrays of archives that are larger than memory: ``.npy`` files and members of ``.npz`` files, mapped.

Everything is checked before it is trusted: the size that a header claims is compared with the bytes that
exist, and arrays of objects, which are pickles, are refused.
"""

from __future__ import annotations

import math
import struct
import sys
import zipfile
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from schemas import RawDataError, regular
from schemas.parsing import reason
from skeltools.raw_items import UNPACKED, ZIP_ERRORS

MAX_COMPRESSED = 2**31
"""Most bytes of the compressed arrays of a file that are read together: they are held in memory, unmapped."""
MAX_INFLATED = 2**28
"""Most bytes of such arrays that inflate to more than ``USUAL_RATIO`` times their compressed size."""
USUAL_RATIO = 50
"""Clips padded with zeros to 300 frames and two bodies compress 10 to 20 times, an array of zeros 1,000."""

OBJECTS = (
    "Where you trust the file, numpy.load(file, allow_pickle=True)[()] opens it; "
    "numpy.save(clip + '.npy', array) writes each clip as numbers"
)
"""How to convert an array of objects."""

HEADER_ERRORS = (ValueError, SyntaxError, TypeError, EOFError, RecursionError, MemoryError, TokenError)
"""What NumPy raises for a damaged header of an array."""
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_LOCAL = struct.Struct("<4s22xHH")  # signature, then lengths of name and extra field, at the end of 30 bytes


def npy_file(path: Path) -> NDArray[Any]:
    """Map the array of a ``.npy`` file, read-only; raises RawDataError if it is no array or truncated."""
    try:
        return _mapped(path, 0, regular.check(path), where=str(path))
    except (OSError, ValueError) as error:
        raise _unreadable(reason(error), str(path)) from error


def npz_file(path: Path, *, wanted: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """The ``wanted`` arrays that an ``.npz`` file has, mapped, or in memory if compressed."""
    arrays = {}
    try:
        regular.check(path)
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            chosen = {name: members[f"{name}.npy"] for name in wanted if f"{name}.npy" in members}
            packed = [info for info in chosen.values() if info.compress_type != zipfile.ZIP_STORED]
            size, usual = sum(i.file_size for i in packed), USUAL_RATIO * sum(i.compress_size for i in packed)
            limit = MAX_COMPRESSED if size <= usual else MAX_INFLATED
            if size > limit:
                raise RawDataError(
                    f"its arrays are compressed, and {size} bytes large (limit {limit})",
                    where=path,
                    remedy="Write the archive again with numpy.savez, not savez_compressed",
                )
            for name, info in chosen.items():
                arrays[name] = _member(archive, info, path)
    except ZIP_ERRORS as error:
        raise _unreadable(error, str(path)) from error
    return arrays


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
    where = f"{path}::{info.filename}"
    if info.compress_type == zipfile.ZIP_STORED:
        with regular.open_file(path) as file:
            file.seek(info.header_offset)
            signature, name, extra = _LOCAL.unpack(_exactly(file, _LOCAL.size))
        start = info.header_offset + _LOCAL.size + name + extra
        if signature != b"PK\x03\x04" or start + info.file_size > path.stat().st_size:
            raise _unreadable("the zip directory points to nowhere", where)
        return _mapped(path, start, info.file_size, where=where)
    if info.compress_type not in UNPACKED:
        raise _unreadable(f"compression method {info.compress_type}", where)
    with archive.open(info) as file:
        shape, fortran, dtype = _header(file, where)
        data = file.read(info.file_size)
    if len(data) < math.prod(shape) * dtype.itemsize:
        raise _short(shape, dtype, len(data), where)
    values = np.frombuffer(data, dtype, count=math.prod(shape))
    return values.reshape(shape, order="F" if fortran else "C")


def _exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise EOFError("the file ends too early")
    return data


def _mapped(path: Path, start: int, size: int, *, where: str) -> NDArray[Any]:
    """Map the array whose ``.npy`` form is the ``size`` bytes of a file from ``start``."""
    with regular.open_file(path) as file:
        file.seek(start)
        shape, fortran, dtype = _header(file, where)
        begin = file.tell()
    count = math.prod(shape)
    if count * dtype.itemsize > start + size - begin:
        raise _short(shape, dtype, start + size - begin, where)
    if count == 0:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", begin, shape, "F" if fortran else "C")


def _header(file: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = npy.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"version {version} of the format")
        shape, fortran, dtype = _HEADERS[version](file)
    except HEADER_ERRORS as error:
        raise _unreadable(error, where) from error
    if dtype.hasobject:
        ntu = where.endswith(".skeleton.npy")
        what = ", as txt2npy.py of NTU RGB+D writes them" if ntu else f". {OBJECTS}"
        raise RawDataError(
            f"is an array of objects, which would be unpickled{what}",
            where=where,
            remedy="`skeltools convert ntu60` reads it" if ntu else "Write it again as arrays of numbers",
        )
    if any(type(size) is not int or size < 0 for size in shape):
        raise _unreadable(f"shape {shape}", where)
    if math.prod(size or 1 for size in shape) * dtype.itemsize > sys.maxsize:  # even if one of the sizes is 0
        raise _unreadable(f"shape {shape}", where)
    return shape, fortran, dtype


def _short(shape: tuple[int, ...], dtype: np.dtype[Any], left: int, where: str) -> RawDataError:
    needed = math.prod(shape) * dtype.itemsize
    return RawDataError(
        f"{dtype} {shape} takes {needed} bytes, but {left} are there", where=where, remedy="Fetch it again"
    )


def _unreadable(error: object, where: str) -> RawDataError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return RawDataError(f"cannot be read as an array ({reason})", where=where, remedy="Fetch it again")
