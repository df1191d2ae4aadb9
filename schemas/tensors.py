"""Files of ``torch.save`` from elsewhere: what PyTorch's reader takes on trust is looked at before it.

It stands here, without PyTorch, because both packages read such files and neither imports the other.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from schemas import regular

_ALLOCATES = b"bytearray\n"
"""The end of the operation that names ``bytearray``, the one callable among those that ``weights_only`` lets
a pickle call which fills as much memory as it is told to: 60 bytes become gigabytes."""
_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_PIECE = 2**20


def check(path: Path) -> int:
    """Bytes of a file that PyTorch may read. Raises ValueError for no regular file, for what is neither a zip
    file nor a pickle, for members of a zip file
    that are packed, which ``torch.save`` writes none of, and for a pickle that calls ``bytearray``."""
    size = regular.check(path)
    with regular.open_file(path) as file:
        is_zip = file.read(len(_ZIP)) == _ZIP or zipfile.is_zipfile(path)
        if is_zip and any(member.compress_type for member in zipfile.ZipFile(file).infolist()):
            raise ValueError("is packed, as torch.save packs nothing")
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
