"""Describe arrays for the manifest: dimensions, shape, dtype, checksum."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import zarr

from schemas import ArrayInfo, regular
from schemas.guarded import METADATA, MOST_ATTRIBUTES
from skeltools.store.reading import Store, blocks, group, read_values

_THREADS = min(4, os.cpu_count() or 1)
"""Number of arrays that are read at a time, one file of each."""


def describe(array: zarr.Array) -> ArrayInfo:
    """Dimensions, shape, dtype and checksum of an array, as listed in the manifest; reads all of it."""
    return ArrayInfo(
        dimensions=dimension_names(array),
        shape=array.shape,
        dtype=dtype_name(array),
        sha256=checksum(array),
    )


def describe_at(root: zarr.Group, path: str) -> ArrayInfo:
    """``describe`` the array at a path; raises KeyError when there is none."""
    array = root[path]
    if not isinstance(array, zarr.Array):
        raise KeyError(f"{path} is a group")
    return describe(array)


def dimension_names(array: zarr.Array) -> tuple[str, ...]:
    """Names of the axes; empty if the array has none."""
    return tuple(str(name) for name in getattr(array.metadata, "dimension_names", None) or ())


def dtype_name(array: zarr.Array) -> str:
    """``string`` for text, else NumPy's name."""
    return "string" if array.dtype.kind in "TUO" else str(array.dtype)


def checksum(array: zarr.Array) -> str:
    """Hex SHA-256 of the values in C order, little endian; of strings as UTF-8, joined by newlines.

    Reads one file of the array at a time.
    """
    digest = hashlib.sha256()
    if dtype_name(array) == "string":
        digest.update("\n".join(read_values(array).tolist()).encode())
        return digest.hexdigest()
    for block in blocks(array):
        values = np.ascontiguousarray(block)
        digest.update(values.astype(values.dtype.newbyteorder("<"), copy=False).data)
    return digest.hexdigest()


def describe_all(root: zarr.Group) -> dict[str, ArrayInfo]:
    """Describe every array below a group, sorted by path; hidden ones are not part of the store."""
    arrays = _arrays(root)
    with ThreadPoolExecutor(_THREADS) as pool:  # decoding and hashing release the interpreter lock
        return dict(zip(arrays, pool.map(describe, arrays.values()), strict=True))


def describe_below(root: zarr.Group, paths: Iterable[str]) -> dict[str, ArrayInfo]:
    """``describe_all`` of some groups, with the paths of the arrays in the store."""
    return {
        f"{path}/{name}": info for path in paths for name, info in describe_all(group(root, path)).items()
    }


def strange_files(store: Store) -> Iterator[tuple[str, str]]:
    """(path, problem) of links, pipes and devices in the folder, and of arrays that are not listed."""
    store.received.bring_metadata()
    for path, entry in _entries(store.folder, ""):
        if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
            yield path, "is a link" if entry.is_symlink() else "is no regular file"
        elif entry.name == METADATA and _is_array(entry.path):
            place = path.removesuffix(f"/{METADATA}")
            if place not in store.manifest.arrays:
                yield place, "is in the store, but the manifest does not list it"


def _entries(folder: Path, name: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything in a folder and below it with its path, sorted, without hidden entries."""
    with os.scandir(folder / name) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    for entry in entries:
        path = f"{name}/{entry.name}".lstrip("/")
        if not entry.name.startswith("."):
            yield path, entry
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(folder, path)


def _is_array(path: str) -> bool:
    try:
        content = regular.read_json(Path(path), most=MOST_ATTRIBUTES)
    except (ValueError, OSError):
        return False
    return isinstance(content, dict) and content.get("node_type") == "array"


def _arrays(root: zarr.Group) -> dict[str, zarr.Array]:
    with warnings.catch_warnings():
        # Files beside the metadata, such as findings.csv, are not part of the hierarchy.
        warnings.filterwarnings("ignore", message="Object at .* is not recognized as a component")
        members = list(root.members(max_depth=None))
    arrays = {path: member for path, member in members if isinstance(member, zarr.Array)}
    return {path: arrays[path] for path in sorted(arrays) if not path.startswith(".")}
