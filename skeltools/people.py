"""Check whether poses look like people: left and right at their sides, a person's height, and depth.

However a file is read, the result is some poses; only anatomy can reveal a wrong reading. Three cues hold for
anybody in any posture, wherever the camera stands:

    toes     toes lie in front of ankles:                   (left - right shoulder) x up . (toes - ankles) > 0
    face     the nose lies in front of the ears:            the same with (nose - ears)
    limbs    knees bend forward, elbows backward:           the same with both, where there are no feet

A mirror image, or a skeleton whose sides are exchanged, flips the sign. The score of a cue is the sum of
these products divided by the sum of their absolute values, from -1 to 1. Measured on genuine recordings:

    cue      clips   NW-UCLA        MSR-Action3D   demo (Kinect, SMPL-X)
    toes     64      0.94 to 1.00   0.95 to 1.00   0.97 to 1.00
    face     64                                    1.00
    limbs    64      0.08 to 0.6    0.45 to 0.8    0.65 to 0.9
    limbs    16      -0.17 to 0.8   0.14 to 0.9    0.44 to 0.9

(2,000 draws of that many clips each.) Sets with exchanged sides have the same scores with the other sign.

In a user's own data every clip is inspected, and clips that differ from all others are named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import Finding, SkeletonSpec
from skeltools import attitude, skeletons
from skeltools.sequence import SkeletonSequence

Array = NDArray[np.float64]

MIRRORED = "people look mirrored"
HEIGHT = "no person's height"
SCORE = "depth looks like a score"
LEVEL = "depth is flat"
OUTLIERS = "another height than the other clips"
POINT = "all joints at one point"
STILL = "nothing moves"

EXCHANGED = {"toes": -0.5, "face": -0.5, "limbs": -0.2}
"""Scores below which people count as mirrored."""
FEWEST = {"toes": 1, "face": 1, "limbs": 16}
"""Fewest clips needed to report it."""

HEIGHTS = (0.8, 2.3)
"""Metres from head to ankle along the bones: from a small child's height to more than anybody's."""
USUAL = (1.2, 2.0)
"""Metres within which a factor must bring a height to be its likely correction."""
FACTORS = (
    (0.001, "millimetres read as metres"),
    (0.01, "centimetres read as metres"),
    (1000.0, "metres read as millimetres"),
    (100.0, "metres read as centimetres"),
    (0.1, "millimetres read as centimetres"),
    (10.0, "centimetres read as millimetres"),
    (0.0254, "inches read as metres"),
    (2.54, "inches read as centimetres"),
    (25.4, "inches read as millimetres"),
    (0.3048, "feet read as metres"),
)
"""Factors that may correct a height, the likelier cause first; the inch and the foot by definition."""

STEADY = 0.2
"""Largest coefficient of variation over a clip at which bones of the trunk and legs are those of a body.

A sensor reaches a tenth, random points 0.4.
"""

UNEVEN = 0.35
"""Largest difference, relative to their mean, at which median left and right leg bones are one person's."""

FLAT = 0.05
"""Part of a pose's largest extent below which the extent along an axis is no depth.

One pose in a hundred of NW-UCLA and of the demo has less than 0.13.
"""

OUTLYING = 5.0
"""Factor above or below the clips' median height that age does not explain."""
OUTLYING_2D = 50.0
"""The same for 2D poses, whose people may be near or far.

Mixing pixels and fractions of an image reaches hundreds.
"""


# --- names --------------------------------------------------------------------------------------------------

_SIDED = {
    "shoulder": ("shoulder", "sho", "sho1"),
    "elbow": ("elbow", "elb", "fore_arm", "forearm"),
    "wrist": ("wrist", "wri", "hand", "han"),
    "hip": ("hip", "hipf", "up_leg", "upleg", "thigh"),
    "knee": ("knee", "kne", "shin"),
    "ankle": ("ankle", "ank"),
    "toe": ("big_toe", "toe_base", "toebase", "toe", "toes", "foot_index"),
    "foot": ("foot", "foo"),
    "ear": ("ear",),
}
"""Part -> what conventions call it, without the side."""
_CENTRAL = {"nose": ("nose",), "head": ("head_top", "htop", "top_head", "head", "nose")}
_SIDES = {"left": "left", "l": "left", "right": "right", "r": "right"}
_STEMS = tuple(sorted({name for names in _SIDED.values() for name in names}, key=len, reverse=True))


def _split(name: str) -> tuple[str, str]:
    """Split a name into its side, if any, and the rest: ``LeftToeBase`` and ``ltoebase`` are both left toes.

    >>> _split("LeftToeBase"), _split("lsho_smpl"), _split("ANKLE_RIGHT"), _split("head")
    (('left', 'toe_base'), ('left', 'sho_smpl'), ('right', 'ankle'), ('', 'head'))
    """
    words = re.sub(r"([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])", r"\1\3_\2", name).lower()
    parts = [part for part in re.split(r"[^a-z0-9]+", words) if part]
    for place in (i for i, part in enumerate(parts) if part in _SIDES):
        return _SIDES[parts[place]], "_".join(parts[:place] + parts[place + 1 :])
    if parts and parts[0][0] in "lr" and parts[0][1:] in _STEMS:
        return _SIDES[parts[0][0]], "_".join([parts[0][1:], *parts[1:]])
    return "", "_".join(parts)


def parts_of(spec: SkeletonSpec) -> dict[str, int]:
    """``left hip`` -> joint, for the parts of a person that joint names identify; both sides or neither.

    Empty for an animal that ships with the package.
    """
    return dict(_parts(spec.name, spec.joints, spec.shoulders))


@lru_cache(maxsize=64)
def _parts(convention: str, joints: tuple[str, ...], shoulders: tuple[int, int] | None) -> dict[str, int]:
    """``parts_of``, cached per skeleton because every clip needs it."""
    if convention in skeletons.names("animals"):
        return {}
    synonyms = skeletons.naming(convention).synonyms if convention in skeletons.names() else {}
    called: dict[str, list[tuple[str, int]]] = {"left": [], "right": [], "": []}
    for joint, name in enumerate(joints):
        for each in (name, *synonyms.get(name, ())):
            side, rest = _split(each)
            called[side].append((rest, joint))
    parts: dict[str, int] = {}
    for part, names in _SIDED.items():
        left, right = (_find(called[side], names) for side in ("left", "right"))
        if left is not None and right is not None and left != right:
            parts |= {f"left {part}": left, f"right {part}": right}
    if shoulders is not None:
        parts |= {"left shoulder": shoulders[0], "right shoulder": shoulders[1]}
    central = {part: _find(called[""], names) for part, names in _CENTRAL.items()}
    return _feet(parts) | {part: joint for part, joint in central.items() if joint is not None}


def _find(called: Sequence[tuple[str, int]], names: tuple[str, ...]) -> int | None:
    """The joint that has the first of these names, alone or else followed or preceded by another word."""
    tests = (
        str.__eq__,
        lambda rest, name: rest.startswith(f"{name}_"),
        lambda rest, name: rest.endswith(f"_{name}"),
    )
    return next(
        (joint for test in tests for name in names for rest, joint in called if test(rest, name)), None
    )


def _feet(parts: dict[str, int]) -> dict[str, int]:
    """Treat a foot as the toes where there is an ankle, and as the ankle where there is none."""
    for side in ("left", "right"):
        foot = parts.pop(f"{side} foot", None)
        if foot is not None:
            parts.setdefault(f"{side} {'toe' if f'{side} ankle' in parts else 'ankle'}", foot)
    return parts


# --- one clip -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """Summary of some poses of one convention, small enough to keep for many clips."""

    poses: int
    cue: str
    """The cue that the convention allows; empty for none."""
    signed: float
    """Sum of the cue's products."""
    absolute: float
    """Sum of their absolute values."""
    height: float
    """Median length of the bones from head to ankle, metres; 0 if unknown or if 3D points are no body."""
    body: bool
    """Whether the bones are a body's; random points say nothing about sides or heights."""
    flat: tuple[int, int, int]
    """Poses that are nearly, but not exactly, flat along x, y and z."""
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    """Range of the coordinates."""
    level: tuple[int, int, int] = (0, 0, 0)
    """Poses that have no extent at all along x, y and z, but some along another axis."""
    up: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Mean direction from ankles to head, see ``attitude.direction``."""
    point: bool = False
    """Whether all joints of every pose lie at one point."""
    still: bool = False
    """Whether nobody who is present in several frames ever moves."""
    id: str = ""
    """Id of the clip."""


def look_at(clip: SkeletonSequence, spec: SkeletonSpec) -> Look | None:
    """Apply ``look`` to a clip."""
    joints = clip.joints
    if clip.unseen is not None:
        joints = np.where(clip.unseen[..., None], np.float32(np.nan), joints)
    result = look(spec, joints, clip.present)
    return None if result is None else replace(result, id=clip.id)


def look(spec: SkeletonSpec, joints: NDArray[Any], present: NDArray[np.bool_]) -> Look | None:
    """Summarise joints [T, M, V, 3] in metres, NaN where unseen, with present [T, M]; None without a pose."""
    poses = joints[present].astype(np.float64)
    poses = poses[np.isfinite(poses).any(axis=(1, 2))]
    if not len(poses):
        return None
    extent = np.nanmax(poses, axis=1) - np.nanmin(poses, axis=1)
    flat = (extent > 0) & (extent < FLAT * extent.max(axis=1, keepdims=True))
    parts = parts_of(spec)
    lengths = _lengths(poses, parts, _chains(spec, parts))
    body = bool((extent > 0).any(axis=0).all()) and _is_body(lengths)
    cue, products = _cue(poses, parts) if body else ("", np.zeros(0))
    products = products[np.isfinite(products)]
    return Look(
        len(poses),
        cue,
        float(products.sum()),
        float(np.abs(products).sum()),
        _height(lengths) if body or not (extent > 0).any(axis=0).all() else 0.0,
        body,
        _three(flat.sum(axis=0).tolist()),
        _three(np.nanmin(poses, axis=(0, 1)).tolist()),
        _three(np.nanmax(poses, axis=(0, 1)).tolist()),
        _three(((extent == 0) & (extent > 0).any(axis=1, keepdims=True)).sum(axis=0).tolist()),
        _three(attitude.direction(poses, parts).tolist()),
        bool(not extent.any() and (np.isfinite(poses).all(axis=2).sum(axis=1) > 1).any()),
        _is_still(joints, present),
    )


def _is_still(joints: NDArray[Any], present: NDArray[np.bool_]) -> bool:
    """Whether somebody is present in several frames, and nobody who is ever moves a joint."""
    twice = present.sum(axis=0) > 1
    seen = np.where(present[:, twice, None, None], joints[:, twice], np.nan)
    span = np.fmax.reduce(seen, axis=0) - np.fmin.reduce(seen, axis=0)
    return bool(twice.any() and not (span > 0).any())


def _three(values: Sequence[Any]) -> tuple[Any, Any, Any]:
    x, y, z = values
    return x, y, z


def _chains(spec: SkeletonSpec, parts: Mapping[str, int]) -> list[list[int]]:
    """Joints along the tree from the head to each ankle; empty where either is unknown."""
    if not {"head", "left ankle", "right ankle"} <= parts.keys():
        return []
    up = _ancestors(spec, parts["head"])
    chains = []
    for side in ("left", "right"):
        down = _ancestors(spec, parts[f"{side} ankle"])
        meet = next(joint for joint in up if joint in down)
        chains.append([*up[: up.index(meet) + 1], *down[: down.index(meet)][::-1]])
    return chains


def _ancestors(spec: SkeletonSpec, joint: int) -> list[int]:
    """The joint, its parent, ... up to the centre."""
    parents, chain = spec.parents, [joint]
    while parents[chain[-1]] != chain[-1]:
        chain.append(parents[chain[-1]])
    return chain


def _lengths(poses: Array, parts: Mapping[str, int], chains: list[list[int]]) -> Array:
    """[P, 2, L]: lengths that add up to the height, on the left and the right; NaN where a joint was unseen.

    Where the parts are known, the lengths connect head, mid-shoulders, mid-hips, knee and ankle, because
    bones may take a detour over the ribs; otherwise they are those of the bones. L is 0 where neither is
    known.
    """
    sides = ("left", "right")
    if all(f"{side} {part}" in parts for part in ("shoulder", "hip", "knee", "ankle") for side in sides) and (
        "head" in parts
    ):
        middles = [
            poses[:, [parts[f"{side} {part}"] for side in sides]].mean(axis=1) for part in ("shoulder", "hip")
        ]
        trunk = _steps(np.stack([poses[:, parts["head"]], *middles], axis=1))
        legs = [poses[:, [parts[f"{side} {part}"] for part in ("hip", "knee", "ankle")]] for side in sides]
        return np.stack([np.concatenate([trunk, _steps(leg)], axis=1) for leg in legs], axis=1)
    if len(chains) == len(sides) and len({len(chain) for chain in chains}) == 1:
        return np.stack([_steps(poses[:, chain]) for chain in chains], axis=1)
    return np.zeros((len(poses), len(sides), 0))


def _steps(line: Array) -> Array:
    """[P, L + 1, 3] -> [P, L]: distances between consecutive points."""
    lengths: Array = np.linalg.norm(np.diff(line, axis=1), axis=-1)
    return lengths


def _is_body(lengths: Array) -> bool:
    """Whether bones keep their length over the clip and match left to right; True if there are none."""
    whole = lengths[np.isfinite(lengths).all(axis=(1, 2))]
    if not lengths.shape[2]:
        return True
    if not len(whole) or not whole.mean(axis=0).all():
        return False
    left, right = np.median(whole, axis=0)
    steady = np.median(whole.std(axis=0) / whole.mean(axis=0)) <= STEADY
    return bool(steady and (np.abs(left - right) <= UNEVEN * (left + right) / 2).all())


def _height(lengths: Array) -> float:
    """Median height over poses in which all of it was seen, unaffected by sitting and bending; 0 for none."""
    whole = lengths[np.isfinite(lengths).all(axis=(1, 2))].sum(axis=2)
    return float(np.median(whole)) if len(whole) else 0.0


def _cue(poses: Array, parts: Mapping[str, int]) -> tuple[str, Array]:
    """The most reliable cue these parts allow and its product in each pose, NaN where a joint is unseen."""

    def middle(part: str) -> Array:
        both: Array = (poses[:, parts[f"left {part}"]] + poses[:, parts[f"right {part}"]]) / 2
        return both

    there = {part.removeprefix("left ") for part in parts if part.startswith("left ")}
    if "shoulder" not in there or not there & {"hip", "ear"}:
        return "", np.zeros(0)
    left = poses[:, parts["left shoulder"]] - poses[:, parts["right shoulder"]]
    chest = middle("shoulder")
    ahead = np.cross(left, chest - middle("hip") if "hip" in there else middle("ear") - chest)
    if {"hip", "ankle", "toe"} <= there:
        return "toes", _dot(ahead, middle("toe") - middle("ankle"))
    if "nose" in parts and "ear" in there:
        return "face", _dot(ahead, poses[:, parts["nose"]] - middle("ear"))
    if {"hip", "knee", "ankle", "elbow", "wrist"} <= there:
        knees = _dot(ahead, middle("knee") - (middle("hip") + middle("ankle")) / 2)
        elbows = _dot(ahead, (chest + middle("wrist")) / 2 - middle("elbow"))
        return "limbs", np.concatenate([knees, elbows])
    return "", np.zeros(0)


def _dot(a: Array, b: Array) -> Array:
    product: Array = (a * b).sum(axis=-1)
    return product


# --- many clips ---------------------------------------------------------------------------------------------

CLIPS = 64
"""Most clips of a convention that are inspected.

With this many, the weakest cue distinguished the two sides of every genuine set.
"""


def spread(number: int) -> slice:
    """Slice of at most CLIPS of ``number`` clips, evenly spread; the same for the same number.

    >>> list(range(200)[spread(200)])[:3]
    [0, 4, 8]
    """
    return slice(None, None, max(1, -(-number // CLIPS)))


def judge(
    looks: Sequence[Look], *, place: str, axes: str = "", flat: bool = False, each: bool = False
) -> list[Finding]:
    """Report what in the clips of one convention is unlike people; ``place`` is what the findings are about.

    ``axes``: the declared axes of the files, in words. ``flat``: the poses are 2D. ``each``: the looks are
    those of all clips, and clips that are unlike the others are named; the set is still judged by CLIPS of
    them.
    """
    chosen = looks[spread(len(looks))] if each else looks
    rows = _of_set(chosen, axes, flat=flat)
    if each and SCORE not in dict(rows):
        rows += _of_clips(looks, flat=flat)
    return [
        Finding(file=place, problem=problem, detail=detail, action="kept as it is")
        for problem, detail in rows
        if detail
    ]


def _of_set(looks: Sequence[Look], axes: str, *, flat: bool) -> list[tuple[str, str]]:
    """Problem and detail of each check; the detail is empty for no problem."""
    level = "" if flat else _level(looks, axes)
    if not level and not flat and (score := _score(looks)):
        return [(SCORE, score)]  # such poses say nothing about sides or heights
    bodies = sum(each.body for each in looks) * 2 >= len(looks) and not flat and not level
    mirrored = _mirrored(looks) if bodies else ""
    return [
        (LEVEL, level),
        (MIRRORED, mirrored),
        (HEIGHT, _odd_height(looks, unit=not level) if bodies or level else ""),
        attitude.odd([each.up for each in looks], axes, mirrored=bool(mirrored), flat=flat),
    ]


def _level(looks: Sequence[Look], axes: str) -> str:
    """Describe an axis along which most poses have no extent at all."""
    poses = sum(each.poses for each in looks)
    for place in range(3):
        if sum(each.level[place] for each in looks) * 2 > poses:
            axis = attitude.axis_of_file(axes, place)
            what = f"{axis} is the same for all joints of a pose"
            return f"{what}: are these 2D poses? `coordinates: xy`" + ("" if axis == "z" else ", without it")
    return ""


# --- clips unlike the others --------------------------------------------------------------------------------

_NAMED = 4
"""Most clips that a finding names."""


def _of_clips(looks: Sequence[Look], *, flat: bool) -> list[tuple[str, str]]:
    """Problem of each check and the clips that have it; empty for none."""
    return [
        (OUTLIERS, _outliers(looks, OUTLYING_2D if flat else OUTLYING)),
        (POINT, _named([look.id for look in looks if look.point], len(looks))),
        (STILL, _named([look.id for look in looks if look.still and not look.point], len(looks))),
    ]


def _named(ids: Sequence[str], clips: int) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return f"{len(ids)} of {clips} clips: {', '.join(ids[:_NAMED])}{more}" if ids else ""


def _outliers(looks: Sequence[Look], factor: float) -> str:
    """Name the clips whose height is far from the median, with the height of the first."""
    heights = {look.id: look.height for look in looks if look.height}
    if len(heights) < 3:  # with two, neither is the odd one
        return ""
    typical = float(np.median(list(heights.values())))
    odd = [id for id, height in heights.items() if not typical / factor <= height <= typical * factor]
    if not odd:
        return ""
    first = heights[odd[0]]
    return (
        f"{_named(odd, len(looks))} ({first:.3g} m from head to ankle, {typical:.3g} m in the median): "
        "are they in another unit?"
    )


def _score(looks: Sequence[Look]) -> str:
    """Describe an axis along which most poses are flat and whose values all have one sign."""
    poses = sum(each.poses for each in looks)
    for place, axis in enumerate("xyz"):
        low, high = min(each.low[place] for each in looks), max(each.high[place] for each in looks)
        others = [i for i in range(3) if i != place]
        reach = max(abs(bound[i]) for each in looks for bound in (each.low, each.high) for i in others)
        most = sum(each.flat[place] for each in looks) * 2 > poses
        if most and low * high >= 0 and max(-low, high) < reach:
            return (
                f"{axis} is {low:.3g} to {high:.3g} where the others reach {reach:.3g}: "
                "is it how sure an estimator was?"
            )
    return ""


_ADVICE = "is an axis turned round, or are the names of left and right exchanged?"
_WRONG = {
    "toes": "toes point backward",
    "face": "noses point backward",
    "limbs": "knees and elbows bend the wrong way",
}


def _mirrored(looks: Sequence[Look]) -> str:
    cue = next((each.cue for each in looks if each.cue), "")
    signed, absolute = sum(each.signed for each in looks), sum(each.absolute for each in looks)
    clips = len(looks)
    if not cue or clips < FEWEST[cue] or not signed < EXCHANGED[cue] * absolute:
        return ""
    return f"{_WRONG[cue]} ({signed / absolute:.2f} of -1 to 1, {clips} clips): {_ADVICE}"


def _odd_height(looks: Sequence[Look], *, unit: bool) -> str:
    """Describe a median height that is no person's; ``unit``: whether to guess at a mix-up of units."""
    heights = [each.height for each in looks if each.height]
    if not heights or HEIGHTS[0] <= (typical := float(np.median(heights))) <= HEIGHTS[1]:
        return ""
    likely = next((f for f in FACTORS if unit and USUAL[0] <= typical * f[0] <= USUAL[1]), None)
    guess = f": {likely[1]}? (times {likely[0]:g} it is {typical * likely[0]:.2f} m)" if likely else ""
    return f"{typical:.3g} m from head to ankle{guess}"
