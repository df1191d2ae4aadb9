"""A store opened in Python: clips by id, conventions, splits and streams, each read on access."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from schemas import (
    Finding,
    SkeletonSpec,
    StoreError,
    StoreManifest,
    UnknownSampleError,
    UsageError,
    checks_arguments,
    unknown,
)
from skeltools import store
from skeltools.sequence import UNKNOWN, Joints, Mask, SkeletonSequence
from skeltools.store import Store

Kind = Literal["joint", "bone", "motion"]
View = Literal["front", "side", "top", "three-quarter"]
Ground = Literal["white", "dark", "transparent"]

STREAMS = ("joint", "bone", "motion")
PARTS = {"train": 1, "test": 2}
"""Part of a split -> its value in the split's array."""


@dataclass(frozen=True, eq=False)
class Clip:
    """One recorded action in one skeleton convention: T frames, M bodies, V joints."""

    id: str
    joints: Joints
    """[T, M, V, 3] float32, metres: x to the sensor's left, y up, z away from it; zero where absent."""
    present: Mask
    """[T, M] bool: whether the body was seen in the frame."""
    order: NDArray[np.int8]
    """[T, M]: 0-based position of the body among those of its frame in the raw file; -1 where absent."""
    spec: SkeletonSpec
    """The convention: joint names, edges, centre."""
    label: int
    """0-based class; -1 if unknown."""
    class_name: str | None
    subject: int | None
    camera: int | None
    setup: int | None
    repetition: int | None
    frame_labels: NDArray[np.int16] | None = None
    """[T] int16: the class of each frame, -1 for none; None unless the recording was kept whole."""
    unseen: Mask | None = None
    """[T, M, V] bool: joints not seen although their body was, which are zero; None: all were seen."""
    score: Joints | None = None
    """[T, M, V] float32: the estimator's confidence in each joint; None: not recorded."""

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.joints.shape))
        return f"<clip {self.id}: {self.class_name or 'no label'}, joints {shape} in {self.convention}>"

    @property
    def convention(self) -> str:
        """Name of the convention."""
        return self.spec.name

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the V joints."""
        return tuple(self.spec.joints)

    @checks_arguments
    def plot(
        self,
        frames: int | str = 8,
        *,
        kind: Kind = "joint",
        view: View = "front",
        ground: Ground = "white",
        size: tuple[int, int] | None = None,
        names: bool = False,
        words: bool = True,
    ) -> Any:
        """Draw a film strip, poses in a row, as a matplotlib figure, which notebooks display.

        ``frames``: a number of evenly spaced frames, or a selection such as ``"10:60:5"`` or ``"3,7,9"``.
        ``view``: front is what the sensor saw. ``size``: width and height in points of 1/96 inch. ``words``:
        whether to add titles and numbers. Raises UsageError for frames or a view that the clip does not have,
        and if the extra ``plots`` is not installed.

            >>> figure = open("store.zarr")[0].plot(5, view="three-quarter")
            >>> figure.savefig("strip.pdf")
        """
        _needs_plots()
        from skeltools.pictures import render, scene

        look = render.Look(view, ground, str(frames), size, names=names, words=words)
        return render.strip(scene.of_clips([self], kind), look)

    @checks_arguments
    def animate(
        self,
        frames: int | str | None = None,
        *,
        kind: Kind = "joint",
        view: View = "front",
        ground: Ground = "white",
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        speed: float = 1.0,
        names: bool = False,
        words: bool = True,
    ) -> Any:
        """Animate the clip: notebooks play it and let the user rotate it; its ``save`` writes it to a file.

        ``frames``: None for all, or as for ``plot``. ``fps``: frame rate of the recording; None means 30. The
        other arguments are those of ``plot``. ``save(path, force=False)`` writes .mp4, .gif, .webp or .apng.

            >>> open("store.zarr")[0].animate(speed=0.5).save("slow.gif")
            PosixPath('slow.gif')
        """
        _needs_plots()
        from skeltools.pictures import notebook, render, scene

        chosen = None if frames is None else str(frames)
        look = render.Look(view, ground, chosen, size, fps, speed, names, words)
        return notebook.Animation(scene.of_clips([self], kind), look)

    @property
    def sequence(self) -> SkeletonSequence:
        """The clip as readers return it, a form that `write` and `prepare` accept as well."""
        fields = ("subject", "camera", "setup", "repetition")
        values: dict[str, Any] = {
            name: value for name in fields if (value := getattr(self, name)) is not None
        }
        bodies = tuple(range(self.present.shape[1]))
        return SkeletonSequence(
            self.id,
            self.convention,
            self.joints,
            self.present,
            self.order,
            bodies,
            self.label,
            unseen=self.unseen,
            score=self.score,
            **values,
        )


def _needs_plots() -> None:
    from skeltools.pictures import require_plots

    require_plots()


class OpenedStore:
    """A store that is open for reading, as returned by ``skeltools.open``.

    It behaves like a mapping from sample ids to clips in the store's first convention, in the store's order:
    ``len(s)``, ``for id in s``, ``id in s`` and ``s[id]``. Row numbers work as well: ``s[0]``, ``s[-1]``.
    """

    def __init__(self, opened: Store) -> None:
        self._opened = opened

    def __repr__(self) -> str:
        return (
            f"<{self.path}: {len(self)} samples of {self.manifest.dataset} in {', '.join(self.conventions)}>"
        )

    @property
    def path(self) -> Path:
        """The store's folder."""
        return self._opened.path

    @property
    def manifest(self) -> StoreManifest:
        """The store's description of itself: data set, recipe, arrays, provenance."""
        return self._opened.manifest

    @property
    def conventions(self) -> tuple[str, ...]:
        """The skeleton conventions; the first is the data set's own where it has one."""
        return tuple(self.manifest.conventions)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, indexed by label."""
        return tuple(self.manifest.classes)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Sample ids in the store's order, which is the row order of all arrays."""
        return tuple(store.read_column(self._opened, "samples/id").tolist())

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """[N] int64, 0-based; -1 where the class is unknown."""
        return store.read_column(self._opened, "samples/label").astype(np.int64)

    @cached_property
    def splits(self) -> dict[str, NDArray[np.uint8]]:
        """Name of a split -> [N] uint8: 0 unused, 1 training part, 2 test part."""
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
        return isinstance(id, str) and id in self._rows

    def __getitem__(self, id: str | int) -> Clip:
        """Return the clip of a sample id or of a row; raises as ``clip`` does."""
        return self.clip(id)

    def clip(self, id: str | int, convention: str | None = None) -> Clip:
        """Return a sample in one convention, by default the store's first.

        Raises UnknownSampleError (both a KeyError and an IndexError) for an id or a row that the store does
        not have, and names the ids closest to an unknown one; UsageError for an unknown convention;
        StoreError when the convention lacks the sample or the store is damaged.
        """
        row, spec = self._row(id), self.spec(convention)
        sequence = next(store.read_sequences(self._opened, spec.name, row, row + 1))
        if sequence is not None:
            return self._clip(sequence, spec)
        others = [name for name in self.conventions if self._frames(name, row)]
        raise StoreError(
            f"holds no {self.ids[row]} in {spec.name}",
            where=self.path,
            remedy=f"It has the sample in {', '.join(others)}" if others else None,
        )

    def clips(self, convention: str | None = None) -> Iterator[Clip]:
        """Iterate over the clips of one convention in the store's order, without samples that it lacks.

        Faster than reading clips one by one: files are read in long runs, and only the current run is held in
        memory.
        """
        spec = self.spec(convention)
        for sequence in store.read_sequences(self._opened, spec.name):
            if sequence is not None:
                yield self._clip(sequence, spec)

    def _clip(self, sequence: SkeletonSequence, spec: SkeletonSpec) -> Clip:
        numbers = (sequence.subject, sequence.camera, sequence.setup, sequence.repetition)
        subject, camera, setup, repetition = (None if each == UNKNOWN else each for each in numbers)
        return Clip(
            sequence.id,
            sequence.joints,
            sequence.present,
            sequence.order,
            spec,
            sequence.label,
            self.classes[sequence.label] if 0 <= sequence.label < len(self.classes) else None,
            subject,
            camera,
            setup,
            repetition,
            self._frame_labels(sequence, spec),
            sequence.unseen,
            sequence.score,
        )

    def _frame_labels(self, sequence: SkeletonSequence, spec: SkeletonSpec) -> NDArray[np.int16] | None:
        place = f"sequences/{spec.name}"
        if f"{place}/frame_label" not in self.manifest.arrays:
            return None
        row = self._rows[sequence.id]
        start, stop = store.read_column(self._opened, f"{place}/offsets")[row : row + 2].tolist()
        return store.read(self._opened, f"{place}/frame_label", start, stop)

    @checks_arguments
    def rows(self, split: str, part: Literal["train", "test"] = "train") -> NDArray[np.int64]:
        """[n] int64: rows of one part of a split, for indexing ``ids``, ``labels`` and streams.

        Raises UsageError for a split that the store does not have.
        """
        if split not in self.splits:
            raise unknown("split", split, self.splits, where=self.path)
        return np.flatnonzero(self.splits[split] == PARTS[part])

    @checks_arguments
    def spec(self, convention: str | None = None) -> SkeletonSpec:
        """Return a convention as the store records it; raises UsageError for one that it does not have."""
        name = self.conventions[0] if convention is None else convention
        if name not in self.conventions:
            raise unknown("convention", name, self.conventions, where=self.path)
        return store.read_spec(self._opened, name)

    @overload
    def stream(
        self,
        kind: str = "joint",
        *,
        frames: int | None = None,
        convention: str | None = None,
        in_memory: Literal[False] = False,
    ) -> store.Array: ...

    @overload
    def stream(
        self,
        kind: str = "joint",
        *,
        frames: int | None = None,
        convention: str | None = None,
        in_memory: Literal[True],
    ) -> NDArray[np.float32]: ...

    @checks_arguments
    def stream(
        self,
        kind: str = "joint",
        *,
        frames: int | None = None,
        convention: str | None = None,
        in_memory: bool = False,
    ) -> Any:
        """Return a stored stream [N, 3, T, V, M] float32 as a zarr array, which is read when it is sliced.

        ``kind``: joint, bone or motion. ``frames``: its length T, optional where the store has only one.
        ``in_memory``: read all of it into a NumPy array, which is much faster for rows in random order.
        Raises UsageError for unknown names, StoreError for a stream that is not stored; ``add_streams`` adds
        it.
        """
        if kind not in STREAMS:
            raise unknown("stream", kind, STREAMS)
        name = self.spec(convention).name
        lengths = self._lengths(name, kind)
        if frames is None and len(lengths) > 1:
            raise UsageError(
                f"holds {kind} streams of several lengths: {', '.join(map(str, lengths))} frames",
                where=self.path,
                remedy=f"Choose one, for example frames={lengths[0]}",
            )
        length = lengths[0] if frames is None and lengths else frames
        if length not in lengths:
            raise self._no_stream(name, kind, length, lengths)
        path = store.stream_path(name, length, kind)
        return store.read(self._opened, path) if in_memory else store.array(self._opened, path)

    def _lengths(self, convention: str, kind: str) -> list[int]:
        """The lengths T for which the store has this stream."""
        places = [path.split("/") for path in self.manifest.arrays if path.startswith("streams/")]
        return sorted(int(place[2][1:]) for place in places if (place[1], place[3]) == (convention, kind))

    def _no_stream(self, convention: str, kind: str, frames: int | None, lengths: list[int]) -> StoreError:
        asked = "" if frames is None else f" of {frames} frames"
        there = f"; there is one of {' and '.join(map(str, lengths))}" if lengths else ""
        kinds = "" if kind == "joint" else f", kinds=['{kind}']"
        length = "" if frames is None else f", frames=[{frames}]"
        return StoreError(
            f"{convention} has no {kind} stream{asked}{there}",
            where=self.path,
            remedy=f"skeltools.add_streams('{self.path}'{kinds}{length}) adds it; then open the store again",
        )

    def _row(self, id: str | int) -> int:
        if isinstance(id, str):
            if id in self._rows:
                return self._rows[id]
            close = difflib.get_close_matches(id, self.ids, n=3) or list(self.ids[:1])
            raise UnknownSampleError(
                f"holds no sample '{id}'", where=self.path, remedy=f"Its ids are such as {', '.join(close)}"
            )
        try:
            row = operator.index(id)
        except TypeError:
            raise UsageError(
                f"a clip has an id or the number of a row, found {type(id).__name__}", where=self.path
            ) from None
        if not -len(self) <= row < len(self):
            raise UnknownSampleError(
                f"holds no row {row}", where=self.path, remedy=f"Its rows are 0 to {len(self) - 1}"
            )
        return row % len(self)

    def _frames(self, convention: str, row: int) -> int:
        first, last = store.read_column(self._opened, f"sequences/{convention}/offsets")[row : row + 2]
        return int(last - first)


@checks_arguments
def open(path: str | Path) -> OpenedStore:
    """Open a store for reading.

    Raises StoreError when there is no store at ``path``, or when it has a newer format or is damaged.

        >>> s = open("store.zarr")
        >>> clip = s["S002C001P002R001A001"]
        >>> clip.joints.shape, clip.names[3], clip.class_name
        ((58, 1, 25, 3), 'Head', 'drink water')
    """
    return OpenedStore(store.open_store(path))
