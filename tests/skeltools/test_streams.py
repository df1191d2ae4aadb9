from __future__ import annotations

import numpy as np
import pytest

from skeltools import skeletons
from skeltools.streams import bone, motion


def _joints(*lead: int, joints: int = 25) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(*lead, 3, 6, joints, 2)).astype(np.float32)


@pytest.mark.parametrize("name", skeletons.names())
def test_a_bone_is_a_joint_minus_its_parent_in_the_conventions_own_tree(name: str) -> None:
    spec = skeletons.load(name)
    x = _joints(4, joints=spec.num_joints)
    bones = bone(x, spec)
    for child, parent in spec.edges:
        np.testing.assert_array_equal(bones[..., child, :], x[..., child, :] - x[..., parent, :])
    assert not bones[..., spec.center, :].any()
    assert bones.dtype == np.float32


def test_motion_is_the_next_frame_minus_this_one_and_ends_with_zero() -> None:
    x = _joints(2)
    moved = motion(x)
    for t in range(5):
        np.testing.assert_array_equal(moved[:, :, t], x[:, :, t + 1] - x[:, :, t])
    assert not moved[:, :, 5].any()
    assert moved.dtype == np.float32


def test_one_clip_is_treated_like_a_batch_of_one() -> None:
    spec, x = skeletons.load("kinectv2_25"), _joints(1)
    np.testing.assert_array_equal(bone(x[0], spec), bone(x, spec)[0])
    np.testing.assert_array_equal(motion(x[0]), motion(x)[0])


def test_absent_bodies_and_one_frame_stay_zero() -> None:
    spec, x = skeletons.load("kinectv2_25"), _joints(1)
    x[..., 1] = 0
    assert not bone(x, spec)[..., 1].any()
    assert not motion(x)[..., 1].any()
    assert not motion(x[:, :, :1]).any()


def test_other_axes_are_refused() -> None:
    spec, x = skeletons.load("kinectv2_25"), _joints(1)
    with pytest.raises(ValueError, match="kinectv2_25 has 25"):
        bone(x[..., :20, :], spec)
    for wrong in (np.moveaxis(x, 1, -1), x[0, 0]):
        with pytest.raises(ValueError, match=r"expected \[..., 3, T, V, M\]"):
            motion(wrong)
