"""Open a store and read from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Rows
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore

from schemas import Finding, SkeletonSpec, StoreError, StoreManifest, received, regular
from schemas.guarded import AHEAD, FINDINGS, METADATA, MOST_ATTRIBUTES, Guarded, Received, damaged
from schemas.places import Place
from schemas.store import stored_spec
from skeltools.sequence import SkeletonSequence
from skeltools.store import layout

_FIELDS = ("id", "label", "subject", "camera", "setup", "repetition")
"""Columns of ``samples`` that a SkeletonSequence has as fields."""


class Files(Guarded, LocalStore):
    """A folder in which only those files are read that its manifest and their sizes vouch for."""


@dataclass(frozen=True)
class Store:
    """An open store; read its arrays with the functions of this module."""

    path: Path
    manifest: StoreManifest
    root: zarr.Group
    received: Received
    """Which of its files may be read."""
    arrays: dict[str, zarr.Array] = field(default_factory=dict, compare=False, repr=False)
    """Arrays that were checked, by path."""
    columns: dict[str, NDArray[Any]] = field(default_factory=dict, compare=False, repr=False)
    """Values, once read, of arrays with a number or an id per sample."""

    @property
    def folder(self) -> Path:
        """Location of its files on this machine; for a store at an address, of those that were read."""
        return Path(self.received.root)


def open_store(path: Path | str) -> Store:
    """Open a store, in a folder or at an address, for reading.

    Raises StoreError if it is absent, no store, of a newer format, or damaged. Its metadata are compared with
    its manifest before anything is read: see ``schemas.received``.
    """
    path = Place(path)
    return _opened(path, *received.open_received(path))


def open_damaged(path: Path | str) -> tuple[Store, received.Faults]:
    """Open a store of which some places cannot be read; also returns what is wrong with these.

    Raises StoreError if there is no readable manifest.
    """
    path = Place(path)
    manifest, readable, faults = received.open_damaged(path)
    return _opened(path, manifest, readable), faults


def _opened(path: Path, manifest: StoreManifest, readable: Received) -> Store:
    try:
        files = Files(readable.root, read_only=True)
        files.received = readable
        root = zarr.open_group(files, mode="r", zarr_format=3, use_consolidated=False)
        return Store(path, manifest, root, readable)
    except (OSError, ValueError, KeyError) as error:
        raise damaged(path, METADATA, error) from error


def array(store: Store, path: str) -> zarr.Array:
    """One array, not yet read; raises StoreError, which lists the arrays of its kind, if it is absent."""
    if path not in store.manifest.arrays:
        folder = path.split("/")[0]
        known = [name for name in store.manifest.arrays if name.startswith(folder)]
        raise StoreError(f"holds no {path}", where=store.path, remedy=f"It has: {', '.join(known) or 'none'}")
    if path in store.arrays:
        return store.arrays[path]
    store.received.check(path)
    try:
        source = store.root[path]
    except StoreError:
        raise
    except Exception as error:  # zarr raises many kinds
        raise damaged(store.path, path, "is listed but cannot be opened") from error
    if not isinstance(source, zarr.Array):
        raise damaged(store.path, path, "is no array")
    store.arrays[path] = source
    return source


def group(root: zarr.Group, path: str) -> zarr.Group:
    """A group below another; raises KeyError when there is none."""
    member = root[path]
    if not isinstance(member, zarr.Group):
        raise KeyError(f"{path} is an array")
    return member


def read(store: Store, path: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
    """Read rows ``start:stop`` of an array; strings as an object array of ``str``.

    Raises StoreError when they cannot be read, and for a whole column with inconsistent values.
    """
    values = read_as_it_is(store, path, start, stop)
    wrong = _problem_of_column(path, values, store.manifest) if start == 0 and stop is None else None
    if wrong:
        raise damaged(store.path, path, wrong)
    return values


def read_as_it_is(store: Store, path: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
    """``read`` without the check of whole columns."""
    return read_values(array(store, path), start, stop)


def read_at(store: Store, path: str, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Read rows of an array in any order; a chunk that holds several of them is read once."""
    source = array(store, path)
    with _damages(source):
        return np.asarray(source.oindex[rows])


def read_column(store: Store, path: str) -> NDArray[Any]:
    """Read a whole array with a number or an id per sample, once, for access to single clips."""
    if path not in store.columns:
        store.columns[path] = read(store, path)
    return store.columns[path]


def read_values(source: zarr.Array, start: int = 0, stop: int | None = None) -> NDArray[Any]:
    """``read_as_it_is`` for an open array; raises StoreError."""
    with _damages(source):
        values = np.asarray(source[start:stop])
    return values.astype(object) if values.dtype.kind in "TU" else values


@contextmanager
def _damages(source: zarr.Array) -> Iterator[None]:
    """Turn the many exceptions that zarr raises (checksum, codec, absent file) into a StoreError."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        files = source.store
        where = files.received.where if isinstance(files, Files) else getattr(files, "root", "")
        raise damaged(where, source.path, error) from error


def blocks(source: zarr.Array) -> Iterator[NDArray[Any]]:
    """Iterate over the array in runs of rows that lie in one file each."""
    step = (source.shards or source.chunks)[0]
    for start in range(0, source.shape[0], step):
        if isinstance(source.store, Files):
            source.store.received.ahead(source.path, range(start, start + (AHEAD + 1) * step, step))
        yield read_values(source, start, start + step)


def read_spec(store: Store, convention: str) -> SkeletonSpec:
    """Read a convention as the store records it; raises StoreError, which lists the store's, for another."""
    known = store.manifest.conventions
    if convention not in known:
        message = f"holds no convention '{convention}'"
        raise StoreError(message, where=store.path, remedy=f"It has: {', '.join(known) or 'none'}")
    try:
        return stored_spec(dict(store.root[f"skeletons/{convention}"].attrs))
    except (KeyError, ValueError) as error:
        raise damaged(store.path, f"skeletons/{convention}", error) from error


def read_findings(store: Store) -> tuple[Finding, ...]:
    """The rows of ``findings``: every problem that the conversion encountered."""
    try:
        content = regular.read_json(store.folder / FINDINGS, most=MOST_ATTRIBUTES)
        return tuple(Finding.model_validate(row) for row in content["attributes"]["rows"])
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise damaged(store.path, "findings", error) from error


def read_sequences(
    store: Store, convention: str, first: int = 0, last: int | None = None
) -> Iterator[SkeletonSequence | None]:
    """Read the SkeletonSequence of rows ``first:last`` of one convention; None where it lacks the sample.

    At most FRAME_SHARD frames (or one clip) are in memory. Body ids are the indices on axis M: the source's
    own ids are not kept.
    """
    group = f"sequences/{convention}"
    stop = store.manifest.samples if last is None else min(last, store.manifest.samples)
    offsets = read_column(store, f"{group}/offsets")[first : stop + 1].tolist()
    fields_of = {name: read_column(store, f"samples/{name}")[first:stop].tolist() for name in _FIELDS}
    of_joints = [part for part in layout.OF_JOINTS if f"{group}/{part}" in store.manifest.arrays]
    parts = ("joints", "present", "order", *of_joints)
    for begin, end in _blocks(offsets, layout.FRAME_SHARD):
        low, high = offsets[begin], offsets[end]
        for part in parts:
            store.received.ahead(f"{group}/{part}", range(low, high + layout.FRAME_SHARD, layout.FRAME_SHARD))
        block = {part: read(store, f"{group}/{part}", low, high) for part in parts}
        for row in range(begin, end):
            frames = slice(offsets[row] - low, offsets[row + 1] - low)
            clip = {part: values[frames] for part, values in block.items()}
            fields = {name: values[row] for name, values in fields_of.items()}
            yield _sequence(convention, clip, fields) if len(clip["joints"]) else None


def _blocks(offsets: Rows[int], limit: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows that together have up to ``limit`` frames, or a single row."""
    first = 0
    for row in range(1, len(offsets)):
        if offsets[row] - offsets[first] > limit and row - 1 > first:
            yield first, row - 1
            first = row - 1
    if first < len(offsets) - 1:
        yield first, len(offsets) - 1


def _sequence(
    convention: str, clip: Mapping[str, NDArray[Any]], fields: Mapping[str, Any]
) -> SkeletonSequence:
    used = np.flatnonzero(clip["present"].any(axis=0))
    bodies = int(used[-1]) + 1 if used.size else 1
    return SkeletonSequence(
        convention=convention,
        joints=clip["joints"][:, :bodies],
        present=clip["present"][:, :bodies],
        order=clip["order"][:, :bodies],
        body_ids=tuple(range(bodies)),
        unseen=_of_joints(clip, "unseen", bodies),
        score=_of_joints(clip, "score", bodies),
        **fields,
    )


def _of_joints(clip: Mapping[str, NDArray[Any]], part: str, bodies: int) -> NDArray[Any] | None:
    """[T, M, V] of a clip; None where the store, or this clip, has no such values."""
    values = clip.get(part)
    return values[:, :bodies] if values is not None and values[:, :bodies].any() else None


def _problem_of_column(path: str, values: NDArray[Any], manifest: StoreManifest) -> str | None:
    """Describe what is wrong with a whole column of a store; None for a sound one, and for other arrays."""
    kind, _, name = path.partition("/")
    if name.endswith("/offsets"):
        return _offsets(values, manifest.arrays[path.removesuffix("offsets") + "joints"].shape[0])
    if kind == "splits" and values.max(initial=0) > 2:
        return "has other values than 0, 1 and 2"
    if path == "samples/id" and len(set(values.tolist())) != len(values):
        return "an id is there twice"
    classes = len(manifest.classes)
    if path == "samples/label" and len(values) and not -1 <= values.min() <= values.max() < classes:
        return f"a label is outside 0..{classes - 1}"
    return None


def _offsets(values: NDArray[Any], frames: int) -> str | None:
    if values[0] != 0 or (np.diff(values) < 0).any():
        return "must start at 0 and never fall"
    return None if values[-1] == frames else f"ends at {values[-1]}, but there are {frames} frames"
