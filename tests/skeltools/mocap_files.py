"""Writers of small motion capture files, and the slow, literal mathematics that the readers must equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools import skeletons

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


# --- C3D ----------------------------------------------------------------------------------------------------

C3D_ORDERS = {"pc": (84, "<"), "vax": (85, "<"), "mips": (86, ">")}


def _vax(values: NDArray[Any]) -> bytes:
    """IEEE single precision as a VAX writes it: four times as large, and its words exchanged."""
    words = (np.asarray(values, "<f4") * np.float32(4)).view("<u2").reshape(-1, 2)
    return words[:, ::-1].tobytes()


def c3d(
    points: NDArray[Any],
    labels: Sequence[str],
    *,
    machine: str = "pc",
    scale: float = -1.0,
    analog: int = 0,
    units: str = "mm",
    screen: tuple[str, str] | None = ("+X", "+Z"),
    seen: NDArray[Any] | None = None,
    long: bool = False,
) -> bytes:
    """Points [T, N, 3] as C3D; a positive scale writes 16-bit integers. ``long``: frames as parameters."""
    processor, order = C3D_ORDERS[machine]
    frames, count = points.shape[:2]

    def reals(values: Any) -> bytes:
        return _vax(values) if machine == "vax" else np.asarray(values, f"{order}f4").tobytes()

    def words(values: Any) -> bytes:
        return (np.asarray(values) & 0xFFFF).astype(f"{order}u2").tobytes()

    def text(name: str, texts: Sequence[str]) -> tuple[str, bytes]:
        width = max(map(len, texts))
        sizes = bytes([255, 2, width, len(texts)])
        return name, sizes + "".join(each.ljust(width) for each in texts).encode()

    point = [text("LABELS", labels[:255]), text("UNITS", [units])]
    if len(labels) > 255:
        point.append(text("LABELS2", labels[255:]))
    if screen is not None:
        point += [text("X_SCREEN", [screen[0]]), text("Y_SCREEN", [screen[1]])]
    point.append(("RATE", bytes([4, 0]) + reals([100.0])))
    trial = [
        ("ACTUAL_START_FIELD", bytes([2, 1, 2]) + words([1, 0])),
        ("ACTUAL_END_FIELD", bytes([2, 1, 2]) + words([frames % 65536, frames // 65536])),
    ]
    section = b""
    for group, name, members in ((1, "POINT", point), (2, "TRIAL", trial if long else [])):
        section += bytes([len(name), 256 - group]) + name.encode() + words([3]) + b"\0"
        for member, value in members:
            section += bytes([len(member), group]) + member.encode() + words([len(value) + 3]) + value + b"\0"
    section += bytes(4)
    blocks = -(-(len(section) + 4) // 512)
    section = (bytes([1, 0x50, blocks, processor]) + section).ljust(512 * blocks, b"\0")
    last = 65535 if long else frames
    header = bytes([2, 0x50]) + words([count, analog, 1, last, 0]) + reals([scale]) + words([2 + blocks])
    values = np.zeros((frames, 4 * count + analog))
    residual = np.where(np.ones((frames, count), bool) if seen is None else seen, 0, -1)
    held = np.nan_to_num(points) / (scale if scale > 0 else 1)
    values[:, : 4 * count] = np.concatenate([held, residual[..., None]], 2).reshape(frames, -1)
    body = words(np.rint(values).astype(np.int64)) if scale > 0 else reals(values)
    return header.ljust(512, b"\0") + section + body


# --- tables of suites ---------------------------------------------------------------------------------------


def _fields(row: NDArray[Any]) -> list[str]:
    return ["" if np.isnan(value) else f"{value:.9g}" for value in row.ravel()]


def trc(points: NDArray[Any], labels: Sequence[str], units: str = "mm") -> str:
    frames, count = points.shape[:2]
    rows = [
        "PathFileType\t4\t(X/Y/Z)\tclip.trc",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"100.00\t100.00\t{frames}\t{count}\t{units}\t100.00\t1\t{frames}",
        "Frame#\tTime\t" + "\t\t\t".join(labels) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{n + 1}" for n in range(count) for axis in "XYZ"),
        "",
    ]
    rows += ["\t".join([str(t + 1), f"{t / 100:.3f}", *_fields(points[t])]) for t in range(frames)]
    return "\n".join(rows) + "\n"


def motive(points: NDArray[Any], labels: Sequence[str], units: str = "Meters") -> str:
    """As a skeleton's bones: a quaternion before each position."""
    frames, count = points.shape[:2]
    rows = [
        f"Format Version,1.23,Take Name,a,Export Frame Rate,120.0,Total Exported Frames,{frames},"
        f"Rotation Type,Quaternion,Length Units,{units},Coordinate Space,Global",
        "",
        ",Type," + ",".join(["Bone"] * 7 * count),
        ",Name," + ",".join(f'"{label}"' for label in labels for _ in range(7)),
        ",ID," + ",".join(f"{n:X}" for n in range(count) for _ in range(7)),
        ",," + ",".join([*["Rotation"] * 4, *["Position"] * 3] * count),
        "Frame,Time (Seconds)," + ",".join(list("XYZWXYZ") * count),
    ]
    for t in range(frames):
        whole = np.concatenate([np.full((count, 4), 0.5), points[t]], 1)
        rows.append(",".join([str(t), f"{t / 120:.6f}", *_fields(whole)]))
    return "\r\n".join(rows) + "\r\n"


def nexus(points: NDArray[Any], labels: Sequence[str], units: str = "mm", before: str = "") -> str:
    frames, count = points.shape[:2]
    rows = [
        *before.splitlines(),
        "Trajectories",
        "100",
        ",," + ",,,".join(labels) + ",,",
        "Frame,Sub Frame," + ",".join("XYZ" * count),
        ",," + ",".join([units] * 3 * count),
        *(",".join([str(t + 1), "0", *_fields(points[t])]) for t in range(frames)),
        "",
        "Model Outputs",
        "100",
    ]
    return "\n".join(rows) + "\n"


def qualisys(points: NDArray[Any], labels: Sequence[str], titles: bool = True) -> str:
    frames, count = points.shape[:2]
    rows = [
        f"NO_OF_FRAMES\t{frames}",
        f"NO_OF_MARKERS\t{count}",
        "FREQUENCY\t100",
        "MARKER_NAMES\t" + "\t".join(labels),
    ]
    if titles:
        names = [f"{label} {axis}" for label in labels for axis in "XYZ"]
        rows.append("\t".join(["Frame", "Time", *names]))
    for t in range(frames):
        lead = [str(t + 1), f"{t / 100:.5f}"] if titles else []
        rows.append("\t".join([field or "0.000" for field in [*lead, *_fields(points[t])]]))
    return "\n".join(rows) + "\n"


# --- body models --------------------------------------------------------------------------------------------

_RNG = np.random.default_rng(7)


def model_arrays(size: int, vertices: int = 60, shapes: int = 4) -> dict[str, NDArray[Any]]:
    """A body model of random vertices; its tree is that of smplh_52 where it has as many joints."""
    regressor = _RNG.dirichlet(np.ones(vertices), size)
    parents = [2**32 - 1, *(max(0, v - 1 - v % 2) for v in range(1, size))]
    return {
        "v_template": _RNG.normal(0, 0.5, (vertices, 3)),
        "shapedirs": _RNG.normal(0, 0.1, (vertices, 3, shapes)),
        "J_regressor": regressor,
        "kintree_table": np.array([parents, range(size)], dtype=np.uint32),
    }


def parameters(folder: Path, size: int, frames: int = 5, name: str = "walk.npz") -> dict[str, NDArray[Any]]:
    made: dict[str, Any] = {
        "poses": _RNG.normal(0, 0.6, (frames, 3 * size)),
        "trans": _RNG.normal(0, 1, (frames, 3)),
        "betas": _RNG.normal(0, 1, 16),
        "gender": np.array("female"),
        "mocap_framerate": np.array(120.0),
    }
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / name, **made)
    return made


def rig(convention: str) -> Bone:
    """A rig of the joints of a convention, each 20 cm from the one that it hangs on."""
    spec = skeletons.load(convention)
    bones = [Bone(name, (20.0, 5.0, -3.0)) for name in spec.joints]
    for child, parent in spec.edges:
        bones[parent].children.append(bones[child])
    bones[spec.center].channels = ROOT6
    return bones[spec.center]


# --- Acclaim ------------------------------------------------------------------------------------------------

AsfBone = tuple[str, str, tuple[float, float, float], float, tuple[float, float, float], str]
"""Name, parent, direction, length, angles of its axes, channels."""


def acclaim_bones(convention: str = "cmu_31") -> list[AsfBone]:
    """Bones of a convention of which only the root is no bone, each behind its parent; axes at random."""
    spec = skeletons.load(convention)
    rng = np.random.default_rng(5)
    above = {0: -1}
    queue = [0]
    near: dict[int, list[int]] = {v: [] for v in range(spec.num_joints)}
    for one, other in spec.edges:
        near[one].append(other)
        near[other].append(one)
    for joint in queue:
        for child in sorted(near[joint]):
            if child not in above:
                above[child] = joint
                queue.append(child)
    made: list[AsfBone] = []
    for joint in queue[1:]:
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        channels = ("rx ry rz", "rx", "rx rz", "", "rz rx ry")[joint % 5]
        angles = tuple(np.round(rng.uniform(-90, 90, 3), 4))
        along = tuple(np.round(direction, 6))
        made.append((spec.joints[joint], spec.joints[above[joint]], along, joint % 7 + 1.5, angles, channels))
    return made


def asf(bones: list[AsfBone], scale: float = 0.45) -> str:
    def joined(values: Sequence[float]) -> str:
        return " ".join(f"{value:g}" for value in values)

    rows = ["# made by a test", ":version 1.10", ":name VICON", ":units", "  mass 1.0", f"  length {scale}"]
    rows += ["  angle deg", ":documentation", "   none", ":root", "   order TX TY TZ RX RY RZ", "   axis XYZ"]
    rows += ["   position 0 0 0", "   orientation 0 0 0", ":bonedata"]
    for number, (name, _, direction, length, angles, channels) in enumerate(bones, start=1):
        rows += ["  begin", f"     id {number}", f"     name {name}", f"     direction {joined(direction)}"]
        rows += [f"     length {length:g}", f"    axis {joined(angles)}   XYZ"]
        if channels:
            rows.append(f"    dof {channels}")
            rows += [
                ("    limits " if n == 0 else "           ") + "(-160 20)"
                for n in range(len(channels.split()))
            ]
        rows.append("  end")
    rows += [":hierarchy", "  begin"]
    for parent in dict.fromkeys(bone[1] for bone in bones):
        rows.append("    " + " ".join([parent, *(bone[0] for bone in bones if bone[1] == parent)]))
    return "\n".join([*rows, "  end"]) + "\n"


def amc(bones: list[AsfBone], frames: int = 4, seed: int = 0) -> tuple[str, list[dict[str, list[float]]]]:
    """The text and what it says, frame by frame."""
    rng = np.random.default_rng(seed)
    told: list[dict[str, list[float]]] = []
    rows = ["#!OML:ASF skeleton.asf", ":FULLY-SPECIFIED", ":DEGREES"]
    for frame in range(frames):
        moved = {"root": [*rng.uniform(5, 20, 3), *rng.uniform(-60, 60, 3)]}
        moved |= {bone[0]: list(rng.uniform(-60, 60, len(bone[5].split()))) for bone in bones if bone[5]}
        told.append({name: [round(value, 5) for value in values] for name, values in moved.items()})
        rows.append(str(frame + 1))
        rows += [f"{name} {' '.join(map(str, values))}" for name, values in told[-1].items()]
    return "\n".join(rows) + "\n", told


def slow_acclaim(bones: list[AsfBone], told: list[dict[str, list[float]]]) -> NDArray[Any]:
    """[T, 1 + bones, 3] by one matrix a channel: C M C^-1, as the description of the format has it."""
    found = []
    for moved in told:
        turns = {"root": _in_turn("rx ry rz", moved["root"][3:])}
        places = {"root": np.array(moved["root"][:3])}
        for name, parent, direction, length, angles, channels in bones:
            own = _in_turn("rx ry rz", angles)
            turns[name] = turns[parent] @ own @ _in_turn(channels, moved.get(name, [])) @ np.linalg.inv(own)
            places[name] = places[parent] + length * turns[name] @ np.array(direction)
        found.append([places[name] for name in ("root", *(bone[0] for bone in bones))])
    return np.array(found)


def _in_turn(channels: str, values: Sequence[float]) -> NDArray[Any]:
    made = np.eye(3)
    for channel, value in zip(channels.split(), values, strict=True):
        made = _rotation("xyz".index(channel[1]), np.radians(value))[:3, :3] @ made
    return made


def write_acclaim(raw: Path, name: str = "01_02", frames: int = 4) -> NDArray[Any]:
    """``01.asf`` and an ``.amc`` of cmu_31; positions in their units, in the order of the file."""
    bones = acclaim_bones()
    text, told = amc(bones, frames)
    raw.mkdir(parents=True, exist_ok=True)
    (raw / f"{name.split('_')[0]}.asf").write_text(asf(bones))
    (raw / f"{name}.amc").write_text(text)
    return slow_acclaim(bones, told)


# --- MVNX ---------------------------------------------------------------------------------------------------

SEGMENTS = (
    ("Pelvis", ""), ("L5", "Pelvis"), ("T8", "L5"), ("Neck", "T8"), ("Head", "Neck"),
    ("RightShoulder", "T8"), ("RightUpperArm", "RightShoulder"), ("RightForeArm", "RightUpperArm"),
    ("LeftShoulder", "T8"), ("LeftUpperArm", "LeftShoulder"), ("LeftForeArm", "LeftUpperArm"),
    ("RightUpperLeg", "Pelvis"), ("RightFoot", "RightUpperLeg"),
    ("LeftUpperLeg", "Pelvis"), ("LeftFoot", "LeftUpperLeg"),
)  # fmt: skip


def mvnx(positions: NDArray[Any], segments: Sequence[tuple[str, str]] = SEGMENTS) -> str:
    """Positions [T, V, 3] in metres, behind a frame of the calibration."""
    names = "".join(
        f'<segment label="{name}" id="{n + 1}"><points/></segment>\n' for n, (name, _) in enumerate(segments)
    )
    joints = "".join(
        f'<joint label="j{name}"><connector1>{up}/j{name}</connector1>'
        f"<connector2>{name}/j{name}</connector2></joint>\n"
        for name, up in segments
        if up
    )
    rows = [("identity", np.zeros_like(positions[0])), *(("normal", frame) for frame in positions)]
    frames = "".join(
        f'<frame time="{n}" type="{kind}"><orientation>1 0 0 0</orientation>'
        f"<position>{' '.join(f'{value:.6f}' for value in frame.ravel())}</position></frame>\n"
        for n, (kind, frame) in enumerate(rows)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<mvnx version="4" xmlns="http://www.xsens.com/mvn/mvnx">\n'
        f'<subject label="A" frameRate="60">\n<segments>{names}</segments>\n<joints>{joints}</joints>\n'
        f"<frames>{frames}</frames></subject></mvnx>\n"
    )
