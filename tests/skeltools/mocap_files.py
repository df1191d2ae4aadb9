"""Writers of small motion capture files, and the slow, literal mathematics that the readers must equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT6 = "Xposition Yposition Zposition Zrotation Xrotation Yrotation"


@dataclass
class Bone:
    """One joint of a BVH file as it is written; ``children`` follow, ``end`` is an End Site's offset."""

    name: str
    offset: tuple[float, float, float]
    channels: str = "Zrotation Xrotation Yrotation"
    children: list[Bone] = field(default_factory=list)
    end: tuple[float, float, float] | None = None

    def all(self) -> list[Bone]:
        return [self, *(bone for child in self.children for bone in child.all())]


def person(left: str = "Left{}", right: str = "Right{}") -> Bone:
    """A rig of 1.7 m in centimetres: hips, spine, head, arms and legs."""

    def side(form: str, sign: int) -> tuple[Bone, Bone]:
        hand = Bone(form.format("Hand"), (sign * 25.0, 0, 0), end=(sign * 10.0, 0, 0))
        fore = Bone(form.format("ForeArm"), (sign * 28.0, 0, 0), "Xrotation Yrotation Zrotation", [hand])
        arm = Bone(form.format("Arm"), (sign * 12.0, 0, 0), "Yrotation Zrotation Xrotation", [fore])
        collar = Bone(form.format("Shoulder"), (sign * 5.0, 40, 0), children=[arm])
        toe = Bone(form.format("ToeBase"), (0, -6.0, 12), end=(0, 0, 6.0))
        foot = Bone(form.format("Foot"), (0, -42.0, 0), children=[toe])
        leg = Bone(form.format("Leg"), (0, -43.0, 0), "Xrotation", [foot])
        return collar, Bone(form.format("UpLeg"), (sign * 9.0, -3, 0), children=[leg])

    (left_arm, left_leg), (right_arm, right_leg) = side(left, 1), side(right, -1)
    head = Bone("Head", (0, 20.0, 0), end=(0, 18.0, 0))
    neck = Bone("Neck", (0, 45.0, 0), children=[head])
    spine = Bone("Spine", (0, 10.0, 0), children=[neck, left_arm, right_arm])
    return Bone("Hips", (0, 0, 0), ROOT6, [spine, left_leg, right_leg])


def hierarchy(bone: Bone, depth: int = 0) -> str:
    pad, inner = "\t" * depth, "\t" * (depth + 1)
    numbers = " ".join(f"{v:.6f}" for v in bone.offset)
    count = len(bone.channels.split())
    text = f"{pad}{'JOINT' if depth else 'ROOT'} {bone.name}\n{pad}{{\n{inner}OFFSET {numbers}\n"
    text += f"{inner}CHANNELS {count} {bone.channels}\n"
    text += "".join(hierarchy(child, depth + 1) for child in bone.children)
    if bone.end is not None:
        end = " ".join(f"{v:.6f}" for v in bone.end)
        text += f"{inner}End Site\n{inner}{{\n{inner}\tOFFSET {end}\n{inner}}}\n"
    return f"{text}{pad}}}\n"


def bvh(root: Bone, motion: NDArray[Any], *, newline: str = "\n") -> str:
    rows = "\n".join(" ".join(f"{v:.9g}" for v in row) for row in motion)
    text = f"HIERARCHY\n{hierarchy(root)}MOTION\nFrames: {len(motion)}\nFrame Time: 0.0083333\n{rows}\n"
    return text.replace("\n", newline)


def write_bvh(path: Path, root: Bone | None = None, frames: int = 5, seed: int = 0) -> NDArray[Any]:
    """A file with random motion, which is returned."""
    root = root or person()
    width = sum(len(bone.channels.split()) for bone in root.all())
    motion = np.random.default_rng(seed).uniform(-40, 40, (frames, width))
    motion[:, 1] += 95
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(bvh(root, motion))
    return motion


def slow_positions(root: Bone, motion: NDArray[Any], *, replace: bool = False) -> dict[str, NDArray[Any]]:
    """Name -> [T, 3], by one 4 x 4 matrix a channel and frame; ``replace``: positions stand for offsets."""
    found: dict[str, list[NDArray[Any]]] = {}
    for row in motion:
        values = iter(row)
        _slow(root, np.eye(4), values, found, replace=replace, root=True)
    return {name: np.array(places) for name, places in found.items()}


def _slow(bone: Bone, world: NDArray[Any], values: Any, found: Any, *, replace: bool, root: bool) -> None:
    channels = bone.channels.split()
    instead = replace and not root and any("position" in name for name in channels)
    world = world @ _shift(np.zeros(3) if instead else np.array(bone.offset))
    told = {name: next(values) for name in channels}
    world = world @ _shift(np.array([told.get(f"{axis}position", 0.0) for axis in "XYZ"]))
    for name in channels:
        if "rotation" in name:
            world = world @ _rotation("XYZ".index(name[0]), np.radians(told[name]))
    found.setdefault(bone.name, []).append(world[:3, 3])
    if bone.end is not None:
        found.setdefault(f"{bone.name}_end", []).append((world @ _shift(np.array(bone.end)))[:3, 3])
    for child in bone.children:
        _slow(child, world, values, found, replace=replace, root=False)


def _shift(by: Sequence[float] | NDArray[Any]) -> NDArray[Any]:
    made = np.eye(4)
    made[:3, 3] = by
    return made


def _rotation(axis: int, angle: float) -> NDArray[Any]:
    """The textbook's matrices about x, y and z."""
    c, s = np.cos(angle), np.sin(angle)
    made = np.eye(4)
    made[:3, :3] = (
        [[1, 0, 0], [0, c, -s], [0, s, c]],
        [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    )[axis]
    return made
