"""BVH: positions by forward kinematics, and the convention that a file itself describes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas import ConfigError, RawDataError, SkelError
from skeltools import custom, store
from skeltools.conversion import convert
from skeltools.custom import rigs
from skeltools.custom import settings as custom_settings
from skeltools.formats.bvh import convention, parse, positions
from tests.skeltools import fuzzing, mocap_files, own_data

TOLD = {"convention": "file", "layout": None, "units": "cm"}


def _clip(folder: Path, **told: Any) -> Any:
    own_data.settings(folder, **(TOLD | told))
    return own_data.read(folder)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_positions_equal_the_slow_product_of_matrices(newline: str) -> None:
    root = mocap_files.person()
    width = sum(len(bone.channels.split()) for bone in root.all())
    motion = np.random.default_rng(3).uniform(-170, 170, (4, width))
    rig, read = parse(mocap_files.bvh(root, motion, newline=newline).encode(), "a.bvh")
    expected = mocap_files.slow_positions(root, motion)
    assert list(rig.joints) == list(expected)
    np.testing.assert_allclose(positions(rig, read), np.stack(list(expected.values()), 1), atol=1e-5)


@pytest.mark.parametrize("replace", [False, True])
def test_positions_of_inner_joints_are_steps_or_changes_of_steps(replace: bool) -> None:
    root = mocap_files.person()
    for bone in root.all()[1:]:
        bone.channels = mocap_files.ROOT6
    rng = np.random.default_rng(0)
    motion = rng.uniform(-30, 30, (6, 6 * len(root.all())))
    for number, bone in enumerate(root.all()):
        moved = rng.normal(0, 0.2, (6, 3))
        motion[:, 6 * number : 6 * number + 3] = moved + (np.array(bone.offset) if replace else 0)
    rig, read = parse(mocap_files.bvh(root, motion).encode(), "a.bvh")
    expected = mocap_files.slow_positions(root, motion, replace=replace)
    np.testing.assert_allclose(positions(rig, read), np.stack(list(expected.values()), 1), atol=1e-4)


@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("start", [(0, 90, 0), (210, 90, -370), (0, 6, 0), (-0.2, -24, 2.9)])
@pytest.mark.parametrize("added", [False, True])
def test_positions_of_the_root_are_where_it_is_or_changes_about_zero(
    up: int, start: tuple[float, float, float], added: bool
) -> None:
    """A person who walks far away, with hips at 90: the file has that, or the way from the root's offset."""
    root, order = mocap_files.person(), [0, up, 3 - up]
    root.offset = tuple(start[axis] for axis in order)  # type: ignore[assignment]
    motion = np.zeros((40, sum(len(bone.channels.split()) for bone in root.all())))
    walk = np.linspace(0, 1, 40)[:, None] * [700.0, 0, -300] + [start[0], 0, start[2]]
    walk[:, 1] = 90 + 3 * np.sin(np.arange(40))
    way = walk - ([start[0], 90, start[2]] if added else [0, 0, 0])
    motion[:, :3] = way[:, order]
    rig, read = parse(mocap_files.bvh(root, motion).encode(), "a.bvh")
    hips = walk + ([0, start[1] - 90, 0] if added else [0, 0, 0])
    np.testing.assert_allclose(positions(rig, read)[:, 0], hips[:, order], atol=1e-4)


def test_a_file_at_rest_has_its_root_at_the_offset() -> None:
    root = mocap_files.person()
    root.offset = (0, 90, 0)
    motion = np.zeros((3, sum(len(bone.channels.split()) for bone in root.all())))
    rig, read = parse(mocap_files.bvh(root, motion).encode(), "a.bvh")
    np.testing.assert_allclose(positions(rig, read)[:, 0], [[0, 90, 0]] * 3)


def test_a_clip_in_the_convention_of_its_own_file(tmp_path: Path) -> None:
    motion = mocap_files.write_bvh(tmp_path / "walk_s1.bvh")
    clip = _clip(tmp_path)
    expected = mocap_files.slow_positions(mocap_files.person(), motion)
    spec = custom_settings.spec_of(custom_settings.load(tmp_path / "dataset.yaml"), tmp_path / "dataset.yaml")
    assert list(spec.joints) == list(expected)
    assert clip.convention == spec.name
    cm = np.stack(list(expected.values()), 1)
    np.testing.assert_allclose(clip.joints[:, 0], cm * [-0.01, 0.01, -0.01], atol=1e-5)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Left{}", "Right{}"),
        ("mixamorig:Left{}", "mixamorig:Right{}"),
        ("{}_L", "{}_R"),
        ("{}.l", "{}.r"),
        ("L_{}", "R_{}"),
        ("L{}", "R{}"),
        ("l{}", "r{}"),
        ("Bip01 L {}", "Bip01 R {}"),
        ("right{}", "left{}"),
    ],
)
def test_sides_and_parts_are_told_by_names(tmp_path: Path, left: str, right: str) -> None:
    mocap_files.write_bvh(tmp_path / "a.bvh", mocap_files.person(left, right))
    spec = convention(tmp_path / "a.bvh")
    names = spec.joints
    first, second = ("Left", "Right") if left != "right{}" else ("Right", "Left")
    form = {"Left": left, "Right": right}
    assert spec.shoulders is not None
    assert [names[v] for v in spec.shoulders] == [form[first].format("Arm"), form[second].format("Arm")]
    assert spec.left_right_swap is not None
    mirrored = {names[v]: names[u] for v, u in enumerate(spec.left_right_swap)}
    assert mirrored["Spine"] == "Spine"
    assert mirrored[left.format("ToeBase") + "_end"] == right.format("ToeBase") + "_end"
    assert spec.body_parts is not None
    parts = {part: [names[v] for v in members] for part, members in spec.body_parts.items()}
    assert parts["trunk"] == ["Hips", "Spine", "Neck", "Head", "Head_end"]
    assert len(parts["left_arm"]) == 5
    assert form[first].format("ForeArm") in parts["left_arm"]
    assert form[second].format("UpLeg") in parts["right_leg"]
    assert names[spec.center] == "Hips"


def test_names_that_tell_no_sides_leave_them_out(tmp_path: Path) -> None:
    mocap_files.write_bvh(tmp_path / "a.bvh", mocap_files.person("A{}", "B{}"))
    spec = convention(tmp_path / "a.bvh")
    assert (spec.shoulders, spec.left_right_swap, spec.body_parts) == (None, None, None)


def test_sides_that_hang_differently_are_none() -> None:
    assert rigs.mirror_images(["Hips", "LeftLeg", "RightLeg"], [-1, 0, 1]) is None
    assert rigs.mirror_images(["Hips", "LeftLeg", "RightLeg", "LeftToe"], [-1, 0, 0, 1]) == (0, 2, 1, 3)


def test_a_world_with_z_up_is_told_by_the_poses(tmp_path: Path) -> None:
    root = mocap_files.person()
    motion = np.zeros((3, sum(len(bone.channels.split()) for bone in root.all())))
    (tmp_path / "a.bvh").write_text(mocap_files.bvh(root, motion))
    assert convention(tmp_path / "a.bvh").axes == ("right", "up", "backward")
    motion[:, 4] = 90  # the hips' rotation about x: y comes to lie on z
    (tmp_path / "a.bvh").write_text(mocap_files.bvh(root, motion))
    assert convention(tmp_path / "a.bvh").axes == ("right", "forward", "up")
    clip = _clip(tmp_path)
    names = list(convention(tmp_path / "a.bvh").joints)
    assert (clip.joints[:, 0, names.index("Head"), 1] > clip.joints[:, 0, names.index("LeftFoot"), 1]).all()


def test_joints_can_be_left_out_by_a_pattern(tmp_path: Path) -> None:
    mocap_files.write_bvh(tmp_path / "a.bvh")
    clip = _clip(tmp_path, leave_out=["*_end"])
    assert clip.joints.shape[2] == len(mocap_files.person().all())


def test_without_units_the_error_says_which_would_make_a_person(tmp_path: Path) -> None:
    motion = np.zeros((3, sum(len(bone.channels.split()) for bone in mocap_files.person().all())))
    (tmp_path / "a.bvh").write_text(mocap_files.bvh(mocap_files.person(), motion))
    with pytest.raises(RawDataError, match=r"measures 187, `units: cm` makes that 1\.87 m"):
        _clip(tmp_path, units=None)
    small = mocap_files.person()
    for bone in small.all():
        bone.offset = tuple(v / 5.64 for v in bone.offset)  # type: ignore[assignment]
        bone.end = None
    (tmp_path / "a.bvh").write_text(mocap_files.bvh(small, motion))
    with pytest.raises(RawDataError, match=r"for a person of 1\.7 m say `units: 0\.0567"):
        _clip(tmp_path, units=None)


def test_the_odd_one_of_a_set_is_a_finding_that_says_what_differs(tmp_path: Path) -> None:
    for name in ("a", "b", "d"):
        mocap_files.write_bvh(tmp_path / f"{name}.bvh")
    odd = mocap_files.person()
    odd.children[0].children[0].name = "Nape"
    mocap_files.write_bvh(tmp_path / "c.bvh", odd)
    own_data.settings(tmp_path, **TOLD)
    *_, odd_one, last = custom.discover(tmp_path).items
    with pytest.raises(RawDataError, match=r"skeleton than the hierarchy of a.bvh: lacks Neck and has Nape"):
        custom.read(odd_one)
    assert custom.read(last).id == "d"


def test_a_damaged_first_file_does_not_describe_the_set(tmp_path: Path) -> None:
    (tmp_path / "a.bvh").write_text("HIERARCHY\nROOT Hips\n")
    mocap_files.write_bvh(tmp_path / "b.bvh")
    path = own_data.settings(tmp_path, **TOLD)
    spec = custom_settings.spec_of(custom_settings.load(path), path)
    assert spec.source == "the hierarchy of b.bvh"


def test_text_beside_files_that_describe_themselves_is_read_by_their_names(tmp_path: Path) -> None:
    mocap_files.write_bvh(tmp_path / "a.bvh")
    spec = convention(tmp_path / "a.bvh")
    header = ",".join(f"{name} {axis}" for name in spec.joints for axis in "xyz")
    held = np.random.default_rng(0).uniform(1, 99, (3, len(spec.joints) * 3)).round(3)
    rows = [",".join(map(str, row)) for row in held]
    (tmp_path / "b.csv").write_text("\n".join([header, *rows]))
    own_data.settings(tmp_path, **TOLD)
    clip = custom.read(custom.discover(tmp_path).items[1])
    np.testing.assert_allclose(clip.joints[:, 0, :, 1], held[:, 1::3] / 100, atol=1e-5)


def test_convention_file_without_such_a_file(tmp_path: Path) -> None:
    own_data.clips(tmp_path, "wave")
    own_data.settings(tmp_path, convention="file")
    with pytest.raises(ConfigError, match="no file below its folder describes a skeleton"):
        custom.discover(tmp_path)


def test_the_same_rig_has_the_same_name_in_every_data_set(tmp_path: Path) -> None:
    mocap_files.write_bvh(tmp_path / "one" / "a.bvh", seed=1)
    mocap_files.write_bvh(tmp_path / "two" / "b.bvh", seed=2)
    other = mocap_files.person()
    other.children[0].name = "Back"
    mocap_files.write_bvh(tmp_path / "three" / "c.bvh", other)
    names = [convention(tmp_path / file).name for file in ("one/a.bvh", "two/b.bvh", "three/c.bvh")]
    assert names[0] == names[1] != names[2]


def test_a_shipped_convention_takes_its_joints_by_name(tmp_path: Path) -> None:
    motion = mocap_files.write_bvh(tmp_path / "a.bvh")
    (tmp_path / "own.yaml").write_text(
        "name: arms_3\njoints: [Spine, LeftHand, RightHand]\nedges: [[1, 0], [2, 0]]\ncenter: 0\n"
    )
    clip = _clip(tmp_path, convention="own.yaml")
    expected = mocap_files.slow_positions(mocap_files.person(), motion)
    np.testing.assert_allclose(clip.joints[:, 0, 1], expected["LeftHand"] * 0.01, atol=1e-5)


def test_a_store_of_bvh_files(tmp_path: Path) -> None:
    for name in ("walk_s1", "walk_s2", "wave_s1"):
        mocap_files.write_bvh(tmp_path / "raw" / f"{name}.bvh", frames=8)
    (tmp_path / "raw" / "wave_s2.bvh").write_text("HIERARCHY\n")
    own_data.settings(tmp_path / "raw", pattern=r"(?P<label>[a-z]+)_s(?P<subject>\d+)", **TOLD)
    convert("custom", raw=tmp_path / "raw", out=tmp_path / "s.zarr", frames=(8,))
    opened = store.open_store(tmp_path / "s.zarr")
    assert list(opened.manifest.conventions) == [convention(tmp_path / "raw" / "walk_s1.bvh").name]
    findings = store.read_findings(opened)
    assert [(row.file, row.problem) for row in findings] == [("wave_s2.bvh", "unreadable file")]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("MOTION", "NOTION", "NOTION"),
        ("Frames: 5", "Frames: 50", "has 5 frames of .* channels, but promises 50"),
        ("Frames: 5", "Frames: 99999999999999999999", "promises"),
        ("ROOT Hips", "JOINT Hips", "wrong place"),
        ("JOINT Spine", "ROOT Spine", "a second ROOT"),
        ("CHANNELS 3", "CHANNELS 9", "no channels"),
        ("OFFSET 0.000000", "OFFSET nan", "expected a number, found 'nan'"),
        ("Zrotation", "Wrotation", "no channels"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, old: str, new: str, reason: str) -> None:
    mocap_files.write_bvh(tmp_path / "a.bvh")
    text = (tmp_path / "a.bvh").read_text().replace(old, new, 1)
    with pytest.raises(RawDataError, match=f"line [0-9]+: .*{reason}"):
        parse(text.encode(), "a.bvh")


def test_damaged_files_are_refused_or_sound(tmp_path: Path) -> None:
    mocap_files.write_bvh(tmp_path / "a.bvh", frames=3)
    sound, rng = (tmp_path / "a.bvh").read_bytes(), np.random.default_rng(0)
    own_data.settings(tmp_path, **TOLD)
    accepted = 0
    for _ in range(150):
        (tmp_path / "a.bvh").write_bytes(fuzzing.mutate(sound, rng))
        try:
            clip = own_data.read(tmp_path)
        except SkelError:
            continue
        assert np.isfinite(clip.joints).all()
        accepted += 1
    assert 0 < accepted < 150
