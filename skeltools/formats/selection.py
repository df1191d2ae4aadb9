"""Select what to export from a store: conventions, splits, streams and rows."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Names
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import UsageError, regular, unknown
from skeltools import store
from skeltools.datasets.splits import TEST, TRAIN
from skeltools.store import Store

PARTS = {"train": TRAIN, "test": TEST}
MOST_IDS = 64 * 2**20
"""Bytes of a list of ids: those of more than a million samples."""


@dataclass(frozen=True)
class Selection:
    """A selection from one store."""

    opened: Store
    conventions: tuple[str, ...]
    """In the order of the manifest."""
    protocols: tuple[str, ...]
    streams: tuple[str, ...]
    """Paths of stream arrays."""
    rows: NDArray[np.int64]
    """Rows of the store, in increasing order."""

    @property
    def convention(self) -> str:
        """The only convention, for formats that hold one."""
        return self.conventions[0]

    def half(self, protocol: str) -> NDArray[np.uint8]:
        """[rows] the half of each row in a protocol: 0 (none), 1 (train) or 2 (test)."""
        return np.asarray(store.read(self.opened, f"splits/{protocol}")[self.rows])

    def column(self, name: str) -> list[Any]:
        """[rows] the values of ``samples/<name>``."""
        return list(store.read(self.opened, f"samples/{name}")[self.rows].tolist())


def choose(
    opened: Store,
    *,
    conventions: Names[str] = (),
    protocols: Names[str] = (),
    streams: Names[str] = (),
    frames: Names[int] = (),
    part: str | None = None,
    ids: Path | None = None,
) -> Selection:
    """Select everything that no argument restricts. ``ids`` is a text file with one sample id per line.

    Raises UsageError: unknown names, a ``part`` without exactly one split, or an empty selection.
    """
    manifest = opened.manifest
    convention_names = _known("convention", conventions, manifest.conventions, opened)
    named = _known("split", protocols, manifest.protocols, opened)
    rows = _present(opened, convention_names)
    if part is not None:
        rows &= _part(opened, named, part)
    if ids is not None:
        rows &= _listed(opened, ids)
    if not rows.any():
        raise UsageError("nothing is left to export", where=opened.path, remedy="Ask for more samples")
    chosen = _streams(opened, convention_names, streams, frames)
    return Selection(opened, convention_names, named, chosen, np.flatnonzero(rows))


def only_stream(selection: Selection) -> str:
    """The path of the only selected stream. Raises UsageError with the lengths if there are several."""
    if len(selection.streams) == 1:
        return selection.streams[0]
    lengths = sorted({int(path.split("/")[2].removeprefix("t")) for path in selection.streams})
    raise UsageError(
        f"streams of {len(lengths)} lengths ({', '.join(map(str, lengths))}), but the format holds one",
        where=selection.opened.path,
        remedy="Choose with --frames T",
    )


def _known(kind: str, asked: Names[str], there: Names[str] | Any, opened: Store) -> tuple[str, ...]:
    for name in asked:
        if name not in there:
            raise unknown(kind, name, there, where=opened.path)
    return tuple(name for name in there if not asked or name in asked)


def _present(opened: Store, conventions: Names[str]) -> NDArray[np.bool_]:
    """[N] mask of the rows that at least one of the conventions has."""
    rows = np.zeros(opened.manifest.samples, np.bool_)
    for name in conventions:
        rows |= np.diff(store.read(opened, f"sequences/{name}/offsets")) > 0
    return rows


def _part(opened: Store, protocols: Names[str], part: str) -> NDArray[np.bool_]:
    if part not in PARTS:
        raise unknown("part", part, PARTS)
    if len(protocols) != 1:
        raise UsageError(
            f"a part of which split? There are {', '.join(protocols) or 'none'}",
            where=opened.path,
            remedy="Choose one with --split",
        )
    return np.asarray(store.read(opened, f"splits/{protocols[0]}") == PARTS[part])


def _listed(opened: Store, path: Path) -> NDArray[np.bool_]:
    try:
        wanted = {line.strip() for line in regular.read(path, most=MOST_IDS).decode().splitlines()} - {""}
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cannot be read ({error})", where=path, remedy="Give a text file with one sample id a line"
        ) from error
    ids = store.read(opened, "samples/id").tolist()
    strange = sorted(wanted - set(ids))
    if strange:
        shown = ", ".join(ascii(name)[1:-1] for name in strange[:3])
        raise UsageError(
            f"{len(strange)} ids are not in the store, e.g. {shown}",
            where=path,
            remedy="`skeltools export STORE --to crossclr` writes its names; one id a line",
        )
    return np.array([id in wanted for id in ids], np.bool_)


def _streams(
    opened: Store, conventions: Names[str], kinds: Names[str], frames: Names[int]
) -> tuple[str, ...]:
    there = [
        path
        for path in opened.manifest.arrays
        if path.startswith("streams/") and path.split("/")[1] in conventions
    ]
    known = sorted({path.split("/")[3] for path in there})
    for kind in kinds:
        if kind not in known:
            raise unknown("stream", kind, known, where=opened.path)
    lengths = sorted({int(path.split("/")[2].removeprefix("t")) for path in there})
    known_lengths = ", ".join(map(str, lengths))
    for length in frames:
        if length not in lengths:
            raise UsageError(
                f"no stream of {length} frames",
                where=opened.path,
                remedy=f"It has {known_lengths}; `skeltools streams --frames {length}` adds one",
            )
    chosen = tuple(
        path
        for path in there
        if (not kinds or path.split("/")[3] in kinds)
        and (not frames or int(path.split("/")[2].removeprefix("t")) in frames)
    )
    if (kinds or frames) and not chosen:
        raise UsageError("no stream of that kind and length", where=opened.path, remedy=f"It has {there}")
    return chosen


# ------------------------------------------------------------------------------------------- block by block


def stream_blocks(selection: Selection, path: str, rows: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    """The ``rows`` of a stream, in blocks that each lie in one file."""
    start = 0
    for block in store.blocks(store.array(selection.opened, path)):
        picked = rows[(rows >= start) & (rows < start + len(block))] - start
        if len(picked):
            yield block[picked]
        start += len(block)


def frame_blocks(selection: Selection, path: str, rows: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
    """The frames of ``rows`` in an array of ``sequences``, in blocks that each lie in one file."""
    offsets = store.read(selection.opened, f"{path.rpartition('/')[0]}/offsets")
    wanted = np.zeros(offsets[-1], np.bool_)
    for row in rows.tolist():
        wanted[offsets[row] : offsets[row + 1]] = True
    start = 0
    for block in store.blocks(store.array(selection.opened, path)):
        values = block[wanted[start : start + len(block)]]
        start += len(block)
        if len(values):
            yield values
