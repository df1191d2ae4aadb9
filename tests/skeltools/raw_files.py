"""Writers of genuine raw files from arrays, and the slow, literal reader of the text that ours must equal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

FIRST_ID = 72057594037931101
"""A real id: 17 digits, more than float64 can hold exactly."""

SAMPLE = "S001C002P003R001A050"


def ntu_text(
    joints: NDArray[Any], *, ids: Sequence[int] = (), present: ArrayLike | None = None, newline: str = "\n"
) -> str:
    """Joints [T, M, 25, 3] as the text of a .skeleton file; bodies of a frame in their order on axis M.

    Coordinates are written with 9 significant digits, which tell every float32 exactly.
    """
    frames, bodies = joints.shape[:2]
    ids = ids or [FIRST_ID + body for body in range(bodies)]
    seen = np.ones((frames, bodies), bool) if present is None else np.asarray(present, bool)
    lines = [f"{frames}"]
    for frame in range(frames):
        lines.append(f"{seen[frame].sum()}")
        for body in np.flatnonzero(seen[frame]):
            lines += [f"{ids[body]} 0 1 1 1 1 0 0.02764709 -0.05745083 2", "25"]
            for x, y, z in joints[frame, body]:
                lines.append(
                    f"{x:.9g} {y:.9g} {z:.9g} 277.419 191.8218 1036.233 519.1677 "
                    "-0.2059419 0.05349901 0.9692109 -0.1239193 2"
                )
    return newline.join(lines) + newline


def write_ntu(
    path: Path,
    joints: NDArray[Any],
    *,
    ids: Sequence[int] = (),
    present: ArrayLike | None = None,
    newline: str = "\n",
) -> Path:
    """One .skeleton file, see ``ntu_text``; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ntu_text(joints, ids=ids, present=present, newline=newline).encode())
    return path


def read_ntu_literally(text: str) -> list[list[dict[str, Any]]]:
    """Frames of bodies as dicts, line by line and a dict per joint, as the field's readers do it."""
    lines = iter(text.splitlines())
    frames = []
    for _ in range(int(next(lines))):
        bodies = []
        for _ in range(int(next(lines))):
            fields = next(lines).split()
            body: dict[str, Any] = {"bodyID": int(fields[0]), "trackingState": int(fields[9]), "joints": []}
            for _ in range(int(next(lines))):
                names = (
                    "x", "y", "z", "depthX", "depthY", "colorX", "colorY",
                    "orientationW", "orientationX", "orientationY", "orientationZ", "trackingState",
                )  # fmt: skip
                body["joints"].append(
                    {name: float(field) for name, field in zip(names, next(lines).split(), strict=True)}
                )
            bodies.append(body)
        frames.append(bodies)
    return frames


def poses(frames: int = 12, bodies: int = 1, joints: int = 25, *, seed: int = 0) -> NDArray[np.float32]:
    """[T, M, V, 3] metres: bodies a metre and a half apart, each a fixed random pose that sways slowly."""
    rng = np.random.default_rng(seed)
    pose = rng.normal(scale=0.3, size=(1, bodies, joints, 3))
    sway = 0.02 * np.sin(
        np.arange(frames)[:, None, None, None] / 5 + rng.uniform(0, 6, (1, bodies, joints, 3))
    )
    place = np.array([-0.75, 0.1, 3.0]) + 1.5 * np.arange(bodies)[:, None, None] * np.array([1, 0, 0])
    return (pose + sway + place).astype(np.float32)


def write_nwucla(folder: Path, name: str, joints: NDArray[Any], label: int) -> Path:
    """One JSON file of joints [T, 20, 3] and the 1-based label."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"file_name": name, "skeletons": joints.tolist(), "label": label}))
    return path


def write_npz(raw: Path, convention: str, sample: str, poses3d: ArrayLike, **arrays: ArrayLike) -> Path:
    """<raw>/metrabs/<convention>/<sample>.npz"""
    path = raw / "metrabs" / convention / f"{sample}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{"poses3d": np.asarray(poses3d), **{key: np.asarray(a) for key, a in arrays.items()}})
    return path


def write_h5(
    raw: Path,
    convention: str,
    sample: str,
    poses3d: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    people: ArrayLike | None = None,
) -> Path:
    """/<sample>/<convention>/ in <raw>/metrabs/poses.h5; names as an attribute, people as a dataset."""
    path = raw / "metrabs" / "poses.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "a") as file:
        group = file.create_group(f"{sample}/{convention}")
        group["poses3d"] = np.asarray(poses3d, np.float32)
        if people is not None:
            group["people_per_frame"] = np.asarray(people)
        if names is not None:
            group.attrs["joint_names"] = list(names)
    return path


def pku_text(joints: NDArray[Any]) -> str:
    """Joints [F, 2, 25, 3] as PKU-MMD skeleton text: every line but the first begins with a blank."""
    rows = (" ".join(f"{value:.9g}" for value in frame.ravel()) for frame in joints)
    return "\n ".join(rows) + "\n"


def write_pku(
    folder: Path, video: str, joints: NDArray[Any], rows: Sequence[Sequence[object]], *, part: int = 1
) -> tuple[Path, Path]:
    """Skeletons [F, 1 or 2, 25, 3] and label rows (action, start, end) of a video, in its part's folders."""
    names = ("PKU_Skeleton_Renew", "Train_Label_PKU_final") if part == 1 else ("skeleton", "label")
    paths = (folder / names[0] / f"{video}.txt", folder / names[1] / f"{video}.txt")
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    both = np.zeros((len(joints), 2, 25, 3), joints.dtype)
    both[:, : joints.shape[1]] = joints
    paths[0].write_text(pku_text(both))
    paths[1].write_text("".join(",".join(map(str, [*row, 2])) + "\n" for row in rows))
    return paths
