"""A store as Python sees it: clips by id, conventions, splits, streams; each read when it is asked for."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import Finding, SkeletonSpec, StoreError, StoreManifest, UsageError, unknown
from skeltools import store
from skeltools.sequence import UNKNOWN, Joints, Mask
from skeltools.store import Store


@dataclass(frozen=True)
class Clip:
    """One recorded action in one skeleton convention: T frames, M bodies, V joints."""

    id: str
    joints: Joints
    """[T, M, V, 3] float32, metres: x to the sensor's left, y up, z away from it; zero where absent."""
    present: Mask
    """[T, M] bool: whether this body was seen in this frame."""
    spec: SkeletonSpec
    """The convention: joint names, edges, centre."""
    label: int
    """0-based class; -1 when it is not known."""
    class_name: str | None
    subject: int | None
    camera: int | None
    setup: int | None
    repetition: int | None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the V joints."""
        return tuple(self.spec.joints)


class OpenedStore:
    """A store that is open for reading: ``skeltools.open`` makes it.

    It is a mapping from sample ids to clips in the store's first convention, in the store's order.
    """

    def __init__(self, opened: Store) -> None:
        self._opened = opened

    def __repr__(self) -> str:
        return (
            f"<{self.path}: {len(self)} samples of {self.manifest.dataset} in {', '.join(self.conventions)}>"
        )

    @property
    def path(self) -> Path:
        return self._opened.path

    @property
    def manifest(self) -> StoreManifest:
        """What the store says of itself: data set, recipe, arrays, provenance."""
        return self._opened.manifest

    @property
    def conventions(self) -> tuple[str, ...]:
        """The skeleton conventions; the first one is the data set's own where it has one."""
        return tuple(self.manifest.conventions)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; the place is the label."""
        return tuple(self.manifest.classes)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Sample ids in the store's order, which is that of the rows of all arrays."""
        return tuple(store.read(self._opened, "samples/id").tolist())

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """[N] int64, 0-based; -1 where the class is not known."""
        return store.read(self._opened, "samples/label").astype(np.int64)

    @cached_property
    def splits(self) -> dict[str, NDArray[np.uint8]]:
        """Name of a split -> [N] uint8: 0 not used, 1 training half, 2 test half."""
        return {name: store.read(self._opened, f"splits/{name}") for name in self.manifest.protocols}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every problem that the conversion found in the raw files."""
        return store.read_findings(self._opened)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {id: row for row, id in enumerate(self.ids)}

    def __len__(self) -> int:
        return self.manifest.samples

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __contains__(self, id: object) -> bool:
        return id in self._rows

    def __getitem__(self, id: str | int) -> Clip:
        """The clip of a sample id or of a row. Raises as ``clip`` does."""
        return self.clip(id)

    def clip(self, id: str | int, convention: str | None = None) -> Clip:
        """A sample in one convention, the store's first by default.

        Raises UsageError for an unknown id or convention, naming the closest ones, IndexError for a row
        beyond the last, StoreError when the convention lacks the sample or the store is damaged.
        """
        row = self._row(id)
        name = self.conventions[0] if convention is None else convention
        spec = self.spec(name)
        sequence = next(store.read_sequences(self._opened, name, row, row + 1))
        if sequence is None:
            having = [other for other in self.conventions if self._frames(other, row)]
            raise StoreError(
                f"holds no {self.ids[row]} in {name}",
                where=self.path,
                remedy=f"It has the sample in {', '.join(having)}" if having else None,
            )
        named = 0 <= sequence.label < len(self.classes)
        return Clip(
            sequence.id,
            sequence.joints,
            sequence.present,
            spec,
            sequence.label,
            self.classes[sequence.label] if named else None,
            *(
                _known(number)
                for number in (sequence.subject, sequence.camera, sequence.setup, sequence.repetition)
            ),
        )

    def spec(self, convention: str | None = None) -> SkeletonSpec:
        """A convention as the store records it. Raises UsageError for one that it does not have."""
        name = self.conventions[0] if convention is None else convention
        if name not in self.conventions:
            raise unknown("convention", name, self.conventions, where=str(self.path))
        return store.read_spec(self._opened, name)

    def stream(self, kind: str = "joint", *, frames: int | None = None, convention: str | None = None) -> Any:
        """A stored stream [N, 3, T, V, M] float32 as a zarr array: slices of it are numpy arrays.

        ``kind``: joint, bone or motion. ``frames``: its length T, which may be left out where the store has
        one. Raises StoreError that names what there is.
        """
        name = self.spec(convention).name
        lengths = sorted(
            int(path.split("/")[2].removeprefix("t"))
            for path in self.manifest.arrays
            if path.startswith(f"streams/{name}/") and path.endswith(f"/{kind}")
        )
        if frames is None and len(lengths) > 1:
            raise UsageError(
                f"holds {kind} streams of several lengths: {', '.join(map(str, lengths))} frames",
                where=self.path,
                remedy=f"Choose one, for example frames={lengths[0]}",
            )
        length = frames if frames is not None else next(iter(lengths), 0)
        return store.array(self._opened, store.stream_path(name, length, kind))

    def _row(self, id: str | int) -> int:
        if isinstance(id, str):
            if id not in self._rows:
                close = difflib.get_close_matches(id, self.ids, n=3) or list(self.ids[:1])
                remedy = f"Its ids are such as {', '.join(close)}"
                raise UsageError(f"holds no sample '{id}'", where=self.path, remedy=remedy)
            return self._rows[id]
        if not -len(self) <= id < len(self):
            raise IndexError(f"row {id} of a store of {len(self)} samples")
        return int(id) % len(self)

    def _frames(self, convention: str, row: int) -> int:
        first, last = store.read(self._opened, f"sequences/{convention}/offsets", row, row + 2).tolist()
        return int(last - first)


def open(path: str | Path) -> OpenedStore:
    """Open a store for reading.

    Raises StoreError when there is none, when it is of a newer format, or damaged.

        s = skeltools.open("store.zarr")
        s["S001C001P001R001A001"].joints  # [T, M, V, 3]
    """
    return OpenedStore(store.open_store(path))


def _known(value: int) -> int | None:
    return None if value == UNKNOWN else value
