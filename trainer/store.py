"""Reading stores of format 1 (docs/reference/store-format.md); the only module that reads zarr arrays.

Rows are read in whole shards, all of them (``load``) or some (``read``), and indexed in memory; reading
random rows of a sharded store would be a thousand times slower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from pydantic import InstanceOf, ValidationError
from torch import Tensor
from zarr.storage import LocalStore

from schemas import StoreError, StoreManifest, checks_arguments
from schemas.guarded import AHEAD, Guarded, Received, damaged
from schemas.places import Place
from schemas.received import open_received
from schemas.store import stored_spec
from trainer.skeleton import Skeleton

PARTS = {"train": 1, "test": 2}
"""Values in ``splits/<name>``; 0 marks a sample that the split does not use."""

_BLOCK = 2048
"""Rows read at a time: those of one shard, so that no shard is decoded twice."""

OnProgress = Callable[[int, int], None]

Member = TypeVar("Member", zarr.Group, "zarr.Array[Any]")


@dataclass(frozen=True)
class Store:
    """An open store."""

    path: Path
    manifest: StoreManifest
    group: zarr.Group
    received: Received
    """The files that may be read."""

    @property
    def hash(self) -> str:
        """Identity of the content: samples, labels, splits and sequences; derived streams do not count."""
        return self.manifest.hash

    @property
    def native(self) -> str:
        """The convention of the sensor: the first one that was not estimated from video."""
        names = list(self.manifest.conventions)
        return next((n for n in names if self.manifest.conventions[n].reader != "metrabs"), names[0])


@dataclass(frozen=True)
class Samples:
    """N rows of a store in memory; row n is the same recorded action in every convention."""

    clips: dict[str, Tensor]
    """convention -> [N, 3, T, V, M] float32, with the convention's own V."""
    labels: Tensor
    """[N] int64, 0-based; -1 for a sample without a label."""
    ids: tuple[str, ...]
    rows: Tensor
    """[N] int64: rows of the store."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def device(self) -> torch.device:
        """Where the clips are."""
        return next(iter(self.clips.values())).device

    def to(self, device: torch.device | str) -> Samples:
        clips = {name: clip.to(device) for name, clip in self.clips.items()}
        return Samples(clips, self.labels.to(device), self.ids, self.rows)


@dataclass(frozen=True)
class Selection:
    """N rows of a store whose clips have not been read yet: one half of a split, in one stream."""

    store: Store
    paths: dict[str, str]
    """convention -> path of its array."""
    shapes: dict[str, tuple[int, ...]]
    """convention -> (3, T, V, M), with M including the absent bodies that are added."""
    labels: Tensor
    """[N] int64, 0-based; -1 for a sample without a label."""
    ids: tuple[str, ...]
    rows: NDArray[np.int64]
    """[N]: rows of the store, ascending."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def clip_bytes(self) -> int:
        """Bytes of one row in all conventions."""
        return sum(map(self._bytes, self.shapes))

    @property
    def shard_bytes(self) -> int:
        """Bytes needed to decode one shard of the largest convention, in addition to the rows kept of it.

        They hold its file, which is as large as its values if they are incompressible, and its values.
        """
        return 2 * min(_BLOCK, self.store.manifest.samples) * max(map(self._bytes, self.shapes))

    @cached_property
    def shards(self) -> tuple[range, ...]:
        """For each shard that has rows of the selection, the range of these among the N."""
        starts = range(0, self.store.manifest.samples + _BLOCK, _BLOCK)
        edges = np.searchsorted(self.rows, starts).tolist()
        return tuple(range(first, last) for first, last in pairwise(edges) if first < last)

    def part(self, places: Tensor) -> Selection:
        """Some of the N rows, given by their ascending positions [n] int64."""
        ids = tuple(self.ids[place] for place in places.tolist())
        return replace(self, labels=self.labels[places], ids=ids, rows=self.rows[places.numpy()])

    def _bytes(self, convention: str) -> int:
        return prod(self.shapes[convention]) * torch.float32.itemsize


class Files(Guarded, LocalStore):
    """zarr's files on disk; only those vouched for by the manifest and their sizes are read."""


@checks_arguments
def open_store(path: str | Path) -> Store:
    """Open a store by its folder or address.

    Raises StoreError when it does not exist, is of a newer format than this code supports, or is damaged. Its
    metadata are compared with its manifest before anything is read; see ``schemas.received``.
    """
    path = Place(path)
    manifest, received = open_received(path, complete=False)
    files = Files(received.root, read_only=True)
    files.received = received
    group = zarr.open_group(files, mode="r", zarr_format=3, use_consolidated=False)
    return Store(path, manifest, group, received)


@checks_arguments
def skeletons(store: InstanceOf[Store], conventions: Sequence[str]) -> dict[str, Skeleton]:
    """Specs and graphs of the given conventions, without padding. Raises StoreError for an absent one."""
    by_name = {}
    for name in conventions:
        check_convention(store, name)
        group = _member(store, f"skeletons/{name}", zarr.Group)
        try:
            spec = stored_spec(dict(group.attrs))
        except ValidationError as error:
            _damaged(store, f"skeletons/{name}", error)
        size = spec.num_joints
        kinds = ("adjacency", "adjacency_degenerate")
        graphs = [_values(store, f"skeletons/{name}/{kind}")[:, :size, :size] for kind in kinds]
        trimmed = [torch.from_numpy(np.array(graph, np.float32)) for graph in graphs]
        by_name[name] = Skeleton(spec, *(graph.contiguous() for graph in trimmed))
    return by_name


def skeletons_of(several: Sequence[tuple[Store, Sequence[str]]]) -> dict[str, Skeleton]:
    """The skeletons of all conventions in which several stores are read, for one encoder.

    Raises StoreError where two stores use one name for different skeletons, and for a mixture of 2D and 3D
    poses.
    """
    by_name: dict[str, Skeleton] = {}
    kinds: dict[str, str] = {}
    for store, conventions in several:
        for name, skeleton in skeletons(store, conventions).items():
            kinds.setdefault(kind_of(store, name), f"{name} of {store.path.name}")
            here = by_name.setdefault(name, skeleton).spec
            if (here.joints, here.parents) != (skeleton.spec.joints, skeleton.spec.parents):
                raise StoreError(
                    f"{name} is another skeleton here than in the run's other stores: joints, their order or "
                    "the tree differ",
                    where=store.path,
                    remedy=f"Convert one of them again with the {name} of the other, or under another name",
                )
    if len(kinds) > 1:
        listed = " and ".join(f"{which} is {kind}" for kind, which in kinds.items())
        raise StoreError(
            f"one encoder cannot see 2D and 3D poses: {listed}",
            remedy="Train on stores of one kind, or choose conventions of one kind with --convention",
        )
    return by_name


def kind_of(store: Store, convention: str) -> str:
    """Whether the poses of a convention are ``2D`` or ``3D``."""
    return "2D" if store.manifest.conventions[convention].coordinates == "xy" else "3D"


def check_same_kind(source: Store, target: Store, convention: str) -> None:
    """Raises StoreError when the poses of a convention are 2D in one store and 3D in the other."""
    ours, theirs = (kind_of(store, convention) for store in (source, target))
    if ours != theirs:
        raise StoreError(
            f"{convention} is {theirs} here, and {ours} in {source.path}: one encoder cannot see both",
            where=target.path,
            remedy="Lift 2D poses with another program, or pre-train on poses of this kind",
        )


def load(
    store: Store,
    *,
    split: str | None,
    part: str,
    conventions: Sequence[str],
    frames: int,
    stream: str = "joint",
    labelled: bool = False,
    bodies: int | None = None,
    on_progress: OnProgress | None = None,
) -> Samples:
    """Load the rows that ``select`` chooses into memory, in the store's order."""
    selection = select(
        store,
        split=split,
        part=part,
        conventions=conventions,
        frames=frames,
        stream=stream,
        labelled=labelled,
        bodies=bodies,
    )
    return in_memory(selection, on_progress=on_progress)


def select(
    store: Store,
    *,
    split: str | None,
    part: str,
    conventions: Sequence[str],
    frames: int,
    stream: str = "joint",
    labelled: bool = False,
    bodies: int | None = None,
) -> Selection:
    """Select the rows of one half of a split that all the conventions have, in the store's order.

    ``split`` None: of the whole store, whatever the ``part``. ``labelled``: leave out rows without a label.
    ``bodies``: M of a clip, padded with absent bodies if the store has fewer; None: as many as the store has.
    Raises StoreError when the split, a convention, the stream at this number of frames, or every row is
    missing, naming what the store has and the command that adds it, and when the store has more bodies.
    """
    if split is not None:
        check_split(store, split)
    for name in conventions:
        check_stream(store, name, frames=frames, stream=stream)
    rows, known = _rows(store, split, part, conventions), _labels(store)
    if labelled:
        rows = _with_label(store, rows, known, split=split, part=part)
    paths = {name: _stream_path(name, frames, stream) for name in conventions}
    shapes = {name: _shape(store, path, bodies) for name, path in paths.items()}
    return Selection(store, paths, shapes, torch.from_numpy(known[rows]), _ids(store, rows), rows)


def ids_of(store: Store, *, split: str, part: str, conventions: Sequence[str]) -> tuple[str, ...]:
    """Sample ids of the rows that ``select`` chooses; empty if there are none."""
    _, rows = _half(store, split, part, conventions)
    return _ids(store, rows)


def _ids(store: Store, rows: NDArray[np.int64]) -> tuple[str, ...]:
    ids = _values(store, "samples/id")
    return tuple(str(ids[row]) for row in rows)


def labels_of(store: Store, *, split: str, part: str, conventions: Sequence[str]) -> Tensor:
    """Labels [n] int64, -1 for none, of the rows that ``select`` chooses; empty if there are none."""
    _, rows = _half(store, split, part, conventions)
    return torch.from_numpy(_labels(store)[rows])


def frame_labels(store: Store, convention: str) -> dict[str, NDArray[np.int64]]:
    """Sample id -> [T] class of each frame, -1 for none. Empty unless the recordings were kept whole."""
    check_convention(store, convention)
    path = f"sequences/{convention}/frame_label"
    if path not in store.group:
        return {}
    labels = _labels(store, path, what="labels of frames")
    edges = np.asarray(_values(store, f"sequences/{convention}/offsets")).tolist()
    ids = _values(store, "samples/id")
    spans = zip(ids, pairwise(edges), strict=True)
    return {str(id): labels[first:last] for id, (first, last) in spans if last > first}


def lengths_of(store: Store, conventions: Sequence[str]) -> list[int]:
    """Numbers of frames, ascending, at which all these conventions have joint streams."""
    per_convention: list[set[int]] = []
    for name in conventions:
        folder = store.group.get(f"streams/{name}")
        keys = list(folder.group_keys()) if isinstance(folder, zarr.Group) else []
        lengths = {int(key[1:]) for key in keys if key[1:].isdigit()}
        per_convention.append(
            {length for length in lengths if _stream_path(name, length, "joint") in store.group}
        )
    return sorted(set.intersection(*per_convention)) if per_convention else []


def bodies_of(store: Store, convention: str, *, frames: int) -> int:
    """M of a store's clips, absent bodies included. Raises StoreError if it has no such joint stream."""
    check_stream(store, convention, frames=frames, stream="joint")
    return int(_array(store, _stream_path(convention, frames, "joint")).shape[4])


def _shape(store: Store, path: str, bodies: int | None) -> tuple[int, ...]:
    *shape, own = map(int, _array(store, path).shape[1:])
    if bodies is not None and own > bodies:
        raise StoreError(
            f"its clips have places for {own} bodies, the encoder was trained on {bodies}",
            where=store.path,
            remedy=f"Pre-train with --set data.bodies={own}, which adds absent bodies to a store of fewer",
        )
    return (*shape, bodies or own)


def in_memory(selection: Selection, *, on_progress: OnProgress | None = None) -> Samples:
    """Read all rows of a selection. Raises StoreError like ``read``."""
    clips = read(selection, selection.shards, on_progress=on_progress)
    return Samples(clips, selection.labels, selection.ids, torch.from_numpy(selection.rows))


def read(
    selection: Selection, shards: Sequence[range], *, on_progress: OnProgress | None = None
) -> dict[str, Tensor]:
    """Read the rows in some of the selection's ``shards``, as convention -> [n, 3, T, V, M] float32.

    Raises StoreError naming an array that cannot be read.
    """
    count, done = sum(map(len, shards)), 0
    clips = {name: torch.zeros((count, *shape)) for name, shape in selection.shapes.items()}
    for name, clip in clips.items():
        array = _array(selection.store, selection.paths[name])
        starts = [int(selection.rows[shard.start]) for shard in shards]
        parts = zip(shards, clip.split([len(shard) for shard in shards]), strict=True)
        for place, (shard, into) in enumerate(parts):
            selection.store.received.ahead(array.path, starts[place : place + AHEAD + 1])
            _read_shard(selection, array, shard, into=into)
            done += len(shard)
            if on_progress is not None:
                on_progress(done, count * len(clips))
    return clips


def _read_shard(selection: Selection, array: Any, shard: range, *, into: Tensor) -> None:
    rows = selection.rows[shard.start : shard.stop]
    start = int(rows[0]) // _BLOCK * _BLOCK
    try:
        block = array[start : start + _BLOCK]
    except Exception as error:  # a checksum, a codec, an absent file
        _damaged(selection.store, array.path, error)
    if block.shape[-1] < into.shape[-1]:
        into[..., : block.shape[-1]] = torch.from_numpy(block[rows - start])
        return
    # Written in place: the default mode, "raise", would make another copy.
    np.take(block, rows - start, axis=0, out=into.numpy(), mode="clip")


def _half(
    store: Store, split: str | None, part: str, conventions: Sequence[str]
) -> tuple[int, NDArray[np.int64]]:
    """The number of rows in one half of a split, and the rows among them that all the conventions have.

    ``split`` None: of the whole store.
    """
    if split is None:
        chosen = np.ones(store.manifest.samples, dtype=bool)
    else:
        chosen = np.asarray(_values(store, f"splits/{split}")) == PARTS[part]
    in_split = int(chosen.sum())
    for name in conventions:
        chosen &= np.diff(_values(store, f"sequences/{name}/offsets")) > 0
    return in_split, np.flatnonzero(chosen).astype(np.int64)


def _rows(store: Store, split: str | None, part: str, conventions: Sequence[str]) -> NDArray[np.int64]:
    in_split, rows = _half(store, split, part, conventions)
    if len(rows):
        return rows
    names = ", ".join(conventions)
    if split is None:
        raise StoreError(f"has no sample in {names}", where=store.path, remedy="Choose another convention")
    if not in_split:
        raise StoreError(
            f"the split '{split}' has no {_HALVES[part]} half", where=store.path, remedy=_NO_HALF[part]
        )
    raise StoreError(
        f"no sample of {split} ({part}: {in_split} samples) has all of {names}",
        where=store.path,
        remedy="Choose fewer conventions, or train on another split (trainer pretrain --split)",
    )


_HALVES = {"train": "training", "test": "test"}
_NO_HALF = {
    "train": "Train on another split (trainer pretrain --split)",
    "test": "Evaluate a run of a split with two halves (trainer pretrain --split; `splits` of your own data "
    "makes them), or on another store with --protocol transfer",
}


def _with_label(
    store: Store, rows: NDArray[np.int64], labels: NDArray[np.int64], *, split: str | None, part: str
) -> NDArray[np.int64]:
    """The rows that have a label. Raises StoreError if there are none."""
    chosen = rows[labels[rows] >= 0]
    if len(chosen):
        return chosen
    if split is None:
        raise StoreError("no sample has a label", where=store.path, remedy="Leave out labelled=True")
    raise StoreError(
        f"none of the {len(rows)} {_HALVES[part]} samples of split '{split}' has a label, and "
        "protocols need them; pre-training does not",
        where=store.path,
        remedy="Label some clips of both halves and convert again; --protocol transfer --target measures "
        "on another store",
    )


def _labels(store: Store, path: str = "samples/label", *, what: str = "labels") -> NDArray[np.int64]:
    """Labels of all rows, or of frames, int64, -1 for none. Raises StoreError for one that is no class's."""
    labels = np.asarray(_values(store, path)).astype(np.int64)
    classes = len(store.manifest.classes)
    if len(labels) and not (labels.min() >= -1 and labels.max() < classes):
        raise StoreError(
            f"{what} run from {labels.min()} to {labels.max()}, but there are {classes} classes",
            where=store.path,
            remedy="`skeltools validate` lists what is wrong; convert the raw data again",
        )
    return labels


def check_split(store: Store, split: str) -> None:
    known = list(store.manifest.protocols)
    if split not in known:
        raise StoreError(
            f"no split '{split}' for {store.manifest.dataset}; there is {', '.join(known) or 'none'}",
            where=store.path,
            remedy="Choose one with --split; `skeltools convert` writes all that apply to a data set",
        )


def check_convention(store: Store, name: str) -> None:
    known = list(store.manifest.conventions)
    if name not in known:
        raise StoreError(
            f"no convention '{name}'; there is {', '.join(known)}",
            where=store.path,
            remedy="Choose one of these, or add poses of the same clips as "
            f"RAW/metrabs/{name}/SAMPLE.npz and run `skeltools convert` again",
        )


def check_stream(store: Store, name: str, *, frames: int, stream: str) -> None:
    """Raises StoreError when the store lacks the convention or its stream at this number of frames."""
    check_convention(store, name)
    if _stream_path(name, frames, stream) in store.group:
        return
    prefix = f"streams/{name}"
    folder = store.group.get(prefix)
    lengths = sorted(folder.group_keys()) if isinstance(folder, zarr.Group) else []
    known = [
        f"{length}/{kind}"
        for length in lengths
        for kind in sorted(_member(store, f"{prefix}/{length}", zarr.Group))
    ]
    command = ["skeltools", "streams", str(store.path)]
    command += [f"--{stream}"] * (stream != "joint") + ["--frames", str(frames)]
    raise StoreError(
        f"{name} has no {stream} stream of {frames} frames; there is {', '.join(known) or 'none'}",
        where=store.path,
        remedy=f"Add it with `{' '.join(command)}`",
    )


def _stream_path(name: str, frames: int, stream: str) -> str:
    return f"streams/{name}/t{frames}/{stream}"


def _member(store: Store, path: str, kind: type[Member]) -> Member:
    try:
        member = store.group[path]
    except Exception as error:
        _damaged(store, path, error)
    if not isinstance(member, kind):
        other, wanted = ("an array", "a group") if kind is zarr.Group else ("a group", "an array")
        _damaged(store, path, TypeError(f"{other} where {wanted} belongs"))
    return member


def _array(store: Store, path: str) -> Any:
    # Any: zarr's own types for indexing results change between 3.1 and 3.4.
    store.received.check(path)
    return _member(store, path, zarr.Array)


def _values(store: Store, path: str) -> Any:
    """Read all of a small array."""
    array = _array(store, path)
    try:
        return array[:]
    except Exception as error:  # a checksum, a codec, an absent file
        _damaged(store, path, error)


def _damaged(store: Store, path: str, error: Exception) -> NoReturn:
    if isinstance(error, StoreError):
        raise error
    raise damaged(store.path, path, error) from error
