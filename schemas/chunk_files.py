"""Check the files of an array's values before they are decoded.

The Zarr v3 sharding codec (ZEP 2) and the frame header of Zstandard (RFC 8878, section 3.1.1.1) state how
much they contain.
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
"""Decoded content of a file may have ``FLOOR`` bytes, plus ``RATIO`` per byte of the file.

A pose of one frame, repeated to a stream of 300, reaches a ratio of 300.
"""

_ABSENT = 2**64 - 1
"""Offset and length of a chunk that a shard does not store."""
_CHECKSUM = 4
_HEADER = 18
"""Bytes of the longest frame header, including its magic number."""
_MAGIC = b"\x28\xb5\x2f\xfd"
_LONG_TEXT = 1024
"""Most bytes of a text, on average."""
_TEXT = 4
"""Bytes of the number of texts in ``vlen-utf8``, and of the length of each."""


def check_file(root: str, name: str, chunks: Chunks) -> None:
    """Raise ValueError if a file of an array is not a sound, regular file of the folder ``root``.

    It must be able to hold what the array's metadata state: no index that points outside, no values of
    another size. An absent file is accepted.
    """
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
    """Paths, in the store, of the files of an array, in C order; files of zeros only may be absent."""
    return ("/".join([path, "c", *map(str, place)]) for place in product(*map(range, chunks.files)))


def most(chunks: Chunks) -> int:
    """Most bytes of a file of an array: Zstandard hardly enlarges what it cannot compress."""
    return FLOOR + 2 * chunks.count * chunks.values * (chunks.itemsize or _LONG_TEXT)


def check_whole(path: str, chunks: Chunks, size: Callable[[str], int | None]) -> None:
    """Raise ValueError if the files of an array cannot hold as much as its shape promises.

    ``size``: bytes of a file of the store, None if it does not exist.
    """
    stored = 0
    for name in names(path, chunks):
        if chunks.promised <= FLOOR + RATIO * stored:
            return
        stored += size(name) or 0
    if chunks.promised > FLOOR + RATIO * stored:
        raise ValueError(f"its shape promises {chunks.promised} bytes, but its files have {stored}")


def check_text(root: str, path: str, chunks: Chunks) -> None:
    """``check_whole`` for texts that are all different, so that every chunk of them must be stored."""
    for name in names(path, chunks):
        if prod(chunks.shape) > 1 and not os.path.exists(os.path.join(root, name)):
            raise ValueError(f"the file {name} is not there")
        check_file(root, name, chunks)


def _stored(file: BinaryIO, size: int, chunks: Chunks) -> Iterator[tuple[int, int]]:
    """(start, length) of each chunk that a shard stores."""
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
    """Bytes of a decoded chunk; raises ValueError if they are not those of its values."""
    file.seek(start)
    size = _content(file.read(min(length, _HEADER))) if chunks.compressed else length
    if not chunks.compressed and chunks.checksum:
        size -= _CHECKSUM
    expected = chunks.values * (chunks.itemsize or _TEXT)
    if size != expected and (chunks.itemsize or size < expected + _TEXT):
        raise ValueError(f"a chunk holds {size} bytes, not the {expected} of its shape")
    return size


def _content(header: bytes) -> int:
    """Content size in the header of a Zstandard frame; raises ValueError if it is not stated."""
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
