"""Slice conventions from poses that have all joints of a MeTRAbs model at once.

    <raw>/metrabs/all/<sample_id>.npz|.pt     poses3d with J joints instead of a convention's V
    <raw>/metrabs/*.h5                        /<sample_id>/all/

Which of the J joints form a convention is determined by, in this order,

    skeletons.json     {"smpl_24": {"indices": [...], "names": [...]}, ...} beside the files or in
                       <raw>/metrabs: the model's table of skeletons. ``names`` is optional
    joint_names        of the file itself, J names
    joint_names.txt    one name per line, beside the files or in <raw>/metrabs

A model names all of its joints with the suffix of the skeleton that they belong to: ``lkne_smpl``,
``htop_mpi_inf_3dhp``. A convention can be sliced if all of its joints exist under its own suffix.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas import Finding, RawDataError, SkeletonSpec
from skeltools.files.unchanged import while_unchanged
from skeltools.raw_items import METRABS

ALL = "all"
"""Name of the folder or HDF5 group, in place of a convention's."""

TABLE = "skeletons.json"
NAMES = "joint_names.txt"

MAX_TABLE = 2**20
"""Most bytes of a table; a model's table of 23 skeletons takes 50 kB."""

OWN_NAMES = {"kinectv2_25": "metrabs_kinectv2_25"}
"""The model's name of a skeleton -> ours, where they differ."""

SUFFIXES = {
    "metrabs_kinectv2_25": ("kinectv2",),
    "berkeley_mhad_43": ("berkeley_mhad", "bmhad"),
    "lsp_14": ("lsp", "3doh"),
}
"""Suffixes of a convention's joints, where they are not its name without the number.

They are those of the data set from which MeTRAbs' author (isarandi/posepile) took the joints.
"""

FULL_NAMES = {
    "coco_17": {
        f"{side}_{joint}": f"{side[0]}{joint[:3]}"
        for side in ("left", "right")
        for joint in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    }
    | {f"{side}_shoulder": f"{side[0]}sho" for side in ("left", "right")},
    "smpl_24": {"spi1": "bell", "spi2": "spin", "spi3": "thor"},
    "metrabs_kinectv2_25": {
        "spinebase": "pelv",
        "spinemid": "bell",
        "spineshoulder": "neck",
        "neck": "head",
        "head": "htop",
        "lfoo": "ltoe",
        "rfoo": "rtoe",
        "lhandtip": "lfin",
        "rhandtip": "rfin",
    },
}
"""Joint -> its name in the full set, where that differs (posepile, create_skeleton_info_file.py)."""


@dataclass(frozen=True)
class Table:
    """What is known about the J joints of a file: their names, or index lists of skeletons."""

    names: tuple[str, ...] = ()
    skeletons: Mapping[str, tuple[tuple[int, ...], tuple[str, ...]]] | None = None
    """Our name of a convention -> (indices, names or nothing)."""

    def positions(self, spec: SkeletonSpec) -> list[int] | None:
        """Indices of the convention's joints, in its order; None if the table does not have all of them."""
        if self.skeletons is None:
            return _by_suffix(self.names, spec)
        if spec.name not in self.skeletons:
            return None
        indices, names = self.skeletons[spec.name]
        return _by_index(indices, names, spec)

    def unused(self, specs: Iterable[SkeletonSpec]) -> list[str]:
        """Names of joints, or of skeletons, that none of these conventions uses."""
        specs = list(specs)
        if self.skeletons is not None:
            known = {spec.name for spec in specs if self.positions(spec) is not None}
            return sorted(name for name in self.skeletons if name and name not in known)
        used = {joint for spec in specs for joint in self.positions(spec) or ()}
        return [name for joint, name in enumerate(self.names) if joint not in used]


def _by_index(indices: tuple[int, ...], names: tuple[str, ...], spec: SkeletonSpec) -> list[int] | None:
    if len(indices) != spec.num_joints:
        return None
    if not names:
        return list(indices)
    for wanted in (spec.joints, tuple(joint.partition("_")[0] for joint in spec.joints)):
        if len(set(wanted)) == len(wanted) and sorted(names) == sorted(wanted):
            return [indices[names.index(joint)] for joint in wanted]
    return None


def _by_suffix(names: Sequence[str], spec: SkeletonSpec) -> list[int] | None:
    place = {name: joint for joint, name in enumerate(names)}
    stem = re.sub(r"_\d+$", "", spec.name)
    renamed = FULL_NAMES.get(spec.name, {})
    candidates = [
        [f"{table.get(joint, joint)}_{suffix}" for joint in spec.joints]
        for table in ((renamed, {}) if renamed else ({},))
        for suffix in SUFFIXES.get(spec.name, (stem,))
    ]
    if sorted(names) == sorted(spec.joints) or all("_" in joint for joint in spec.joints):
        candidates.append(list(spec.joints))  # the convention's own names have suffixes, or are the only ones
    for wanted in candidates:
        if all(name in place for name in wanted):
            return [place[name] for name in wanted]
    return None


# --- where the table is -------------------------------------------------------------------------------------


def table_for(path: Path, names: Sequence[str] | None) -> Table | None:
    """The table for a file of all joints, given the joint names in the file; None if there is none.

    Raises RawDataError when the table beside it is damaged.
    """
    file = _beside(path, TABLE)
    if file is not None:
        return _skeletons(file)
    if names is not None:
        return Table(_unique(names, str(path)))
    file = _beside(path, NAMES)
    return None if file is None else _listed(file)


def _beside(path: Path, name: str) -> Path | None:
    """A file of this name in the file's folder, or in <raw>/metrabs above the folder of all joints."""
    depth = len(folders_of(path)) if ALL in folders_of(path) else 0
    folders = [path.parent, *path.parents[1 : depth + 1]]
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def folders_of(path: Path) -> tuple[str, ...]:
    """The folders between <raw>/metrabs and a file, the convention's first; outside of it, the file's own.

    >>> folders_of(Path("raw/metrabs/all/monday/walk.npz"))
    ('all', 'monday')
    """
    names = path.parts[:-1]
    inside = names[::-1].index(METRABS) if METRABS in names else 1
    return names[len(names) - inside :]


@while_unchanged(4)
def _skeletons(path: Path) -> Table:
    try:
        content: Any = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"no valid JSON ({' '.join(str(error).split())[:100]})") from error
    if not isinstance(content, dict) or not content:
        raise _damaged(path, f"expected skeletons by name, found {type(content).__name__}")
    skeletons = {
        OWN_NAMES.get(str(name), str(name)): _skeleton(path, str(name), entry)
        for name, entry in content.items()
    }
    return Table(skeletons=skeletons)


def _skeleton(path: Path, name: str, entry: Any) -> tuple[tuple[int, ...], tuple[str, ...]]:
    entry = entry if isinstance(entry, dict) else {}
    indices, names = entry.get("indices"), entry.get("names", [])
    whole = isinstance(indices, list) and all(type(i) is int and i >= 0 for i in indices)
    if not whole or len(set(indices)) != len(indices):
        raise _damaged(path, f"'{name}' needs indices, a list of different numbers from 0")
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise _damaged(path, f"names of '{name}' are no list of text")
    if names and len(names) != len(indices):
        raise _damaged(path, f"'{name}' has {len(indices)} indices, but {len(names)} names")
    return tuple(indices), tuple(names)


@while_unchanged(4)
def _listed(path: Path) -> Table:
    names = [line.strip() for line in _text(path).splitlines()]
    return Table(_unique([name for name in names if name], str(path)))


def _text(path: Path) -> str:
    if (size := path.stat().st_size) > MAX_TABLE:
        raise _damaged(path, f"{size} bytes are too many for a table of joints (limit {MAX_TABLE})")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise _damaged(path, f"cannot be read ({error})") from error


def _unique(names: Sequence[str], where: str) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise RawDataError(
            f"joint names repeat: {', '.join(twice[:5])[:100]}",
            where=where,
            remedy="Use the names of the model's full set, which carry suffixes such as lkne_smpl",
        )
    return tuple(names)


def _damaged(path: Path, message: str) -> RawDataError:
    return RawDataError(message, where=path, remedy="`skeltools docs metrabs` shows the form of this table")


# --- what discovery needs -----------------------------------------------------------------------------------


def unused_findings(place: str, table: Table, specs: Iterable[SkeletonSpec]) -> list[Finding]:
    """One finding that lists all joints, or skeletons, that no convention of ours uses."""
    left = table.unused(specs)
    if not left:
        return []
    what = "joints" if table.skeletons is None else "skeletons"
    detail = f"{len(left)} {what}: {', '.join(left)}"
    return [Finding(file=place, problem=f"{what} of no convention", detail=detail, action="left out")]
