"""AMASS and other ``.npz`` files of SMPL parameters: joint positions from a body model that the user
supplies.

A file has ``poses`` [T, 3 J] (axis-angle of each joint, the root's first), ``trans`` [T, 3] and ``betas``
(https://amass.is.tue.mpg.de), metres, z up. It has no joint positions: these depend on the body model, whose
licence does not permit redistribution. With ``body_model`` in dataset.yaml, the ``.npz`` of SMPL, SMPL+H or
SMPL-X, a joint's position at rest is ``J_regressor @ (v_template + shapedirs @ betas)``, and the poses rotate
it about its parent in ``kintree_table`` (Loper et al., "SMPL: A Skinned Multi-Person Linear Model", 2015,
equations 3, 8 and 10). Files that hold positions as well are read as arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import RawDataError, SkeletonSpec
from skeltools import skeletons
from skeltools.custom import poses as arrays
from skeltools.custom.clip_files import Z_UP, ClipFormat, Poses
from skeltools.custom.settings import GENDERS, Settings
from skeltools.files.arrays import npz_file
from skeltools.files.unchanged import while_unchanged
from skeltools.raw_items import MAX_BYTES, RawItem

POSITIONS = ("joints", "jtr", "Jtr", "joints3d", "joint_positions")
"""Names of the array of joint positions [T, J, 3] in files that have one."""

MAX_JOINTS = 127
"""The number of joints of SMPL-X with its landmarks."""
MAX_MODEL = 512 * 2**20
"""Most bytes of an array of a body model: SMPL-X's posedirs, the largest, takes 122 MB and is not read."""

_MODEL = ("v_template", "shapedirs", "J_regressor", "kintree_table")
_HEAD_OF_X = ("jaw", "left_eye_smplhf", "right_eye_smplhf")
"""SMPL-X's joints between the body and the hands, named as in https://github.com/vchoutas/smplx."""
_WANTED = (
    "AMASS files hold angles, and positions need the body model: get the .npz of SMPL+H (its page is "
    "https://mano.is.tue.mpg.de) and name it in dataset.yaml, `body_model: SMPLH_NEUTRAL.npz`"
)


@dataclass(frozen=True)
class BodyModel:
    template: NDArray[np.float64]
    """[J, 3] joints of the mean body, metres."""
    shapes: NDArray[np.float64]
    """[J, 3, B] displacement per shape parameter."""
    parents: tuple[int, ...]
    """[J], -1 for the root, which is first; each joint after its parent."""


def _holds(file: Path, head: bytes) -> bool:
    return {"poses", "trans"} <= set(arrays.npz_names(file))


def read(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """Read one clip. Raises RawDataError: damaged, fewer joints than the model, or no ``body_model``."""
    path = Path(item.path)
    names = arrays.npz_names(path)
    key = settings.key or next((name for name in POSITIONS if name in names), None)
    if key is not None:
        return _positions(item, settings, spec, key)
    if settings.body_model is None:
        raise RawDataError(
            "holds angles, no positions: needs `body_model` in dataset.yaml", where=item.where, remedy=_WANTED
        )
    parameters = _parameters(path, item)
    model = _model(_model_file(settings, path, item))
    size, joints = len(model.parents), parameters["poses"].shape[1] // 3
    if joints < size:
        raise RawDataError(
            f"has angles of {joints} joints, the body model has {size}",
            where=item.where,
            remedy="Give the model that the file was made with: SMPL 24, SMPL+H 52, SMPL-X 55 joints",
        )
    angles = parameters["poses"][:, : 3 * size].reshape(-1, size, 3)
    values = joints_of(model, angles, parameters["trans"], parameters["betas"])
    return Poses(values[:, None], joints=names_of(size), units=1.0, axes=Z_UP)


def _positions(item: RawItem, settings: Settings, spec: SkeletonSpec, key: str) -> Poses:
    members = npz_file(Path(item.path), wanted=(key,))
    if key not in members:
        raise RawDataError(f"has no array '{key}'", where=item.where)
    layout = settings.layout or "T V C"
    return arrays.of_array(members[key], item, settings.model_copy(update={"layout": layout}), spec)


def _parameters(path: Path, item: RawItem) -> dict[str, NDArray[np.float64]]:
    members = npz_file(path, wanted=("poses", "trans", "betas"))
    poses, trans, betas = (members.get(name, np.zeros(0)) for name in ("poses", "trans", "betas"))
    numbers = all(array.dtype.kind in "fiu" for array in (poses, trans, betas))
    fits = poses.ndim == 2 and poses.shape[1] % 3 == 0 and trans.shape == (len(poses), 3)
    if not numbers or not fits or betas.size > 1000 or 0 in poses.shape:
        raise RawDataError(
            f"poses {poses.shape}, trans {trans.shape} and betas {betas.shape} do not fit together",
            where=item.where,
            remedy="Expected [T, 3 J], [T, 3] and [B]",
        )
    if poses.nbytes > MAX_BYTES or len(poses) * MAX_JOINTS * 24 > 4 * MAX_BYTES:
        raise RawDataError(f"{len(poses)} frames are too many for one clip", where=item.where)
    with np.errstate(all="ignore"):
        return {
            "poses": poses.astype(np.float64),
            "trans": trans.astype(np.float64),
            "betas": (betas[0] if betas.ndim == 2 and len(betas) else betas).astype(np.float64).ravel(),
        }


def names_of(size: int) -> tuple[str, ...]:
    """Joint names of SMPL (24), SMPL+H (52) and SMPL-X (55); empty for any other model."""
    hands = skeletons.load("smplh_52").joints
    if size == len(hands):
        return hands
    body = skeletons.load("smpl_22").joints
    if size == len(body) + 2:
        return (*body, "left_hand", "right_hand")
    return (*body, *_HEAD_OF_X, *hands[len(body) :]) if size == len(hands) + 3 else ()


# --- the body model -----------------------------------------------------------------------------------------


def _model_file(settings: Settings, path: Path, item: RawItem) -> Path:
    """The model file, relative to the settings or absolute; ``{gender}`` is replaced by the file's gender."""
    name = settings.body_model or ""
    if "{gender}" in name:
        stored = npz_file(path, wanted=("gender",)).get("gender", np.array("neutral"))
        text = str(stored.item().decode("ascii", "replace") if stored.dtype.kind == "S" else stored.item())
        gender = text.strip().lower()
        if gender not in GENDERS:
            raise RawDataError(
                f"gender '{gender[:20]}' is none of {', '.join(GENDERS)}",
                where=item.where,
                remedy="Name one model in dataset.yaml",
            )
        name = name.replace("{gender}", gender)
    file = Path(item.settings).parent / name
    if not file.is_file():
        raise RawDataError(f"body_model: there is no file {name}", where=item.settings, remedy=_WANTED)
    return file


@while_unchanged(4)
def _model(file: Path) -> BodyModel:
    """Load a body model. Raises RawDataError for a file that is not one, or is a pickle."""
    if file.suffix == ".pkl":
        raise RawDataError("a pickle, which is not executed: get the .npz of the model", where=file)
    members: dict[str, NDArray[Any]] = npz_file(file, wanted=_MODEL)
    lacks = [name for name in _MODEL if name not in members]
    if lacks:
        raise RawDataError(
            f"is no body model: it has no array {', '.join(lacks)}", where=file, remedy=_WANTED
        )
    template, shapes, regressor, tree = (members[name] for name in _MODEL)
    size = regressor.shape[0] if regressor.ndim == 2 else 0
    fits = (
        all(array.dtype.kind in "fiu" and array.nbytes <= MAX_MODEL for array in members.values())
        and 2 <= size <= MAX_JOINTS
        and template.shape == (regressor.shape[1], 3)
        and shapes.ndim == 3
        and shapes.shape[:2] == template.shape
        and tree.shape == (2, size)
    )
    parents = (-1, *(int(v) for v in tree[0, 1:])) if fits else ()
    if not fits or not all(0 <= up < v for v, up in enumerate(parents) if v):
        text = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in members.items())
        raise RawDataError(f"is no body model: {text}", where=file, remedy=_WANTED)
    weights = np.asarray(regressor, np.float64)
    with np.errstate(all="ignore"):
        joints = np.tensordot(weights, np.asarray(shapes, np.float64), axes=1)
        return BodyModel(weights @ np.asarray(template, np.float64), joints, parents)


def joints_of(
    model: BodyModel,
    angles: NDArray[np.float64],
    trans: NDArray[np.float64],
    betas: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Joint positions [T, J, 3] from axis-angle [T, J, 3], root positions [T, 3] and shape [B]. Surplus betas
    are ignored, missing ones are zero."""
    number = min(len(betas), model.shapes.shape[2])
    with np.errstate(all="ignore"):
        rest = model.template + model.shapes[:, :, :number] @ betas[:number]
        local = _matrices(angles)
        places, turns = np.empty_like(angles), np.empty_like(local)
        for v, up in enumerate(model.parents):
            step = rest[v] - (rest[up] if v else 0)
            turns[:, v] = turns[:, up] @ local[:, v] if v else local[:, v]
            places[:, v] = places[:, up] + turns[:, up] @ step if v else step
        return places + trans[:, None]


def _matrices(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation matrices [..., 3, 3] of axis times radians [..., 3], by Rodrigues' formula."""
    angle = np.linalg.norm(angles, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(angles / np.maximum(angle[..., 0], 1e-12), -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross))


def rate(file: Path) -> float | None:
    """Frames per second: AMASS's ``mocap_framerate``, spelled ``mocap_frame_rate`` for SMPL-X."""
    for array in npz_file(file, wanted=("mocap_framerate", "mocap_frame_rate")).values():
        return float(array.reshape(-1)[0])
    return None


AMASS = ClipFormat("amass", (".npz",), _holds, read, rate=rate)
