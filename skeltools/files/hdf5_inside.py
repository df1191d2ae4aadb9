"""Read an HDF5 file itself, never another file that it links to, which may be a pipe or a secret."""

from __future__ import annotations

import zlib
from math import prod
from pathlib import Path
from typing import Any

import h5py

from schemas import regular
from skeltools.files.unchanged import while_unchanged

LARGEST_CHUNK = 2**27
"""Most bytes of a chunk. HDF5 holds a chunk whole in memory, twice with filters, however little is wanted."""

_DEFLATE_RATIO = 1032
"""Largest ratio by which deflated bytes can inflate (zlib.net/zlib_tech.html)."""
_PIECE = 2**20
_FILTERS = frozenset(
    {
        h5py.h5z.FILTER_DEFLATE,
        h5py.h5z.FILTER_SHUFFLE,
        h5py.h5z.FILTER_FLETCHER32,
        h5py.h5z.FILTER_LZF,
    }
)


def open_hdf5(path: str | Path) -> h5py.File:
    """Open a file for reading. Raises OSError as h5py does, ValueError for a pipe or a device."""
    regular.check(Path(path))
    return h5py.File(path, "r")


def inside(group: h5py.Group, path: str) -> Any:
    """The group or dataset at a path below ``group``; None if it does not exist.

    Raises OSError, as h5py does for what it cannot read, for links that lead elsewhere, for datasets whose
    values are in other files, and for chunks that are, or expand to, more than ``LARGEST_CHUNK`` bytes.
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
    if dataset.id.get_create_plist().get_nfilters():
        _check_chunks(dataset.file.filename, dataset.name)


@while_unchanged(256)
def _check_chunks(file: str, name: str) -> None:
    """Check the filters and compressed chunks of a dataset: HDF5 allocates whatever comes out of them.

    Raises OSError for unusual or repeated filters, and for chunks that inflate to more than their shape.
    """
    with h5py.File(file, "r") as handle:
        dataset = handle[name]
        plist = dataset.id.get_create_plist()
        filters = [plist.get_filter(number)[0] for number in range(plist.get_nfilters())]
        if len({*filters}) < len(filters) or not _FILTERS.issuperset(filters):
            raise OSError(f"{name} uses unusual filters; write it with gzip or without compression")
        if h5py.h5z.FILTER_DEFLATE not in filters:
            return
        if filters[filters.index(h5py.h5z.FILTER_DEFLATE) + 1 :] not in ([], [h5py.h5z.FILTER_FLETCHER32]):
            raise OSError(f"{name} uses unusual filters; write it with gzip or without compression")
        claimed, held = prod(dataset.chunks) * dataset.dtype.itemsize, Path(file).stat().st_size
        large: list[tuple[tuple[int, ...], int]] = []

        def look(chunk: Any) -> None:
            if chunk.size * _DEFLATE_RATIO > LARGEST_CHUNK:
                large.append((tuple(chunk.chunk_offset), chunk.size))

        dataset.id.chunk_iter(look)
        for place, size in large:
            if size > held:  # of a damaged index: HDF5 would allocate as much
                raise OSError(f"a chunk of {name} claims {size} bytes in a file of {held}")
            if not _fits(dataset.id.read_direct_chunk(place)[1], claimed):
                raise OSError(f"a chunk of {name} holds more than the {claimed} bytes of its shape")


def _fits(deflated: bytes, claimed: int) -> bool:
    """Whether at most ``claimed`` bytes come out; data that is not deflated is left to HDF5."""
    inflate = zlib.decompressobj()
    while deflated and claimed >= 0:
        try:
            claimed -= len(inflate.decompress(deflated, _PIECE))
        except zlib.error:
            return True
        deflated = b"" if inflate.eof else inflate.unconsumed_tail
    return claimed >= 0
