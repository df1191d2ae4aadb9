"""Which side of the body a joint is on, and the part of the body by which it is coloured."""

from __future__ import annotations

from typing import Literal

from schemas import SkeletonSpec

Side = Literal["left", "right", "centre"]


def sides(spec: SkeletonSpec) -> tuple[Side, ...]:
    """The side of each of the V joints. A joint is at the centre if it is its own mirror image.

    A pair of joints is told apart by the body parts that hold them, then by the shoulders, then by where
    their names differ: ``LeftHip``, ``left_hip``, ``hip_l``, ``lhip``. If none of them tells, both are at the
    centre. So is every joint of a convention without sides.
    """
    swap = spec.left_right_swap or tuple(range(spec.num_joints))
    by_joint: list[Side] = ["centre"] * spec.num_joints
    for joint, other in enumerate(swap):
        if joint < other:
            side = _side(spec, joint) or _named(spec.joints[joint], spec.joints[other])
            if side is not None:
                by_joint[joint], by_joint[other] = side, "right" if side == "left" else "left"
    return tuple(by_joint)


def _side(spec: SkeletonSpec, joint: int) -> Side | None:
    for part, joints in (spec.body_parts or {}).items():
        if joint in joints and part != "trunk":
            return "left" if part.startswith("left") else "right"
    if spec.shoulders and joint in spec.shoulders:
        return "left" if joint == spec.shoulders[0] else "right"
    return None


def _named(name: str, other: str) -> Side | None:
    """The side of a joint by its name and that of its mirror image, or None.

    >>> [_named(*pair) for pair in (("LeftHip", "RightHip"), ("elbow_r", "elbow_l"), ("a", "b"))]
    ['left', 'right', None]
    """
    first = next(((a, b) for a, b in zip(name.lower(), other.lower(), strict=False) if a != b), None)
    return {("l", "r"): "left", ("r", "l"): "right"}.get(first) if first else None  # type: ignore[return-value]


def parts(spec: SkeletonSpec) -> tuple[str, ...]:
    """The part by which each of the V joints, and the bone to its parent, is coloured: a key of ``design``.

    It is the body part that holds the joint. Joints of the trunk that have a side, such as eyes and hips, and
    those of conventions without body parts take the colour of an arm of their side.
    """
    held = {joint: part for part, joints in (spec.body_parts or {}).items() for joint in joints}
    names = []
    for joint, side in enumerate(sides(spec)):
        part = held.get(joint, "trunk")
        names.append(f"{side}_arm" if part == "trunk" and side != "centre" else part)
    return tuple(names)
