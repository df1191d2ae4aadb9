"""The contents of a file of a user's own data: poses as stored, and the interface of self-describing formats.

``custom/poses.py`` reads an array (``.npy``, ``.npz``, HDF5) or a table as dataset.yaml describes it. A
self-describing format, such as OpenPose's JSON or BVH, is one module of ``skeltools/formats`` with a
``ClipFormat``, registered in ``custom/registry.py``. It is recognised by the contents of a file, or selected
by ``format`` in dataset.yaml.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas import Finding, SkeletonSpec
from skeltools.custom.settings import Directions, Settings
from skeltools.raw_items import RawItem

HEAD = 4096
"""Number of leading bytes by which a format recognises its files."""

Y_UP: Directions = ("right", "up", "backward")
Z_UP: Directions = ("right", "forward", "up")
"""Directions of x, y and z in right-handed worlds. With y up, a person at rest has x to the left and faces
along z."""


@dataclass(frozen=True)
class Poses:
    """One clip as stored in its file, before axes, units and joint order are converted.

    T frames, M bodies, V joints.
    """

    values: NDArray[np.float64]
    """[T, M, V, 3], or [T, M, V, 2] for 2D poses. NaN: not seen."""
    score: NDArray[np.float64] | None = None
    """[T, M, V]: the estimator's confidence as stored; NaN where the file has none."""
    joints: tuple[str, ...] = ()
    """Names of the joints on axis V; empty: the convention's joints in its order."""
    units: float | None = None
    """Metres per unit, if the file gives it."""
    axes: Directions | None = None
    """Directions of x, y and z, if the file or its format defines them."""
    zero_is_unseen: bool = False
    """Whether the format uses (0, 0) or (0, 0, 0) for a joint that was not found."""
    linked: bool = True
    """Whether each place on axis M is one person for the whole clip; False: the people of a frame are in
    arbitrary order and are linked into tracks once in canonical axes."""
    track: NDArray[np.int64] | None = None
    """[T, M] person numbers, if poses are not linked and the file has them; -1 for nobody. No person occurs
    twice in a frame."""
    numbers: NDArray[np.int64] | None = None
    """[T] the file's own number of each frame, rising, if it has them."""
    uncounted: str = ""
    """The setting by which rows would go to ``numbers``, if they do not yet."""
    findings: tuple[Finding, ...] = ()
    """What the user should know of the file, though it was read."""


@dataclass(frozen=True)
class Clip:
    """The location of a clip, before it is read."""

    name: str
    """Its path below the folder of dataset.yaml without suffix, or its name in the file; may hold ``/``."""
    path: Path
    """Its file, or the first of its files."""
    member: str | None = None
    """Identifies the clip among those that share a path."""
    size: int = 0
    """Size in bytes."""
    label: str | None = None
    """Its class, if the file contains one. The user's names and tables take precedence."""


def clip_of_file(folder: Path, file: Path, *, label: str | None = None) -> Clip:
    """A file below ``folder`` that is one clip."""
    name = file.relative_to(folder).with_suffix("").as_posix()
    return Clip(name, file, size=file.stat().st_size, label=label)


@dataclass(frozen=True)
class ClipFormat:
    """A self-describing format of clips.

    ``holds`` and ``clips`` are called during discovery for every file with one of the suffixes, and read
    names and little of the content. ``read`` is called once per clip, possibly in another process.
    """

    name: str
    suffixes: tuple[str, ...]
    """In lower case, with the dot; other files are not considered."""
    holds: Callable[[Path, bytes], bool]
    """(file, its first ``HEAD`` bytes) -> whether the file is in this format."""
    read: Callable[[RawItem, Settings, SkeletonSpec], Poses]
    """(item, settings, the convention with all of its joints) -> the poses. Raises RawDataError."""
    clips: Callable[[Path, Sequence[Path]], Sequence[Clip]] | None = None
    """(folder of dataset.yaml, all files of the format, sorted) -> their clips; None: each file is a clip.
    Raises RawDataError for a damaged file, which becomes a finding."""
    rate: Callable[[Path], float | None] | None = None
    """File -> the frames per second that its header states; None if it states none. Reads no frames."""
    convention: Callable[[Path], SkeletonSpec] | None = None
    """File -> the convention it describes, for ``convention: file``. Raises RawDataError."""
