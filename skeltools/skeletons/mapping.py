"""Map the joints of one convention to another: by name and declared synonyms, never by index.

A joint of the target is, in this order,

1. the midpoint of two others, where its convention's file defines it (``midpoints``) and the source has
   both; a joint of the source that is defined as the same midpoint is taken as it is;
2. the joint of the source that shares a name with it: its own name or a declared synonym, ignoring case,
   ``_`` and other signs;
3. absent.

Nothing is guessed: a joint that no file calls by the name of another is absent, however close they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import Naming, SkeletonSpec, UsageError
from skeltools import skeletons

_OF = "-of-"


@dataclass(frozen=True)
class Mapping:
    """The origin in ``source`` of each joint of ``target``."""

    source: SkeletonSpec
    target: SkeletonSpec
    origins: tuple[tuple[int, ...], ...]
    """For each joint of the target, its joints in the source: none (absent), one, or two for a midpoint."""

    @cached_property
    def mapped(self) -> tuple[int, ...]:
        """Joints of the target that the source has."""
        return tuple(joint for joint, origin in enumerate(self.origins) if origin)

    @property
    def absent(self) -> tuple[str, ...]:
        """Names of the target's joints that the source does not have."""
        return tuple(self.target.joints[v] for v, origin in enumerate(self.origins) if not origin)

    @property
    def unused(self) -> tuple[str, ...]:
        """Names of the source's joints from which no joint of the target is made."""
        used = {joint for origin in self.origins for joint in origin}
        return tuple(name for joint, name in enumerate(self.source.joints) if joint not in used)

    @cached_property
    def result(self) -> SkeletonSpec:
        """The target, or the part of it (``without``) that excludes joints that cannot be obtained."""
        if not self.absent:
            return self.target
        source = f"{self.target.source}. Without {', '.join(self.absent)}, which {self.source.name} lacks"
        name = f"{self.target.name}{_OF}{self.source.name}"
        return self.target.without(self.absent).model_copy(update={"name": name, "source": source})

    def rows(self) -> Iterator[tuple[str, str]]:
        """(joint of the target, its origin in words), in the order of the target."""
        for name, origin in zip(self.target.joints, self.origins, strict=True):
            names = " and ".join(self.source.joints[joint] for joint in origin)
            yield name, f"middle of {names}" if len(origin) == 2 else names or "absent"

    def words(self) -> str:
        """One line for a manifest: all joints that are mapped, then those that are absent."""
        mapped = ", ".join(f"{name} = {origin}" for name, origin in self.rows() if origin != "absent")
        lost = f"; absent: {', '.join(self.absent)}" if self.absent else ""
        return f"from {self.source.name} by name: {mapped}{lost}"


def mapping(
    source: SkeletonSpec, source_naming: Naming, target: SkeletonSpec, target_naming: Naming
) -> Mapping:
    """Map each joint of ``target`` by the rules in the docstring of this module.

    A joint of the source is used for at most one joint of the target, other than in midpoints. Raises
    UsageError when the two have fewer than two joints in common, which is no skeleton.
    """
    if _whole(source.name) == _whole(target.name):  # parts of one convention, or the same
        same = {t: source.joints.index(name) for t, name in enumerate(target.joints) if name in source.joints}
    else:
        same = _same(_names(source, source_naming), _names(target, target_naming))
    origins: list[tuple[int, ...]] = []
    for joint, name in enumerate(target.joints):
        middle = _of_two(name, same, source, source_naming, target, target_naming)
        origins.append(middle or ((same[joint],) if joint in same else ()))
    made = Mapping(source, target, tuple(origins))
    if len(made.mapped) < 2:
        raise UsageError(
            f"{source.name} has {len(made.mapped) or 'none'} of the {target.num_joints} joints of "
            f"{target.name}",
            remedy="Joints are mapped by name: `synonyms` in a convention's file tell other names of them",
        )
    return made


def apply(made: Mapping, joints: NDArray[Any]) -> NDArray[np.float32]:
    """[..., V, 3] in the source's joints -> [..., V', 3] in those of ``made.result``.

    Joints that are taken as they are keep every bit; midpoints are computed in float64 and rounded once.
    """
    pairs = [made.origins[joint] for joint in made.mapped]
    first, last = ([origin[place] for origin in pairs] for place in (0, -1))
    values = joints[..., first, :].astype(np.float32)
    middles = [place for place, origin in enumerate(pairs) if len(origin) == 2]
    if middles:
        one, other = (
            joints[..., [chosen[place] for place in middles], :].astype(np.float64)
            for chosen in (first, last)
        )
        values[..., middles, :] = ((one + other) / 2).astype(np.float32)
    return values


# ---------------------------------------------------------------------------------------------- names


def normalised(name: str) -> str:
    """A name without case, ``_`` and other signs.

    >>> normalised("Left_Shoulder")
    'leftshoulder'
    """
    return "".join(sign for sign in name.casefold() if sign.isalnum())


@dataclass(frozen=True)
class _Names:
    """The names of a joint."""

    declared: frozenset[str]
    """Its synonyms, normalised."""
    all: frozenset[str]
    """Synonyms, and its own name unless that means another joint elsewhere."""


def _names(spec: SkeletonSpec, naming: Naming) -> list[_Names]:
    """Names of every joint; a synonym of one joint takes precedence over another joint's own name."""
    declared = [frozenset(map(normalised, naming.synonyms.get(joint, ()))) for joint in spec.joints]
    names = []
    for place, joint in enumerate(spec.joints):
        name = normalised(joint)
        elsewhere = any(name in others for v, others in enumerate(declared) if v != place)
        own = set() if joint in naming.own or elsewhere or not name else {name}
        names.append(_Names(declared[place], declared[place] | own))
    return names


def _same(source: list[_Names], target: list[_Names]) -> dict[int, int]:
    """Joint of the target -> the same joint of the source, one to one.

    Where names allow several pairs, a name declared by both takes precedence over one declared by one of
    them, and that over two own names; then the number of common names decides.
    """
    pairs = sorted(_pairs(source, target))
    taken: set[int] = set()
    same: dict[int, int] = {}
    for *_, s, t in pairs:
        if s not in taken and t not in same:
            taken.add(s)
            same[t] = s
    return same


def _pairs(source: list[_Names], target: list[_Names]) -> Iterator[tuple[int, int, str, int, int]]:
    """Pairs with a common name, with keys that sort the strongest first and alike in both directions."""
    holders: dict[str, list[int]] = {}
    for t, names in enumerate(target):
        for name in names.all:
            holders.setdefault(name, []).append(t)
    for s, names in enumerate(source):
        for t in sorted({t for name in names.all for t in holders.get(name, ())}):
            common = names.all & target[t].all
            weight = max((name in names.declared) + (name in target[t].declared) for name in common)
            yield -weight, -len(common), min(common), s, t


def _of_two(
    name: str,
    same: dict[int, int],
    source: SkeletonSpec,
    source_naming: Naming,
    target: SkeletonSpec,
    target_naming: Naming,
) -> tuple[int, ...]:
    """The two joints of the source that define ``name`` as their midpoint; empty if there are none.

    Also empty if the source itself has the same midpoint.
    """
    if name not in target_naming.midpoints:
        return ()
    ends = [same.get(target.joints.index(end)) for end in target_naming.midpoints[name]]
    if ends[0] is None or ends[1] is None:
        return ()
    match = same.get(target.joints.index(name))
    if match is not None:
        theirs = source_naming.midpoints.get(source.joints[match], ())
        if {source.joints.index(end) for end in theirs} == set(ends):
            return ()
    return ends[0], ends[1]


# ------------------------------------------------------------------------------------------- conventions


def _whole(name: str) -> str:
    """The convention that this name is, or is a part of: ``coco_17-of-sbu_15`` is a part of ``coco_17``."""
    whole = re.sub(rf"({_OF}.*|-\d+)$", "", name)
    return whole if whole in skeletons.names() else name.partition(_OF)[0]


def find(name: str) -> tuple[SkeletonSpec, Naming]:
    """A convention to map to or from, by name or file, or a part of one such as ``coco_17-of-kinectv2_25``.

    Raises what ``skeletons.load`` raises.
    """
    whole, of, other = name.partition(_OF)
    if not of or name in skeletons.names() or name.endswith(skeletons.SUFFIXES):
        return skeletons.load(name), skeletons.naming(name)
    spec, naming = find(whole)
    part = mapping(*find(other), spec, naming).result
    return part, left(naming, part.joints)


def left(naming: Naming, joints: Iterable[str]) -> Naming:
    """The part of a naming that concerns these joints."""
    names = set(joints)
    return Naming(
        synonyms={joint: others for joint, others in naming.synonyms.items() if joint in names},
        midpoints={joint: ends for joint, ends in naming.midpoints.items() if {joint, *ends} <= names},
        own=tuple(joint for joint in naming.own if joint in names),
    )


def naming_of(spec: SkeletonSpec) -> Naming:
    """Synonyms of a store's convention: those of the shipped one with that name and those joints.

    Stores do not contain synonyms: a user's own convention has none, and only its names count.
    """
    whole = _whole(spec.name)
    if whole not in skeletons.names() or not set(spec.joints) <= set(skeletons.load(whole).joints):
        return Naming()
    return left(skeletons.naming(whole), spec.joints)
