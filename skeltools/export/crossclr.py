"""A stream as the folders of CrosSCLR and AimCLR: a ``.npy`` and a label pickle per half of each protocol."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from skeltools.export.note import stream_note
from skeltools.export.selection import Selection, only_stream, stream_blocks
from skeltools.export.target import NOTE
from skeltools.readers import ntu
from skeltools.splits import TEST, TRAIN

FOLDER = True
ONE_CONVENTION = ONE_STREAM = True
ONE_PROTOCOL = False

HALVES = {"train": TRAIN, "val": TEST}
STREAMS = {"joint": "position"}
"""Kind of stream -> what AimCLR calls its file; the others have our name."""


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
