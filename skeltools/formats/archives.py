"""Shared code for archives of other code bases: clips as body slots, sample names, labels, protocols."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import Finding, RawDataError, SkeletonSpec
from skeltools import skeletons
from skeltools.datasets import ntu, nwucla, pkummd
from skeltools.formats import own_clips
from skeltools.formats.note import Note
from skeltools.formats.own_clips import Raw
from skeltools.raw_items import MAX_BYTES, RawItem, all_finite, finding
from skeltools.sequence import UNKNOWN, SkeletonSequence

CONVENTION = "kinectv2_25"
"""The default convention of archives."""

TRAIN, TEST = 1, 2
"""Halves of a protocol, as in ``Listing.halves``."""


@dataclass(frozen=True)
class About:
    """What an archive reveals about itself without any options."""

    joints: tuple[int, ...]
    """Possible numbers of joints: several if arrays are flat."""
    bodies: int
    """Most body slots in a clip."""
    labels: int
    """Number of classes implied by its labels: the width of one-hot rows, else the largest label plus one."""
    width: int = 0
    """Values per frame if arrays are flat: bodies x joints x coordinates."""
    named: bool = True
    """Whether its samples have names."""
    flat: bool = False
    """Whether its poses are 2D."""
    note: Note = field(default_factory=Note)
    specs: dict[str, SkeletonSpec] = field(default_factory=dict)
    """Conventions described in the archive, by name."""


_SUFFIXES = (".skeleton", ".json", ".txt", ".npy", ".npz")
_LONGEST = 200  # characters of a sample name
_PROTOCOLS = {
    "cs": "xsub", "csub": "xsub", "xsub": "xsub", "cross-subject": "xsub",
    "cv": "xview", "cview": "xview", "xview": "xview", "cross-view": "xview",
    "cset": "xset", "xset": "xset", "cross-setup": "xset",
}  # fmt: skip


def protocol_of(name: str) -> str | None:
    """The protocol in a file or folder name, e.g. ``xsub`` for ``NTU60_CS``; None if there is none.

    >>> protocol_of("NTU120_CSet"), protocol_of("xview"), protocol_of("data")
    ('xset', 'xview', None)
    """
    words = re.split(r"[_\s.]", name.lower())
    return next((_PROTOCOLS[word] for word in reversed(words) if word in _PROTOCOLS), None)


def is_protocol(name: str) -> bool:
    """Whether a name is valid for a split: a short, lower-case path component of the store."""
    return re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,40}", name, re.ASCII) is not None


def sample_id(name: Any) -> str | None:
    """A sample's name without file suffix, with ``_`` for slashes, as for clips in folders; None if it cannot
    be an id.

    Ids are printable text of at most 200 characters: they are written to UTF-8 files, one per line.
    """
    if isinstance(name, bytes):
        name = name.decode("utf-8", "surrogateescape")
    if not isinstance(name, str):
        return None
    suffix = next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), "")
    name = re.sub(r"[/\\]", "_", name.removesuffix(suffix))
    fits = 0 < len(name) <= _LONGEST and name.isprintable()
    return name if fits else None


def whole(value: Any) -> int | None:
    """A label as int, or None if it is not a non-negative integer that fits the store's int16."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 0 <= value < 2**15:
        return int(value)
    return None


def label_of(value: Any, *, own: bool) -> int | None:
    """A label as by ``whole``; in a user's ``own`` data, a label of None or -1 is -1, unlabelled."""
    unlabelled = value is None or (type(value) is int and value == UNKNOWN)
    return UNKNOWN if own and unlabelled else whole(value)


def column(values: Any) -> list[Any] | None:
    """A pickled list, tuple or 1-D array as a list; None for anything else."""
    if isinstance(values, np.ndarray):
        return values.tolist() if values.ndim == 1 else None
    return list(values) if isinstance(values, (list, tuple)) else None


def only_file(raw: Path, kind: str, patterns: Iterable[str]) -> Path:
    """``raw`` if it is a file, else the only one in it that a pattern matches. Raises RawDataError."""
    if raw.is_file():
        return raw
    files = [file for file in sorted(raw.iterdir()) if any(file.match(pattern) for pattern in patterns)]
    if len(files) != 1:
        raise RawDataError(
            f"holds {len(files)} {kind} files, expected one",
            where=raw,
            remedy="Name the file itself with --raw",
        )
    return files[0]


def check_joints(note: dict[str, Any], where: Path) -> None:
    """Raise RawDataError for one of our exports of bones or motion: a store is made from joints."""
    kind = note.get("stream", "joint")
    if kind != "joint":
        raise RawDataError(
            f"holds the {str(kind)[:40]} stream, and a store is made from joints",
            where=where,
            remedy="Export the joint stream; `skeltools streams` adds the others",
        )


def joints_of(spec: SkeletonSpec | None) -> SkeletonSpec:
    return skeletons.load(CONVENTION) if spec is None else spec


def wrong_joints(count: int, spec: SkeletonSpec, where: Path | str) -> RawDataError:
    """The error for an archive with a different number of joints from the convention."""
    return RawDataError(
        f"{count} joints, but {spec.name} has {spec.num_joints}",
        where=where,
        remedy="Name the convention of the archive with --convention, or the data set that it is of",
    )


def shown(path: Path) -> str:
    """A file as shown in findings: with its folder, which names the protocol."""
    return f"{path.parent.name}/{path.name}"


def skipped_sample(file: str, row: int, problem: str, detail: str = "") -> Finding:
    """A finding about a skipped sample of an archive; samples count from 1."""
    return Finding(file=file, place=f"sample {row + 1}", problem=problem, detail=detail, action="skipped")


def fields(id: str) -> dict[str, int]:
    """Label, subject, camera, ... from a sample's name; empty for unknown kinds of names."""
    video = id.rpartition("_")[0]
    of_video = pkummd.fields(video, pkummd.PART_1) or pkummd.fields(video, pkummd.PART_2)
    return ntu.fields(id) or nwucla.fields(id) or of_video or {}


def to_sequence(
    item: RawItem,
    joints: NDArray[Any],
    *,
    label: int,
    order: NDArray[np.int8] | None = None,
    padded: bool = False,
    protocol_fields: dict[str, int] | None = None,
    unseen: NDArray[np.bool_] | None = None,
    score: NDArray[Any] | None = None,
    image_size: tuple[int, int] | None = None,
) -> SkeletonSequence:
    """Convert a clip of slots [T, M, V, 3]: a body is present where it is finite and not all zero.

    ``order`` [T, M] is the place of each body in its frame (default: the slot). ``padded``: zeros after the
    last pose are padding. ``protocol_fields``: by default those in the id. ``unseen``, ``score`` [T, M, V]:
    as in SkeletonSequence. Clips of a user's own data are read by ``own_clips`` and may have other
    coordinates; ``image_size`` is the width and height in pixels for 2D poses. Raises RawDataError: no body
    in any frame, or a label that contradicts the name.
    """
    check_size(np.shape(joints), item)
    named: dict[str, Any] = {**(fields(item.id) if protocol_fields is None else protocol_fields)}
    if own_clips.is_foreign(item):
        raw = Raw(np.asarray(joints), score, order, image_size)
        return own_clips.sequence(item, raw, label=label, padded=padded, protocol_fields=named)
    if own_clips.is_own(item):
        named["label"] = label
    if named.get("label", label) != label:
        raise RawDataError(f"label {label}, but the name says {named['label']}", where=item.where)
    with np.errstate(over="ignore", invalid="ignore"):
        poses = np.asarray(joints).astype(np.float32)
        if unseen is not None:
            poses = np.where(unseen[..., None], np.float32(0), poses)
        finite = all_finite(poses)
        present = finite & poses.any(axis=(2, 3))
    filled = np.flatnonzero(present.any(axis=1))
    if not filled.size:
        raise RawDataError(f"no body in any frame ({len(poses)} frames)", where=item.where)
    frames = int(filled[-1]) + 1 if padded else len(poses)
    slots = int(np.flatnonzero(present.any(axis=0))[-1]) + 1
    there = present[:frames, :slots]
    places = np.broadcast_to(np.arange(slots, dtype=np.int8), there.shape) if order is None else order
    places = places[:frames, :slots]
    if (places[there] < 0).any():
        raise RawDataError("order is -1 where a body is", where=item.where)
    return SkeletonSequence(
        item.id,
        item.convention,
        np.where(there[:, :, None, None], poses[:frames, :slots], np.float32(0)),
        there,
        np.where(there, places, -1).astype(np.int8),
        tuple(range(slots)),
        findings=tuple(_findings(item, finite, there if padded else None)),
        unseen=_of_joints(unseen, there),
        score=_of_joints(score, there),
        **{**named, "label": label},
    )


def _of_joints(values: NDArray[Any] | None, there: NDArray[np.bool_]) -> NDArray[Any] | None:
    """The values [T, M, V], zero where no body is present; None if zero everywhere."""
    if values is None:
        return None
    frames, slots = there.shape
    cut = np.where(there[..., None], values[:frames, :slots], values.dtype.type(0))
    return cut if cut.any() else None


def _findings(
    item: RawItem, finite: NDArray[np.bool_], padded: NDArray[np.bool_] | None
) -> Iterable[Finding]:
    if not finite.all():
        frame = int(np.flatnonzero(~finite.all(axis=1))[0])
        detail = f"{int((~finite).sum())} poses"
        yield finding(
            item, "not a number", place=f"frame {frame + 1}", detail=detail, action="treated as absent"
        )
    if padded is not None and not padded.any(axis=1).all():
        gap = np.flatnonzero(~padded.any(axis=1))
        yield finding(
            item,
            "frames without a body",
            place=f"frame {gap[0] + 1}",
            detail=f"{len(gap)} frames before the last pose",
            action="kept; the clip ends at its last pose",
        )


def check_size(shape: tuple[int, ...], item: RawItem) -> None:
    """Raise RawDataError for a clip [T, M, V, 3] of too many bytes, or more bodies than a sensor tracks."""
    size = 4 * math.prod(shape)
    if size > MAX_BYTES:
        raise RawDataError(f"{size} bytes are too many for one clip (limit {MAX_BYTES})", where=item.where)
    if shape[1] > ntu.MAX_TRACKS:
        raise RawDataError(f"{shape[1]} bodies are more than a sensor gives", where=item.where)
