"""Check untrusted files of ``torch.save`` for what PyTorch's own reader does not limit.

It needs no PyTorch, and is shared because both packages read such files and neither imports the other.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import BinaryIO

from schemas import regular

_ALLOCATES = b"bytearray\n"
"""The end of the pickle operation that names ``bytearray``.

Of the callables that ``weights_only`` allows, it alone allocates as much memory as its argument says: 60
bytes become gigabytes.
"""
_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_PIECE = 2**20


def check(path: Path) -> int:
    """Size in bytes of a file that PyTorch may read.

    Raises ValueError for what is no regular file, or neither a zip file nor a pickle, for a zip file with
    compressed members (``torch.save`` writes none), and for a pickle that calls ``bytearray``.
    """
    size = regular.check(path)
    with regular.open_file(path) as file:
        is_zip = file.read(len(_ZIP)) == _ZIP or zipfile.is_zipfile(path)
        if is_zip and any(member.compress_type for member in _members(file)):
            raise ValueError("has compressed members, which torch.save never writes")
        file.seek(0)
        if not is_zip and file.read(1) != _PICKLE:
            raise ValueError("is no file of torch.save")
        file.seek(0)
        end = b""
        while piece := file.read(_PIECE):
            if _ALLOCATES in end + piece:
                raise ValueError("calls bytearray, as no file of weights does")
            end = piece[-len(_ALLOCATES) :]
    return size


def _members(file: BinaryIO) -> list[zipfile.ZipInfo]:
    try:
        return zipfile.ZipFile(file).infolist()
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise ValueError(f"is a damaged zip file: {error}") from error
