"""A stream as the ``.npz`` of CTR-GCN: one file per protocol, without names."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from skeltools.export.note import stream_note
from skeltools.export.selection import Selection, only_stream, stream_blocks
from skeltools.splits import TEST, TRAIN

FOLDER = False
ONE_CONVENTION = ONE_STREAM = ONE_PROTOCOL = True

HALVES = {"train": TRAIN, "test": TEST}
_DATE = (1980, 1, 1, 0, 0, 0)  # the same store gives the same bytes


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
