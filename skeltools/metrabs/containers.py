"""Read the containers of MeTRAbs poses (``.npz``, ``.h5``, ``.pt``) into one checked form.

It has all people, concatenated over frames. Everything is checked before it is trusted: sizes that a header
claims are compared with the bytes that exist before memory is allocated, and pickles are never executed.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from schemas import Finding, RawDataError, SkeletonSpec, regular, tensors
from schemas.parsing import reason
from skeltools.files.arrays import HEADER_ERRORS
from skeltools.files.hdf5_inside import inside, open_hdf5
from skeltools.files.unchanged import while_unchanged
from skeltools.metrabs import clock, slices
from skeltools.raw_items import HDF5_ERRORS, MAX_BYTES, ZIP_ERRORS, RawItem, all_finite, read_member, skipped
from skeltools.sequence import Joints

HDF5 = (".h5", ".hdf5")
KEYS = ("poses3d", "people_per_frame", "joint_names", "fps", "extrinsic_matrix")

MAX_JOINTS = 2000
"""Most joints of a model; the largest has 555."""

MOST_FRAMES = 4_000_000
"""Most frames of a recording: nine hours at 120 a second."""

WINDOW = ("start", "end", "last", "rate")
"""Details of an item that is cut from the poses of a recording.

They are frames of the sensor, the end of the recording's last clip, and the sensor's frames in a thousand
seconds (0 if unknown).
"""


@dataclass(frozen=True)
class Poses:
    """P people of all frames, concatenated, in the convention's order of joints."""

    joints: Joints
    """[P, V, 3] millimetres, camera axes; only people who are present."""
    people: NDArray[np.int64]
    """[T] people in each frame; adds up to P."""
    bad: int
    """Number of people left out because some, but not all, of their coordinates are not finite."""
    fps: float | None = None
    """Frames per second, if the file states it."""


def load(item: RawItem, spec: SkeletonSpec) -> Poses:
    """Read an item's poses; raises RawDataError, which names the shape, key or joints that do not fit."""
    arrays = _last_read(item.path, item.member) if holds_all(item) else _read(item)
    if "poses3d" not in arrays:
        raise _wrong(item, "no array poses3d in it")
    positions = _positions(arrays, item, spec)
    joints, people = _people(arrays["poses3d"], arrays.get("people_per_frame"), positions, item, spec)
    with np.errstate(over="ignore", invalid="ignore"):
        joints = _in_camera(joints, arrays.get("extrinsic_matrix"), item).astype(np.float32)
        finite = all_finite(joints)
        there = finite & joints.any(axis=(1, 2))
    bad = ~finite & ~np.isnan(joints).all(axis=(1, 2))
    frame = np.repeat(np.arange(len(people)), people)
    poses = Poses(joints[there], np.bincount(frame[there], minlength=len(people)), int(bad.sum()))
    whole = replace(poses, fps=_fps(arrays["fps"], item)) if "fps" in arrays else poses
    return _cut(whole, item)


def _cut(poses: Poses, item: RawItem) -> Poses:
    """Select the frames of the clip if the file has a whole recording.

    Windows count frames of the sensor. Raises RawDataError for a recording on another clock.
    """
    window = {name: value for name, value in item.details if name in WINDOW}
    if not window:
        return poses
    length, rate = len(poses.people), window["rate"] / 1000
    clock.check_recording(length, window["last"], item.where, fps=poses.fps, rate=rate)
    share = poses.fps / rate if poses.fps and rate else 1.0
    start, end = (min(round(window[key] * share), length) for key in ("start", "end"))
    before = np.concatenate([[0], np.cumsum(poses.people)])
    return replace(poses, joints=poses.joints[before[start] : before[end]], people=poses.people[start:end])


def _people(
    poses: NDArray[Any],
    people: NDArray[Any] | None,
    positions: list[int],
    item: RawItem,
    spec: SkeletonSpec,
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """[P, V, 3] and [T], from dense or ragged arrays of the joints at ``positions``.

    An additional axis before the joints has the test-time augmentations that the model kept apart; their mean
    is what it returns by default (``average_aug``).
    """
    size = poses.shape[-2] if holds_all(item) else spec.num_joints
    if poses.dtype.kind != "f":
        raise _wrong(item, f"poses3d is {poses.dtype}, expected float32")
    plain = 4 if people is None else 3
    if poses.ndim not in (plain, plain + 1) or poses.shape[-2:] != (size, 3):
        expected = f"(frames, people, {size}, 3)" if people is None else f"(people of all frames, {size}, 3)"
        with_people = "" if people is None else " with people_per_frame"
        raise _wrong(
            item,
            f"poses3d has shape {poses.shape}{with_people}, expected {expected}",
            remedy=f"Is it {spec.name}? Poses of all joints belong in metrabs/{slices.ALL}",
        )
    poses = poses[..., positions, :]
    size = len(positions)
    if poses.ndim == plain + 1:
        if poses.shape[-3] == 0:
            raise _wrong(item, "poses3d has an axis of no test-time augmentation")
        poses = poses.mean(axis=-3)
    if people is None:
        frames, persons = poses.shape[:2]
        return poses.reshape(-1, size, 3), np.full(frames, persons, np.int64)
    if people.ndim != 1 or people.dtype.kind not in "iu" or (people.size and people.min() < 0):
        raise _wrong(
            item, f"people_per_frame is {people.dtype} {people.shape}, expected counts, one per frame"
        )
    if people.size > MOST_FRAMES:  # a few bytes may claim any number of these
        raise _wrong(item, f"people_per_frame tells of {people.size} frames (limit {MOST_FRAMES})")
    if sum(people.tolist()) != len(poses):  # in Python: an array's sum may wrap around
        raise _wrong(
            item, f"people_per_frame adds up to {sum(people.tolist())}, but poses3d holds {len(poses)} people"
        )
    return poses, people.astype(np.int64)


def _positions(arrays: dict[str, NDArray[Any]], item: RawItem, spec: SkeletonSpec) -> list[int]:
    """Indices of the convention's joints in the file."""
    names = _names(arrays["joint_names"], item) if "joint_names" in arrays else None
    if holds_all(item):
        shape = arrays["poses3d"].shape
        if len(shape) < 3 or shape[-1] != 3:
            raise _wrong(item, f"poses3d has shape {shape}, expected (frames, people, joints, 3)")
        return _sliced(names, shape[-2], item, spec)
    if names is None:
        return list(range(spec.num_joints))
    if sorted(names) != sorted(spec.joints):
        odd = sorted(set(names) ^ set(spec.joints)) or sorted({n for n in names if names.count(n) > 1})
        raise _wrong(
            item,
            f"joint_names are not those of {spec.name}: {', '.join(odd[:5])[:100]}",
            remedy="Put the file under the convention that it is in",
        )
    return [names.index(name) for name in spec.joints]


def _names(names: NDArray[Any], item: RawItem) -> list[str]:
    if names.dtype.kind not in "USO" or names.ndim != 1:
        raise _wrong(item, f"joint_names is {names.dtype} {names.shape}, expected one name per joint")
    return [n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in names.tolist()]


def _sliced(names: list[str] | None, joints: int, item: RawItem, spec: SkeletonSpec) -> list[int]:
    """Indices of the convention's joints among all ``joints`` of a model."""
    table = slices.table_for(Path(item.path), names)
    if table is None:
        wanted = f"{slices.TABLE} or {slices.NAMES}"
        raise _wrong(item, "no joint_names in it", remedy=f"Add them, or put {wanted} beside the files")
    if table.names and len(table.names) != joints:
        raise _wrong(item, f"{len(table.names)} joint names for {joints} joints")
    positions = table.positions(spec)
    if positions is None:
        raise _wrong(item, f"its joints do not hold all of {spec.name}")
    if max(positions) >= joints or joints > MAX_JOINTS:
        raise _wrong(item, f"joint {max(positions)} of {spec.name} is asked for, poses3d has {joints} joints")
    return positions


def _fps(fps: NDArray[Any], item: RawItem) -> float:
    if fps.size != 1 or fps.dtype.kind not in "iuf":
        raise _wrong(item, f"fps is {fps.dtype} {fps.shape}, expected one number")
    return clock.check_rate(float(fps.reshape(-1)[0]), item.where)


def _in_camera(joints: NDArray[Any], matrix: NDArray[Any] | None, item: RawItem) -> NDArray[Any]:
    """[P, V, 3] in the camera's frame; absent people stay absent.

    With an extrinsic matrix the model returned poses in the world frame. The matrix, a rotation and a move in
    millimetres from world to camera, converts them back.
    """
    if matrix is None:
        return joints
    whole = matrix.dtype.kind in "iuf" and matrix.shape in ((4, 4), (3, 4))
    turn = matrix[:3, :3].astype(np.float64) if whole else np.zeros((3, 3))
    if not whole or not np.isfinite(matrix).all() or not np.allclose(turn @ turn.T, np.eye(3), atol=1e-3):
        raise _wrong(item, "extrinsic_matrix is no rotation and move from world to camera, (4, 4) or (3, 4)")
    moved = joints.astype(np.float64) @ turn.T + matrix[:3, 3]
    return np.where(np.any(joints, axis=(1, 2), keepdims=True), moved, 0.0)


def _wrong(item: RawItem, message: str, *, remedy: str = "Write it again or remove it") -> RawDataError:
    return RawDataError(message, where=item.where, remedy=remedy)


def _too_large(item: RawItem, key: str, size: int) -> RawDataError:
    return _wrong(item, f"{key} claims {size} bytes, too many for one clip (limit {MAX_BYTES})")


# --- all joints at once -------------------------------------------------------------------------------------


def holds_all(item: RawItem) -> bool:
    """Whether the file or group has all joints of a model, from which the convention is sliced."""
    if item.member is not None:
        return item.member.endswith(f"/{slices.ALL}")
    return slices.ALL in slices.folders_of(Path(item.path))


def names_in(item: RawItem) -> list[str] | None:
    """Joint names in a file of all joints; raises RawDataError."""
    arrays = _last_read(item.path, item.member)
    return _names(arrays["joint_names"], item) if "joint_names" in arrays else None


@while_unchanged(1)
def _last_read(path: str, member: str | None) -> dict[str, NDArray[Any]]:
    """The last file of all joints, cached because a sample's conventions are read one after the other."""
    return _read(RawItem(Path(path).stem, slices.ALL, path, member))


def _read(item: RawItem) -> dict[str, NDArray[Any]]:
    return _LOADERS[Path(item.path).suffix.lower()](item)


# --- npz ----------------------------------------------------------------------------------------------------


def _load_npz(item: RawItem) -> dict[str, NDArray[Any]]:
    try:
        regular.check(Path(item.path))
        with zipfile.ZipFile(item.path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            wanted = {key: members[f"{key}.npy"] for key in KEYS if f"{key}.npy" in members}
            for key, info in wanted.items():
                if info.file_size > MAX_BYTES:
                    raise _too_large(item, key, info.file_size)
            return {key: _array(read_member(archive, info), key, item) for key, info in wanted.items()}
    except (*ZIP_ERRORS, *HEADER_ERRORS) as error:
        raise _wrong(item, f"cannot be read as npz ({error})", remedy="Write it with numpy.savez") from error


def _array(data: bytes, key: str, item: RawItem) -> NDArray[Any]:
    """Check the size that a header claims, for which NumPy would allocate memory, then read the array."""
    header = io.BytesIO(data)
    reader = npy.read_array_header_1_0 if npy.read_magic(header) == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = reader(header)
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != len(data) - header.tell() or not all(0 <= size <= len(data) for size in shape):
        raise _wrong(
            item, f"{key} has shape {shape} of {dtype}, but {len(data) - header.tell()} bytes of values"
        )
    return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))


# --- HDF5 ---------------------------------------------------------------------------------------------------


def clips(path: Path) -> tuple[list[RawItem], list[Finding]]:
    """Items of the groups /<sample_id>/<convention>; a damaged file is a finding, other kinds are ignored."""
    items: list[RawItem] = []
    if path.suffix.lower() not in HDF5:
        return [], []
    try:
        with open_hdf5(path) as file:
            for sample in (name for name in file if isinstance(name, str) and name.isprintable()):
                conventions = inside(file, sample)
                for convention in conventions if isinstance(conventions, h5py.Group) else ():
                    poses = inside(file, f"{sample}/{convention}/poses3d")
                    size = int(poses.nbytes) if isinstance(poses, h5py.Dataset) else 0
                    items.append(RawItem(sample, convention, str(path), f"{sample}/{convention}", size))
    except HDF5_ERRORS as error:
        detail = " ".join(f"{error}".split())[:200].replace(str(path), path.name)
        place = f"{path.parent.name}/{path.name}"
        return [], [skipped(place, "unreadable HDF5 file", detail)]
    return items, []


def _load_h5(item: RawItem) -> dict[str, NDArray[Any]]:
    """Read datasets, or attributes of the group or of poses3d."""
    try:
        with open_hdf5(item.path) as file:
            group = inside(file, item.member or "")
            nodes = {key: inside(group, key) for key in KEYS}
            datasets = {key: each for key, each in nodes.items() if isinstance(each, h5py.Dataset)}
            arrays: dict[str, NDArray[Any]] = {}
            for holder in (group, *datasets.values()):
                arrays |= {key: np.asarray(holder.attrs[key]) for key in KEYS if key in holder.attrs}
            for key, dataset in datasets.items():
                if dataset.nbytes > MAX_BYTES:
                    raise _too_large(item, key, int(dataset.nbytes))
                arrays[key] = np.asarray(dataset[()])
            return arrays
    except HDF5_ERRORS as error:
        raise _wrong(item, f"cannot be read ({error})") from error


# --- torch --------------------------------------------------------------------------------------------------


def _unpacked(path: str) -> int:
    """Bytes of the members of a zip file, which is what torch writes; 0 for other files."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(info.file_size for info in archive.infolist())
    except ZIP_ERRORS:
        return 0


def _load_pt(item: RawItem) -> dict[str, NDArray[Any]]:
    try:
        size = max(regular.check(Path(item.path)), _unpacked(item.path))
        if size > MAX_BYTES:
            raise _too_large(item, "the file", size)
        tensors.check(Path(item.path))
        import torch  # after what refuses a file, because this takes seconds
    except ImportError as error:
        raise _wrong(
            item, "reading .pt files needs torch", remedy="Install torch, or save the poses as .npz"
        ) from error
    except (OSError, ValueError) as error:
        raise _wrong(item, f"cannot be read as a tensor ({reason(error)})") from error
    try:
        poses = torch.load(item.path, map_location="cpu", weights_only=True)
        if not isinstance(poses, torch.Tensor):
            raise _wrong(item, f"holds a {type(poses).__name__}, expected one tensor [T, M, V, 3]")
        if poses.numel() * poses.element_size() > MAX_BYTES:  # a stride of zero claims a lot with few bytes
            raise _too_large(item, "the tensor", poses.numel() * poses.element_size())
        return {"poses3d": poses.detach().to(torch.float32).numpy()}
    except RawDataError:
        raise
    except Exception as error:  # torch raises all kinds of errors on foreign files
        why = str(error).partition("\n")[0][:200]
        raise _wrong(
            item, f"cannot be read as a tensor ({why})", remedy="Write it with torch.save(tensor, path)"
        ) from error


_LOADERS: dict[str, Callable[[RawItem], dict[str, NDArray[Any]]]] = {
    ".npz": _load_npz,
    ".h5": _load_h5,
    ".hdf5": _load_h5,
    ".pt": _load_pt,
}
