"""What the manifest says of an array: dimensions, shape, dtype, checksum."""

from __future__ import annotations

import hashlib
import warnings

import numpy as np
import zarr

from schemas import ArrayInfo
from skeltools.store.reading import Store, blocks, read_values


def describe(found: zarr.Array) -> ArrayInfo:
    """Dimensions, shape, dtype and checksum of an array, as the manifest lists them. Reads all of it."""
    return ArrayInfo(
        dimensions=dimension_names(found),
        shape=found.shape,
        dtype=dtype_name(found),
        sha256=checksum(found),
    )


def describe_at(root: zarr.Group, path: str) -> ArrayInfo:
    """As ``describe``, of the array at a path. Raises KeyError when there is none."""
    found = root[path]
    if not isinstance(found, zarr.Array):
        raise KeyError(f"{path} is a group")
    return describe(found)


def dimension_names(found: zarr.Array) -> tuple[str, ...]:
    """Names of the axes; empty when the array has none."""
    return tuple(str(name) for name in getattr(found.metadata, "dimension_names", None) or ())


def dtype_name(found: zarr.Array) -> str:
    """``string`` for text, else numpy's name."""
    return "string" if found.dtype.kind in "TUO" else str(found.dtype)


def checksum(found: zarr.Array) -> str:
    """Hex sha256 of the values in C order, little endian; of strings as UTF-8 joined by newlines.

    Reads one file of the array at a time.
    """
    digest = hashlib.sha256()
    if dtype_name(found) == "string":
        digest.update("\n".join(read_values(found).tolist()).encode())
        return digest.hexdigest()
    for block in blocks(found):
        values = np.ascontiguousarray(block)
        digest.update(values.astype(values.dtype.newbyteorder("<"), copy=False).data)
    return digest.hexdigest()


def describe_all(root: zarr.Group) -> dict[str, ArrayInfo]:
    """Every array below a group by its path, sorted; hidden ones are not part of the store."""
    return {path: describe(found) for path, found in _arrays(root).items()}


def array_paths(store: Store) -> tuple[str, ...]:
    """Paths of the arrays that are in the store, whatever the manifest lists."""
    return tuple(_arrays(store.root))


def _arrays(root: zarr.Group) -> dict[str, zarr.Array]:
    with warnings.catch_warnings():
        # Files beside the metadata, of which findings.csv is one, are no part of the hierarchy.
        warnings.filterwarnings("ignore", message="Object at .* is not recognized as a component")
        members = list(root.members(max_depth=None))
    arrays = {path: found for path, found in members if isinstance(found, zarr.Array)}
    return {path: arrays[path] for path in sorted(arrays) if not path.startswith(".")}
