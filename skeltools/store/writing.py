"""Write the arrays, graphs and manifest of a store that is being made."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, Crc32cCodec, ZstdCodec
from zarr.core.sync import sync
from zarr.storage import LocalStore

from schemas import Finding, SkeletonSpec, StoreManifest
from skeltools.files.durable import uncut
from skeltools.graph import degenerate_partition, pad, spatial_partition
from skeltools.store import findings as findings_file
from skeltools.store import layout
from skeltools.store.layout import METADATA, STREAM_DIMENSIONS


@uncut()
def create(path: Path) -> zarr.Group:
    """Create a new, empty root group at a path that must not exist."""
    return zarr.open_group(path, mode="w-", zarr_format=3)


def restart(path: Path, rows: Mapping[str, int]) -> zarr.Group:
    """Create a root group where an interrupted run left whole files of growing arrays; all else is removed.

    ``rows``: array path -> rows in files that are known to be complete. Metadata, small arrays, files after
    these rows and what zarr had not renamed yet are removed; writers create the metadata again.
    """
    sizes = {"streams": layout.SAMPLE_SHARD, "sequences": layout.FRAME_SHARD}
    complete = {name: range(count // sizes[name.split("/")[0]]) for name, count in rows.items()}
    for file in [file for file in path.rglob("*") if file.is_file()]:
        name, _, chunk = file.relative_to(path).as_posix().rpartition("/c/")
        first = chunk.split("/")[0]
        if not (first.isdecimal() and int(first) in complete.get(name, ()) and file.name.isdecimal()):
            file.unlink()
    return zarr.open_group(path, mode="a", zarr_format=3)


def reopen(path: Path) -> zarr.Group:
    """Open the root group of an unfinished store for writing."""
    return zarr.open_group(path, mode="r+", zarr_format=3)


@uncut()
def write_manifest(path: Path, manifest: StoreManifest) -> None:
    """Replace the root's attributes in one step: a reader sees the old manifest or the new one."""
    target = path / METADATA
    metadata = json.loads(target.read_text(encoding="utf-8"))
    metadata["attributes"] = manifest.model_dump(mode="json")
    written = path / f".{METADATA}.{os.getpid()}"
    written.write_text(json.dumps(metadata, indent=2), encoding="utf-8")
    os.replace(written, target)


@uncut()
def remove(root: zarr.Group, path: str) -> None:
    """Remove an array or group, if it exists."""
    if path in root:
        del root[path]


def remove_empty(root: zarr.Group, path: str) -> None:
    """Remove an array that contains only zeros, of which no chunk is stored."""
    if not (folder_of(root) / path / "c").is_dir():
        remove(root, path)


@uncut()
def write_graphs(root: zarr.Group, specs: Mapping[str, SkeletonSpec]) -> None:
    """Write ``skeletons/<convention>``: the spec as attributes; graphs and mask, padded to the largest."""
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
    """Write ``findings``: one attribute, ``rows``, and the same as a table in the file ``findings.csv``."""
    rows = list(findings)
    root.require_group("findings").attrs.put({"rows": [row.model_dump(mode="json") for row in rows]})
    findings_file.write(folder_of(root), rows)


def folder_of(root: zarr.Group) -> Path:
    """Folder of a root group."""
    place = root.store
    assert isinstance(place, LocalStore)
    return Path(place.root)


@uncut()
def write_array(root: zarr.Group, path: str, values: NDArray[Any], dimensions: tuple[str, ...]) -> None:
    """Write a small array in one chunk: columns of ``samples``, splits, offsets, graphs."""
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


def write_offsets(root: zarr.Group, convention: str, frames: Sequence[int]) -> None:
    """Write ``offsets`` [N + 1] of a convention: where the frames of each row begin, and the end of all."""
    offsets = np.concatenate([[0], np.cumsum(frames, dtype=np.int64)]).astype(np.int64)
    write_array(root, f"sequences/{convention}/offsets", offsets, ("N+1",))


def _compressors() -> tuple[ZstdCodec, Crc32cCodec]:
    return ZstdCodec(level=1, checksum=False), Crc32cCodec()


class ArrayWriter:
    """Append rows to one sharded array, writing a whole file at a time and buffering less than one."""

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
        rows: int = 0,
    ) -> None:
        """``rows``: rows that exist in whole files; only what describes the array is created again."""
        self.row = row
        self.rows = rows
        self.shard = shard
        self.dtype = np.dtype(dtype)
        self._buffer: NDArray[Any] | None = None
        self._filled = 0
        self._array = root.create_array(
            path,
            shape=(rows, *row),
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
        """Add rows ``[n, ...]``; axes shorter than the array's are padded with zeros at the end."""
        behind = tuple(slice(0, size) for size in rows.shape[1:])
        while len(rows):
            if not self._filled and len(rows) >= self.shard and rows.shape[1:] == self.row:
                taken = self.shard
                self._write(rows[:taken])
            else:
                if self._buffer is None:
                    self._buffer = np.zeros((self.shard, *self.row), dtype=self.dtype)
                taken = min(len(rows), self.shard - self._filled)
                place = slice(self._filled, self._filled + taken)
                self._buffer[place] = 0
                self._buffer[(place, *behind)] = rows[:taken]
                self._filled += taken
                if self._filled == self.shard:
                    self.flush()
            rows = rows[taken:]

    @uncut()
    def close(self, second_axis: int | None = None) -> None:
        """Write what is left; ``second_axis`` cuts axis 1 to the size that is needed (chunks keep theirs)."""
        self.flush()
        self._buffer = None
        if second_axis is not None:
            first, _, *rest = self._array.shape
            self._array.resize((first, second_axis, *rest))

    def flush(self) -> None:
        """Write the buffered rows; after a file that is not full, nothing more may be appended."""
        if self._filled and self._buffer is not None:
            self._write(self._buffer[: self._filled])
            self._filled = 0

    @uncut()
    def _write(self, rows: NDArray[Any]) -> None:
        stop = self.rows + len(rows)
        self._array.resize((stop, *self._array.shape[1:]))
        self._array[self.rows : stop] = rows
        self.rows = stop


def stream_writer(
    root: zarr.Group, path: str, *, frames: int, joints: int, bodies: int, rows: int = 0
) -> ArrayWriter:
    """Writer of one stream ``[N, 3, T, V, M]`` float32, of which ``rows`` rows exist."""
    return ArrayWriter(
        root,
        path,
        dimensions=STREAM_DIMENSIONS,
        row=(3, frames, joints, bodies),
        dtype="float32",
        chunk=layout.SAMPLE_CHUNK,
        shard=layout.SAMPLE_SHARD,
        rows=rows,
    )


def sequence_writers(
    root: zarr.Group, convention: str, *, joints: int, bodies: int, rows: Mapping[str, int] | None = None
) -> dict[str, ArrayWriter]:
    """Writers of ``joints`` [F, M, V, 3], ``present``, ``order`` [F, M] and ``OF_JOINTS`` [F, M, V].

    ``rows``: path of an array -> rows that exist.
    """
    shapes: dict[str, tuple[tuple[str, ...], tuple[int, ...], str]] = {
        "joints": (("F", "M", "V", "C"), (bodies, joints, 3), "float32"),
        "present": (("F", "M"), (bodies,), "bool"),
        "order": (("F", "M"), (bodies,), "int8"),
        **{part: (("F", "M", "V"), (bodies, joints), dtype) for part, dtype in layout.OF_JOINTS.items()},
    }
    return {
        part: ArrayWriter(
            root,
            f"sequences/{convention}/{part}",
            dimensions=dimensions,
            row=row,
            dtype=dtype,
            chunk=layout.FRAME_CHUNK,
            shard=layout.FRAME_SHARD,
            rows=(rows or {}).get(f"sequences/{convention}/{part}", 0),
        )
        for part, (dimensions, row, dtype) in shapes.items()
    }


def finish_writes() -> None:
    """Wait until zarr's thread has ended every write.

    After an error in one of several files it still writes the others, and would do so into a folder that is
    being removed.
    """

    async def others() -> None:
        current = asyncio.current_task()
        await asyncio.gather(
            *(task for task in asyncio.all_tasks() if task is not current), return_exceptions=True
        )

    sync(others())
