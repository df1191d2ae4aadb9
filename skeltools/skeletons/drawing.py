"""Draw a convention as text: its tree from the centre outwards."""

from __future__ import annotations

from collections.abc import Iterator

from schemas import SkeletonSpec
from schemas.skeleton import PROPERTIES


def tree(spec: SkeletonSpec) -> str:
    """The tree with joint numbers and names, each followed by body part and mirror image, if it has them.

    Lines have no trailing blanks; the text has no final newline. Needs a terminal or file in UTF-8.
    """
    rows = list(_rows(spec, spec.center, prefix="", branch=""))
    width = max(len(drawn) for drawn, _ in rows)
    part_of = {joint: part for part, joints in (spec.body_parts or {}).items() for joint in joints}
    swap = spec.left_right_swap or range(spec.num_joints)
    lines = [_header(spec), ""]
    for drawn, joint in rows:
        pair = "" if swap[joint] == joint else f"<-> {swap[joint]}"
        lines.append(f"{drawn:<{width}}  {part_of.get(joint, '').replace('_', ' '):<9}  {pair}".rstrip())
    return "\n".join(lines)


def _header(spec: SkeletonSpec) -> str:
    axes = ", ".join(f"{axis} {direction}" for axis, direction in zip("xyz", spec.axes, strict=True))
    shoulders = " and ".join(f"{joint} {spec.joints[joint]}" for joint in spec.shoulders or ())
    absent = [text for name, text in PROPERTIES.items() if getattr(spec, name) is None]
    lines = [
        f"{spec.name}: {spec.num_joints} joints, {spec.units}; {axes}",
        f"centre {spec.center} {spec.joints[spec.center]}"
        + (f"; shoulders {shoulders}" if shoulders else ""),
        f"without {', '.join(absent)}" if absent else "",
        f"source: {spec.source}" if spec.source else "",
    ]
    return "\n".join(line for line in lines if line)


def _rows(spec: SkeletonSpec, joint: int, *, prefix: str, branch: str) -> Iterator[tuple[str, int]]:
    """(drawn line, joint) for a joint and everything below it, with children in numeric order."""
    yield f"{prefix}{branch}{joint} {spec.joints[joint]}", joint
    children = sorted(child for child, parent in spec.edges if parent == joint)
    below = prefix + {"": "", "├── ": "│   ", "└── ": "    "}[branch]
    for child in children:
        last = child == children[-1]
        yield from _rows(spec, child, prefix=below, branch="└── " if last else "├── ")
