"""Find test clips that equal a training clip number for number, so that a classifier has seen the answer."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

from skeltools import store
from skeltools.datasets.splits import TEST, TRAIN
from skeltools.store import Store

NAMED = 3
"""Number of ids in a note."""


def across_halves(opened: Store) -> dict[str, tuple[str, ...]]:
    """Split -> ids of its test clips whose joints are identical to those of a training clip.

    A clip is compared in the first convention that has it. Splits without such clips are left out.
    """
    prints = _prints(opened)
    ids = np.array(store.read(opened, "samples/id").tolist(), object)
    by_split = {}
    for name in opened.manifest.protocols:
        half = store.read(opened, f"splits/{name}")
        copied = np.isin(prints, prints[half == TRAIN]) & (half == TEST) & (prints != b"")
        if copied.any():
            by_split[name] = tuple(ids[copied].tolist())
    return by_split


def sentence(ids: tuple[str, ...], tests: int) -> str:
    some = ", ".join(ids[:NAMED]) + (", ..." if len(ids) > NAMED else "")
    are = "is a copy of a training clip" if len(ids) == 1 else "are copies of training clips"
    return f"{len(ids)} of {tests} test clips {are}, number for number: {some}"


def _prints(opened: Store) -> np.ndarray:
    """[N]: a 16-byte hash of each clip's joints, b"" for a clip without poses."""
    prints = np.full(opened.manifest.samples, b"", "S16")
    for convention in opened.manifest.conventions:
        if (prints != b"").all():
            break
        for row, clip in enumerate(store.read_sequences(opened, convention)):
            if clip is not None and prints[row] == b"":
                prints[row] = blake2b(clip.joints.tobytes(), digest_size=16).digest()
    return prints
