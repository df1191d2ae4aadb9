"""Acclaim's pairs of a skeleton, ``.asf``, and its motion, ``.amc``, as in CMU's recordings and HDM05.

The format is described in M. Meredith and S. Maddock, "Motion Capture File Formats Explained", University of
Sheffield, 2001, and in http://graphics.cs.cmu.edu/nsp/course/cs229/info/ACCLAIMdef.html. A bone has a
direction and a length in the world at rest, and local axes about which it rotates; a joint is the far end of
its bone. Rotations are applied in listed order, the first one first.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas import RawDataError, SkeletonSpec
from skeltools.custom.clip_files import Y_UP, ClipFormat, Poses
from skeltools.custom.rigs import MAX_JOINTS, rotation
from skeltools.custom.settings import Settings
from skeltools.raw_items import MAX_BYTES, RawItem, read_bytes

ROOT = "root"

INCH = 0.0254
"""Metres per inch. Lengths are inches multiplied by ``length`` of the skeleton's units: 0.45 at CMU,
according to http://mocap.cs.cmu.edu/faqs.php."""

_TURNS = ("rx", "ry", "rz")
_SHIFTS = ("tx", "ty", "tz")


@dataclass(frozen=True)
class Bone:
    step: NDArray[np.float64]
    """[3] from the parent's end to its own, at rest."""
    axes: NDArray[np.float64]
    """[3, 3] its local axes in the world at rest."""
    channels: tuple[str, ...]
    """Its channels in the motion file, in file order, from tx, ty, tz, rx, ry, rz, l."""


@dataclass(frozen=True)
class Skeleton:
    bones: dict[str, Bone]
    """By name, the root first."""
    parents: dict[str, str]
    """Bone -> parent, each after its parent, in the order of the hierarchy; without the root."""
    metres: float
    """Metres per unit."""


# --- the skeleton -------------------------------------------------------------------------------------------


def skeleton(text: str) -> Skeleton:
    """Parse the text of an ``.asf`` file. Raises ValueError."""
    sections = _sections(text)
    root = _keys(sections.get("root", []))
    order = tuple(word.casefold() for word in root.get("order", []))
    bones = {ROOT: Bone(np.zeros(3), _axes(root.get("orientation", []), root.get("axis", [])), order)}
    for lines in _blocks(sections.get("bonedata", [])):
        keys = _keys(lines)
        name = "".join(keys.get("name", [])[:1])
        if not name or name in bones or len(bones) > MAX_JOINTS:
            raise ValueError(f"bone '{name[:20]}' has no name, is there twice, or is one too many")
        length = _numbers(keys.get("length", []), 1)[0]
        step = length * np.array(_numbers(keys.get("direction", []), 3))
        axis = keys.get("axis", [])
        channels = tuple(word.casefold() for word in keys.get("dof", []))
        bones[name] = Bone(step, _axes(axis[:3], axis[3:4]), channels)
    if strange := {c for bone in bones.values() for c in bone.channels} - {*_TURNS, *_SHIFTS, "l"}:
        raise ValueError(f"channel '{sorted(strange)[0][:20]}'")
    units = _keys(sections.get("units", []))
    scale = _numbers(units.get("length", ["1"]), 1)[0]
    if not 1e-3 <= scale <= 1e6:
        raise ValueError(f"a unit of length {scale}")
    return Skeleton(bones, _hierarchy(sections.get("hierarchy", []), bones), INCH / scale)


def _sections(text: str) -> dict[str, list[list[str]]]:
    """Lines as words, grouped by the preceding keyword that starts with a colon; without comments."""
    sections: dict[str, list[list[str]]] = {}
    lines: list[list[str]] = []
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if words and words[0].startswith(":"):
            lines = sections.setdefault(words[0][1:].casefold(), [])
        elif words:
            lines.append(words)
    return sections


def _blocks(lines: list[list[str]]) -> list[list[list[str]]]:
    """Lines between ``begin`` and ``end``."""
    blocks: list[list[list[str]]] = []
    for words in lines:
        if words[0].casefold() == "begin":
            blocks.append([])
        elif words[0].casefold() != "end" and blocks:
            blocks[-1].append(words)
    return blocks


def _keys(lines: list[list[str]]) -> dict[str, list[str]]:
    return {words[0].casefold(): words[1:] for words in reversed(lines)}


def _numbers(words: list[str], count: int) -> list[float]:
    """Parse ``count`` finite numbers. Raises ValueError."""
    if len(words) != count or any("_" in word for word in words):
        raise ValueError(f"expected {count} numbers, found '{' '.join(words)[:40]}'")
    values = [float(word) for word in words]
    if not np.isfinite(values).all():
        raise ValueError(f"expected numbers, found '{' '.join(words)[:40]}'")
    return values


def _axes(angles: list[str], order: list[str]) -> NDArray[np.float64]:
    """The axes [3, 3] for three angles in degrees and the order of rotation, such as ``XYZ``."""
    letters = "".join(order).casefold() or "xyz"
    if sorted(letters) != ["x", "y", "z"]:
        raise ValueError(f"axes in the order '{letters[:20]}'")
    values = np.deg2rad(_numbers(angles, 3))
    return turned(tuple(f"r{letter}" for letter in letters), values[None])[0]


def _hierarchy(lines: list[list[str]], bones: dict[str, Bone]) -> dict[str, str]:
    parents: dict[str, str] = {}
    for up, *children in (words for words in lines if words[0].casefold() not in ("begin", "end")):
        if up != ROOT and up not in parents:
            raise ValueError(f"'{up[:20]}' in the hierarchy before its parent")
        for name in children:
            if name in parents or name == ROOT or name not in bones:
                raise ValueError(f"'{name[:20]}' in the hierarchy twice, or no bone")
            parents[name] = up
    if not parents:
        raise ValueError("no hierarchy")
    return parents


# --- motion -------------------------------------------------------------------------------------------------


def motion(text: str, bones: dict[str, Bone]) -> dict[str, NDArray[np.float64]]:
    """Parse the motion: bone -> [T, channels], angles in radians. Raises ValueError with the line number."""
    radians, frames = False, 0
    rows: dict[str, list[list[float]]] = {name: [] for name, bone in bones.items() if bone.channels}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if words[0].startswith(":"):
            radians |= words[0].casefold() == ":radians"
        elif len(words) == 1 and words[0].isdecimal():
            _check_frame(rows, frames, number)
            frames += 1
        elif words[0] in rows and frames == len(rows[words[0]]) + 1:
            try:
                rows[words[0]].append(_numbers(words[1:], len(bones[words[0]].channels)))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
        else:
            raise ValueError(f"line {number}: '{words[0][:20]}' is no bone with channels, or is there twice")
    _check_frame(rows, frames, len(text.splitlines()))
    if not frames:
        raise ValueError("no frame")
    channels = {name: np.array(values) for name, values in rows.items()}
    for name, values in channels.items():
        turns = np.array([channel in _TURNS for channel in bones[name].channels])
        values[:, turns] = values[:, turns] if radians else np.deg2rad(values[:, turns])
    return channels


def _check_frame(rows: dict[str, list[list[float]]], frames: int, number: int) -> None:
    lacking = next((name for name, values in rows.items() if len(values) < frames), None)
    if lacking is not None:
        raise ValueError(f"line {number}: the frame before it has no {lacking}")


def turned(channels: tuple[str, ...], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation matrices [T, 3, 3] of channels [T, channels] in radians, applied in channel order."""
    turn = np.broadcast_to(np.eye(3), (len(values), 3, 3))
    for place, channel in enumerate(channels):
        if channel in _TURNS:
            turn = rotation(_TURNS.index(channel), values[:, place]) @ turn
    return turn


def positions(rig: Skeleton, moved: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Positions [T, 1 + bones of the hierarchy, 3] in the file's unit."""
    frames = len(moved[ROOT])
    places = {ROOT: np.zeros((frames, 3))}
    turns: dict[str, NDArray[np.float64]] = {}
    for axis, channel in enumerate(_SHIFTS):
        if channel in rig.bones[ROOT].channels:
            places[ROOT][:, axis] = moved[ROOT][:, rig.bones[ROOT].channels.index(channel)]
    for name, up in ((ROOT, ""), *rig.parents.items()):
        bone = rig.bones[name]
        local = turned(bone.channels, moved.get(name, np.zeros((frames, 0))))
        world = bone.axes @ local @ bone.axes.T
        turns[name] = turns[up] @ world if up else world
        if up:
            places[name] = places[up] + turns[name] @ bone.step
    return np.stack([places[name] for name in (ROOT, *rig.parents)], axis=1)


# --- the format ---------------------------------------------------------------------------------------------


def skeleton_file(file: Path) -> Path:
    """The ``.asf`` beside an ``.amc``: the one whose name is the longest prefix of its own, as ``01.asf`` for
    ``01_02.amc``, or the only one. Raises RawDataError."""
    files = sorted(path for path in file.parent.iterdir() if path.suffix.lower() == ".asf" and path.is_file())
    own = [path for path in files if file.stem.casefold().startswith(path.stem.casefold())]
    chosen = max(own, key=lambda path: len(path.stem), default=files[0] if len(files) == 1 else None)
    if chosen is None:
        raise RawDataError(
            f"none of {len(files)} .asf files beside it is its skeleton",
            where=file,
            remedy="Put it there as the beginning of its name: 01.asf beside 01_02.amc",
        )
    return chosen


def read(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """Read one clip. Raises RawDataError if it is damaged or has no skeleton."""
    file = skeleton_file(Path(item.path))
    data = read_bytes(RawItem(item.id, "", str(file))), read_bytes(item)
    asf, amc = (each.decode("utf-8-sig", "replace") for each in data)
    try:
        rig = skeleton(asf)
    except ValueError as error:
        raise RawDataError(f"cannot be read as .asf ({error})", where=file) from error
    try:
        moved = motion(amc, rig.bones)
    except ValueError as error:
        raise RawDataError(f"cannot be read as .amc of {file.name} ({error})", where=item.where) from error
    if len(moved.get(ROOT, ())) * (1 + len(rig.parents)) * 24 > MAX_BYTES:
        raise RawDataError(f"{len(moved[ROOT])} frames are too many for one clip", where=item.where)
    if ROOT not in moved:
        raise RawDataError("the root has no order of channels", where=file)
    with np.errstate(all="ignore"):
        values = positions(rig, moved)
    return Poses(values[:, None], joints=(ROOT, *rig.parents), units=rig.metres, axes=Y_UP)


ACCLAIM = ClipFormat("acclaim", (".amc",), lambda _file, _head: True, read)
