"""Text in NTU's form, with the joints of any convention, as a user's own data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas import RawDataError
from skeltools import custom
from skeltools.raw_items import MAX_BYTES
from skeltools.sequence import SkeletonSequence
from tests.skeltools import fuzzing, own_data
from tests.skeltools.raw_files import FIRST_ID, ntu_text, poses

TOLD: dict[str, Any] = {"layout": None, "bodies": 2}
PATTERN = r"(?P<label>[a-z]+)_s(?P<subject>\d+)"


def _text(joints: NDArray[Any], **more: Any) -> str:
    """As ``ntu_text`` of any number of joints."""
    return ntu_text(joints, **more).replace("\n25\n", f"\n{joints.shape[2]}\n")


def _read(folder: Path, text: str, name: str = "wave_s1.skeleton", **told: Any) -> SkeletonSequence:
    own_data.settings(folder, **(TOLD | told))
    (folder / name).write_text(text)
    return own_data.read(folder)


@pytest.mark.parametrize("name", ["wave_s1.skeleton", "wave_s1.SKELETON", "wave_s1.txt"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_joints_of_ntu_come_back(tmp_path: Path, name: str, newline: str) -> None:
    joints = poses(5)
    clip = _read(tmp_path, ntu_text(joints, newline=newline), name, pattern=PATTERN)
    assert (clip.id, clip.label, clip.subject, clip.findings) == ("wave_s1", 0, 1, ())
    np.testing.assert_array_equal(clip.joints, joints)


@pytest.mark.parametrize("name", ["a.skeleton", "a.txt"])
def test_joints_of_another_convention_in_kinects_metres(tmp_path: Path, name: str) -> None:
    joints = poses(5, joints=17)
    clip = _read(tmp_path, _text(joints), name, convention="coco_17")
    np.testing.assert_array_equal(clip.joints, joints)
    turned = _read(
        tmp_path, _text(joints), name, convention="coco_17", units="mm", axes=["right", "up", "forward"]
    )
    np.testing.assert_allclose(turned.joints, joints * np.float32([-0.001, 0.001, 0.001]), rtol=1e-5)


def test_frames_without_a_body_and_bodies_that_change_places(tmp_path: Path) -> None:
    joints = poses(8, 2)
    present = np.ones((8, 2), bool)
    present[:2], present[4, 0], present[6, 1] = False, False, False
    clip = _read(tmp_path, ntu_text(joints, present=present))
    np.testing.assert_array_equal(clip.present.sum(axis=0), [5, 5])
    np.testing.assert_array_equal(clip.joints, np.where(present[..., None, None], joints, 0))


def test_of_two_bodies_with_one_id_the_first_is_read(tmp_path: Path) -> None:
    joints = poses(4, 2)
    clip = _read(tmp_path, ntu_text(joints, ids=[FIRST_ID, FIRST_ID]))
    np.testing.assert_array_equal(clip.joints, joints[:, :1])


def test_another_number_of_joints_names_both(tmp_path: Path) -> None:
    with pytest.raises(RawDataError, match=r"has 17 joints, kinectv2_25 has 25.*Name their convention"):
        _read(tmp_path, _text(poses(2, joints=17)))


def test_pixels(tmp_path: Path) -> None:
    clip = _read(tmp_path, _text(poses(5, joints=17)), convention="coco_17", coordinates="xy", units=1.0)
    assert not clip.joints[..., 2].any()


def test_other_text_is_not_taken_for_it(tmp_path: Path) -> None:
    own_data.settings(tmp_path, layout="T VC")
    np.savetxt(tmp_path / "a.txt", poses(5).reshape(5, -1))
    assert own_data.read(tmp_path).frames == 5


def test_promises_of_frames_and_bodies_take_no_memory(tmp_path: Path) -> None:
    for text in ("10000000\n0\n", f"1\n{10**8}\n", "x", ""):
        with pytest.raises(RawDataError):
            _read(tmp_path, text)
    frames = MAX_BYTES // 64
    crowd = ntu_text(poses(1, 60)).split("\n", 1)[1]
    with pytest.raises(RawDataError, match=f"{frames + 1} frames of up to 60 bodies are too many"):
        _read(tmp_path, f"{frames + 1}\n{crowd}" + "0\n" * frames)


def test_a_skeleton_file_beside_an_array_of_its_name(tmp_path: Path) -> None:
    own_data.settings(tmp_path)
    np.save(tmp_path / "a.npy", poses(5))
    (tmp_path / "a.skeleton").write_text(ntu_text(poses(4)))
    (item,) = custom.discover(tmp_path).items
    assert item.path.endswith(".npy")


@pytest.mark.parametrize("name", ["a.skeleton", "a.txt"])
def test_damaged_files_are_refused_or_sound(tmp_path: Path, name: str) -> None:
    own_data.settings(tmp_path, **TOLD)
    (tmp_path / name).write_text(ntu_text(poses(3)))
    done = fuzzing.sound_after_damage(tmp_path, name, 80)
    assert 0 < done < 80
