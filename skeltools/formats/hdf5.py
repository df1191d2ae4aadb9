"""HDF5 files written by ``skeltools export --to hdf5``, with the paths of a store.

docs/reference/store-format.md describes these paths. ``samples``, ``splits`` and ``sequences`` are read, as
well as the manifest, JSON in the root's attribute ``manifest``. All conventions of the file are imported
unchanged.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from schemas import ArrayInfo, Finding, RawDataError, SkeletonSpec, StoreManifest
from skeltools import datasets, skeletons, store
from skeltools.files.hdf5_inside import inside, open_hdf5
from skeltools.files.unchanged import while_unchanged
from skeltools.formats import archives, contents
from skeltools.formats.archives import About
from skeltools.formats.contents import Content
from skeltools.formats.note import TOOL, bodies_of, parse, spec_from
from skeltools.formats.selection import Selection
from skeltools.raw_items import HDF5_ERRORS, MAX_BYTES, Listing, RawItem, skipped
from skeltools.sequence import SkeletonSequence

FOLDER = False
ONE_CONVENTION = ONE_STREAM = ONE_PROTOCOL = ONLY_SEQUENCES = NEEDS_LABELS = False

_LEVEL = 1  # gzip level; every HDF5 library reads gzip


MANIFEST = "manifest"

_COLUMNS = ("label", "subject", "camera", "setup", "repetition")


@dataclass(frozen=True)
class _File:
    handle: h5py.File
    manifest: StoreManifest
    ids: list[str]
    rows: dict[str, int]
    columns: dict[str, list[int]]
    offsets: dict[str, list[int]]
    """Convention -> N + 1 frame offsets."""


def discover(raw: Path, *, specs: Mapping[str, SkeletonSpec] | None = None) -> Listing:
    """List the samples in every convention of the file.

    ``specs``: conventions that do not ship with the package. Raises RawDataError: no such file, damaged, or a
    convention with a different number of joints.
    """
    path = archives.only_file(raw, "HDF5", ("*.h5", "*.hdf5"))
    opened = _open(path)
    findings: list[Finding] = []
    items: list[RawItem] = []
    for name in opened.offsets:
        if name not in (specs or {}) and name not in skeletons.names():
            detail = f"'{name}'; name its JSON file with --convention"
            findings.append(skipped(path.name, "unknown convention", detail))
            continue
        items += _items(opened, (specs or {}).get(name) or skeletons.load(name), name, path)
    return Listing(
        tuple(sorted(items, key=lambda item: (item.id, item.convention))),
        tuple(findings),
        halves=_halves(opened, path),
        rules={name: info.rule for name, info in opened.manifest.protocols.items()},
        classes=opened.manifest.classes,
        synthetic=opened.manifest.synthetic,
    )


def about(raw: Path) -> About:
    """Describe the archive from its manifest. Raises the same errors as ``discover``."""
    path = archives.only_file(raw, "HDF5", ("*.h5", "*.hdf5"))
    opened = _open(path)
    manifest, specs = opened.manifest, _specs(opened, path)
    own = None if manifest.dataset in datasets.NAMES else manifest.dataset
    record = {"tool": TOOL, "dataset": own, "classes": manifest.classes, "bodies": bodies_of(manifest)}
    note = parse(record, path)
    joints = tuple(spec.num_joints for spec in specs.values())
    flat = any(info.coordinates == "xy" for info in manifest.conventions.values())
    return About(joints, note.bodies or 1, len(manifest.classes), flat=flat, note=note, specs=specs)


def _specs(opened: _File, path: Path) -> dict[str, SkeletonSpec]:
    """The conventions of the file, as shipped with the package, else as the file describes them."""
    return {
        name: skeletons.load(name) if name in skeletons.names() else _spec(opened.handle, name, path)
        for name in opened.offsets
    }


def _spec(handle: h5py.File, name: str, path: Path) -> SkeletonSpec:
    """Read a convention from the attributes of its group: numbers, text, and JSON for the rest."""
    with _damages(path):
        attributes = inside(handle, f"skeletons/{name}").attrs
        values = {key: _attribute(attributes, key) for key in attributes if key in SkeletonSpec.model_fields}
    try:
        spec = spec_from(values)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"skeletons/{name}: {error}") from error
    if spec.name != name:
        raise _damaged(path, f"skeletons/{name} is called {spec.name}")
    return spec


def _attribute(attributes: Any, key: str) -> Any:
    if attributes.get_id(key).dtype.kind not in "Siu":
        raise ValueError(f"attribute {key} is no number and no text of fixed length")
    value = attributes[key]
    if not isinstance(value, bytes):
        return int(value)
    text = value.decode("utf-8")
    return json.loads(text) if text[:1] in ("[", "{") else text


def _items(opened: _File, spec: SkeletonSpec, name: str, path: Path) -> list[RawItem]:
    with _damages(path):
        frame = inside(opened.handle, f"sequences/{name}/joints").shape[1:]
    if frame[1] != spec.num_joints:
        raise archives.wrong_joints(frame[1], spec, f"{path}::sequences/{name}")
    bytes_of_frame = 4 * int(np.prod(frame))
    offsets = opened.offsets[name]
    return [
        RawItem(id, name, str(path), f"{name}/{id}", (stop - start) * bytes_of_frame)
        for id, start, stop in zip(opened.ids, offsets[:-1], offsets[1:], strict=True)
        if stop > start
    ]


def _halves(opened: _File, path: Path) -> dict[str, dict[str, int]]:
    halves = {}
    for name in opened.manifest.protocols:
        half = _column(opened.handle, f"splits/{name}", path).tolist()
        if len(half) != len(opened.ids) or not set(half) <= {0, 1, 2}:
            raise _damaged(path, f"splits/{name} is no column of {len(opened.ids)} values 0, 1 or 2")
        halves[name] = dict(zip(opened.ids, half, strict=True))
    return halves


def read(item: RawItem) -> SkeletonSequence:
    """Read one clip in one convention. Raises RawDataError."""
    path = Path(item.path)
    opened = _open(path)
    row = opened.rows[item.id]
    start, stop = opened.offsets[item.convention][row : row + 2]
    group = f"sequences/{item.convention}"
    with _damages(path):
        joints = inside(opened.handle, f"{group}/joints")
        archives.check_size((stop - start, *joints.shape[1:]), item)
        poses, order = joints[start:stop], inside(opened.handle, f"{group}/order")[start:stop]
        unseen, score = (
            _of_joints(opened.handle, f"{group}/{part}", start, stop, joints.shape)
            for part in ("unseen", "score")
        )
    fields = {name: int(values[row]) for name, values in opened.columns.items()}
    return archives.to_sequence(
        item, poses, label=fields["label"], order=order, protocol_fields=fields, unseen=unseen, score=score
    )


def _of_joints(
    handle: h5py.File, name: str, start: int, stop: int, shape: tuple[int, ...]
) -> NDArray[Any] | None:
    """``unseen`` or ``score`` [T, M, V] of a clip; None if the file does not have it."""
    dataset = inside(handle, name)
    if dataset is None:
        return None
    dtype = store.OF_JOINTS[name.rpartition("/")[2]]
    if not isinstance(dataset, h5py.Dataset) or dataset.shape != shape[:3] or dataset.dtype != dtype:
        raise ValueError(f"{name} is no {dtype} array {shape[:3]}")
    values = np.asarray(dataset[start:stop])
    return np.nan_to_num(values, nan=0, posinf=0, neginf=0) if values.dtype.kind == "f" else values


@while_unchanged(2)
def _open(path: Path) -> _File:
    with _damages(path):
        handle = open_hdf5(path)
        return _contents(handle, path)


def _contents(handle: h5py.File, path: Path) -> _File:
    if MANIFEST not in handle.attrs or handle.attrs.get_id(MANIFEST).dtype.kind != "S":
        raise RawDataError(
            f"no attribute {MANIFEST} of fixed length: it is no exported store",
            where=path,
            remedy="Name a file that `skeltools export --to hdf5` wrote",
        )
    try:
        manifest = StoreManifest.model_validate(json.loads(handle.attrs[MANIFEST]))
    except (ValidationError, RecursionError, *HDF5_ERRORS) as error:
        raise _damaged(path, f"manifest: {str(error).splitlines()[0]}") from error
    ids = _ids(handle, path)
    columns = {name: _column(handle, f"samples/{name}", path).tolist() for name in _COLUMNS}
    if any(len(values) != len(ids) for values in columns.values()):
        raise _damaged(path, "columns of samples differ in length")
    offsets = {name: _offsets(handle, name, len(ids), path) for name in manifest.conventions}
    return _File(handle, manifest, ids, {id: row for row, id in enumerate(ids)}, columns, offsets)


def _ids(handle: h5py.File, path: Path) -> list[str]:
    names = [archives.sample_id(name) for name in _column(handle, "samples/id", path).tolist()]
    ids = [id for id in names if id is not None]
    if len(ids) != len(names) or len(set(ids)) != len(ids):
        raise _damaged(path, "samples/id: an id is unusable or there twice")
    return ids


def _offsets(handle: h5py.File, convention: str, samples: int, path: Path) -> list[int]:
    group = f"sequences/{convention}"
    offsets = _column(handle, f"{group}/offsets", path)
    joints, order = inside(handle, f"{group}/joints"), inside(handle, f"{group}/order")
    whole = isinstance(joints, h5py.Dataset) and joints.ndim == 4 and joints.shape[3] == 3
    if not whole or joints.dtype.kind != "f":
        raise _damaged(path, f"{group}/joints is no array (F, M, V, 3) of numbers")
    if not isinstance(order, h5py.Dataset) or order.shape != joints.shape[:2] or order.dtype != np.int8:
        raise _damaged(path, f"{group}/order is no int8 array (F, M)")
    rising = offsets.dtype.kind in "iu" and len(offsets) == samples + 1 and not (np.diff(offsets) < 0).any()
    if not rising or offsets[0] != 0 or offsets[-1] != len(joints):
        raise _damaged(path, f"{group}/offsets do not lead from 0 to {len(joints)} in {samples} steps")
    return [int(offset) for offset in offsets]


def _column(handle: h5py.File, name: str, path: Path) -> NDArray[Any]:
    with _damages(path):
        dataset = inside(handle, name)
        if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 1:
            raise _damaged(path, f"no column {name}")
        if dataset.dtype.kind == "O":
            raise _damaged(path, f"{name} has text of variable length")
        if dataset.nbytes > MAX_BYTES:  # a dataset may declare a size without storing any data
            raise _damaged(path, f"{name} claims {dataset.nbytes} bytes")
        return np.asarray(dataset[()])


@contextmanager
def _damages(path: Path) -> Iterator[None]:
    """Turn the errors that h5py raises on damaged files, at any access, into RawDataError."""
    try:
        yield
    except HDF5_ERRORS as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> RawDataError:
    return RawDataError(
        f"damaged HDF5 file ({' '.join(why.split())[:300]})", where=path, remedy="Export the store again"
    )


def write(partial: Path, selection: Selection) -> None:
    """Write arrays with the store's chunks, and the manifest as JSON in the root's attribute ``manifest``.

    Lists and objects in the attributes of ``skeletons/<convention>`` and ``findings`` are JSON as well. Axis
    names are HDF5 dimension labels. All text is UTF-8 of fixed length: text of variable length is stored in
    heaps, and a damaged heap sends the library into an endless loop. HDF5 1.8 is the oldest file format that
    supports attributes of this size.
    """
    arrays: dict[str, ArrayInfo] = {}
    with _Disk(partial, "w+") as disk, h5py.File(disk, "w", libver=("v108", "v108")) as file:
        parts = (contents.columns, contents.graphs, contents.poses, contents.streams)
        for content in itertools.chain.from_iterable(part(selection) for part in parts):
            arrays[content.path] = _copy(file, content)
            disk.check()
        for name, spec in contents.specs(selection).items():
            attributes = file[f"skeletons/{name}"].attrs
            for key, value in spec.model_dump(mode="json").items():
                attributes[key] = value if isinstance(value, int) else _text(value)
        findings = store.read_findings(selection.opened)
        rows = [row.model_dump(mode="json") for row in findings]
        file.create_group("findings").attrs["rows"] = _text(rows)
        file.attrs["manifest"] = _text(contents.manifest(selection, arrays).model_dump_json())
    disk.check()


class _Disk(io.FileIO):
    """A file for HDF5 that accepts all writes on a full disk, and keeps the error for later.

    The library crashes with a segmentation fault when a required write fails.
    """

    error: OSError | None = None

    def check(self) -> None:
        """Raise the OSError of the first failed write, if any."""
        if self.error is not None:
            raise self.error

    def flush(self) -> None:
        """Do nothing: writes are unbuffered, and an error seen by HDF5 crashes it or surfaces as another."""

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left and self.error is None:
                left = left[super().write(left) :]
        except OSError as error:
            self.error = error
        return size


def _text(value: Any) -> np.bytes_:
    """Encode text unchanged and anything else as JSON."""
    return np.bytes_((value if isinstance(value, str) else json.dumps(value)).encode())


def _copy(file: h5py.File, content: Content) -> ArrayInfo:
    """Write an array and return its description, with the checksum that the store's format defines."""
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
    """Length in bytes of the longest text in a column."""
    return max((len(name.encode()) for block in content.blocks() for name in block), default=1)


def _bytes(block: NDArray[Any]) -> bytes:
    return block.astype(block.dtype.newbyteorder("<"), copy=False).tobytes()


def _chunks(content: Content) -> tuple[int, ...] | None:
    """Chunk shape: rows as in the store; small arrays are one chunk."""
    rows = store.SAMPLE_CHUNK if content.path.startswith("streams/") else store.FRAME_CHUNK
    small = content.path.split("/")[0] not in ("streams", "sequences") or len(content.shape) == 1
    first = content.shape[0] if small else min(rows, content.shape[0])
    return None if 0 in content.shape else (first, *content.shape[1:])


def _pieces(content: Content) -> Iterator[NDArray[Any]]:
    """Regroup blocks into whole chunks, so that no chunk is compressed twice."""
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
