"""What lies in an HDF5 file itself: nothing is followed into another, which may be a pipe or a secret."""

from __future__ import annotations

from math import prod
from typing import Any

import h5py

LARGEST_CHUNK = 2**30
"""Bytes of a chunk, which HDF5 holds whole in memory however little of it is wanted."""


def inside(group: h5py.Group, path: str) -> Any:
    """The group or dataset at a path below ``group``; None where there is none.

    Raises OSError, as h5py does for what it cannot read, for links that lead elsewhere, for datasets whose
    values lie in other files, and for chunks of more than ``LARGEST_CHUNK`` bytes.
    """
    found: Any = group
    for part in filter(None, path.split("/")):
        link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise OSError(f"{path} is a link, and links are not followed")
        found = found[part]
    if isinstance(found, h5py.Dataset):
        _check(found, path)
    return found


def _check(found: h5py.Dataset, path: str) -> None:
    if found.external or found.is_virtual:
        raise OSError(f"the values of {path} lie in other files, which are not opened")
    size = prod(found.chunks or ()) * found.dtype.itemsize
    if size > LARGEST_CHUNK:
        raise OSError(f"{path} has chunks of {size} bytes (limit {LARGEST_CHUNK})")
