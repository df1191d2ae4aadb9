"""Pickles of pyskl and mmaction2, such as ``ntu60_3danno.pkl``.

    {"split": {"xsub_train": [names], "xsub_val": [names], ...},
     "annotations": [{"frame_dir": name, "label": int, "total_frames": T, "keypoint": [M, T, V, 3]}, ...]}

or the list of annotations alone, as in early mmaction2. Absent bodies are all zero. A user's own data may be
2D: ``keypoint`` [M, T, V, 2] in pixels, ``keypoint_score`` [M, T, V], and ``img_shape`` or
``original_shape``, (height, width). The pickle is loaded whole, once per process, so each of the
``--workers`` needs memory of its size.

Our own export adds ``order`` [M, T] to an annotation, the place of each body in its frame, and, where
available, ``unseen`` and ``keypoint_score``; for a user's own data it also adds a ``note``.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import Finding, RawDataError, SkeletonSpec
from skeltools import __version__, store
from skeltools.datasets.splits import TEST, TRAIN
from skeltools.files.unchanged import while_unchanged
from skeltools.formats import archives, own_clips, unpickle
from skeltools.formats.archives import About
from skeltools.formats.note import TOOL, own_keys, parse
from skeltools.formats.selection import Selection
from skeltools.raw_items import Listing, RawItem
from skeltools.sequence import SkeletonSequence

FOLDER = False
ONE_CONVENTION = ONLY_SEQUENCES = NEEDS_LABELS = True
ONE_STREAM = ONE_PROTOCOL = False

HALVES = {"train": TRAIN, "val": TEST}


_ENDINGS = {"train": TRAIN, "val": TEST, "test": TEST}


@dataclass(frozen=True)
class _File:
    annotations: list[dict[str, Any]]
    split: dict[str, list[Any]]
    rows: dict[str, int]
    """Sample id -> its first annotation."""
    synthetic: bool
    note: dict[str, Any]

    @property
    def size(self) -> int:
        """The most common number of coordinates, 3 if there are no annotations."""
        counts = Counter(a["keypoint"].shape[3] for a in self.annotations if _is_keypoint(a.get("keypoint")))
        return counts.most_common(1)[0][0] if counts else 3


def about(raw: Path) -> About:
    """Describe the archive from its annotations. Raises the same errors as ``discover``."""
    path = archives.only_file(raw, ".pkl", ("*.pkl",))
    opened = _open(path)
    size = opened.size
    usable = [
        a for row, a in enumerate(opened.annotations) if not _problem(a, opened, row, size, own=True)[1]
    ]
    joints = Counter(annotation["keypoint"].shape[2] for annotation in usable)
    return About(
        tuple(count for count, _ in joints.most_common(1)),
        max((annotation["keypoint"].shape[0] for annotation in usable), default=1),
        1 + max((_label(annotation) for annotation in usable), default=-1),
        flat=size == 2,
        note=parse(opened.note, path),
    )


def discover(raw: Path, *, spec: SkeletonSpec | None = None, own: bool = False) -> Listing:
    """List all annotations of the file; 2D ones only for a user's ``own`` data.

    Raises RawDataError if it is not such a pickle.
    """
    spec = archives.joints_of(spec)
    path = archives.only_file(raw, ".pkl", ("*.pkl",))
    opened = _open(path)
    findings: list[Finding] = []
    items: list[RawItem] = []
    size = opened.size if own else 3
    if not own and opened.size == 2:
        raise RawDataError(
            "holds 2D poses, and the data set has 3D ones",
            where=path,
            remedy="2D poses go through `skeltools convert custom --from pyskl`, or lift them to 3D first",
        )
    for row, annotation in enumerate(opened.annotations):
        id, problem, detail = _problem(annotation, opened, row, size, own=own)
        if id is None or problem:
            findings.append(archives.skipped_sample(path.name, row, problem, detail))
            continue
        keypoint = annotation["keypoint"]
        if keypoint.shape[2] != spec.num_joints:
            raise archives.wrong_joints(keypoint.shape[2], spec, f"{path}::{id}")
        items.append(RawItem(id, spec.name, str(path), id, int(keypoint.nbytes)))
    halves, unmatched = _halves(opened, path)
    return Listing(
        tuple(sorted(items, key=lambda item: item.id)),
        (*findings, *unmatched),
        halves=halves,
        rules=dict.fromkeys(halves, "as the archive has it: its split lists"),
        synthetic=opened.synthetic,
    )


def _problem(
    annotation: dict[str, Any], opened: _File, row: int, size: int, *, own: bool
) -> tuple[str | None, str, str]:
    """(id, problem, detail) of an annotation that should have ``size`` coordinates; problem "" means none."""
    id = archives.sample_id(annotation.get("frame_dir"))
    if id is None:
        return None, "unusable sample name", ascii(annotation.get("frame_dir"))[:80]
    if opened.rows[id] != row:
        return id, "duplicate sample id", id
    if archives.label_of(annotation.get("label"), own=own) is None:
        return id, "label out of range", f"{id}: {ascii(annotation.get('label'))[:40]}"
    keypoint: Any = annotation.get("keypoint")
    if not _is_keypoint(keypoint):
        what = f"{keypoint.dtype} {keypoint.shape}" if isinstance(keypoint, np.ndarray) else "no array"
        return id, "keypoint of another form", f"{id}: {what}, expected float32 (M, T, V, {size})"
    if keypoint.shape[3] != size or size not in (2, 3):
        return id, "keypoint of another form", f"{id}: {keypoint.shape[3]} coordinates; is it 2D?"
    frames = annotation.get("total_frames", keypoint.shape[1])
    if not isinstance(frames, int | np.integer) or frames != keypoint.shape[1]:
        detail = f"{id}: total_frames is {str(frames)[:40]}, keypoint has {keypoint.shape[1]}"
        return id, "another length", detail
    order = annotation.get("order")
    if order is not None and not _is_order(order, keypoint):
        return id, "order of another form", f"{id}: expected int8 (M, T)"
    for key, kind in _OF_JOINTS.items() if own or order is not None else ():
        if (value := annotation.get(key)) is not None and not _is_of_joints(value, keypoint, kind):
            name = "numbers" if kind == "f" else "booleans"
            return id, f"{key} of another form", f"{id}: expected {name} (M, T, V)"
    return id, "", ""


_OF_JOINTS = {"keypoint_score": "f", "unseen": "b"}
"""Dtype kind of the arrays [M, T, V] of an annotation, which are used in own data and our exports only."""


def _is_keypoint(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 4 and value.dtype.kind == "f"


def _is_of_joints(value: Any, keypoint: NDArray[Any], kind: str) -> bool:
    sound = isinstance(value, np.ndarray) and value.dtype.kind == kind
    return sound and value.shape == keypoint.shape[:3]


def _is_order(order: Any, keypoint: NDArray[Any]) -> bool:
    return isinstance(order, np.ndarray) and order.dtype == np.int8 and order.shape == keypoint.shape[:2]


def _halves(opened: _File, path: Path) -> tuple[dict[str, dict[str, int]], list[Finding]]:
    """Protocol -> id -> half, from lists named ``<protocol>_train``, ``_val`` or ``_test``; and findings."""
    halves: dict[str, dict[str, int]] = {}
    findings: list[Finding] = []
    for name, members in sorted(
        opened.split.items(), key=lambda pair: (not pair[0].endswith("train"), pair[0])
    ):
        head, _, ending = name.rpartition("_")
        protocol = archives.protocol_of(head) or head or "file"
        if ending not in _ENDINGS or not archives.is_protocol(protocol):
            detail = f"expected <protocol>_train, <protocol>_val or <protocol>_test, not {ascii(name)[:60]}"
            findings.append(_about(path, name, "unknown split", detail))
            continue
        half = halves.setdefault(protocol, {})
        absent = 0
        for member in members:
            id = archives.sample_id(member)
            if id is None or id not in opened.rows:
                absent += 1
            elif half.setdefault(id, _ENDINGS[ending]) != _ENDINGS[ending]:
                findings.append(_about(path, name, "in both halves", f"{id}; kept in train"))
        if absent:
            findings.append(
                _about(path, name, "named by a split, but not there", f"{absent} of {len(members)} names")
            )
    return halves, findings


def _about(path: Path, split: str, problem: str, detail: str) -> Finding:
    place = f"split {ascii(split)[1:-1][:60]}"
    return Finding(file=path.name, place=place, problem=problem, detail=detail, action="left out of it")


def read(item: RawItem) -> SkeletonSequence:
    """Read one clip at full length, with its slots as bodies. Raises RawDataError."""
    opened = _open(Path(item.path))
    annotation = opened.annotations[opened.rows[item.id]]
    order = annotation.get("order")
    ours = own_clips.is_own(item) or order is not None
    unseen, score = (annotation.get(key) if ours else None for key in ("unseen", "keypoint_score"))
    return archives.to_sequence(
        item,
        annotation["keypoint"].transpose(1, 0, 2, 3),
        label=_label(annotation),
        order=None if order is None else order.T,
        unseen=None if unseen is None else unseen.transpose(1, 0, 2),
        score=None if score is None else _finite(score.transpose(1, 0, 2)),
        image_size=_image_size(annotation),
    )


def _label(annotation: dict[str, Any]) -> int:
    """The label; -1 for an unlabelled clip of a user's own data."""
    return int(annotation.get("label", -1)) if annotation.get("label") is not None else -1


def _finite(score: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return np.nan_to_num(score.astype(np.float32), nan=0, posinf=0, neginf=0)


def _image_size(annotation: dict[str, Any]) -> tuple[int, int] | None:
    """(width, height) of the image in pixels, which the file stores as (height, width)."""
    for key in ("img_shape", "original_shape"):
        shape = archives.column(annotation.get(key))
        if shape and len(shape) >= 2 and all(type(side) is int and 0 < side < 2**24 for side in shape[:2]):
            return shape[1], shape[0]
    return None


@while_unchanged(1)
def _open(path: Path) -> _File:
    content = unpickle.tree(path)
    if isinstance(content, list) and content and all(map(_is_annotation, content)):
        content = {"annotations": content}
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise _foreign(f"no dict with annotations but {unpickle.describe(content)}", path)
    annotations, split = content["annotations"], content.get("split", {})
    if not all(isinstance(annotation, dict) for annotation in annotations):
        raise _foreign("annotations that are no dicts", path)
    named = split.items() if isinstance(split, dict) else ()
    lists = {str(name): archives.column(names) for name, names in named}
    if not isinstance(split, dict) or None in lists.values():
        raise _foreign("a split that is no dict of lists", path)
    rows: dict[str, int] = {}
    for row, annotation in enumerate(annotations):
        id = archives.sample_id(annotation.get("frame_dir"))
        if id is not None:
            rows.setdefault(id, row)
    splits = {name: names for name, names in lists.items() if names is not None}
    note = content.get("note")
    synthetic = content.get("synthetic") is True
    return _File(annotations, splits, rows, synthetic, note if isinstance(note, dict) else {})


def _is_annotation(value: Any) -> bool:
    return isinstance(value, dict) and {"keypoint", "frame_dir"} <= value.keys()


def _foreign(what: str, path: Path) -> RawDataError:
    return RawDataError(
        f"holds {what}",
        where=path,
        remedy='Expected the 3D pickle of pyskl: {"split": {...}, "annotations": [...]}',
    )


def write(partial: Path, selection: Selection) -> None:
    """Write ``{"split": {...}, "annotations": [...]}``, plain values and numpy arrays, one clip at a time.

    In addition to pyskl's keys, an annotation has ``order`` [M, T] int8, the place of each body in its frame,
    which the published preprocessing relies on, and ``unseen`` [M, T, V] if it has unseen joints; pyskl
    ignores both. Only a user's own data has a ``note``.
    """
    content: dict[str, Any] = {"split": _split(selection)}
    if record := own_keys(selection):
        content["note"] = {"tool": f"{TOOL}{__version__}", **record}
    if selection.opened.manifest.synthetic:
        content["synthetic"] = True
    content["annotations"] = _Written(_annotations(selection))
    with partial.open("wb") as file:
        pickler = pickle.Pickler(file, protocol=4)
        pickler.fast = True  # no memo: clips share nothing
        pickler.dump(content)


class _Written:
    """A list that is pickled item by item and never held in memory."""

    def __init__(self, items: Iterator[Any]) -> None:
        self.items = items

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (), None, self.items


def _split(selection: Selection) -> dict[str, list[str]]:
    ids = selection.column("id")
    return {
        f"{protocol}_{name}": list(compress(ids, (selection.half(protocol) == number).tolist()))
        for protocol in selection.protocols
        for name, number in HALVES.items()
    }


def _annotations(selection: Selection) -> Iterator[dict[str, Any]]:
    wanted = set(selection.rows.tolist())
    for row, clip in enumerate(store.read_sequences(selection.opened, selection.convention)):
        if row in wanted and clip is not None:
            yield {
                "frame_dir": clip.id,
                "label": clip.label,
                "keypoint": np.ascontiguousarray(clip.joints.transpose(1, 0, 2, 3), "<f4"),
                "total_frames": clip.frames,
                "order": np.ascontiguousarray(clip.order.T, np.int8),
                **_of_joints(clip),
            }


def _of_joints(clip: SkeletonSequence) -> dict[str, Any]:
    """The arrays [M, T, V] that a clip has per joint and frame."""
    parts = {"unseen": (clip.unseen, np.bool_), "keypoint_score": (clip.score, np.dtype("<f4"))}
    return {
        key: np.ascontiguousarray(values.transpose(1, 0, 2), dtype)  # type: ignore[call-overload]
        for key, (values, dtype) in parts.items()
        if values is not None
    }
