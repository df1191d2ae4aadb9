"""Read an HDF5 file itself, never another file that it links to, which may be a pipe or a secret."""

from __future__ import annotations

from math import prod
from typing import Any

import h5py

LARGEST_CHUNK = 2**30
"""Most bytes of a chunk, which HDF5 holds in memory whole, however little of it is wanted."""


def inside(group: h5py.Group, path: str) -> Any:
    """The group or dataset at a path below ``group``; None if it does not exist.

    Raises OSError, as h5py does for what it cannot read, for links that lead elsewhere, for datasets whose
    values are in other files, and for chunks of more than ``LARGEST_CHUNK`` bytes.
    """
    node: Any = group
    for part in filter(None, path.split("/")):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise OSError(f"{path} is a link, and links are not followed")
        node = node[part]
    if isinstance(node, h5py.Dataset):
        _check(node, path)
    return node


def _check(dataset: h5py.Dataset, path: str) -> None:
    if dataset.external or dataset.is_virtual:
        raise OSError(f"the values of {path} lie in other files, which are not opened")
    size = prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if size > LARGEST_CHUNK:
        raise OSError(f"{path} has chunks of {size} bytes (limit {LARGEST_CHUNK})")
