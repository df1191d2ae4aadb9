"""Folders of CrosSCLR, AimCLR and ST-GCN: a ``.npy`` of all clips and a pickle of names and labels per half.

    <raw>/[<protocol>/]train_data.npy | train_position.npy | train_data_joint.npy    [N, 3, T, V, M] float
    <raw>/[<protocol>/]train_label.pkl                                               (names, labels)
    ... and the same with val_

One folder per protocol (``xsub``, ``xview``, ``xset``), or one folder alone. Clips shorter than T end in
zeros. Arrays are mapped, not loaded. A sample of several protocols is read from the first, by name.
"""

from __future__ import annotations

import json
import pickle
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
from skeltools.formats import archives, unpickle
from skeltools.formats.note import stream_note
from skeltools.formats.selection import Selection, only_stream, stream_blocks
from skeltools.raw_items import Listing, RawItem, visible_files
from skeltools.sequence import SkeletonSequence

FOLDER = True
ONE_CONVENTION = ONE_STREAM = True
ONE_PROTOCOL = False

STREAMS = {"joint": "position"}
"""Kind of stream -> what AimCLR calls its file; the others have our name."""


HALVES = {"train": TRAIN, "val": TEST}
KINDS = ("data", "position", "data_joint")
"""Names of the joint stream, the first that is there is read."""

NOTE = "export.json"
"""What our own export says about a folder; absent elsewhere."""


@dataclass(frozen=True)
class _Half:
    """One half of one protocol."""

    data: NDArray[Any]
    """[N, 3, T, V, M]"""
    names: list[Any]
    labels: list[Any]
    rows: dict[str, int]
    """Sample id -> its first row."""
    note: dict[str, Any]


def discover(raw: Path, *, spec: SkeletonSpec | None = None) -> Listing:
    """Samples of all halves below ``raw``; reads names and labels, no pose.

    Raises RawDataError: no such folder, data without labels or the reverse, other numbers of samples, arrays
    of another shape or convention.
    """
    spec = archives.joints_of(spec)
    folders = _folders(raw)
    if not folders:
        raise RawDataError(
            "no train_label.pkl or val_label.pkl with its train_data.npy or train_position.npy",
            where=raw,
            remedy="Name the folder of one protocol, or the one that holds xsub/ and xview/",
        )
    items: dict[str, RawItem] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    halves: dict[str, dict[str, int]] = {}
    findings: list[Finding] = []
    synthetic = False
    for protocol, folder in folders.items():
        halves[protocol] = {}
        for half, data, labels in _halves(folder, findings):
            opened = _open(data, labels)
            archives.check_joints(opened.note, data)
            if opened.data.shape[3] != spec.num_joints:
                raise archives.wrong_joints(opened.data.shape[3], spec, data)
            synthetic |= opened.note.get("synthetic") is True
            for id, row in _samples(opened, labels, findings):
                if halves[protocol].setdefault(id, HALVES[half]) != HALVES[half]:
                    findings.append(
                        archives.skipped(
                            archives.shown(labels), row, "in both halves", f"{id}; kept in train"
                        )
                    )
                    continue
                size = int(opened.data[0].nbytes)
                first = items.setdefault(id, RawItem(id, spec.name, str(data), id, size))
                if shapes.setdefault(id, opened.data.shape[1:]) != opened.data.shape[1:]:
                    detail = f"{id}; kept that of {archives.shown(Path(first.path))}"
                    findings.append(
                        archives.skipped(
                            archives.shown(labels), row, "another shape in another protocol", detail
                        )
                    )
    rule = "as the archive has it: its train and val files"
    return Listing(
        tuple(items[id] for id in sorted(items)),
        tuple(findings),
        halves=halves,
        rules=dict.fromkeys(halves, rule),
        synthetic=synthetic,
    )


def _folders(raw: Path) -> dict[str, Path]:
    """Protocol -> folder, by name; ``file`` for a single folder of another name."""
    if not raw.is_dir():
        raise RawDataError("is no folder", where=raw, remedy="Name the folder that holds train_label.pkl")
    wanted = {f"{half}_{kind}" for half in HALVES for kind in ("label.pkl", *(f"{k}.npy" for k in KINDS))}
    found: dict[str, Path] = {}
    for folder in sorted({path.parent for path in visible_files(raw) if path.name in wanted}):
        name = folder.resolve().name
        own = name.lower() if folder != raw and archives.is_protocol(name.lower()) else "file"
        protocol = archives.protocol_of(name) or own
        if protocol in found:
            raise RawDataError(
                f"two folders of split {protocol}, {found[protocol]} and {folder}",
                where=raw,
                remedy="Name one data set's folder",
            )
        found[protocol] = folder
    return dict(sorted(found.items()))


def _halves(folder: Path, findings: list[Finding]) -> Iterator[tuple[str, Path, Path]]:
    """(train or val, data, labels) of those halves that a folder has."""
    for half in HALVES:
        data = [path for kind in KINDS if (path := folder / f"{half}_{kind}.npy").is_file()]
        labels = folder / f"{half}_label.pkl"
        if data and not labels.is_file():
            raise RawDataError(
                f"there is no {labels.name} beside it", where=data[0], remedy="Add it, or remove the data"
            )
        if labels.is_file() and not data:
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
            yield half, data[0], labels


def _samples(opened: _Half, labels: Path, findings: list[Finding]) -> Iterator[tuple[str, int]]:
    """(id, row) of every sample that can be one."""
    for row, (name, label) in enumerate(zip(opened.names, opened.labels, strict=True)):
        id = archives.sample_id(name)
        if id is None:
            findings.append(
                archives.skipped(archives.shown(labels), row, "unusable sample name", ascii(name)[:80])
            )
        elif archives.whole(label) is None:
            findings.append(
                archives.skipped(
                    archives.shown(labels), row, "label out of range", f"{id}: {ascii(label)[:40]}"
                )
            )
        elif opened.rows[id] != row:
            findings.append(archives.skipped(archives.shown(labels), row, "duplicate sample id", id))
        else:
            yield id, row


def read(item: RawItem) -> SkeletonSequence:
    """One clip, its slots as bodies. Raises RawDataError."""
    data = Path(item.path)
    half = data.name.partition("_")[0]
    opened = _open(data, data.with_name(f"{half}_label.pkl"))
    row = opened.rows[item.id]
    joints = opened.data[row].transpose(1, 3, 2, 0)
    padded = opened.note.get("full_length") is not True
    return archives.to_sequence(item, joints, label=opened.labels[row], padded=padded)


def _open(data: Path, labels: Path) -> _Half:
    """Opened once a process, as long as neither file changes."""
    return _opened(data, labels, _stamp(data), _stamp(labels))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise RawDataError(f"cannot be read ({error.strerror})", where=path) from error
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=16)
def _opened(data: Path, labels: Path, _data_stamp: object, _labels_stamp: object) -> _Half:
    content = unpickle.load(labels)
    pair = content if isinstance(content, (tuple, list)) and len(content) == 2 else (None, None)
    names, numbers = map(archives.column, pair)
    if names is None or numbers is None or len(names) != len(numbers):
        raise RawDataError(
            "is no pair of sample names and as many labels", where=labels, remedy="Is it a label file?"
        )
    values = arrays.npy_file(data)
    if values.ndim != 5 or values.shape[1] != 3 or values.dtype.kind != "f":
        raise RawDataError(
            f"is {values.dtype} {values.shape}, expected float32 (N, 3, T, V, M)",
            where=data,
            remedy="Is it the data file of CrosSCLR, AimCLR or ST-GCN?",
        )
    if len(values) != len(names):
        raise RawDataError(
            f"{len(values)} clips, but {labels.name} names {len(names)}",
            where=data,
            remedy="Both files must come from one run; fetch them again",
        )
    rows: dict[str, int] = {}
    for row, name in enumerate(names):
        id = archives.sample_id(name)
        if id is not None:
            rows.setdefault(id, row)
    return _Half(values, names, numbers, rows, _note(data.parent))


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
    """``<out>/<protocol>/{train,val}_{position,bone,motion}.npy`` [N, 3, T, V, M] and ``_label.pkl``.

    Rows that the convention lacks, and samples that a protocol does not use, are left out.
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
    taken = np.flatnonzero(chosen).tolist()
    ids, labels = selection.column("id"), selection.column("label")
    names = [f"{ids[i]}.skeleton" if ntu.fields(ids[i]) else ids[i] for i in taken]
    with stem.with_name(f"{stem.name}_label.pkl").open("wb") as file:
        pickle.dump((names, [labels[i] for i in taken]), file, protocol=4)
