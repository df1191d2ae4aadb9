"""BVH: a hierarchy of joints with offsets, and the rotations of all joints in every frame.

Biovision's format is described in J. Lander, "Working with Motion Capture File Formats", Game Developer,
January 1998, and in M. Meredith and S. Maddock, "Motion Capture File Formats Explained", University of
Sheffield, 2001. A joint's rotation is the product of its channels' rotations in listed order, for column
vectors; angles are in degrees. The unit of length is not stored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas import RawDataError, SkeletonSpec, regular
from skeltools.custom.clip_files import Y_UP, Z_UP, ClipFormat, Poses
from skeltools.custom.rigs import MAX_JOINTS, check_same, head_and_feet, rotation, spec_of_rig
from skeltools.custom.settings import OF_FILES, UNITS, Directions, Settings
from skeltools.raw_items import MAX_BYTES, RawItem, read_bytes

END = "_end"
"""Suffix that makes the name of an End Site from that of its joint."""

_CHANNELS = {
    f"{axis}{kind}": (kind, number) for number, axis in enumerate("xyz") for kind in ("position", "rotation")
}
_PERSON = (1.2, 2.2)
"""Plausible extent of a person in metres, from the lowest joint to the highest or from hand to hand."""
_REMEDY = "Export it again, or leave it out"
_HEADER = 2**18
"""Bytes in which the frame time is looked for; a hierarchy of ``MAX_JOINTS`` joints takes fewer."""
_FRAME_TIME = re.compile(rb"^[ \t]*frame[ \t]+time[ \t]*:[ \t]*(\d*\.?(\d*))[ \t\r]*$", re.I | re.M)


@dataclass(frozen=True)
class Rig:
    """V joints, including End Sites of non-zero length, each after its parent."""

    joints: tuple[str, ...]
    parents: tuple[int, ...]
    """-1 for the root."""
    offsets: NDArray[np.float64]
    """[V, 3] from the parent, in the file's unit."""
    channels: tuple[tuple[tuple[str, int], ...], ...]
    """[V] the (position or rotation, axis) channels in file order; none for End Sites."""


# --- hierarchy ----------------------------------------------------------------------------------------------


def parse(data: bytes, where: str) -> tuple[Rig, NDArray[np.float64]]:
    """Parse a file into its rig and motion [T, channels]. Raises RawDataError with the line number."""
    lines = data.decode("utf-8-sig", "replace").splitlines()
    rig, row = _hierarchy(lines, where)
    return rig, _motion(lines, row, sum(map(len, rig.channels)), where)


@dataclass
class _Open:
    """The part of a hierarchy read so far."""

    joints: list[str]
    parents: list[int]
    offsets: list[list[float]]
    channels: list[tuple[tuple[str, int], ...]]
    path: list[int]
    """The joints whose braces are open."""
    ends: set[int]
    """Indices of the End Sites."""


def _hierarchy(lines: list[str], where: str) -> tuple[Rig, int]:
    """The rig, and the index of the line after ``MOTION``."""
    tree = _Open([], [], [], [], [], set())
    for row, line in enumerate(lines):
        words = line.replace("{", " { ").replace("}", " } ").split()
        if not words or words == ["{"] or words[0].upper() == "HIERARCHY":
            continue
        if words[0].upper() == "MOTION":
            if tree.path or not tree.joints:
                raise _wrong(where, row, "the hierarchy is not complete")
            return _rig(tree), row + 1
        while words:
            words = _take(words, tree, where, row)
    raise _wrong(where, len(lines), "the file ends before MOTION")


def _take(words: list[str], tree: _Open, where: str, row: int) -> list[str]:
    """Process the first statement of a line and return the rest. A statement does not span lines."""
    kind, rest = words[0].upper(), words[1:]
    if kind in ("ROOT", "JOINT", "END"):
        stop = rest.index("{") if "{" in rest else len(rest)
        _enter(kind, " ".join(rest[:stop]), tree, where, row)
        return rest[stop + 1 :]
    if kind == "OFFSET" and tree.path and len(rest) >= 3:
        tree.offsets[tree.path[-1]] = [_number(word, where, row) for word in rest[:3]]
        return rest[3:]
    if kind == "CHANNELS" and tree.path and rest and rest[0].isdecimal() and len(rest[0]) == 1:
        names = [word.casefold() for word in rest[1 : 1 + int(rest[0])]]
        if len(names) < int(rest[0]) or not set(names) <= _CHANNELS.keys() or len(set(names)) < len(names):
            raise _wrong(where, row, f"'{' '.join(words)[:60]}' are no channels such as Xposition, Zrotation")
        tree.channels[tree.path[-1]] = tuple(_CHANNELS[name] for name in names)
        return rest[1 + len(names) :]
    if kind == "}" and tree.path:
        tree.path.pop()
        return rest
    if kind == "{" and tree.path:
        return rest
    raise _wrong(where, row, f"expected JOINT, OFFSET, CHANNELS or a brace, found '{' '.join(words)[:40]}'")


def _enter(kind: str, name: str, tree: _Open, where: str, row: int) -> None:
    if kind == "ROOT" and tree.joints:
        raise _wrong(where, row, "a second ROOT: one skeleton a file is read. Export each by itself")
    if (kind == "ROOT") == bool(tree.path) or (tree.path and tree.path[-1] in tree.ends):
        raise _wrong(where, row, f"{kind} {name[:40]} stands in the wrong place")
    if len(tree.joints) >= MAX_JOINTS:
        raise _wrong(where, row, f"more than {MAX_JOINTS} joints")
    if kind == "END":
        tree.ends.add(len(tree.joints))
        name = tree.joints[tree.path[-1]] + END
    taken, unique, number = {j.casefold() for j in tree.joints}, name, 2
    while unique.casefold() in taken:
        unique, number = f"{name}_{number}", number + 1
    if not name or not name.isprintable():
        raise _wrong(where, row, "a joint without a name that can be shown")
    tree.parents.append(tree.path[-1] if tree.path else -1)
    tree.path.append(len(tree.joints))
    tree.joints.append(unique)
    tree.offsets.append([0.0, 0.0, 0.0])
    tree.channels.append(())


def _rig(tree: _Open) -> Rig:
    """Build the rig. End Sites, which have no children, are left out if their length is zero."""
    joints_left = [v for v in range(len(tree.joints)) if v not in tree.ends or any(tree.offsets[v])]
    at = {v: place for place, v in enumerate(joints_left)}
    return Rig(
        tuple(tree.joints[v] for v in joints_left),
        tuple(at.get(tree.parents[v], -1) for v in joints_left),
        np.array([tree.offsets[v] for v in joints_left]),
        tuple(tree.channels[v] for v in joints_left),
    )


def _number(word: str, where: str, row: int) -> float:
    try:
        value = float(word)
    except ValueError as error:
        raise _wrong(where, row, f"expected a number, found '{word[:20]}'") from error
    if not np.isfinite(value) or "_" in word:
        raise _wrong(where, row, f"expected a number, found '{word[:20]}'")
    return value


# --- motion -------------------------------------------------------------------------------------------------


def _motion(lines: list[str], row: int, width: int, where: str) -> NDArray[np.float64]:
    """Parse the motion to [T, width]; the number of frames must be the declared one."""
    header: dict[str, str] = {}
    while row < len(lines) and (":" in lines[row] or not lines[row].strip()):
        key, _, value = lines[row].partition(":")
        header[" ".join(key.split()).casefold()] = value.strip()
        row += 1
    if not header.get("frames", "").isdecimal():
        raise _wrong(where, row, "expected 'Frames:' and their number")
    rows = [number for number in range(row, len(lines)) if lines[number].strip()]
    frames = int(header["frames"])
    if len(rows) != frames or frames == 0 or width == 0:
        raise _wrong(where, row, f"has {len(rows)} frames of {width} channels, but promises {frames}")
    if frames * width * 8 > MAX_BYTES:
        raise _wrong(where, row, f"{frames} frames of {width} channels are too many for one clip")
    motion = np.empty((frames, width))
    for frame, number in enumerate(rows):
        motion[frame] = _frame(lines[number], width, where, number)
    return motion


def _frame(line: str, width: int, where: str, row: int) -> NDArray[np.float64]:
    words = line.split()
    if len(words) != width:
        raise _wrong(where, row, f"has {len(words)} numbers, the hierarchy has {width} channels")
    try:
        if "_" in line:
            raise ValueError("a number has no _")
        return np.array([float(word) for word in words])
    except ValueError as error:
        raise _wrong(where, row, f"expected numbers ({error})") from error


# --- positions ----------------------------------------------------------------------------------------------


def positions(rig: Rig, motion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Joint positions [T, V, 3] in the file's unit, by forward kinematics; NaN for non-finite channels."""
    frames, size = len(motion), len(rig.joints)
    places = np.empty((frames, size, 3))
    turns: list[NDArray[np.float64]] = []
    column = 0
    with np.errstate(all="ignore"):
        for v, up in enumerate(rig.parents):
            channels = rig.channels[v]
            values = motion[:, column : column + len(channels)]
            column += len(channels)
            step = _step(rig.offsets[v], channels, values, root=up < 0)
            turn = _turn(channels, values)
            places[:, v] = step if up < 0 else places[:, up] + np.einsum("tij,tj->ti", turns[up], step)
            turns.append(turn if up < 0 else turns[up] @ turn)
    return places


def _step(
    offset: NDArray[np.float64],
    channels: tuple[tuple[str, int], ...],
    values: NDArray[np.float64],
    *,
    root: bool,
) -> NDArray[np.float64]:
    """The step [T, 3] from the parent to a joint, before the parent's rotation.

    Depending on the program that wrote the file, position channels are either the whole step or a change that
    is added to the offset, as the definition has it. For the root they are the position, as in Blender's
    importer and the readers of LaFAN1, unless they stay around zero while the offset does not
    (``_is_about_zero``). For other joints, the reading nearer to the offset in the median frame is used.
    """
    moved = np.zeros((len(values), 3))
    for place, (kind, axis) in enumerate(channels):
        if kind == "position":
            moved[:, axis] = values[:, place]
    axes = [axis for kind, axis in channels if kind == "position"]
    if not axes:
        return np.broadcast_to(offset, moved.shape)
    apart = np.linalg.norm((moved - offset)[:, axes], axis=1)
    near = np.median(apart) < np.median(np.linalg.norm(moved[:, axes], axis=1))
    if not _is_about_zero(offset, moved, axes) if root else near:
        step = np.broadcast_to(offset, moved.shape).copy()
        step[:, axes] = moved[:, axes]
        return step
    return offset + moved


def _is_about_zero(offset: NDArray[np.float64], moved: NDArray[np.float64], axes: list[int]) -> bool:
    """Whether positions [T, 3] are changes to a root's offset: their median is within half the offset of
    zero.

    This is decided on the axis on which they vary least relative to the offset: the height, if people walk
    around.
    """
    axes = [axis for axis in axes if offset[axis]]
    if not axes:
        return False
    size = np.abs(offset[axes])
    middle = np.median(moved[:, axes], axis=0)
    steady = int(np.argmin(np.median(np.abs(moved[:, axes] - middle), axis=0) / size))
    return bool(abs(middle[steady]) < size[steady] / 2)


def _turn(channels: tuple[tuple[str, int], ...], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[T, 3, 3]: the product of a joint's rotations in channel order."""
    turn = np.broadcast_to(np.eye(3), (len(values), 3, 3))
    for place, (kind, axis) in enumerate(channels):
        if kind == "rotation":
            turn = turn @ rotation(axis, np.deg2rad(values[:, place]))
    return turn


# --- the format ---------------------------------------------------------------------------------------------


def _holds(file: Path, head: bytes) -> bool:
    return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:9].upper() == b"HIERARCHY"


def convention(file: Path) -> SkeletonSpec:
    """The skeleton of a file: joints, tree and, if the names determine them, sides and body parts.

    The up axis, y or z, is the one along which the head is above the feet in the file's poses. Raises
    RawDataError.
    """
    rig, motion = parse(read_bytes(RawItem(file.stem, "", str(file))), str(file))
    return spec_of_rig(rig.joints, rig.parents, kind="bvh", source=file.name, axes=_axes(rig, motion))


def _axes(rig: Rig, motion: NDArray[np.float64]) -> Directions:
    head, feet = head_and_feet(rig.joints)
    if not head or not feet:
        return Y_UP
    places = positions(rig, _some(motion))
    with np.errstate(all="ignore"):
        above = np.median(places[:, head].mean(axis=1) - places[:, feet].mean(axis=1), axis=0)
    return Z_UP if above[2] > abs(above[1]) else Y_UP


def read(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """Read one clip. Raises RawDataError: damaged, a hierarchy other than the data set's, or no unit set."""
    rig, motion = parse(read_bytes(item), item.where)
    if settings.convention == OF_FILES:
        check_same(rig.joints, rig.parents, spec, item)
    if settings.units is None:
        raise _no_unit(rig, motion, item)
    size = len(motion) * len(rig.joints) * 24
    if size > MAX_BYTES:
        raise RawDataError(f"{size} bytes of positions are too many for one clip", where=item.where)
    return Poses(positions(rig, motion)[:, None], joints=rig.joints)


def _no_unit(rig: Rig, motion: NDArray[np.float64], item: RawItem) -> RawDataError:
    """The error for a missing unit, suggesting one for which the median frame's extent fits a person."""
    with np.errstate(all="ignore"):
        tall = float(np.median(np.ptp(positions(rig, _some(motion)), axis=1).max(axis=1)))
    fits = [unit for unit, metres in UNITS.items() if _PERSON[0] <= tall * metres <= _PERSON[1]]
    advice = "say metres per unit as `units` in dataset.yaml"
    if fits:
        advice = f"`units: {fits[0]}` makes that {tall * UNITS[fits[0]]:.2f} m"
    elif tall > 0 and np.isfinite(tall):
        advice = f"for a person of 1.7 m say `units: {1.7 / tall:.3g}` (metres per unit)"
    return RawDataError(
        f"BVH does not tell its unit; the skeleton measures {tall:.4g}, {advice}",
        where=item.where,
        remedy="Say it in dataset.yaml",
    )


def _some(motion: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most a hundred frames, evenly spaced."""
    return motion[:: -(-len(motion) // 100)]


def _wrong(where: str, row: int, message: str) -> RawDataError:
    return RawDataError(f"line {row + 1}: {message}", where=where, remedy=_REMEDY)


def rate(file: Path) -> float | None:
    """Frames per second, the inverse of ``Frame Time``: the whole number of which that is the rounded
    inverse, if there is one, as 30 is of 0.033."""
    with regular.open_file(file) as opened:
        match = _FRAME_TIME.search(opened.read(_HEADER))
    if match is None:
        return None
    step = float(match[1])
    whole = round(1 / step)
    return float(whole) if abs(1 / max(whole, 1) - step) <= 0.5 * 10.0 ** -len(match[2]) else 1 / step


BVH = ClipFormat("bvh", (".bvh",), _holds, read, rate=rate, convention=convention)
