"""Xsens MVN's XML."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from schemas import RawDataError, SkelError
from skeltools import custom
from skeltools.formats.mvnx import convention
from tests.skeltools import fuzzing, mocap_files, own_data

TOLD = {"convention": "file", "layout": None}
HELD = np.random.default_rng(0).uniform(0.1, 2, (4, 15, 3)).round(6)


def test_origins_of_segments_come_back_in_the_convention_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "walk.mvnx").write_text(mocap_files.mvnx(HELD))
    own_data.settings(tmp_path, **TOLD)
    clip = own_data.read(tmp_path)
    np.testing.assert_allclose(clip.joints[:, 0], HELD[..., [0, 2, 1]] * [-1, 1, 1], atol=1e-6)
    spec = convention(tmp_path / "walk.mvnx")
    assert spec.joints == tuple(name for name, _ in mocap_files.SEGMENTS)
    parents = {spec.joints[child]: spec.joints[up] for child, up in spec.edges}
    assert parents == {name: up for name, up in mocap_files.SEGMENTS if up}
    assert spec.shoulders is not None
    assert [spec.joints[v] for v in spec.shoulders] == ["LeftUpperArm", "RightUpperArm"]
    assert spec.body_parts is not None
    assert len(spec.body_parts["left_leg"]) == 2
    assert spec.joints[spec.center] == "Pelvis"


def test_another_set_of_segments_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mvnx").write_text(mocap_files.mvnx(HELD))
    (tmp_path / "b.mvnx").write_text(mocap_files.mvnx(HELD[:, :14], mocap_files.SEGMENTS[:14]))
    own_data.settings(tmp_path, **TOLD)
    with pytest.raises(RawDataError, match=r"than the hierarchy of a\.mvnx: lacks LeftFoot"):
        custom.read(custom.discover(tmp_path).items[1])


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("<mvnx", "<!DOCTYPE x [<!ENTITY a 'b'>]><mvnx", "definitions of its own"),
        ("</frames>", "", "cannot be read as MVNX"),
        ('type="normal"', 'type="tpose"', "has no normal frame"),
        ("<position>", "<position>1 ", "frame 1 has 46 coordinates of 15 segments"),
        ('label="Head"', 'label="Neck"', "two of one name"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, old: str, new: str, reason: str) -> None:
    text = mocap_files.mvnx(HELD)
    (tmp_path / "a.mvnx").write_text(text)
    own_data.settings(tmp_path, **TOLD)
    (item,) = custom.discover(tmp_path).items
    (tmp_path / "a.mvnx").write_text(text.replace(old, new))
    with pytest.raises(SkelError, match=reason):
        custom.read(item)


def test_damaged_files_are_refused_or_sound(tmp_path: Path) -> None:
    (tmp_path / "a.mvnx").write_bytes(mocap_files.mvnx(HELD).encode())
    own_data.settings(tmp_path, **TOLD)
    done = fuzzing.sound_after_damage(tmp_path, "a.mvnx", 120)
    assert 0 < done < 120
