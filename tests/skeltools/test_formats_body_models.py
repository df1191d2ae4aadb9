"""Files of body models: AMASS's parameters by a model that is given, HumanML3D's features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from schemas import RawDataError
from skeltools import skeletons
from skeltools.formats import amass, humanml3d
from tests.skeltools import fuzzing, own_data
from tests.skeltools.mocap_files import model_arrays, parameters

RNG = np.random.default_rng(7)


def slow_joints(model: dict[str, NDArray[Any]], made: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """[T, J, 3] by 4 x 4 transforms of every joint, vertex shapes first."""
    betas = made["betas"][: model["shapedirs"].shape[2]]
    vertices = model["v_template"] + sum(model["shapedirs"][:, :, b] * beta for b, beta in enumerate(betas))
    rest = model["J_regressor"] @ vertices
    joints = np.empty((len(made["poses"]), len(rest), 3))
    for frame, angles in enumerate(made["poses"].reshape(len(joints), -1, 3)):
        world: list[NDArray[Any]] = []
        for v in range(len(rest)):
            local = np.eye(4)
            local[:3, :3] = Rotation.from_rotvec(angles[v]).as_matrix()
            parent = int(model["kintree_table"][0, v])
            local[:3, 3] = rest[v] if v == 0 else rest[v] - rest[parent]
            world.append(local if v == 0 else world[parent] @ local)
            joints[frame, v] = world[v][:3, 3] + made["trans"][frame]
    return joints


@pytest.mark.parametrize(
    ("size", "convention"), [(52, "smplh_52"), (52, "smpl_22"), (55, "smplh_52"), (24, "smpl_22")]
)
def test_positions_equal_the_slow_transforms_of_the_model(tmp_path: Path, size: int, convention: str) -> None:
    model = model_arrays(size)
    made = parameters(tmp_path, size)
    np.savez(tmp_path / "models.npz", **model)
    own_data.settings(
        tmp_path,
        convention=convention,
        layout=None,
        body_model="models.npz",
        files="walk*",
        never_seen="keep",
    )
    clip = own_data.read(tmp_path)
    expected = slow_joints(model, made)
    names = amass.names_of(size)
    order = [names.index(name) for name in skeletons.load(convention).joints]
    # z up, whatever the convention's own axes: x right, y forward, z up of the sensor
    turned = expected[:, order][..., [0, 2, 1]] * [-1, 1, 1]
    np.testing.assert_allclose(clip.joints[:, 0], turned, atol=1e-5)


def test_without_a_model_the_error_names_what_is_needed(tmp_path: Path) -> None:
    parameters(tmp_path, 52)
    own_data.settings(tmp_path, convention="smplh_52", layout=None)
    with pytest.raises(
        RawDataError, match=r"no positions: needs `body_model`.*SMPL\+H.*body_model: SMPLH_NEUTRAL.npz"
    ):
        own_data.read(tmp_path)


def test_the_model_of_the_clips_gender(tmp_path: Path) -> None:
    made, model = parameters(tmp_path, 52), model_arrays(52)
    (tmp_path / "models" / "female").mkdir(parents=True)
    np.savez(tmp_path / "models" / "female" / "model.npz", **model)
    own_data.settings(tmp_path, convention="smplh_52", layout=None, body_model="models/{gender}/model.npz")
    found = own_data.read(tmp_path).joints[:, 0, 0, 1]
    np.testing.assert_allclose(found, slow_joints(model, made)[:, 0, 2], atol=1e-5)


def test_positions_in_the_file_go_before_its_angles(tmp_path: Path) -> None:
    made = parameters(tmp_path, 52)
    joints = RNG.normal(0, 1, (5, 22, 3))
    np.savez(tmp_path / "walk.npz", **made, joints=joints)
    own_data.settings(tmp_path, convention="smpl_22", layout=None)
    np.testing.assert_allclose(own_data.read(tmp_path).joints[:, 0], joints * [-1, 1, -1], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kintree_table": np.array([[0, 1, 2], [0, 1, 2]])}, "is no body model: v_template"),
        ({"v_template": np.zeros((3, 3))}, "is no body model"),
        ({"J_regressor": None}, "has no array J_regressor"),
        ({"shapedirs": np.array(["x"])}, "is no body model"),
    ],
)
def test_what_is_no_body_model_is_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    parameters(tmp_path, 52)
    model = {name: array for name, array in (model_arrays(52) | change).items() if array is not None}
    np.savez(tmp_path / "model.npz", **model)
    own_data.settings(tmp_path, convention="smplh_52", layout=None, body_model="model.npz", files="walk*")
    with pytest.raises(RawDataError, match=reason):
        own_data.read(tmp_path)


def test_a_model_of_more_joints_than_the_file(tmp_path: Path) -> None:
    parameters(tmp_path, 24)
    np.savez(tmp_path / "model.npz", **model_arrays(52))
    own_data.settings(tmp_path, convention="smplh_52", layout=None, body_model="model.npz", files="walk*")
    with pytest.raises(RawDataError, match="angles of 24 joints, the body model has 52"):
        own_data.read(tmp_path)


def test_damaged_parameters_and_models_are_refused_or_sound(tmp_path: Path) -> None:
    parameters(tmp_path, 24, frames=2)
    np.savez(tmp_path / "model.npz", **model_arrays(24))
    own_data.settings(tmp_path, convention="smpl_22", layout=None, body_model="model.npz", files="walk*")
    done = sum(fuzzing.sound_after_damage(tmp_path, name, 60) for name in ("walk.npz", "model.npz"))
    assert 0 < done < 120


# --- HumanML3D ----------------------------------------------------------------------------------------------


def _multiplied(q: NDArray[Any], p: NDArray[Any]) -> NDArray[Any]:
    return np.array(
        [
            q[0] * p[0] - q[1] * p[1] - q[2] * p[2] - q[3] * p[3],
            q[0] * p[1] + q[1] * p[0] + q[2] * p[3] - q[3] * p[2],
            q[0] * p[2] - q[1] * p[3] + q[2] * p[0] + q[3] * p[1],
            q[0] * p[3] + q[1] * p[2] - q[2] * p[1] + q[3] * p[0],
        ]
    )


def _turned(q: NDArray[Any], point: NDArray[Any]) -> NDArray[Any]:
    inverse = q * [1, -1, -1, -1]
    return _multiplied(_multiplied(q, np.array([0, *point])), inverse)[1:]


def encoded(joints: NDArray[Any], headings: NDArray[Any]) -> NDArray[Any]:
    """Features of joints [T + 1, V, 3] of somebody who looks along ``headings`` (radians about y from z): a
    quaternion turns each frame to z, as the data set's own script has it. Rotations, velocities and contacts
    are noise: nothing may depend on them."""
    frames, size = len(joints) - 1, joints.shape[1]
    turns = np.array([[np.cos(a / 2), 0, -np.sin(a / 2), 0] for a in headings])
    rows = []
    for t in range(frames):
        change = _multiplied(turns[t + 1], turns[t] * [1, -1, -1, -1])
        step = _turned(turns[t + 1], joints[t + 1, 0] - joints[t, 0])
        ground = joints[t, 0] * [1, 0, 1]
        local = [_turned(turns[t], joints[t, v] - ground) for v in range(1, size)]
        rows.append(
            [
                *(np.arcsin(change[2]), step[0], step[2], joints[t, 0, 1], *np.ravel(local)),
                *RNG.normal(size=6 * (size - 1) + 3 * size + 4),
            ]
        )
    return np.array(rows)


@pytest.mark.parametrize("size", [22, 21])
def test_joints_come_back_from_their_features(size: int) -> None:
    headings = np.concatenate([[0], np.cumsum(RNG.normal(0, 0.3, 30))])
    joints = RNG.normal([0, 1, 0], 0.5, (31, size, 3))
    joints[0, 0] *= [0, 1, 0]
    features = encoded(joints, headings)
    assert features.shape == (30, 12 * size - 1)
    np.testing.assert_allclose(humanml3d.joints_of(features, size), joints[:30], atol=1e-9)


def test_a_clip_of_features_is_told_by_its_width(tmp_path: Path) -> None:
    joints = RNG.normal([0, 1, 0], 0.5, (11, 22, 3))
    joints[0, 0] *= [0, 1, 0]
    np.save(tmp_path / "000001.npy", encoded(joints, np.linspace(0, 2, 11)).astype(np.float32))
    own_data.settings(tmp_path, convention="smpl_22", layout=None)
    np.testing.assert_allclose(own_data.read(tmp_path).joints[:, 0], joints[:10] * [-1, 1, -1], atol=1e-5)


def test_positions_of_humanml3d_are_three_lines(tmp_path: Path) -> None:
    joints = RNG.normal(0, 0.5, (8, 22, 3)).astype(np.float32)
    np.save(tmp_path / "000001.npy", joints)
    (tmp_path / "dataset.yaml").write_text("name: humanml3d\nconvention: smpl_22\nlayout: T V C\n")
    np.testing.assert_allclose(own_data.read(tmp_path).joints[:, 0], joints * [-1, 1, -1], atol=1e-6)


def test_normalised_features_and_another_convention_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", RNG.normal(size=(9, 263)))
    own_data.settings(tmp_path, convention="smpl_22", layout=None)
    with pytest.raises(RawDataError, match=r"features are normalised.*Std\.npy"):
        own_data.read(tmp_path)
    own_data.settings(tmp_path, layout=None)
    with pytest.raises(RawDataError, match=r"of 22 joints, kinectv2_25 has 25.*smpl_22"):
        own_data.read(tmp_path)
