"""Sequences at full length as the 3D pickle of pyskl and mmaction2."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from skeltools import store
from skeltools.export.selection import Selection
from skeltools.splits import TEST, TRAIN

FOLDER = False
ONE_CONVENTION = True
ONE_STREAM = ONE_PROTOCOL = False

HALVES = {"train": TRAIN, "val": TEST}


def write(partial: Path, selection: Selection) -> None:
    """``{"split": {...}, "annotations": [...]}`` of plain values and numpy arrays, one clip at a time.

    Beside pyskl's keys an annotation has ``order`` [M, T] int8, the place of each body in its frame, which
    the published preprocessing goes by; pyskl ignores it.
    """
    content: dict[str, Any] = {"split": _split(selection)}
    if selection.opened.manifest.synthetic:
        content["synthetic"] = True
    content["annotations"] = _Written(_annotations(selection))
    with partial.open("wb") as file:
        pickler = pickle.Pickler(file, protocol=4)
        pickler.fast = True  # no memory of what was written: clips share nothing
        pickler.dump(content)


class _Written:
    """A list that is pickled as it comes, never held."""

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
            }
