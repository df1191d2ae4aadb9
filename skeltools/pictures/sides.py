"""Determine the side of the body and the body part, for its colour, of each joint."""

from __future__ import annotations

from typing import Literal

from schemas import SkeletonSpec

Side = Literal["left", "right", "centre"]


def sides(spec: SkeletonSpec) -> tuple[Side, ...]:
    """The side of each of the V joints. A joint is at the centre if it is its own mirror image.

    The sides of a pair are determined by their body parts, else by the shoulders, else by where their names
    differ: ``LeftHip``, ``left_hip``, ``hip_l``, ``lhip``. If none of these decides, both are at the centre,
    as is every joint of a convention without sides.
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
    """The side of a joint from its name and that of its mirror image, or None.

    >>> [_named(*pair) for pair in (("LeftHip", "RightHip"), ("elbow_r", "elbow_l"), ("a", "b"))]
    ['left', 'right', None]
    """
    first = next(((a, b) for a, b in zip(name.lower(), other.lower(), strict=False) if a != b), None)
    return {("l", "r"): "left", ("r", "l"): "right"}.get(first) if first else None  # type: ignore[return-value]


def parts(spec: SkeletonSpec) -> tuple[str, ...]:
    """The part that colours each of the V joints and the bone to its parent: a key of ``design``.

    It is the joint's body part. Joints of the trunk with a side, such as eyes and hips, and sided joints of
    conventions without body parts take the colour of the arm on their side.
    """
    held = {joint: part for part, joints in (spec.body_parts or {}).items() for joint in joints}
    names = []
    for joint, side in enumerate(sides(spec)):
        part = held.get(joint, "trunk")
        names.append(f"{side}_arm" if part == "trunk" and side != "centre" else part)
    return tuple(names)
