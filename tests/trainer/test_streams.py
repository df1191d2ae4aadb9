from __future__ import annotations

import pytest
import torch

from schemas import UsageError
from tests.trainer.clips import clips, skeleton
from trainer.streams import STREAMS, derive


@pytest.mark.parametrize("name", ["kinectv2_25", "smplx_42", "berkeley_mhad_43"])
def test_a_bone_is_a_joint_minus_its_parent_in_the_own_tree(name: str) -> None:
    spec = skeleton(name).spec
    x = clips(2, spec.num_joints, bodies=2)
    bones = derive(x, "bone", spec)
    parent = dict(spec.edges)
    for v in range(spec.num_joints):
        expected = torch.zeros_like(x[..., v, :]) if v == spec.center else x[..., v, :] - x[..., parent[v], :]
        torch.testing.assert_close(bones[..., v, :], expected)


def test_motion_is_the_step_to_the_next_frame_and_ends_in_zero() -> None:
    spec = skeleton("kinectv2_25").spec
    x = clips(2, 25, frames=5)
    motion = derive(x, "motion", spec)
    for t in range(4):
        torch.testing.assert_close(motion[:, :, t], x[:, :, t + 1] - x[:, :, t])
    assert not motion[:, :, 4].any()


@pytest.mark.parametrize("kind", sorted(STREAMS))
def test_padding_and_absent_bodies_stay_zero(kind: str) -> None:
    spec = skeleton("kinectv2_25").spec
    x = clips(2, 25, bodies=2)
    x[0, ..., 1] = 0
    padded = derive(torch.nn.functional.pad(x, (0, 0, 0, 7)), kind, spec)
    torch.testing.assert_close(padded[..., :25, :], derive(x, kind, spec))
    assert not padded[..., 25:, :].any()
    assert not padded[0, ..., 1].any()


def test_joint_is_the_input_and_another_name_is_refused() -> None:
    spec = skeleton("kinectv2_25").spec
    x = clips(1, 25)
    assert derive(x, "joint", spec) is x
    with pytest.raises(UsageError, match="Did you mean 'bone'"):
        derive(x, "bones", spec)
