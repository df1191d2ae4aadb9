"""The ``.npz`` of CTR-GCN and its followers: one file per protocol, such as ``NTU60_CS.npz``.

    x_train [N, T, M * V * 3] float    y_train [N, classes], one-hot    x_test, y_test

Archives of a user's own data may vary: poses also as [N, 3, T, V, M], [N, 3, T, V] or [N, T, V, 3], labels
also as N numbers, arrays also named ``data`` and ``label`` or ``labels``, with ``train``, ``test`` or ``val``
as prefix or suffix, or without halves.

Samples have no names: ids are ``train-000001`` and so on, in file order. Clips shorter than T are padded with
zeros. The protocol is taken from the file name. Arrays are memory-mapped; a file made with
``savez_compressed`` is loaded into memory.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from schemas import RawDataError, SkeletonSpec, regular
from skeltools.datasets.splits import TEST, TRAIN
from skeltools.files import arrays
from skeltools.files.unchanged import while_unchanged
from skeltools.formats import archives, own_clips
from skeltools.formats.archives import About
from skeltools.formats.note import parse, stream_note
from skeltools.formats.selection import Selection, only_stream, stream_blocks
from skeltools.raw_items import ZIP_ERRORS, Listing, RawItem
from skeltools.sequence import SkeletonSequence

FOLDER = False
ONE_CONVENTION = ONE_STREAM = ONE_PROTOCOL = NEEDS_LABELS = True
ONLY_SEQUENCES = False

_DATE = (1980, 1, 1, 0, 0, 0)  # fixed, so that the same store gives the same bytes


HALVES = {"train": TRAIN, "test": TEST}
NOTE = "export"
"""Array with the JSON note of our own exports; absent in other archives."""

PROTOCOL = "file"
"""Name of the split if the file name does not contain one."""

WHOLE = "clip"
"""Replaces the half, and is the prefix of ids, if the archive has no halves."""

_READ = {**HALVES, "val": TEST}
_POSES, _LABELS = ("x", "data"), ("y", "label", "labels")
_MEMBER = re.compile(r"(x|data|y|labels?)(?:_(train|test|val))?|(train|test|val)_(x|data|y|labels?)", re.I)


@dataclass(frozen=True)
class _File:
    x: dict[str, NDArray[Any]]
    """Half -> [N, T, M * V * 3], or with the axes that ``_axes`` recognises."""
    y: dict[str, NDArray[Any]]
    """Half -> [N, classes] one-hot, or [N] numbers."""
    note: dict[str, Any]


def about(raw: Path) -> About:
    """Describe the archive from its array shapes and labels. Raises the same errors as ``discover``."""
    path = _only_file(raw)
    opened = _open(path)
    first = next(iter(opened.x.values()))
    axes = _axes(first)
    width = first.shape[2] if axes is None else 0
    joints = tuple(width // (3 * bodies) for bodies in (1, 2) if width and width % (3 * bodies) == 0)
    return About(
        joints if axes is None else (first.shape[axes.index("V")],),
        first.shape[axes.index("M")] if axes and "M" in axes else 1,
        max(map(_classes, opened.y.values())),
        width=width,
        named=False,
        note=parse(opened.note, path),
    )


def discover(raw: Path, *, spec: SkeletonSpec | None = None, own: bool = False, channels: int = 3) -> Listing:
    """List the samples of both halves, from the array shapes. Raises RawDataError for any other file.

    ``channels``: values per joint in flat arrays.
    """
    spec = archives.joints_of(spec)
    path = _only_file(raw)
    opened = _open(path)
    archives.check_joints(opened.note, path)
    items = []
    for half, x in opened.x.items():
        axes = _axes(x)
        if axes is not None and not own and x.shape[axes.index("C")] != 3:
            raise RawDataError(
                f"{x.shape[axes.index('C')]} coordinates, expected 3",
                where=path,
                remedy="Other poses go through `skeltools convert custom --from ctrgcn`",
            )
        if axes is None and (not x.shape[2] or x.shape[2] % (channels * spec.num_joints)):
            raise RawDataError(
                f"x_{half} has {x.shape[2]} values a frame, "
                f"no multiple of {spec.num_joints} joints x {channels}",
                where=path,
                remedy=f"It is not of {spec.name}: name its convention with --convention",
            )
        if axes is not None and x.shape[axes.index("V")] != spec.num_joints:
            raise archives.wrong_joints(x.shape[axes.index("V")], spec, path)
        size = int(np.prod(x.shape[1:])) * x.dtype.itemsize
        ids = (f"{half}-{row + 1:06}" for row in range(len(x)))
        items += [RawItem(id, spec.name, str(path), f"{spec.num_joints} joints/{id}", size) for id in ids]
    noted = opened.note.get("protocol")
    protocol = noted if isinstance(noted, str) else archives.protocol_of(path.stem) or PROTOCOL
    halves = {item.id: item.id.partition("-")[0] for item in items}
    members = {id: _READ[half] for id, half in halves.items() if half in _READ}
    return Listing(
        tuple(sorted(items, key=lambda item: item.id)),
        halves={protocol: members} if members else {},
        rules={protocol: "as the archive has it: x_train and x_test"} if members else {},
        synthetic=opened.note.get("synthetic") is True,
        anonymous=True,
    )


def _only_file(raw: Path) -> Path:
    """``raw`` if it is a file, else the only ``.npz`` file in it."""
    if raw.is_file():
        return raw
    files = sorted(raw.glob("*.npz"))
    if len(files) != 1:
        names = ", ".join(path.name for path in files[:4])
        raise RawDataError(
            f"holds {len(files)} .npz files{f' ({names})' if names else ''}, expected one",
            where=raw,
            remedy="Name the file of one split with --raw: samples have no names that would join several",
        )
    return files[0]


def read(item: RawItem) -> SkeletonSequence:
    """Read one clip, with its slots as bodies. Raises RawDataError."""
    opened = _open(Path(item.path))
    half, _, number = item.id.partition("-")
    row = int(number) - 1
    joints = int(str(item.member).partition(" ")[0])
    return archives.to_sequence(
        item,
        _clip(opened.x[half], row, joints, own_clips.channels(item)),
        label=_label(opened.y[half], row, f"y_{half}", item),
        padded=opened.note.get("full_length") is not True,
        protocol_fields={},
    )


def _label(y: NDArray[Any], row: int, name: str, item: RawItem) -> int:
    if _is_numbers(y):
        number = float(y.reshape(-1)[row])
        if number == -1 and own_clips.is_own(item):
            return -1
        if not 0 <= number < 2**15 or not number.is_integer():
            raise RawDataError(f"its label is {number:g}, no whole number from 0", where=item.where)
        return int(number)
    hot = np.flatnonzero(y[row] > 0)
    if not len(hot) and own_clips.is_own(item):
        return -1
    if len(hot) != 1:
        raise RawDataError(f"its row of {name} has {len(hot)} classes, expected one", where=item.where)
    return int(hot[0])


def _is_numbers(y: NDArray[Any]) -> bool:
    """Whether labels are numbers, not one-hot rows; single-column labels are numbers unless all are 1."""
    return y.ndim == 1 or (y.shape[1] == 1 and bool((y != 1).any()))


def _classes(y: NDArray[Any]) -> int:
    """The number of classes that the labels imply."""
    if not _is_numbers(y):
        return int(y.shape[1])
    values = np.asarray(y, np.float64)
    sound = values[(values >= 0) & (values < 2**15)]
    return int(sound.max(initial=-1)) + 1


def _axes(x: NDArray[Any]) -> str | None:
    """The axes of a clip's array, N before them; None for flat frames [N, T, M * V * 3]."""
    if x.ndim == 5:
        return "NCTVM"
    if x.ndim == 4:
        return "NTVC" if x.shape[3] == 3 else "NCTV"
    return None


def _clip(x: NDArray[Any], row: int, joints: int, channels: int) -> NDArray[Any]:
    """One clip of the array as [T, M, V, C]."""
    axes, values = _axes(x), x[row]
    if axes is None:
        return values.reshape(len(values), values.shape[1] // (channels * joints), joints, channels)
    if "M" not in axes:
        axes, values = f"{axes}M", values[..., None]
    return values.transpose([axes.index(axis) - 1 for axis in "TMVC"])


@while_unchanged(2)
def _open(path: Path) -> _File:
    members = _members(path)
    wanted = tuple(name for pair in members.values() for name in pair.values())
    content = arrays.npz_file(path, wanted=(*wanted, NOTE))
    if not members:
        raise RawDataError(
            "holds no x_train and x_test", where=path, remedy="Is it an archive in the format of CTR-GCN?"
        )
    for half, pair in members.items():
        for key in ("x", "y"):
            if pair.get(key) not in content:
                ending = "" if half == WHOLE else f"_{half}"
                raise RawDataError(f"holds no {key}{ending}", where=path, remedy="Fetch it again")
        _check(content[pair["x"]], content[pair["y"]], half, path)
    return _File(
        {half: content[pair["x"]] for half, pair in members.items()},
        {half: content[pair["y"]] for half, pair in members.items()},
        _note(content.get(NOTE), path),
    )


def is_archive(path: Path) -> bool:
    """Whether a ``.npz`` file has poses and labels, judging by its array names."""
    try:
        return any(len(pair) == 2 for pair in _members(path).values())
    except RawDataError:
        return False


def _members(path: Path) -> dict[str, dict[str, str]]:
    """Half -> ``x`` and ``y`` -> array name. ``val`` counts if there is no ``test``; arrays without a half
    count if there are none with one."""
    members: dict[str, dict[str, str]] = {}
    try:
        regular.check(path)
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except ZIP_ERRORS as error:
        raise RawDataError(
            f"cannot be read as an array ({error})", where=path, remedy="Fetch it again"
        ) from error
    for name in names:
        if match := _MEMBER.fullmatch(name):
            kind, half = (match[1], match[2]) if match[1] else (match[4], match[3])
            key = "x" if kind.lower() in _POSES else "y"
            members.setdefault((half or WHOLE).lower(), {}).setdefault(key, name)
    chosen = [half for half in ("train", "test" if "test" in members else "val") if half in members]
    return {half: members[half] for half in chosen or members}


def _check(x: NDArray[Any], y: NDArray[Any], half: str, path: Path) -> None:
    ending = "" if half == WHOLE else f"_{half}"
    sound = x.ndim == 3 or x.ndim == 5 or (x.ndim == 4 and 3 in (x.shape[1], x.shape[3]))
    if not sound or x.dtype.kind != "f" or (x.ndim == 5 and x.shape[1] not in (2, 3, 4)):
        raise RawDataError(
            f"x{ending} is {x.dtype} {x.shape}, expected float32 (N, T, M * V * 3) or (N, 3, T, V, M)",
            where=path,
            remedy="Is it an archive in the format of CTR-GCN?",
        )
    if (y.ndim != 2 and not (y.ndim == 1 and y.dtype.kind in "iuf")) or y.dtype.kind not in "fiub":
        raise RawDataError(
            f"y{ending} is {y.dtype} {y.shape}, expected one-hot rows (N, classes) or numbers (N,)",
            where=path,
            remedy="Is it an archive in the format of CTR-GCN?",
        )
    if len(x) != len(y):
        raise RawDataError(
            f"x{ending} has {len(x)} clips, y{ending} {len(y)} rows", where=path, remedy="Fetch it again"
        )


def _note(value: NDArray[Any] | None, path: Path) -> dict[str, Any]:
    try:
        note = {} if value is None else json.loads(str(value))
    except (ValueError, RecursionError) as error:
        raise RawDataError(f"{NOTE} is no valid JSON ({error})", where=path) from error
    return note if isinstance(note, dict) else {}


def write(partial: Path, selection: Selection) -> None:
    """Write ``x_train`` [N, T, M * V * 3], one-hot ``y_train`` [N, classes], the test half and ``export``."""
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
