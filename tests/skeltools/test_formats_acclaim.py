"""Acclaim's .asf and .amc: CMU's recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from schemas import RawDataError
from skeltools import skeletons
from tests.skeltools import fuzzing, mocap_files, own_data

TOLD = {"convention": "cmu_31", "layout": None}


def test_positions_equal_the_slow_product_of_matrices(tmp_path: Path) -> None:
    expected = mocap_files.write_acclaim(tmp_path)
    own_data.settings(tmp_path, **TOLD)
    clip = own_data.read(tmp_path)
    names = ["root", *(bone[0] for bone in mocap_files.acclaim_bones())]
    order = [names.index(name) for name in skeletons.load("cmu_31").joints]
    metres = expected[:, order] * (0.0254 / 0.45)
    assert clip.id == "01_02"
    np.testing.assert_allclose(clip.joints[:, 0], metres * [-1, 1, -1], atol=1e-5)


def test_each_motion_has_the_skeleton_of_its_name(tmp_path: Path) -> None:
    mocap_files.write_acclaim(tmp_path)
    own_data.settings(tmp_path, **TOLD)
    right = own_data.read(tmp_path).joints
    (tmp_path / "0.asf").write_text("")
    (tmp_path / "02.asf").write_text("")
    np.testing.assert_array_equal(own_data.read(tmp_path).joints, right)
    (tmp_path / "01.asf").rename(tmp_path / "1.asf")
    (tmp_path / "0.asf").unlink()
    with pytest.raises(
        RawDataError, match=r"none of 2 \.asf files beside it is its skeleton.*01\.asf beside"
    ):
        own_data.read(tmp_path)
    (tmp_path / "02.asf").unlink()
    np.testing.assert_array_equal(own_data.read(tmp_path).joints, right)


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("01.asf", "direction", "directions", r"\.asf \(expected 3 numbers, found ''"),
        ("01.asf", "dof rx", "dof qx", r"\.asf \(channel 'qx'"),
        ("01.asf", "name lowerback", "name thorax", r"\.asf \(bone 'thorax'"),
        ("01.asf", "    root ", "    toor ", r"\.asf \('toor' in the hierarchy before its parent"),
        ("01.asf", "length 0.45", "length -1", r"\.asf \(a unit of length -1"),
        ("01.asf", "length 0.45", "length 1e-300", r"\.asf \(a unit of length 1e-300"),
        ("01_02.amc", "\n2\n", "\n", r"\.amc of 01\.asf \(line \d+: 'root' is no bone .* twice"),
        ("01_02.amc", "root ", "root x", r"\.amc of 01\.asf \(line 5: could not convert"),
        ("01_02.amc", "\nroot", "\n#root", r"line \d+: the frame before it has no root"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, file: str, old: str, new: str, reason: str) -> None:
    mocap_files.write_acclaim(tmp_path)
    own_data.settings(tmp_path, **TOLD)
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1))
    with pytest.raises(RawDataError, match=reason):
        own_data.read(tmp_path)


def test_damaged_files_are_refused_or_sound(tmp_path: Path) -> None:
    mocap_files.write_acclaim(tmp_path, frames=2)
    own_data.settings(tmp_path, **TOLD)
    done = sum(fuzzing.sound_after_damage(tmp_path, name, 80) for name in ("01.asf", "01_02.amc"))
    assert 0 < done < 160
