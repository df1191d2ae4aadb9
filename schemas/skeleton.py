"""A skeleton convention: which joints there are, in which order, and how they hang together."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from schemas._model import Model

PARTS = ("trunk", "left_arm", "right_arm", "left_leg", "right_leg")
"""The five body parts of SkeleMixCLR, in the order in which they are drawn."""

Direction = Literal["left", "right", "up", "down", "forward", "backward"]
_OPPOSITE = {"left": "right", "up": "down", "forward": "backward"}


class SkeletonSpec(Model):
    """One convention. All indices are 0-based positions in ``joints``.

    ``edges`` holds ``(child, parent)`` pairs that form one tree rooted at ``center``. ``axes`` names where
    x, y and z point as seen from the sensor: Kinect camera space, the canonical frame of a store, is
    ``("left", "up", "forward")`` in metres; MeTRAbs delivers ``("right", "down", "forward")`` in millimetres.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_+\-]+$")
    joints: tuple[str, ...] = Field(min_length=2)
    edges: tuple[tuple[int, int], ...]
    center: int = Field(ge=0)
    shoulders: tuple[int, int]
    """(left, right): the line that the recipes turn parallel to x."""
    left_right_swap: tuple[int, ...]
    """``x[..., left_right_swap, :]`` exchanges the sides; an involution."""
    body_parts: dict[str, tuple[int, ...]]
    units: Literal["metres", "millimetres"] = "metres"
    axes: tuple[Direction, Direction, Direction] = ("left", "up", "forward")
    source: str = ""

    @property
    def num_joints(self) -> int:
        return len(self.joints)

    @property
    def parents(self) -> tuple[int, ...]:
        """``parents[v]`` is the joint that v hangs on; the centre is its own parent, so its bone is zero."""
        parent = list(range(self.num_joints))
        for child, up in self.edges:
            parent[child] = up
        return tuple(parent)

    @model_validator(mode="after")
    def _check(self) -> SkeletonSpec:
        size = self.num_joints
        if len(set(self.joints)) != size:
            raise ValueError("joint names repeat")
        used = [
            *self.left_right_swap,
            self.center,
            *self.shoulders,
            *(v for pair in self.edges for v in pair),
        ]
        if any(not 0 <= v < size for v in used):
            raise ValueError(f"an index is outside 0..{size - 1}")
        self._check_tree(size)
        swap = self.left_right_swap
        if len(swap) != size or any(swap[swap[v]] != v for v in range(size)):
            raise ValueError("left_right_swap must list every joint once and be its own inverse")
        if swap[self.shoulders[0]] != self.shoulders[1]:
            raise ValueError("left_right_swap does not exchange the two shoulders")
        if set(self.body_parts) != set(PARTS):
            raise ValueError(f"body_parts must be exactly {', '.join(PARTS)}")
        if sorted(v for part in self.body_parts.values() for v in part) != list(range(size)):
            raise ValueError("body_parts must hold every joint exactly once")
        if len({_OPPOSITE.get(d, d) for d in self.axes}) != 3:
            raise ValueError("axes must name three different directions")
        return self

    def _check_tree(self, size: int) -> None:
        children = [child for child, _ in self.edges]
        if len(self.edges) != size - 1 or len(set(children)) != size - 1 or self.center in children:
            raise ValueError(f"edges must give every joint but the centre ({self.center}) exactly one parent")
        parent = dict(self.edges)
        for start in range(size):
            joint, steps = start, 0
            while joint != self.center and steps <= size:
                joint, steps = parent[joint], steps + 1
            if joint != self.center:
                raise ValueError(f"joint {start} ({self.joints[start]}) is not connected to the centre")
