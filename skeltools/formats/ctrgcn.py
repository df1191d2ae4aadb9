"""The ``.npz`` of CTR-GCN and its followers: one file per protocol, such as ``NTU60_CS.npz``.

    x_train [N, T, M * V * 3] float    y_train [N, classes], one-hot    x_test, y_test

It names no samples: ids are ``train-000001`` and so on, in the order of the file. Clips shorter than T end in
zeros. The protocol is told by the file's name. Arrays are mapped; a file made with ``savez_compressed`` is
held in memory.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from schemas import RawDataError, SkeletonSpec
from skeltools.datasets.splits import TEST, TRAIN
from skeltools.files import arrays
from skeltools.formats import archives
from skeltools.formats.note import stream_note
from skeltools.formats.selection import Selection, only_stream, stream_blocks
from skeltools.raw_items import Listing, RawItem
from skeltools.sequence import SkeletonSequence

FOLDER = False
ONE_CONVENTION = ONE_STREAM = ONE_PROTOCOL = True

_DATE = (1980, 1, 1, 0, 0, 0)  # the same store gives the same bytes


HALVES = {"train": TRAIN, "test": TEST}
NOTE = "export"
"""Array with what our own export says about a file, as JSON; absent elsewhere."""

PROTOCOL = "file"
"""Name of the split when the file's own name tells none."""

_WANTED = ("x_train", "y_train", "x_test", "y_test", NOTE)


@dataclass(frozen=True)
class _File:
    x: dict[str, NDArray[Any]]
    """Half -> [N, T, M * V * 3]."""
    y: dict[str, NDArray[Any]]
    """Half -> [N, classes]."""
    note: dict[str, Any]


def discover(raw: Path, *, spec: SkeletonSpec | None = None) -> Listing:
    """Samples of both halves, by the shapes of the arrays. Raises RawDataError for anything else."""
    spec = archives.joints_of(spec)
    path = _only_file(raw)
    opened = _open(path)
    archives.check_joints(opened.note, path)
    items = []
    for half, x in opened.x.items():
        if not x.shape[2] or x.shape[2] % (3 * spec.num_joints):
            raise RawDataError(
                f"x_{half} has {x.shape[2]} values a frame, no multiple of {spec.num_joints} joints x 3",
                where=path,
                remedy=f"It is not of {spec.name}: name its convention with --convention",
            )
        size = x.shape[1] * x.shape[2] * x.dtype.itemsize
        ids = (f"{half}-{row + 1:06}" for row in range(len(x)))
        items += [RawItem(id, spec.name, str(path), f"{spec.num_joints} joints/{id}", size) for id in ids]
    told = opened.note.get("protocol")
    protocol = told if isinstance(told, str) else archives.protocol_of(path.stem) or PROTOCOL
    members = {item.id: HALVES[item.id.partition("-")[0]] for item in items}
    return Listing(
        tuple(sorted(items, key=lambda item: item.id)),
        halves={protocol: members},
        rules={protocol: "as the archive has it: x_train and x_test"},
        synthetic=opened.note.get("synthetic") is True,
        anonymous=True,
    )


def _only_file(raw: Path) -> Path:
    """``raw``, or the only ``.npz`` file in it."""
    if raw.is_file():
        return raw
    found = sorted(raw.glob("*.npz"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found[:4])
        raise RawDataError(
            f"holds {len(found)} .npz files{f' ({names})' if names else ''}, expected one",
            where=raw,
            remedy="Name the file of one split with --raw: samples have no names that would join several",
        )
    return found[0]


def read(item: RawItem) -> SkeletonSequence:
    """One clip, its slots as bodies. Raises RawDataError."""
    opened = _open(Path(item.path))
    half, _, number = item.id.partition("-")
    row = int(number) - 1
    hot = np.flatnonzero(opened.y[half][row] > 0)
    if len(hot) != 1:
        raise RawDataError(f"its row of y_{half} has {len(hot)} classes, expected one", where=item.where)
    joints = int(str(item.member).partition(" ")[0])
    values = opened.x[half][row]
    return archives.to_sequence(
        item,
        values.reshape(len(values), values.shape[1] // (3 * joints), joints, 3),
        label=int(hot[0]),
        padded=opened.note.get("full_length") is not True,
        told={},
    )


def _open(path: Path) -> _File:
    """Opened once a process, as long as the file does not change."""
    status = path.stat()
    return _opened(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=2)
def _opened(path: Path, _changed: int, _size: int) -> _File:
    found = arrays.npz_file(path, wanted=_WANTED)
    halves = [half for half in HALVES if f"x_{half}" in found or f"y_{half}" in found]
    if not halves:
        raise RawDataError(
            "holds no x_train and x_test", where=path, remedy="Is it an archive in the format of CTR-GCN?"
        )
    for half in halves:
        for key in (f"x_{half}", f"y_{half}"):
            if key not in found:
                raise RawDataError(f"holds no {key}", where=path, remedy="Fetch it again")
        _check(found[f"x_{half}"], found[f"y_{half}"], half, path)
    return _File(
        {half: found[f"x_{half}"] for half in halves},
        {half: found[f"y_{half}"] for half in halves},
        _note(found.get(NOTE), path),
    )


def _check(x: NDArray[Any], y: NDArray[Any], half: str, path: Path) -> None:
    if x.ndim != 3 or x.dtype.kind != "f":
        raise RawDataError(
            f"x_{half} is {x.dtype} {x.shape}, expected float32 (N, T, M * V * 3)",
            where=path,
            remedy="Is it an archive in the format of CTR-GCN?",
        )
    if y.ndim != 2 or y.dtype.kind not in "fiub":
        raise RawDataError(
            f"y_{half} is {y.dtype} {y.shape}, expected one-hot rows (N, classes)",
            where=path,
            remedy="Is it an archive in the format of CTR-GCN?",
        )
    if len(x) != len(y):
        raise RawDataError(
            f"x_{half} has {len(x)} clips, y_{half} {len(y)} rows", where=path, remedy="Fetch it again"
        )


def _note(value: NDArray[Any] | None, path: Path) -> dict[str, Any]:
    try:
        note = {} if value is None else json.loads(str(value))
    except (ValueError, RecursionError) as error:
        raise RawDataError(f"{NOTE} is no valid JSON ({error})", where=path) from error
    return note if isinstance(note, dict) else {}


def write(partial: Path, selection: Selection) -> None:
    """``x_train`` [N, T, M * V * 3], ``y_train`` [N, classes] one-hot, ``x_test``, ``y_test``, ``export``."""
    path = only_stream(selection)
    (protocol,) = selection.protocols
    half = selection.half(protocol)
    labels = np.array(selection.column("label"))
    _, axes, frames, joints, bodies = selection.opened.manifest.arrays[path].shape
    width = bodies * joints * axes
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for name, number in HALVES.items():
            chosen = half == number
            blocks = stream_blocks(selection, path, selection.rows[chosen])
            flat = (block.transpose(0, 2, 4, 3, 1).reshape(len(block), frames, width) for block in blocks)
            _add(archive, f"x_{name}", (int(chosen.sum()), frames, width), "<f4", flat)
            hot = np.eye(len(selection.opened.manifest.classes))[labels[chosen]]
            _add(archive, f"y_{name}", hot.shape, "<f8", [hot])
        note = np.array(stream_note(selection, path, protocol))
        _add(archive, "export", (), note.dtype.str, [note])


def _add(
    archive: zipfile.ZipFile,
    name: str,
    shape: tuple[int, ...],
    dtype: str,
    blocks: Iterable[NDArray[Any]],
) -> None:
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    with archive.open(zipfile.ZipInfo(f"{name}.npy", _DATE), "w", force_zip64=True) as file:
        npy.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype).tobytes())
