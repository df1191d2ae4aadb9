"""Folders of CrosSCLR, AimCLR and ST-GCN: per half, a ``.npy`` of all clips and a pickle of names and labels.

    <raw>/[<protocol>/]train_data.npy | train_position.npy | train_data_joint.npy    [N, 3, T, V, M] float
    <raw>/[<protocol>/]train_label.pkl                                               (names, labels)
    ... and the same with val_

One folder per protocol (``xsub``, ``xview``, ``xset``), or a single folder. Clips shorter than T are padded
with zeros, or ``<half>_num_frame.npy`` [N] has the number of frames of each. Arrays are memory-mapped, not
loaded. A sample in several protocols is read from the first of them, by name.

Archives of a user's own data may vary: pairs with other names (``all_data.npy``, ``all_label.pkl``), labels
without names, also as ``.npy`` or one-hot, 2 to 4 values per joint. Samples without names are called
``train-000001`` and so on. A single ``.npz`` is read by ``ctrgcn``.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from schemas import Finding, RawDataError, SkeletonSpec
from skeltools.datasets import ntu
from skeltools.datasets.splits import TEST, TRAIN
from skeltools.files import arrays
from skeltools.formats import archives, ctrgcn, unpickle
from skeltools.formats.archives import About
from skeltools.formats.note import parse, stream_note
from skeltools.formats.selection import Selection, only_stream, stream_blocks
from skeltools.formats.target import NOTE
from skeltools.raw_items import MAX_BYTES, Listing, RawItem, visible_files
from skeltools.sequence import SkeletonSequence

FOLDER = True
ONE_CONVENTION = ONE_STREAM = NEEDS_LABELS = True
ONE_PROTOCOL = ONLY_SEQUENCES = False

STREAMS = {"joint": "position"}
"""Kind of stream -> the name in AimCLR's file; other kinds keep our name."""


HALVES = {"train": TRAIN, "val": TEST}
KINDS = ("data", "position", "data_joint")
"""Names of the joint stream, in order of preference."""

_DATA = re.compile(r"(.*?)_?(?:data(?:_joints?)?|position|x)\.npy", re.IGNORECASE)
_LABELS = re.compile(r"(.*?)_?(?:labels?|y)\.(?:pkl|pickle|npy)", re.IGNORECASE)
_LENGTHS = ("{}num_frame.npy", "{}num_frames.npy")
_WORDS = {"train": TRAIN, "training": TRAIN, "val": TEST, "test": TEST, "eval": TEST}


@dataclass(frozen=True)
class _Pair:
    """Data and labels of one half of one protocol."""

    half: int | None
    """TRAIN or TEST; None if the name has neither."""
    data: Path
    labels: Path
    named_so: bool = True
    """Whether the names are those of the published code, so that one follows from the other."""


@dataclass(frozen=True)
class _Half:
    """The contents of a pair."""

    data: NDArray[Any]
    """[N, C, T, V, M]"""
    names: list[Any]
    labels: list[Any]
    rows: dict[str, int]
    """Sample id -> its first row."""
    note: dict[str, Any]
    named: bool
    """Whether the label file names the samples."""
    frames: list[int] | None
    """True lengths."""
    problem: str
    """Why an existing file of lengths is not used."""


def about(raw: Path) -> About:
    """Describe the archive from its arrays and labels. Raises the same errors as ``discover``."""
    if (npz := _npz(raw)) is not None:
        return ctrgcn.about(npz)
    pairs = (pair for folder in _folders(raw).values() for pair in _halves(folder, []))
    halves = [_open(pair.data, pair.labels) for pair in pairs]
    if not halves:
        raise _no_pair(raw)
    shapes = [half.data.shape for half in halves]
    numbers = [archives.whole(label) for half in halves for label in half.labels]
    return About(
        tuple({shape[3]: None for shape in shapes}),
        max(shape[4] for shape in shapes),
        1 + max((number for number in numbers if number is not None), default=-1),
        named=all(half.named for half in halves),
        note=next((parse(half.note, raw) for half in halves if half.note), parse({}, raw)),
    )


def _npz(raw: Path) -> Path | None:
    """``raw`` if it is a ``.npz`` file, or the only one in a folder without a pair of data and labels."""
    if raw.is_file():
        return raw if raw.suffix == ".npz" else None
    files = sorted(path for path in raw.glob("*.npz") if ctrgcn.is_archive(path)) if raw.is_dir() else []
    return files[0] if len(files) == 1 and not _folders(raw) else None


def discover(raw: Path, *, spec: SkeletonSpec | None = None, own: bool = False, channels: int = 3) -> Listing:
    """List the samples of all halves below ``raw``, reading names and labels but no poses.

    Raises RawDataError: no such folder, data without labels or the reverse, numbers of samples that differ,
    or arrays of a wrong shape or convention.
    """
    if (npz := _npz(raw)) is not None:
        return ctrgcn.discover(npz, spec=spec, own=own, channels=channels)
    spec = archives.joints_of(spec)
    folders = _folders(raw)
    if not folders:
        raise _no_pair(raw)
    items: dict[str, RawItem] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    halves: dict[str, dict[str, int]] = {}
    findings: list[Finding] = []
    synthetic, named = False, False
    for protocol, folder in folders.items():
        members: dict[str, int] = {}
        for pair in _halves(folder, findings):
            opened = _open(pair.data, pair.labels)
            archives.check_joints(opened.note, pair.data)
            _check(opened, pair, spec, own, findings)
            synthetic |= opened.note.get("synthetic") is True
            named |= opened.named
            for id, row in _samples(opened, pair.labels, findings, own=own):
                problem, detail = "", ""
                if pair.half is not None and members.setdefault(id, pair.half) != pair.half:
                    problem, detail = "in both halves", f"{id}; kept in train"
                else:
                    member = id if pair.named_so else f"{pair.labels.name}/{id}"
                    size = int(opened.data[0].nbytes)
                    item = RawItem(id, spec.name, str(pair.data), member, size)
                    first = items.setdefault(id, item)
                    if shapes.setdefault(id, opened.data.shape[1:]) != opened.data.shape[1:]:
                        problem = "another shape in another protocol"
                        detail = f"{id}; kept that of {archives.shown(Path(first.path))}"
                if problem:
                    findings.append(
                        archives.skipped_sample(archives.shown(pair.labels), row, problem, detail)
                    )
        if members:
            halves[protocol] = members
    rule = "as the archive has it: its train and val files"
    return Listing(
        tuple(items[id] for id in sorted(items)),
        tuple(findings),
        halves=halves,
        rules=dict.fromkeys(halves, rule),
        synthetic=synthetic,
        anonymous=not named,
    )


def _check(opened: _Half, pair: _Pair, spec: SkeletonSpec, own: bool, findings: list[Finding]) -> None:
    """Raise RawDataError for a wrong convention, or for coordinates that only a user's own data may have."""
    shape = opened.data.shape
    if shape[1] != 3 and not own:
        raise _other_form(opened.data, pair.data)
    if shape[3] != spec.num_joints:
        raise archives.wrong_joints(shape[3], spec, pair.data)
    if opened.problem:
        findings.append(
            Finding(
                file=archives.shown(pair.data),
                problem="lengths that do not fit",
                detail=opened.problem,
                action="not used",
            )
        )


def _no_pair(raw: Path) -> RawDataError:
    return RawDataError(
        "no train_label.pkl or val_label.pkl with its train_data.npy or train_position.npy",
        where=raw,
        remedy="Name the folder of one protocol, or the one that holds xsub/ and xview/",
    )


def _folders(raw: Path) -> dict[str, Path]:
    """Protocol -> folder, sorted by name; a folder whose name is no protocol is ``file``."""
    if raw.is_file() and _DATA.fullmatch(raw.name):
        raw = raw.parent
    if not raw.is_dir():
        raise RawDataError("is no folder", where=raw, remedy="Name the folder that holds train_label.pkl")
    files = list(visible_files(raw))
    folders = {path.parent for path in files if path.name in _PUBLISHED}
    if not folders:
        folders = {path.parent for path in files if _LABELS.fullmatch(path.name)}
        folders = {folder for folder in folders if any(map(_is_data, folder.iterdir()))}
    by_split: dict[str, Path] = {}
    for folder in sorted(folders):
        name = folder.resolve().name
        own = name.lower() if folder != raw and archives.is_protocol(name.lower()) else "file"
        protocol = archives.protocol_of(name) or own
        if protocol in by_split:
            raise RawDataError(
                f"two folders of split {protocol}, {by_split[protocol]} and {folder}",
                where=raw,
                remedy="Name one data set's folder",
            )
        by_split[protocol] = folder
    return dict(sorted(by_split.items()))


_PUBLISHED = {f"{half}_{kind}" for half in HALVES for kind in ("label.pkl", *(f"{k}.npy" for k in KINDS))}
"""File names of the published code."""


def _is_data(path: Path) -> bool:
    return _DATA.fullmatch(path.name) is not None and path.is_file()


def _halves(folder: Path, findings: list[Finding]) -> Iterator[_Pair]:
    """The halves in a folder by their published names; if there are none, all pairs with equal prefixes."""
    if not any((folder / name).is_file() for name in _PUBLISHED):
        yield from _pairs_by_name(folder)
        return
    for half in HALVES:
        data = [path for kind in KINDS if (path := folder / f"{half}_{kind}.npy").is_file()]
        names = (f"{half}_label.pkl", f"{half}_label.npy", f"{half}_labels.npy")
        there = [path for name in names if (path := folder / name).is_file()]
        labels = there[0] if there else folder / names[0]
        if data and not there:
            raise RawDataError(
                f"there is no {labels.name} beside it", where=data[0], remedy="Add it, or remove the data"
            )
        if there and not data:
            wanted = " or ".join(f"{half}_{kind}.npy" for kind in KINDS)
            raise RawDataError(
                f"there is no {wanted} beside it", where=labels, remedy="Add it, or remove the labels"
            )
        for other in data[1:]:
            detail = f"{data[0].name} is there, too"
            findings.append(
                Finding(
                    file=archives.shown(other), problem="second joint stream", detail=detail, action="ignored"
                )
            )
        if data:
            yield _Pair(HALVES[half], data[0], labels, labels.suffix == ".pkl")


def _pairs_by_name(folder: Path) -> Iterator[_Pair]:
    """Pairs of data and labels with equal prefixes, or the only ones in the folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    data = {m[1].lower(): path for path in files if (m := _DATA.fullmatch(path.name))}
    labels = {m[1].lower(): path for path in files if (m := _LABELS.fullmatch(path.name))}
    if len(data) == len(labels) == 1 and data.keys() != labels.keys():
        labels = dict(zip(data, labels.values(), strict=True))
    for begin in sorted(data.keys() | labels.keys()):
        if begin not in data or begin not in labels:
            lone, other = (data[begin], "labels") if begin in data else (labels[begin], "data")
            raise RawDataError(f"there are no {other} beside it", where=lone, remedy="Add them, or remove it")
        words = re.split(r"[^a-z]+", begin)
        half = next((_WORDS[word] for word in words if word in _WORDS), None)
        yield _Pair(half, data[begin], labels[begin], named_so=False)


def _samples(opened: _Half, labels: Path, findings: list[Finding], *, own: bool) -> Iterator[tuple[str, int]]:
    """(id, row) of every valid sample."""
    for row, (name, label) in enumerate(zip(opened.names, opened.labels, strict=True)):
        id = archives.sample_id(name)
        if id is None:
            problem, detail = "unusable sample name", ascii(name)[:80]
        elif archives.label_of(label, own=own) is None:
            problem, detail = "label out of range", f"{id}: {ascii(label)[:40]}"
        elif opened.rows[id] != row:
            problem, detail = "duplicate sample id", id
        else:
            yield id, row
            continue
        findings.append(archives.skipped_sample(archives.shown(labels), row, problem, detail))


def read(item: RawItem) -> SkeletonSequence:
    """Read one clip, with its slots as bodies. Raises RawDataError."""
    data = Path(item.path)
    if data.suffix == ".npz":
        return ctrgcn.read(item)
    half = data.name.partition("_")[0]
    labels = str(item.member).rpartition("/")[0]
    opened = _open(data, data.with_name(labels or f"{half}_label.pkl"))
    row = opened.rows[item.id]
    joints = opened.data[row].transpose(1, 3, 2, 0)
    padded = opened.note.get("full_length") is not True
    if opened.frames is not None:
        joints, padded = joints[: opened.frames[row]], False
    label = opened.labels[row]
    return archives.to_sequence(item, joints, label=-1 if label is None else label, padded=padded)


def _open(data: Path, labels: Path) -> _Half:
    """Open a pair once per process, as long as no file changes."""
    lengths = _lengths_file(data)
    stamps = (_stamp(data), _stamp(labels), None if lengths is None else _stamp(lengths))
    return _opened(data, labels, lengths, stamps)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise RawDataError(f"cannot be read ({error.strerror})", where=path) from error
    return status.st_mtime_ns, status.st_size


def _lengths_file(data: Path) -> Path | None:
    """``train_num_frame.npy`` beside ``train_data.npy``, or ``num_frame.npy`` beside the only data file."""
    match = _DATA.fullmatch(data.name)
    begin = f"{match[1]}_" if match and match[1] else ""
    names = [name.format(begin) for name in _LENGTHS]
    if sum(map(_is_data, data.parent.iterdir())) == 1:
        names += [name.format("") for name in _LENGTHS]
    return next((path for name in names if (path := data.with_name(name)).is_file()), None)


@lru_cache(maxsize=16)
def _opened(data: Path, labels: Path, lengths: Path | None, _stamps: object) -> _Half:
    names, numbers = _label_file(labels)
    values = arrays.npy_file(data)
    if values.ndim != 5 or values.shape[1] not in (2, 3, 4) or values.dtype.kind != "f":
        raise _other_form(values, data)
    if len(values) != len(numbers):
        raise RawDataError(
            f"{len(values)} clips, but {labels.name} names {len(numbers)}",
            where=data,
            remedy="Both files must come from one run; fetch them again",
        )
    given = names if names is not None else _made_up(labels, len(numbers))
    rows: dict[str, int] = {}
    for row, name in enumerate(given):
        id = archives.sample_id(name)
        if id is not None:
            rows.setdefault(id, row)
    frames, problem = _frames(lengths, values) if lengths is not None else (None, "")
    return _Half(values, given, numbers, rows, _note(data.parent), names is not None, frames, problem)


def _other_form(values: NDArray[Any], data: Path) -> RawDataError:
    return RawDataError(
        f"is {values.dtype} {values.shape}, expected float32 (N, 3, T, V, M)",
        where=data,
        remedy="Is it the data file of CrosSCLR, AimCLR or ST-GCN?",
    )


def _made_up(labels: Path, count: int) -> list[Any]:
    match = _LABELS.fullmatch(labels.name)
    begin = re.sub(r"[^A-Za-z0-9_-]+", "-", match[1])[:100] if match else ""
    return [f"{begin or 'clip'}-{row + 1:06}" for row in range(count)]


def _label_file(path: Path) -> tuple[list[Any] | None, list[Any]]:
    """Read (names or None, labels) from a pair ``(names, labels)``, or from numbers or one-hot rows alone."""
    content = _npy_labels(path) if path.suffix == ".npy" else unpickle.tree(path, kind="the label pickle")
    pair = content if isinstance(content, (tuple, list)) and len(content) == 2 else (None, None)
    names, numbers = map(archives.column, pair)
    if names is not None and numbers is not None and len(names) == len(numbers):
        return names, numbers
    alone = _numbers(content)
    if not alone:
        raise RawDataError(
            f"is no pair of sample names and as many labels but {unpickle.describe(content)}",
            where=path,
            remedy="Is it a label file?",
        )
    return None, alone


def _npy_labels(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RawDataError(f"is too large for labels (limit {MAX_BYTES} bytes)", where=path)
        return np.asarray(arrays.npy_file(path))
    except RawDataError as error:
        if "objects" not in error.message:
            raise
        return unpickle.of_npy(path.read_bytes(), where=path)


def _numbers(content: Any) -> list[Any]:
    """Labels from an array or list of whole numbers, or of one-hot rows; empty if it is neither. A row of
    zeros becomes the label -1, a row of several classes a text that is not a valid label."""
    values = np.asarray(content) if isinstance(content, np.ndarray) else None
    if isinstance(content, list | tuple) and all(type(each) in (int, float) for each in content):
        values = np.asarray(content, dtype=object)
    if values is None or values.dtype.kind not in "iufbO" or values.ndim not in (1, 2):
        return []
    if values.ndim == 2 and values.shape[1] > 1:
        hot = values > 0
        several = f"{values.shape[1]} columns, several of them set"
        return [int(row.argmax()) if row.sum() == 1 else several if row.any() else -1 for row in hot]
    if values.dtype.kind == "b":
        return []
    plain = values.reshape(-1).tolist()
    return [int(each) if isinstance(each, float) and each.is_integer() else each for each in plain]


def _frames(path: Path, data: NDArray[Any]) -> tuple[list[int] | None, str]:
    """True lengths of all clips; None, and the reason, if they do not fit the data."""
    values = arrays.npy_file(path).reshape(-1)
    if len(values) != len(data) or values.dtype.kind not in "iuf":
        return None, f"{path.name} has {len(values)} {values.dtype}, expected {len(data)} numbers"
    with np.errstate(invalid="ignore"):
        if not ((values >= 1) & (values <= data.shape[2]) & (values % 1 == 0)).all():
            worst = values.min() if (values < 1).any() else values.max()
            return None, f"{path.name} has {worst}, expected 1 to {data.shape[2]} frames"
    return [int(value) for value in values], ""


def _note(folder: Path) -> dict[str, Any]:
    path = folder / NOTE
    try:
        note = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (ValueError, RecursionError) as error:
        raise RawDataError(
            f"no valid JSON ({error})", where=path, remedy="Remove it or export again"
        ) from error
    return note if isinstance(note, dict) else {}


def write(partial: Path, selection: Selection) -> None:
    """Write the halves of each protocol to a folder ``<out>/<protocol>``.

    The files are ``{train,val}_{position,bone,motion}.npy`` [N, 3, T, V, M], ``_label.pkl`` and
    ``_num_frame.npy``, which is T for all: a stream has no padding. Rows that the convention lacks, and
    samples that a protocol does not use, are left out.
    """
    path = only_stream(selection)
    for protocol in selection.protocols:
        folder = partial / protocol
        folder.mkdir(parents=True)
        (folder / NOTE).write_text(stream_note(selection, path, protocol), encoding="utf-8")
        for half, number in HALVES.items():
            rows = selection.half(protocol) == number
            if rows.any():
                _write_half(folder / half, selection, path, rows)


def _write_half(stem: Path, selection: Selection, path: str, chosen: np.ndarray) -> None:
    kind = path.split("/")[3]
    info = selection.opened.manifest.arrays[path]
    rows = selection.rows[chosen]
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(rows), *info.shape[1:])}
    with stem.with_name(f"{stem.name}_{STREAMS.get(kind, kind)}.npy").open("wb") as file:
        npy.write_array_header_1_0(file, header)
        for block in stream_blocks(selection, path, rows):
            file.write(np.ascontiguousarray(block, "<f4").data)
    np.save(stem.with_name(f"{stem.name}_num_frame.npy"), np.full(len(rows), info.shape[2], np.int64))
    taken = np.flatnonzero(chosen).tolist()
    ids, labels = selection.column("id"), selection.column("label")
    names = [f"{ids[i]}.skeleton" if ntu.fields(ids[i]) else ids[i] for i in taken]
    with stem.with_name(f"{stem.name}_label.pkl").open("wb") as file:
        pickle.dump((names, [labels[i] for i in taken]), file, protocol=4)
