"""Rigs of motion capture files: rotations of their channels, and the convention that they make.

Joints and their tree are from the file, the rest is from joint names.
Whatever the names leave ambiguous is left out: a rig without sides has no shoulders and no body parts.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schemas import RawDataError, SkeletonSpec
from skeltools.custom.settings import Directions
from skeltools.raw_items import RawItem

MAX_JOINTS = 400
"""Most joints of a rig: the largest game characters, with face and fingers, have about 300."""

_SWAPS = (
    (r"left", "right"),
    (r"(?<![a-z])l(?![a-z])", "r"),
    (r"^l(?=[A-Z])", "r"),
    (r"^l", "r"),
)
"""What marks a left joint, and its replacement in the name of the mirror image: LeftArm, hand_l, L Thigh,
LHip, lfemur. The third is applied to the name as written, the others to its lower case."""

_SHOULDERS = (r"up(per)?_?arm|^arm|humerus|shldr", r"shoulder", r"clavicle|collar")
"""Names of the joint of the upper arm without the side, the most certain first."""

_ARM = re.compile(r"arm|hand|shoulder|elbow|wrist|clavicle|collar|humerus|shldr|finger|thumb")
_LEG = re.compile(r"leg|thigh|hip|femur|knee|calf|shin|tibia|foot|ankle|toe")
_HIPS = re.compile(r"hips?$|pelvis|^root$")
_HEAD = re.compile(r"head")
_FOOT = re.compile(r"foot|toe|ankle")


def rotation(axis: int, angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Right-handed rotations about x, y or z (0, 1, 2): [T] radians -> [T, 3, 3]."""
    one, other = (axis + 1) % 3, (axis + 2) % 3
    turn = np.zeros((len(angle), 3, 3))
    turn[:, axis, axis] = 1
    turn[:, one, one] = turn[:, other, other] = np.cos(angle)
    turn[:, other, one] = np.sin(angle)
    turn[:, one, other] = -turn[:, other, one]
    return turn


def spec_of_rig(
    joints: Sequence[str],
    parents: Sequence[int],
    *,
    kind: str,
    source: str,
    axes: Directions,
) -> SkeletonSpec:
    """The convention of joints with the indices of their parents, -1 for the root.

    Its name is ``<kind>_<joints>_<checksum>``, so that a rig has the same name in every data set, and
    different rigs have different names. Raises RawDataError if the joints do not form a tree.
    """
    if not 2 <= len(joints) <= MAX_JOINTS:
        raise RawDataError(f"its skeleton has {len(joints)} joints, expected 2 to {MAX_JOINTS}", where=source)
    edges = tuple((v, up) for v, up in enumerate(parents) if up >= 0)
    mark = zlib.crc32(json.dumps([list(joints), edges]).encode()) & 0xFFFF
    swap = mirror_images(joints, parents)
    parts = None if swap is None else _parts(joints, parents, swap)
    try:
        return SkeletonSpec(
            name=f"{kind}_{len(joints)}_{mark:04x}",
            joints=tuple(joints),
            edges=edges,
            center=_centre(joints, parents),
            shoulders=None if swap is None else _shoulders(joints, swap),
            left_right_swap=swap,
            body_parts=parts,
            axes=axes,
            source=f"the hierarchy of {source}",
        )
    except ValueError as error:
        reason = str(error).splitlines()[-1][:200]
        raise RawDataError(f"its hierarchy makes no skeleton ({reason})", where=source) from error


def check_same(joints: Sequence[str], parents: Sequence[int], spec: SkeletonSpec, item: RawItem) -> None:
    """Raise RawDataError for a file whose rig differs from the one that the data set's convention is from."""
    lacks = [name for name in spec.joints if name not in joints]
    more = [name for name in joints if name not in spec.joints]
    own = {frozenset((v, up)) for v, up in enumerate(parents) if up >= 0}
    if tuple(joints) == spec.joints and own == {frozenset(pair) for pair in spec.edges}:
        return
    what = [f"lacks {', '.join(lacks[:4])}"] * bool(lacks) + [f"has {', '.join(more[:4])}"] * bool(more)
    raise RawDataError(
        f"is another skeleton than {spec.source}: {' and '.join(what) or 'its joints hang otherwise'}",
        where=item.where,
        remedy="Leave it out with `files`, make it a data set of its own, or name a convention whose "
        "joints all files have",
    )


def bare(name: str) -> str:
    """A joint's name without the character's prefix: ``mixamorig:LeftArm``, ``Bip01 L Thigh``."""
    return re.sub(r"^(bip\d*|mixamorig\d*)[ _]*", "", name.rsplit(":", 1)[-1].strip(), flags=re.IGNORECASE)


# --- sides --------------------------------------------------------------------------------------------------


def mirror_images(joints: Sequence[str], parents: Sequence[int]) -> tuple[int, ...] | None:
    """[V] the mirror image of every joint, itself on the midline; None if the names do not determine it.

    Both sides must have the same structure. A joint without a counterpart is its own image.
    """
    at = {bare(name).casefold(): v for v, name in enumerate(joints)}
    swap = list(range(len(joints)))
    for v, name in enumerate(joints):
        other = next((at[n] for n in _others(bare(name)) if n in at and at[n] != v), None)
        if other is None:
            continue
        if swap[other] not in (other, v) or swap[v] not in (v, other):
            return None
        swap[v], swap[other] = other, v
    pairs = [v for v in range(len(joints)) if swap[v] != v]
    alike = all(swap[parents[v]] == parents[swap[v]] for v in pairs if parents[v] >= 0)
    return tuple(swap) if pairs and alike else None


def _others(name: str) -> list[str]:
    """Possible names, in lower case, of the right joint whose left counterpart has this name."""
    names = []
    for number, (mark, other) in enumerate(_SWAPS):
        text = name if number == 2 else name.casefold()
        for match in re.finditer(mark, text, re.IGNORECASE if number == 2 and name[:1] in "lL" else 0):
            names.append((text[: match.start()] + other + text[match.end() :]).casefold())
    return names


def _left(joints: Sequence[str], swap: Sequence[int], v: int) -> bool:
    """Whether a joint is the left of a pair."""
    return swap[v] != v and bare(joints[swap[v]]).casefold() in _others(bare(joints[v]))


def _side_off(name: str) -> str:
    """A name in lower case without its side."""
    low = re.sub(r"left|right", "", bare(name).casefold())
    low = re.sub(r"(?<![a-z])[lr](?![a-z])", "", low)
    if low == bare(name).casefold():
        low = low[1:]
    return low.strip(" _.-")


def _shoulders(joints: Sequence[str], swap: Sequence[int]) -> tuple[int, int] | None:
    """(left, right) joints of the upper arms; None unless exactly one pair has such a name."""
    left = [v for v in range(len(joints)) if _left(joints, swap, v)]
    for names in _SHOULDERS:
        arms = [v for v in left if re.search(names, _side_off(joints[v])) and "fore" not in joints[v].lower()]
        arms = [v for v in arms if not joints[v].lower().endswith(("_end", "twist", "roll"))]
        if len(arms) == 1:
            return arms[0], swap[arms[0]]
    return None


# --- parts and centre ---------------------------------------------------------------------------------------


def _below(parents: Sequence[int]) -> list[list[int]]:
    """[V] the joints in the subtree of each joint, itself first."""
    below = [[v] for v in range(len(parents))]
    for v in range(len(parents) - 1, -1, -1):
        if parents[v] >= 0:
            below[parents[v]] += below[v]
    return below


def _parts(
    joints: Sequence[str], parents: Sequence[int], swap: Sequence[int]
) -> dict[str, tuple[int, ...]] | None:
    """Body parts: an arm or leg is the subtree of its first joint; the trunk is the rest."""
    below = _below(parents)
    limbs: dict[str, list[int]] = {name: [] for name in ("left_arm", "right_arm", "left_leg", "right_leg")}
    for v in range(len(joints)):
        first = _left(joints, swap, v) and (parents[v] < 0 or swap[parents[v]] == parents[v])
        words = " ".join(_side_off(joints[u]) for u in below[v]) if first else ""
        arm, leg = bool(_ARM.search(words)), bool(_LEG.search(words))
        if arm and leg:
            return None
        for limb in ("arm",) * arm + ("leg",) * leg:
            limbs[f"left_{limb}"] += below[v]
            limbs[f"right_{limb}"] += below[swap[v]]
    taken = [v for part in limbs.values() for v in part]
    if not all(limbs.values()) or len(set(taken)) != len(taken):
        return None
    trunk = tuple(v for v in range(len(joints)) if v not in set(taken))
    return {"trunk": trunk, **{name: tuple(sorted(part)) for name, part in limbs.items()}}


def _centre(joints: Sequence[str], parents: Sequence[int]) -> int:
    """The hips if they lie between the root and the first fork (inclusive), else the first fork."""
    children = [[u for u, up in enumerate(parents) if up == v] for v in range(len(joints))]
    joint = list(parents).index(-1)
    while not _HIPS.search(bare(joints[joint]).casefold()) and len(children[joint]) == 1:
        joint = children[joint][0]
    return joint if children[joint] else list(parents).index(-1)


def head_and_feet(joints: Sequence[str]) -> tuple[list[int], list[int]]:
    """Indices of the joints named as head, and of those named as feet."""
    names = [bare(name).casefold() for name in joints]
    head = [v for v, name in enumerate(names) if _HEAD.search(name)]
    return head, [v for v, name in enumerate(names) if _FOOT.search(name)]
