"""A skeleton convention: its joints, their order, and how they are connected."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from schemas._model import Model
from schemas.errors import UsageError

PARTS = ("trunk", "left_arm", "right_arm", "left_leg", "right_leg")
"""The five body parts of SkeleMixCLR, in the order in which they are drawn."""

Direction = Literal["left", "right", "up", "down", "forward", "backward"]
_OPPOSITE = {"left": "right", "up": "down", "forward": "backward"}


MOST_JOINTS = 1024
"""Most joints of a convention, as graphs in a store grow with their square.

Body, hands and face mesh have 543.
"""


class SkeletonSpec(Model):
    """One convention; all indices are 0-based positions in ``joints``.

    ``edges`` holds ``(child, parent)`` pairs of one tree whose root is ``center``; in a tree with another
    root, the pairs between that root and the centre are reversed. ``axes`` names the directions of x, y and
    z as seen from the sensor: Kinect camera space, the canonical frame of a store, is
    ``("left", "up", "forward")`` in metres; MeTRAbs delivers ``("right", "down", "forward")`` in
    millimetres.

    ``shoulders``, ``left_right_swap`` and ``body_parts`` are None where the convention has none: a hand has
    no shoulders, an animal no arms. Code that needs one of them states so (``require``).
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_+\-]+$")
    joints: tuple[str, ...] = Field(min_length=2, max_length=MOST_JOINTS)
    edges: tuple[tuple[int, int], ...] = Field(max_length=MOST_JOINTS)
    center: int = Field(ge=0)
    shoulders: tuple[int, int] | None = None
    """(left, right): the line that the recipes turn parallel to x."""
    left_right_swap: tuple[int, ...] | None = None
    """``x[..., left_right_swap, :]`` exchanges the sides; an involution."""
    body_parts: dict[str, tuple[int, ...]] | None = None
    """Joints by the names of ``PARTS``, each joint once; a part that is left out is empty."""
    units: Literal["metres", "millimetres"] = "metres"
    axes: tuple[Direction, Direction, Direction] = ("left", "up", "forward")
    source: str = ""

    @property
    def num_joints(self) -> int:
        return len(self.joints)

    @property
    def parents(self) -> tuple[int, ...]:
        """``parents[v]`` is the parent joint of v; the centre is its own parent, so its bone is zero."""
        parent = list(range(self.num_joints))
        for child, up in self.edges:
            parent[child] = up
        return tuple(parent)

    @property
    def from_centre(self) -> tuple[int, ...]:
        """All joints, each after its parent; the centre first."""
        children: dict[int, list[int]] = {}
        for child, up in self.edges:
            children.setdefault(up, []).append(child)
        order = [self.center]
        for joint in order:
            order += sorted(children.get(joint, ()))
        return tuple(order)

    def without(self, joints: Iterable[str]) -> SkeletonSpec:
        """The same skeleton without these joints, given by name; it is called ``<name>-<number of joints>``.

        Children of a removed joint are connected to the next joint towards the centre. If the centre is
        removed, its first remaining child replaces it. A joint whose mirror image is removed becomes its own;
        shoulders are removed together, and body parts lose only the removed joints. Raises ValueError for a
        joint that does not exist, and if fewer than two are left.
        """
        gone = set(joints)
        if strange := sorted(gone - set(self.joints)):
            raise ValueError(f"'{strange[0]}' is no joint of {self.name}. It has {', '.join(self.joints)}")
        joints_left = [v for v in range(self.num_joints) if self.joints[v] not in gone]
        if len(joints_left) < 2 or not gone:
            raise ValueError(f"leaves {len(joints_left)} of {self.num_joints} joints of {self.name}")
        at = {v: place for place, v in enumerate(joints_left)}
        center = next(v for v in self.from_centre if v in at)
        swap, parts = self.left_right_swap, self.body_parts
        shoulders = self.shoulders if self.shoulders and set(self.shoulders) <= at.keys() else None
        return SkeletonSpec(
            name=f"{self.name}-{len(joints_left)}",
            joints=tuple(self.joints[v] for v in joints_left),
            edges=tuple((at[v], at[self._above(v, at, center)]) for v in joints_left if v != center),
            center=at[center],
            shoulders=None if shoulders is None else (at[shoulders[0]], at[shoulders[1]]),
            left_right_swap=None if swap is None else tuple(at.get(swap[v], at[v]) for v in joints_left),
            body_parts=None
            if parts is None
            else {name: tuple(at[v] for v in part if v in at) for name, part in parts.items()},
            units=self.units,
            axes=self.axes,
            source=self.source,
        )

    def _above(self, joint: int, joints_left: Container[int], center: int) -> int:
        """The next kept joint towards the centre, or the new centre if there is none."""
        parent = self.parents
        while parent[joint] != joint:
            joint = parent[joint]
            if joint in joints_left:
                return joint
        return center

    @field_validator("body_parts")
    @classmethod
    def _all_parts(cls, given: dict[str, tuple[int, ...]] | None) -> dict[str, tuple[int, ...]] | None:
        if given is None:
            return None
        strange = sorted(given.keys() - set(PARTS))
        if strange:
            raise ValueError(
                f"body_parts must be exactly {', '.join(PARTS)}, empty or left out if none; found "
                f"{', '.join(strange)}. Leave body_parts out where the body has other parts"
            )
        return given | {part: () for part in PARTS if part not in given}

    @model_validator(mode="after")
    def _check(self) -> SkeletonSpec:
        size = self.num_joints
        if len(set(self.joints)) != size:
            raise ValueError("joint names repeat")
        used = [
            *(self.left_right_swap or ()),
            self.center,
            *(self.shoulders or ()),
            *(v for pair in self.edges for v in pair),
        ]
        if any(not 0 <= v < size for v in used):
            raise ValueError(f"an index is outside 0..{size - 1}")
        # The only attribute that is not as given; instances are immutable for everybody else.
        object.__setattr__(self, "edges", self._rooted(size))
        swap = self.left_right_swap
        if swap is not None and (len(swap) != size or any(swap[swap[v]] != v for v in range(size))):
            raise ValueError("left_right_swap must list every joint once and be its own inverse")
        if swap and self.shoulders and swap[self.shoulders[0]] != self.shoulders[1]:
            raise ValueError(
                "left_right_swap does not exchange the two shoulders; leave out both if there are none"
            )
        if self.body_parts is not None and sorted(
            v for part in self.body_parts.values() for v in part
        ) != list(range(size)):
            raise ValueError("body_parts must hold every joint exactly once")
        if len({_OPPOSITE.get(d, d) for d in self.axes}) != 3:
            raise ValueError("axes must name three different directions")
        return self

    def _rooted(self, size: int) -> tuple[tuple[int, int], ...]:
        """The edges, in their order, of the same tree rooted at the centre."""
        parent = dict(self.edges)
        if len(self.edges) != size - 1 or len(parent) != size - 1:
            raise ValueError(
                "edges are [child, parent]; they must give every joint but one, the root, exactly one parent"
            )
        for start in range(size):
            joint, steps = start, 0
            while joint in parent and steps <= size:
                joint, steps = parent[joint], steps + 1
            if joint in parent:
                raise ValueError(
                    f"joint {start} ({self.joints[start]}) is not connected to the centre ({self.center})"
                )
        turned, joint = set(), self.center
        while joint in parent:
            turned.add((joint, parent[joint]))
            joint = parent[joint]
        return tuple((up, child) if (child, up) in turned else (child, up) for child, up in self.edges)

    @model_serializer(mode="wrap")
    def _without_absent(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit what the convention does not have: a store has no entry for a hand's shoulders."""
        return {key: value for key, value in serialise(self).items() if value is not None}


PROPERTIES = {
    "shoulders": "shoulders (a left and a right joint)",
    "left_right_swap": "sides (left_right_swap)",
    "body_parts": "body parts",
}
"""Properties that a convention may lack, in words."""


def require(spec: SkeletonSpec, needs: Iterable[str], *, by: str, where: object = None, remedy: str) -> None:
    """Raise UsageError if the convention lacks one of ``needs``, which are keys of ``PROPERTIES``.

    ``by`` is the name of what needs them: a step of a recipe, an augmentation, a method.
    """
    missing = [PROPERTIES[name] for name in needs if getattr(spec, name) is None]
    if missing:
        raise UsageError(
            f"{by} needs {' and '.join(missing)}, which convention {spec.name} does not have",
            where=where,
            remedy=remedy,
        )


class Naming(Model):
    """Names of a convention's joints elsewhere, and the joints that are midpoints of two others.

    They are in the convention's file beside the keys of ``SkeletonSpec``, and are not part of a store.
    """

    synonyms: dict[str, tuple[str, ...]] = {}
    """Joint -> other names of the same point; names that COCO has are written as in COCO: ``left_hip``."""
    midpoints: dict[str, tuple[str, str]] = {}
    """Joint -> the two joints of the convention of which it is the midpoint by definition."""
    own: tuple[str, ...] = ()
    """Joints whose names mean other points elsewhere, so that only their synonyms are used in a mapping."""

    def check(self, joints: Sequence[str]) -> None:
        """Raise ValueError for a joint that the convention does not have, and for an ambiguous synonym."""
        named = [
            *self.synonyms,
            *self.midpoints,
            *(joint for pair in self.midpoints.values() for joint in pair),
        ]
        strange = next((name for name in named if name not in joints), None)
        if strange is not None:
            raise ValueError(f"synonyms and midpoints name '{strange}', which is none of the joints")
        strange = next((name for name in self.own if name not in joints), None)
        if strange is not None:
            raise ValueError(f"own names '{strange}', which is none of the joints")
        others = [other for names in self.synonyms.values() for other in names]
        taken = set(joints) - set(self.own)
        twice = next((name for name in others if others.count(name) > 1 or name in taken), None)
        if twice is not None:
            raise ValueError(f"synonyms give '{twice}' to two joints")
