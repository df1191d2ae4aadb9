"""The files of an array's values, looked at before they are decoded: the Zarr v3 sharding codec (ZEP 2) and
the frame header of Zstandard (RFC 8878, section 3.1.1.1) say how much they hold.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from itertools import product
from math import prod
from typing import BinaryIO

from schemas import regular
from schemas.arrays import Chunks

FLOOR = 64 * 2**20
RATIO = 1000
"""What is decoded of a file may have ``FLOOR`` bytes and ``RATIO`` for each of its own. A pose of one frame,
repeated to a stream of 300, has up to 300."""

_ABSENT = 2**64 - 1
"""Offset and length of a chunk that a shard does not store."""
_CHECKSUM = 4
_HEADER = 18
"""Bytes of the longest frame header with its magic number."""
_MAGIC = b"\x28\xb5\x2f\xfd"
_LONG_TEXT = 1024
"""Bytes that a text may have, on average."""
_TEXT = 4
"""Bytes of the count before, and of the length of, the texts of ``vlen-utf8``."""


def check_file(root: str, name: str, chunks: Chunks) -> None:
    """Raises ValueError when a file of an array is no regular one of the folder ``root`` or cannot hold what
    its array's metadata say: an index that points outside, values of another size. An absent file may be."""
    path = regular.inside(root, name)
    try:
        size = regular.check(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    with path.open("rb") as file:
        places = [(0, size)] if chunks.inner is None else list(_stored(file, size, chunks))
        total = sum(_decoded(file, start, length, chunks) for start, length in places)
    if total > FLOOR + RATIO * size:
        raise ValueError(f"its {size} bytes claim to hold {total}")


def names(path: str, chunks: Chunks) -> Iterator[str]:
    """The files of an array by their paths in the store, in C order; those that hold nothing but zeros may
    be absent."""
    return ("/".join([path, "c", *map(str, place)]) for place in product(*map(range, chunks.files)))


def most(chunks: Chunks) -> int:
    """Bytes that a file of an array may have: Zstandard makes what cannot be compressed hardly larger."""
    return FLOOR + 2 * chunks.count * chunks.values * (chunks.itemsize or _LONG_TEXT)


def check_whole(path: str, chunks: Chunks, size: Callable[[str], int | None]) -> None:
    """Raises ValueError when the files of an array cannot hold as much as its shape promises. ``size``:
    bytes of a file of the store, None where there is none."""
    stored = 0
    for name in names(path, chunks):
        if chunks.promised <= FLOOR + RATIO * stored:
            return
        stored += size(name) or 0
    if chunks.promised > FLOOR + RATIO * stored:
        raise ValueError(f"its shape promises {chunks.promised} bytes, but its files have {stored}")


def check_text(root: str, path: str, chunks: Chunks) -> None:
    """As ``check_whole``, of texts that are all different, so that every chunk of them is stored."""
    for name in names(path, chunks):
        if prod(chunks.shape) > 1 and not os.path.exists(os.path.join(root, name)):
            raise ValueError(f"the file {name} is not there")
        check_file(root, name, chunks)


def _stored(file: BinaryIO, size: int, chunks: Chunks) -> Iterator[tuple[int, int]]:
    """(start, length) of every chunk that a shard stores."""
    length = 16 * chunks.count + _CHECKSUM * chunks.index_checksum
    if length > size:
        raise ValueError(f"has {size} bytes, fewer than the index of a shard of {chunks.count} chunks")
    file.seek(0 if chunks.index_first else size - length)
    numbers = struct.unpack(f"<{2 * chunks.count}Q", file.read(16 * chunks.count))
    for start, count in zip(numbers[::2], numbers[1::2], strict=True):
        if (start, count) == (_ABSENT, _ABSENT):
            continue
        if start + count > size:
            raise ValueError(f"the index of its shard points to byte {start + count} of {size}")
        yield start, count


def _decoded(file: BinaryIO, start: int, length: int, chunks: Chunks) -> int:
    """Bytes that a chunk has when it is decoded. Raises ValueError when they are not those of its values."""
    file.seek(start)
    size = _content(file.read(min(length, _HEADER))) if chunks.compressed else length
    if not chunks.compressed and chunks.checksum:
        size -= _CHECKSUM
    expected = chunks.values * (chunks.itemsize or _TEXT)
    if size != expected and (chunks.itemsize or size < expected + _TEXT):
        raise ValueError(f"a chunk holds {size} bytes, not the {expected} of its shape")
    return size


def _content(header: bytes) -> int:
    """Content size of a Zstandard frame from its first bytes. Raises ValueError where it does not tell it."""
    if len(header) < 6 or not header.startswith(_MAGIC):
        raise ValueError("a chunk is no frame of Zstandard")
    flags = header[4]
    single, field = flags >> 5 & 1, flags >> 6
    size = (single, 2, 4, 8)[field]
    start = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3]
    value = header[start : start + size]
    if not size or len(value) < size:
        raise ValueError("a chunk does not tell how much it holds")
    return int.from_bytes(value, "little") + (256 if field == 1 else 0)
