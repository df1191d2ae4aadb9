"""Make a store from the sequences of others: what mapping and merging have in common.

Only one file of one array is in memory at a time. The store is written beside its name (``publish``), so it
is complete or absent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools import store
from skeltools.conversion import finish
from skeltools.conversion.chunks import fill_of
from skeltools.conversion.progress import Progress
from skeltools.sequence import UNKNOWN, SkeletonSequence
from skeltools.store import Store
from skeltools.streams import DERIVED

FRAME_LABEL = "frame_label"
"""Array [F] of ``sequences`` of recordings that are not cut into actions: each frame's class, or -1."""

NUMBERS = ("subject", "camera", "setup", "repetition")
"""Columns of ``samples`` that come from the source; int16."""


@dataclass
class Rows:
    """What is known about the rows of one convention once its sequences are written."""

    frames: list[int] = field(default_factory=list)
    """Frames of each row; 0 where the convention lacks the sample."""
    people: list[int] = field(default_factory=list)
    """People who are present in each row."""


def write_sequences(
    root: store.Group,
    convention: str,
    clips: Iterable[SkeletonSequence | None],
    *,
    joints: int,
    bodies: int,
    progress: Progress,
) -> Rows:
    """Write ``sequences/<convention>`` from one clip per row, None where the convention lacks the sample.

    ``bodies``: the most that a clip may have; axis M is cut to the size that the clips need.
    """
    writers = store.sequence_writers(root, convention, joints=joints, bodies=bodies)
    written, needed = Rows(), 1
    for clip in clips:
        written.frames.append(0 if clip is None else clip.frames)
        written.people.append(0 if clip is None else int(clip.present.any(axis=0).sum()))
        if clip is not None:
            needed = max(needed, clip.bodies)
            for part, writer in writers.items():
                writer.append(_filled(clip, part, writer))
        progress.add()
    for part, writer in writers.items():
        writer.close(second_axis=needed)
        if part in store.OF_JOINTS:
            store.remove_empty(root, f"sequences/{convention}/{part}")
    store.write_offsets(root, convention, written.frames)
    return written


def _filled(clip: SkeletonSequence, part: str, writer: store.ArrayWriter) -> NDArray[Any]:
    """One array of a clip, padded to the bodies of the writer."""
    values = getattr(clip, part)
    made = np.full((clip.frames, *writer.row), fill_of(part), dtype=writer.dtype)
    if values is not None:
        made[:, : clip.bodies] = values
    return made


def write_frame_labels(
    root: store.Group, convention: str, rows: Rows, row_labels: Iterable[NDArray[Any] | None]
) -> None:
    """Write ``frame_label`` of a convention's sequences from [frames] per row, or None (-1) for a row.

    Nothing is written when no row has labels.
    """
    made = np.full(sum(rows.frames), UNKNOWN, np.int16)
    known, at = False, 0
    for frames, labels in zip(rows.frames, row_labels, strict=True):
        if labels is not None:
            made[at : at + frames] = labels
            known = True
        at += frames
    if known:
        store.write_array(root, f"sequences/{convention}/{FRAME_LABEL}", made, ("F",))


def frame_labels(opened: Store, convention: str) -> Iterator[NDArray[np.int16] | None]:
    """The frame labels of each row of a store; None for all rows where it has none."""
    place = f"sequences/{convention}"
    if f"{place}/{FRAME_LABEL}" not in opened.manifest.arrays:
        yield from repeat(None, opened.manifest.samples)
        return
    labels = store.read_column(opened, f"{place}/{FRAME_LABEL}")
    offsets = store.read_column(opened, f"{place}/offsets").tolist()
    for start, stop in pairwise(offsets):
        yield labels[start:stop]


def write_columns(
    root: store.Group,
    ids: Sequence[str],
    columns: Mapping[str, NDArray[Any]],
    halves: Mapping[str, NDArray[np.uint8]],
    written: Iterable[Rows],
) -> None:
    """Write ``samples`` and ``splits``; frames and bodies are those of the first convention that has them."""
    frames, bodies = np.zeros(len(ids), np.int32), np.zeros(len(ids), np.int8)
    for each in written:
        new = frames == 0
        frames[new] = np.array(each.frames, np.int32)[new]
        bodies[new] = np.array(each.people, np.int8)[new]
    finish.write_columns(root, ids, {**columns, "frames": frames, "bodies": bodies}, halves)


# ------------------------------------------------------------------------------------- what a store has


def lengths_of(opened: Store, conventions: Collection[str]) -> tuple[int, ...]:
    """Lengths T of the joint streams of these conventions."""
    joint = [each for each in store.streams_of(opened.manifest) if each.kind == "joint"]
    return tuple(sorted({each.frames for each in joint if each.convention in conventions}))


def kinds_of(opened: Store, conventions: Collection[str]) -> tuple[str, ...]:
    """Kinds of stream other than joint that all of these conventions have."""
    there = {(each.convention, each.kind) for each in store.streams_of(opened.manifest)}
    return tuple(kind for kind in DERIVED if all((name, kind) in there for name in conventions))


def tracks_of(opened: Store, convention: str) -> int:
    """Bodies on axis M of a convention's sequences."""
    return store.array(opened, f"sequences/{convention}/joints").shape[1]
