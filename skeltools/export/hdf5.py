"""A store, or a part of it, as one HDF5 file with the same paths."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from schemas import ArrayInfo
from skeltools import store
from skeltools.export import contents
from skeltools.export.contents import Content
from skeltools.export.selection import Selection

FOLDER = False
ONE_CONVENTION = ONE_STREAM = ONE_PROTOCOL = False

_LEVEL = 1  # of gzip, which every HDF5 library reads


def write(partial: Path, selection: Selection) -> None:
    """Arrays in chunks as those of the store; the manifest as JSON in the attribute ``manifest`` of the root.

    Lists and objects in the attributes of ``skeletons/<convention>`` and ``findings`` are JSON, too. Names of
    the axes are HDF5's dimension labels. All text is UTF-8 of fixed length: text of variable length lies in
    heaps, in which the library goes round in circles when they are damaged. The format of HDF5 1.8 is the
    oldest that holds attributes of this size.
    """
    arrays: dict[str, ArrayInfo] = {}
    with h5py.File(partial, "w", libver=("v108", "v108")) as file:
        found = (contents.columns, contents.graphs, contents.poses, contents.streams)
        for content in itertools.chain.from_iterable(part(selection) for part in found):
            arrays[content.path] = _copy(file, content)
        for name, spec in contents.specs(selection).items():
            attributes = file[f"skeletons/{name}"].attrs
            for key, value in spec.model_dump(mode="json").items():
                attributes[key] = value if isinstance(value, int) else _text(value)
        findings = store.read_findings(selection.opened)
        rows = [row.model_dump(mode="json") for row in findings]
        file.create_group("findings").attrs["rows"] = _text(rows)
        file.attrs["manifest"] = _text(contents.manifest(selection, arrays).model_dump_json())


def _text(value: Any) -> np.bytes_:
    """Text as it is, anything else as JSON."""
    return np.bytes_((value if isinstance(value, str) else json.dumps(value)).encode())


def _copy(file: h5py.File, content: Content) -> ArrayInfo:
    """Write an array and return what it is, its checksum as that of the store's format."""
    text = content.dtype == "string"
    made = file.create_dataset(
        content.path,
        shape=content.shape,
        dtype=h5py.string_dtype(length=_longest(content)) if text else content.dtype,
        chunks=_chunks(content),
        compression="gzip" if content.shape and not text else None,
        compression_opts=_LEVEL if content.shape and not text else None,
        shuffle=bool(content.shape and not text),
        track_times=False,
    )
    for axis, name in enumerate(content.dimensions):
        made.dims[axis].label = name
    digest, start = hashlib.sha256(), 0
    for block in _pieces(content):
        made[start : start + len(block)] = [name.encode() for name in block] if text else block
        start += len(block)
        digest.update("\n".join(block.tolist()).encode() if text else _bytes(block))
    return ArrayInfo(
        dimensions=content.dimensions, shape=content.shape, dtype=content.dtype, sha256=digest.hexdigest()
    )


def _longest(content: Content) -> int:
    """Bytes of the longest text of a column."""
    return max((len(name.encode()) for block in content.blocks() for name in block), default=1)


def _bytes(block: NDArray[Any]) -> bytes:
    return block.astype(block.dtype.newbyteorder("<"), copy=False).tobytes()


def _chunks(content: Content) -> tuple[int, ...] | None:
    """Rows of a chunk as in the store; small arrays are one chunk."""
    rows = store.SAMPLE_CHUNK if content.path.startswith("streams/") else store.FRAME_CHUNK
    small = content.path.split("/")[0] not in ("streams", "sequences") or len(content.shape) == 1
    first = content.shape[0] if small else min(rows, content.shape[0])
    return None if 0 in content.shape else (first, *content.shape[1:])


def _pieces(content: Content) -> Iterator[NDArray[Any]]:
    """Blocks of whole chunks, so that none is compressed twice."""
    chunks = _chunks(content)
    waiting: list[NDArray[Any]] = []
    for block in content.blocks():
        waiting.append(block)
        rows = np.concatenate(waiting) if len(waiting) > 1 else block
        whole = len(rows) - len(rows) % (chunks[0] if chunks else 1)
        if whole:
            yield rows[:whole]
        waiting = [rows[whole:]] if whole < len(rows) else []
    yield from waiting
