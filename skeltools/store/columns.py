"""Columns whose values refer to other data: what must hold before a reader follows them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import StoreManifest

_HALVES = 2
"""The largest value of a split."""


def problem(path: str, values: NDArray[Any], manifest: StoreManifest) -> str | None:
    """Describe what is wrong with a whole column of a store; None for a sound one, and for other arrays."""
    kind, _, name = path.partition("/")
    if name.endswith("/offsets"):
        return _offsets(values, manifest.arrays[path.removesuffix("offsets") + "joints"].shape[0])
    if kind == "splits" and values.max(initial=0) > _HALVES:
        return "has other values than 0, 1 and 2"
    if path == "samples/id" and len(set(values.tolist())) != len(values):
        return "an id is there twice"
    classes = len(manifest.classes)
    if path == "samples/label" and len(values) and not -1 <= values.min() <= values.max() < classes:
        return f"a label is outside 0..{classes - 1}"
    return None


def _offsets(values: NDArray[Any], frames: int) -> str | None:
    if values[0] != 0 or (np.diff(values) < 0).any():
        return "must start at 0 and never fall"
    return None if values[-1] == frames else f"ends at {values[-1]}, but there are {frames} frames"
