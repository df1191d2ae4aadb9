"""Reading and writing a store of format 1 (docs/store-format.md). The only module here that touches zarr."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Sequence as Rows
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from pydantic import ValidationError
from zarr.codecs import BytesCodec, Crc32cCodec, ZstdCodec

from schemas import FORMAT, ArrayInfo, Finding, SkeletonSpec, StoreError, StoreManifest
from skeltools.graph import degenerate_partition, pad, spatial_partition
from skeltools.interrupts import uncut
from skeltools.sequence import Sequence

SAMPLE_CHUNK, SAMPLE_SHARD = 64, 2048
"""Rows of a stream per chunk and per file: the fastest whole-array load of those measured."""
FRAME_CHUNK, FRAME_SHARD = 2048, 32768
"""Frames of a sequence array per chunk and per file; a file of one convention stays below 70 MB raw."""

Array = zarr.Array
Group = zarr.Group
"""For the signatures of those who hand them on without touching zarr."""

STREAM_DIMENSIONS = ("N", "C", "T", "V", "M")
_METADATA = "zarr.json"


@dataclass(frozen=True)
class Store:
    """An open store; read its arrays with the functions of this module."""

    path: Path
    manifest: StoreManifest
    root: zarr.Group


def stream_path(convention: str, frames: int, kind: str) -> str:
    """Where a stream lies in a store.

    >>> stream_path("kinectv2_25", 50, "joint")
    'streams/kinectv2_25/t50/joint'
    """
    return f"streams/{convention}/t{frames}/{kind}"


# ---------------------------------------------------------------------------------------------- reading


def is_store(path: Path) -> bool:
    """Whether a folder claims to be a skeleton store of any format, be it damaged or newer than this code."""
    try:
        return "format" in json.loads((path / _METADATA).read_text(encoding="utf-8"))["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def open_store(path: Path | str) -> Store:
    """Open a store for reading. Raises StoreError: absent, no store, of a newer format, or damaged."""
    path = Path(path)
    manifest = _read_manifest(path)
    try:
        return Store(path, manifest, zarr.open_group(path, mode="r", zarr_format=3))
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def _read_manifest(path: Path) -> StoreManifest:
    attributes = _attributes(path)
    version = attributes.get("format")
    if not isinstance(version, int):
        raise _no_store(path)
    if version > FORMAT:
        raise StoreError(
            f"written by a newer version: format {version}, this one reads up to {FORMAT}",
            where=path,
            remedy="Upgrade skeltools, or convert the raw data again",
        )
    try:
        return StoreManifest.model_validate(attributes)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise _damaged(path, f"manifest, {place}: {first['msg']}") from error


def _attributes(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise StoreError(
            "no such store", where=path, remedy="`skeltools convert DATASET --out STORE` makes one"
        )
    try:
        metadata = json.loads((path / _METADATA).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _no_store(path) from error
    except (OSError, ValueError) as error:
        raise _damaged(path, f"{_METADATA}: {error}") from error
    attributes = metadata.get("attributes") if isinstance(metadata, dict) else None
    return attributes if isinstance(attributes, dict) else {}


def _no_store(path: Path) -> StoreError:
    remedy = "Name the folder that `skeltools convert DATASET --out STORE` wrote"
    return StoreError("is no skeleton store", where=path, remedy=remedy)


def _damaged(path: Path, why: object) -> StoreError:
    text = str(why).splitlines()[0] if str(why) else type(why).__name__
    return StoreError(f"damaged store ({text})", where=path, remedy="Convert the raw data again")


def array(store: Store, path: str) -> zarr.Array:
    """One array, not yet read. Raises StoreError that names the arrays of its kind when it is not there."""
    if path not in store.manifest.arrays:
        folder = path.split("/")[0]
        known = [name for name in store.manifest.arrays if name.startswith(folder)]
        raise StoreError(f"holds no {path}", where=store.path, remedy=f"It has: {', '.join(known) or 'none'}")
    try:
        found = store.root[path]
    except (KeyError, ValueError, OSError) as error:
        raise _damaged(store.path, f"{path} is listed but cannot be opened") from error
    if not isinstance(found, zarr.Array):
        raise _damaged(store.path, f"{path} is no array")
    return found


def read(store: Store, path: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
    """Rows ``start:stop`` of an array in memory; strings as an object array of ``str``."""
    found = array(store, path)
    try:
        return _values(found, start, stop)
    except (ValueError, OSError, RuntimeError) as error:
        raise _damaged(store.path, f"{path}: {error}") from error


def _values(found: zarr.Array, start: int = 0, stop: int | None = None) -> NDArray[Any]:
    values = np.asarray(found[start:stop])
    return values.astype(object) if values.dtype.kind in "TU" else values


def blocks(found: zarr.Array) -> Iterator[NDArray[Any]]:
    """The array in runs of rows that lie in one file each."""
    step = (found.shards or found.chunks)[0]
    for start in range(0, found.shape[0], step):
        yield _values(found, start, start + step)


def read_spec(store: Store, convention: str) -> SkeletonSpec:
    """The convention as the store records it."""
    try:
        return SkeletonSpec.model_validate(dict(store.root[f"skeletons/{convention}"].attrs))
    except (KeyError, ValueError) as error:
        raise _damaged(store.path, f"skeletons/{convention}: {error}") from error


def read_findings(store: Store) -> tuple[Finding, ...]:
    """The rows of ``findings``: every problem that the conversion met."""
    try:
        rows: Any = store.root["findings"].attrs["rows"]
        return tuple(Finding.model_validate(row) for row in rows)
    except (KeyError, ValueError, TypeError) as error:
        raise _damaged(store.path, f"findings: {error}") from error


def read_sequences(store: Store, convention: str) -> Iterator[Sequence | None]:
    """Every row's Sequence of one convention, in order; None where the convention lacks the sample.

    Holds at most FRAME_SHARD frames (or one clip) in memory. Body ids are the places on axis M: the source's
    own ids are not kept.
    """
    group = f"sequences/{convention}"
    offsets = read(store, f"{group}/offsets").tolist()
    columns = _columns(store)
    for first, last in _blocks(offsets, FRAME_SHARD):
        low, high = offsets[first], offsets[last]
        block = {part: read(store, f"{group}/{part}", low, high) for part in ("joints", "present", "order")}
        for row in range(first, last):
            frames = slice(offsets[row] - low, offsets[row + 1] - low)
            clip = {part: values[frames] for part, values in block.items()}
            fields = {name: values[row] for name, values in columns.items()}
            yield _sequence(convention, clip, fields) if len(clip["joints"]) else None


def _columns(store: Store) -> dict[str, list[Any]]:
    fields = ("id", "label", "subject", "camera", "setup", "repetition")
    return {name: read(store, f"samples/{name}").tolist() for name in fields}


def _blocks(offsets: Rows[int], limit: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows that hold up to ``limit`` frames together, or a single row."""
    first = 0
    for row in range(1, len(offsets)):
        if offsets[row] - offsets[first] > limit and row - 1 > first:
            yield first, row - 1
            first = row - 1
    if first < len(offsets) - 1:
        yield first, len(offsets) - 1


def _sequence(convention: str, clip: Mapping[str, NDArray[Any]], fields: Mapping[str, Any]) -> Sequence:
    used = np.flatnonzero(clip["present"].any(axis=0))
    bodies = int(used[-1]) + 1 if used.size else 1
    return Sequence(
        convention=convention,
        joints=clip["joints"][:, :bodies],
        present=clip["present"][:, :bodies],
        order=clip["order"][:, :bodies],
        body_ids=tuple(range(bodies)),
        **fields,
    )


# ---------------------------------------------------------------------------------------------- writing


@uncut()
def create(path: Path) -> zarr.Group:
    """A new, empty root group at a path that must not exist."""
    return zarr.open_group(path, mode="w-", zarr_format=3)


def reopen(path: Path) -> zarr.Group:
    """The root group of an unfinished store, for writing."""
    return zarr.open_group(path, mode="r+", zarr_format=3)


@uncut()
def write_manifest(path: Path, manifest: StoreManifest) -> None:
    """Replace the root's attributes in one step: a reader sees the old manifest or the new one."""
    target = path / _METADATA
    metadata = json.loads(target.read_text(encoding="utf-8"))
    metadata["attributes"] = manifest.model_dump(mode="json")
    written = path / f".{_METADATA}.{os.getpid()}"
    written.write_text(json.dumps(metadata, indent=2), encoding="utf-8")
    os.replace(written, target)


@uncut()
def move_array(source: Path, target: Path, path: str) -> None:
    """Rename an array from one store folder into another, in place of an older one if there is one."""
    place, aside = target / path, target / f"{path}.replaced"
    for above in reversed(place.relative_to(target).parents[:-1]):
        if not (target / above / _METADATA).exists():
            (target / above).mkdir(exist_ok=True)
            shutil.copyfile(source / above / _METADATA, target / above / _METADATA)
    shutil.rmtree(aside, ignore_errors=True)
    if place.exists():
        place.rename(aside)
    (source / path).rename(place)
    shutil.rmtree(aside, ignore_errors=True)


@uncut()
def write_graphs(root: zarr.Group, specs: Mapping[str, SkeletonSpec]) -> None:
    """``skeletons/<convention>``: the spec as attributes; graphs and mask, padded to the largest one."""
    largest = max(spec.num_joints for spec in specs.values())
    for name, spec in specs.items():
        group = f"skeletons/{name}"
        root.require_group(group).attrs.put(spec.model_dump(mode="json"))
        for path, (values, dimensions) in graphs(spec, largest).items():
            write_array(root, f"{group}/{path}", values, dimensions)


def graphs(spec: SkeletonSpec, size: int) -> dict[str, tuple[NDArray[Any], tuple[str, ...]]]:
    """Name -> (array, dimensions) of a convention's graphs, padded to ``size`` joints."""
    adjacency, mask = pad(spatial_partition(spec), size)
    degenerate, _ = pad(degenerate_partition(spec), size)
    return {
        "adjacency": (adjacency, ("K", "V", "W")),
        "adjacency_degenerate": (degenerate, ("K", "V", "W")),
        "joint_mask": (mask, ("V",)),
    }


@uncut()
def write_findings(root: zarr.Group, findings: Iterable[Finding]) -> None:
    """``findings``: one attribute, ``rows``."""
    root.require_group("findings").attrs.put({"rows": [row.model_dump(mode="json") for row in findings]})


@uncut()
def write_array(root: zarr.Group, path: str, values: NDArray[Any], dimensions: tuple[str, ...]) -> None:
    """A small array in one chunk: columns of ``samples``, splits, offsets, graphs."""
    chunks = tuple(max(1, size) for size in values.shape)
    made = root.create_array(
        path,
        shape=values.shape,
        dtype=str if values.dtype == object else values.dtype,
        chunks=chunks,
        fill_value="" if values.dtype == object else 0,
        filters=None,
        serializer="auto" if values.dtype == object else BytesCodec(endian="little"),
        compressors=_compressors(),
        dimension_names=dimensions,
        config={"write_empty_chunks": False},
    )
    if values.size:
        made[...] = values


def _compressors() -> tuple[ZstdCodec, Crc32cCodec]:
    return ZstdCodec(level=1, checksum=False), Crc32cCodec()


class ArrayWriter:
    """Appends rows to one sharded array. Writes a whole file at a time and buffers less than one."""

    @uncut()
    def __init__(
        self,
        root: zarr.Group,
        path: str,
        *,
        dimensions: tuple[str, ...],
        row: tuple[int, ...],
        dtype: str,
        chunk: int,
        shard: int,
    ) -> None:
        self.row = row
        self.rows = 0
        self._buffer = np.zeros((shard, *row), dtype=dtype)
        self._filled = 0
        self._array = root.create_array(
            path,
            shape=(0, *row),
            dtype=dtype,
            chunks=(chunk, *row),
            shards=(shard, *row),
            fill_value=0,
            filters=None,
            serializer=BytesCodec(endian="little"),
            compressors=_compressors(),
            dimension_names=dimensions,
            config={"write_empty_chunks": False},
        )

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows ``[n, ...]``; axes shorter than the array's are filled up with zeros behind."""
        behind = tuple(slice(0, size) for size in rows.shape[1:])
        while len(rows):
            taken = min(len(rows), len(self._buffer) - self._filled)
            place = slice(self._filled, self._filled + taken)
            self._buffer[place] = 0
            self._buffer[(place, *behind)] = rows[:taken]
            self._filled += taken
            rows = rows[taken:]
            if self._filled == len(self._buffer):
                self._flush()

    @uncut()
    def close(self, second_axis: int | None = None) -> None:
        """Write what is left; ``second_axis`` cuts axis 1 to the size that is needed (chunks keep theirs)."""
        self._flush()
        if second_axis is not None:
            first, _, *rest = self._array.shape
            self._array.resize((first, second_axis, *rest))

    @uncut()
    def _flush(self) -> None:
        if self._filled:
            stop = self.rows + self._filled
            self._array.resize((stop, *self._array.shape[1:]))
            self._array[self.rows : stop] = self._buffer[: self._filled]
            self.rows, self._filled = stop, 0


def stream_writer(root: zarr.Group, path: str, *, frames: int, joints: int, bodies: int) -> ArrayWriter:
    """Writer of one stream ``[N, 3, T, V, M]`` float32."""
    return ArrayWriter(
        root,
        path,
        dimensions=STREAM_DIMENSIONS,
        row=(3, frames, joints, bodies),
        dtype="float32",
        chunk=SAMPLE_CHUNK,
        shard=SAMPLE_SHARD,
    )


def sequence_writers(
    root: zarr.Group, convention: str, *, joints: int, bodies: int
) -> dict[str, ArrayWriter]:
    """Writers of ``joints`` [F, M, V, 3], ``present`` [F, M] and ``order`` [F, M] of one convention."""
    shapes: dict[str, tuple[tuple[str, ...], tuple[int, ...], str]] = {
        "joints": (("F", "M", "V", "C"), (bodies, joints, 3), "float32"),
        "present": (("F", "M"), (bodies,), "bool"),
        "order": (("F", "M"), (bodies,), "int8"),
    }
    return {
        part: ArrayWriter(
            root,
            f"sequences/{convention}/{part}",
            dimensions=dimensions,
            row=row,
            dtype=dtype,
            chunk=FRAME_CHUNK,
            shard=FRAME_SHARD,
        )
        for part, (dimensions, row, dtype) in shapes.items()
    }


# ------------------------------------------------------------------------------------------- describing


def describe(found: zarr.Array) -> ArrayInfo:
    """Dimensions, shape, dtype and checksum of an array, as the manifest lists them. Reads all of it."""
    return ArrayInfo(
        dimensions=dimension_names(found),
        shape=found.shape,
        dtype=dtype_name(found),
        sha256=checksum(found),
    )


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
        digest.update("\n".join(_values(found).tolist()).encode())
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
    arrays = {path: found for path, found in root.members(max_depth=None) if isinstance(found, zarr.Array)}
    return {path: arrays[path] for path in sorted(arrays) if not path.startswith(".")}
