"""What a file of a user's own data holds: poses as their maker wrote them, and the formats that are known.

An array (``.npy``, ``.npz``, HDF5) or a table is read by ``custom/poses.py`` as dataset.yaml describes it. A
format that describes itself, such as OpenPose's JSON or BVH, is one module of ``skeltools/formats`` with a
``ClipFormat``, entered in ``custom/known.py``. It is told by what is in a file, or named by ``format`` in
dataset.yaml.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas import SkeletonSpec
from schemas.skeleton import Direction
from skeltools.custom.settings import Settings
from skeltools.raw_items import RawItem

HEAD = 4096
"""Bytes of a file that a format may look at to know it."""


@dataclass(frozen=True)
class Poses:
    """One clip as its file has it: nothing turned, scaled or put into the convention's order yet.

    T frames, M bodies, V joints.
    """

    values: NDArray[np.float64]
    """[T, M, V, 3], or [T, M, V, 2] for 2D poses. NaN: not seen."""
    score: NDArray[np.float64] | None = None
    """[T, M, V]: how sure the estimator was, as the file has it; NaN where it says nothing."""
    joints: tuple[str, ...] = ()
    """Names of the joints on axis V; empty: those of the convention, in its order."""
    units: float | None = None
    """Metres per unit, if the file says so."""
    axes: tuple[Direction, Direction, Direction] | None = None
    """Where x, y and z point, if the file or its maker says so."""
    zero_is_unseen: bool = False
    """Whether the maker writes (0, 0) or (0, 0, 0) for a joint that was not found."""
    linked: bool = True
    """Whether a place on axis M is one person for the whole clip; False: people of a frame come in any order,
    and are linked into tracks once they are in canonical axes."""
    track: NDArray[np.int64] | None = None
    """[T, M], of poses that are not linked: the number of the person, where the file tells it; -1 for nobody.
    Nobody is twice in a frame."""


@dataclass(frozen=True)
class Clip:
    """Where a clip lies, before it is read."""

    name: str
    """Its path below the folder of dataset.yaml without suffix, or what the file calls it; may hold ``/``."""
    path: Path
    """Its file, or the folder of its files."""
    member: str | None = None
    """What tells it from others of the same path."""
    size: int = 0
    """Bytes."""
    label: str | None = None
    """Its class, if the file itself tells one. Names and tables of the user go before it."""


@dataclass(frozen=True)
class ClipFormat:
    """A format of clips that describes itself.

    ``holds`` and ``clips`` are called while files are found, for every file with one of the suffixes: they
    look at names and at little of the content. ``read`` is called once a clip, maybe in another process.
    """

    name: str
    suffixes: tuple[str, ...]
    """In lower case, with the dot; files of others are not looked at."""
    holds: Callable[[Path, bytes], bool]
    """(file, its first ``HEAD`` bytes) -> whether it is of this format."""
    read: Callable[[RawItem, Settings, SkeletonSpec], Poses]
    """``spec`` is the convention with all of its joints. Raises RawDataError."""
    clips: Callable[[Path, Sequence[Path]], Sequence[Clip]] | None = None
    """(folder of dataset.yaml, all files of the format, sorted) -> its clips; None: every file is one.
    Raises RawDataError for a file that is damaged; it is then a finding."""
    convention: Callable[[Path], SkeletonSpec] | None = None
    """The convention that a file itself describes, for ``convention: file``. Raises RawDataError."""
