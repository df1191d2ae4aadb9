"""Whether mirrored people, odd heights and scores in place of a depth are noticed, and nothing else is."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import skeltools
from schemas import SkelError, SkeletonSpec
from skeltools import attitude, people, skeletons
from skeltools.conversion import convert
from skeltools.inspect.validate import Fault, Report, check, remedy_for
from tests.skeltools.own_data import settings
from tests.skeltools.raw_files import poses

FIGURE = {
    "head": (0, 1.7, 0),
    "nose": (0, 1.65, -0.12),
    "ear": (0.08, 1.65, 0),
    "shoulder": (0.2, 1.45, 0),
    "elbow": (0.28, 1.2, 0.1),
    "wrist": (0.28, 1.0, -0.1),
    "hip": (0.1, 0.95, 0),
    "knee": (0.12, 0.5, -0.08),
    "ankle": (0.11, 0.1, 0),
    "toe": (0.12, 0.02, -0.18),
}
"""Of a person who faces the sensor: metres, y up, z away from it, and how far to the person's own side."""

SPECS = [skeletons.load(name) for name in skeletons.names()]
WITH = [spec for spec in SPECS if people.parts_of(spec)]


def person(spec: SkeletonSpec, *, frames: int = 6, seed: int = 0, upright: bool = False) -> np.ndarray:
    """[T, 1, V, 3] in canonical axes, where the left of who faces the sensor is at negative x; in any
    attitude, or upright and turned to anywhere."""
    rng = np.random.default_rng(seed)
    pose = np.tile([0.0, 0.95, 0.0], (spec.num_joints, 1))
    parts = people.parts_of(spec)
    for name, joint in sorted(parts.items()):  # the nose may be all there is of a head
        side, _, part = name.rpartition(" ")
        x, y, z = FIGURE[part]
        pose[joint] = (-x if side == "left" else x, y, z)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    pose = pose @ (about_y(rng.uniform(0, 6)) if upright else turn)
    sway = rng.normal(scale=0.004, size=(frames, 1, spec.num_joints, 3))
    return pose + sway + rng.normal(size=3)


def about_y(angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


def judged(spec: SkeletonSpec, clips: list[np.ndarray], **how: object) -> dict[str, str]:
    looks = [people.look(spec, clip, np.ones(clip.shape[:2], bool)) for clip in clips]
    named = [replace(look, id=f"clip{n}") for n, look in enumerate(looks) if look]
    found = people.judge(named, place=spec.name, **how)
    return {row.problem: row.detail for row in found}


# --- sides --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", WITH, ids=lambda spec: spec.name)
def test_people_of_every_convention_and_attitude_are_told_from_their_mirror_images(spec) -> None:
    clips = [person(spec, seed=seed) for seed in range(16)]
    assert judged(spec, clips) == {}
    assert list(judged(spec, [clip * [-1, 1, 1] for clip in clips])) == [people.MIRRORED]
    swap = list(spec.left_right_swap)
    assert list(judged(spec, [clip[..., swap, :] for clip in clips])) == [people.MIRRORED]


def test_which_conventions_can_be_judged_and_by_what() -> None:
    rng = np.random.default_rng(0)
    cues = {
        spec.name: people._cue(rng.normal(size=(1, spec.num_joints, 3)), people.parts_of(spec))[0]
        for spec in SPECS
    }
    silent = {name for name, cue in cues.items() if not cue}
    assert silent == {*skeletons.names("hands"), *skeletons.names("animals")}
    assert cues["kinectv2_25"] == cues["smpl_22"] == cues["h36m_32"] == cues["soma_77"] == "toes"
    assert cues["coco_17"] == cues["openpose_18"] == "face"
    assert {name for name, cue in cues.items() if cue == "limbs"} == {
        *("aic_14", "crowdpose_14", "h36m_17", "jhmdb_15", "lsp_14", "mpi_inf_3dhp_17", "mpii_16"),
        *("openpose_mpi_15", "sbu_15"),
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LeftToeBase", ("left", "toe_base")),
        ("mixamorig:RightUpLeg", ("right", "mixamorig_up_leg")),
        ("ANKLE_RIGHT", ("right", "ankle")),
        ("hip_l", ("left", "hip")),
        ("L.Knee", ("left", "knee")),
        ("rwri_smpl", ("right", "wri_smpl")),
        ("RBigToe", ("right", "big_toe")),
        ("larynx", ("", "larynx")),
        ("head", ("", "head")),
    ],
)
def test_sides_in_names(name: str, expected: tuple[str, str]) -> None:
    assert people._split(name) == expected


def test_the_feet_of_a_rig_that_has_toes_are_its_ankles() -> None:
    joints = ("Hips", "Head", "LeftUpLeg", "LeftLeg", "LeftFoot", "LeftToeBase", "RightUpLeg", "RightLeg")
    joints += ("RightFoot", "RightToeBase", "LeftShoulder", "RightShoulder")
    edges = tuple((joint, 0) for joint in range(1, len(joints)))
    parts = people.parts_of(SkeletonSpec(name="rig", joints=joints, edges=edges, center=0))
    named = {name: joints[joint] for name, joint in parts.items()}
    assert (named["left ankle"], named["left toe"]) == ("LeftFoot", "LeftToeBase")
    assert (named["right hip"], named["left shoulder"]) == ("RightUpLeg", "LeftShoulder")


def test_few_clips_of_a_weak_cue_say_nothing() -> None:
    spec = skeletons.load("lsp_14")
    assert judged(spec, [person(spec, seed=seed) * [-1, 1, 1] for seed in range(15)]) == {}


def test_points_at_random_and_joints_that_were_not_seen_say_nothing() -> None:
    spec = skeletons.load("kinectv2_25")
    rng = np.random.default_rng(0)
    assert judged(spec, [rng.normal(size=(12, 1, 25, 3)) for _ in range(9)]) == {}
    assert judged(spec, [poses(12, seed=seed) for seed in range(9)]) == {}
    clip = person(spec, upright=True) * [-1, 1, 1]
    clip[:, :, spec.joints.index("FootLeft")] = np.nan
    clip[2, :, spec.joints.index("FootLeft")] = 0.0
    assert list(judged(spec, [clip[:2]])) == []
    assert people.look(spec, np.full((2, 1, 25, 3), np.nan), np.ones((2, 1), bool)) is None


# --- height -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "told"),
    [
        (1000, "millimetres read as metres"),
        (100, "centimetres read as metres"),
        (1 / 0.0254, "inches read as metres"),
        (1 / 0.3048, "feet read as metres"),
        (1 / 2.54, "inches read as centimetres"),
        (0.001, "metres read as millimetres"),
        (0.01, "metres read as centimetres"),
        (0.1, "centimetres read as millimetres"),
        (0.25, None),
    ],
)
def test_a_height_that_is_nobodys_is_told_with_the_likely_cause(factor: float, told: str | None) -> None:
    spec = skeletons.load("smpl_24")
    detail = judged(spec, [person(spec, seed=seed) * factor for seed in range(3)])[people.HEIGHT]
    assert (told in detail) if told else ("?" not in detail)


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.3])
def test_children_and_giants_are_people(factor: float) -> None:
    for spec in WITH:
        assert judged(spec, [person(spec, upright=True) * factor]) == {}


def test_the_bones_of_a_skeleton_without_knees_add_up_to_a_height() -> None:
    """The smallest figure of docs/guides/custom-data.md, of 0.6 m: inches taken for centimetres."""
    joints = ("hip", "neck", "head", "left_shoulder", "right_shoulder", "left_foot", "right_foot")
    spec = SkeletonSpec(
        name="stick", joints=joints, edges=((0, 1), (2, 1), (3, 1), (4, 1), (5, 0), (6, 0)), center=1
    )
    place = [
        (0, 0.9, 0),
        (0, 1.4, 0),
        (0, 1.6, 0.02),
        (-0.2, 1.4, 0),
        (0.2, 1.4, 0),
        (-0.1, 0, 0.1),
        (0.1, 0, 0),
    ]
    clip = np.array(place)[None, None] + np.random.default_rng(0).normal(scale=0.002, size=(5, 1, 7, 3))
    assert judged(spec, [clip]) == {}
    assert "inches read as centimetres" in judged(spec, [clip / 2.54])[people.HEIGHT]


# --- depth --------------------------------------------------------------------------------------------------


def flat(spec: SkeletonSpec, *, pixels: float = 200.0, seed: int = 0) -> np.ndarray:
    """Image coordinates and a score."""
    clip = person(spec, frames=20, seed=seed) * pixels + [320, 240, 0]
    clip[..., 2] = np.random.default_rng(seed).uniform(0.3, 1.0, clip.shape[:-1])
    return clip


@pytest.mark.parametrize("change", [[1, 1, 1], [-1, -1, 1], [0.001, 0.001, 0.001], [-0.002, -0.002, -0.002]])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_score_in_place_of_a_coordinate_is_noticed(change: list[float], axis: int) -> None:
    spec = skeletons.load("coco_17")
    clips = [np.roll(flat(spec, seed=seed) * change, axis - 2, axis=-1) for seed in range(4)]
    found = judged(spec, clips)
    assert list(found) == [people.SCORE]
    assert found[people.SCORE].startswith("xyz"[axis])


def test_two_dimensional_poses_say_nothing() -> None:
    spec = skeletons.load("coco_17")
    assert judged(spec, [flat(spec, seed=seed) * [1, 1, 0] for seed in range(4)], flat=True) == {}


@pytest.mark.parametrize("value", [0.0, 0.9])
@pytest.mark.parametrize("factor", [200.0, 1.0])
def test_a_flat_depth_is_told_and_so_is_a_height_that_is_nobodys(value: float, factor: float) -> None:
    spec = skeletons.load("coco_17")
    clips = [person(spec, seed=seed, upright=True) * [factor, factor, 0] + [0, 0, value] for seed in range(4)]
    found = judged(spec, clips)
    assert list(found) == ([people.LEVEL, people.HEIGHT] if factor > 1 else [people.LEVEL])
    assert found[people.LEVEL] == (
        "z is the same for all joints of a pose: are these 2D poses? `coordinates: xy`"
    )
    assert "read as" not in found.get(people.HEIGHT, "")


# --- attitude -----------------------------------------------------------------------------------------------

CAMERA = "x right, y down, z forward, in mm"
TOLD = {
    "right": [-1, 0, 0],
    "left": [1, 0, 0],
    "up": [0, 1, 0],
    "down": [0, -1, 0],
    "forward": [0, 0, 1],
    "backward": [0, 0, -1],
}


def read_as(clip: np.ndarray, true: str, said: str) -> np.ndarray:
    """Canonical poses, written with axes that point as ``true`` says, read as ``said`` has it."""
    written = clip @ np.array([TOLD[word] for word in true.split()]).T
    return np.asarray(written @ np.array([TOLD[word] for word in said.split()]))


RIGHT_HANDED = [
    "right up backward",
    "left up forward",
    "right forward up",
    "forward left up",
    "down right backward",
]
LEFT_HANDED = ["right up forward", "left forward up"]


@pytest.mark.parametrize("name", ["coco_17", "smpl_22", "kinectv2_25", "mpii_16"])
@pytest.mark.parametrize("true", [*RIGHT_HANDED, *LEFT_HANDED])
def test_people_who_do_not_stand_are_told_with_axes_that_put_them_upright(name: str, true: str) -> None:
    spec, said = skeletons.load(name), "right down forward"
    clips = [person(spec, seed=seed, upright=True) for seed in range(16)]
    found = judged(spec, [read_as(clip, true, said) for clip in clips], axes=CAMERA)
    up = true.split().index("up") if "up" in true else true.split().index("down")
    attitude_problem = attitude.UPSIDE_DOWN if up == 1 else attitude.LYING
    assert list(found) == [people.MIRRORED] * (true in LEFT_HANDED) + [attitude_problem]
    detail = found[attitude_problem]
    assert "16 of 16 clips" in detail
    assert "read with x right, y down, z forward" in detail
    if up != 1:
        assert f"; {'-' if 'down' in true else ''}{'xyz'[up]} looks like up" in detail
    better = re.search(r"`axes: {x: (\w+), y: (\w+), z: (\w+)}`", detail)
    assert better
    assert judged(spec, [read_as(clip, true, " ".join(better.groups())) for clip in clips]) == {}


def test_two_dimensional_people_upside_down_get_y_turned_alone() -> None:
    spec = skeletons.load("coco_17")
    clips = [person(spec, seed=seed, upright=True) * [1, -1, 0] for seed in range(3)]
    assert judged(spec, [clip * [1, -1, 1] for clip in clips], axes=CAMERA, flat=True) == {}
    found = judged(spec, clips, axes=CAMERA, flat=True)
    assert list(found) == [attitude.UPSIDE_DOWN]
    assert "`axes: {x: right, y: up, z: forward}`" in found[attitude.UPSIDE_DOWN]


def test_some_who_lie_stand_on_their_hands_or_turn_cartwheels_say_nothing() -> None:
    spec = skeletons.load("smpl_22")
    clips = [person(spec, frames=24, seed=seed, upright=True) for seed in range(10)]
    clips[1] = clips[1] * [-1, -1, 1]
    clips[4] = clips[4][..., [1, 2, 0]]
    for frame, angle in enumerate(np.linspace(0, 2 * np.pi, 24)):
        clips[6][frame] = clips[6][frame][..., [2, 0, 1]] @ about_y(angle)[:, [1, 2, 0]]
    assert judged(spec, clips, axes=CAMERA) == {}
    assert judged(spec, [clips[6]] * 5, axes=CAMERA) == {}


def test_where_the_axes_are_not_told_the_store_s_are_named() -> None:
    spec = skeletons.load("smpl_22")
    found = judged(spec, [person(spec, seed=seed, upright=True)[..., [0, 2, 1]] for seed in range(3)])
    assert found[attitude.LYING] == "on their back or belly in 3 of 3 clips; z looks like up"


# --- clips unlike the others --------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1000.0, 0.001, 0.1])
def test_a_clip_in_another_unit_is_named(factor: float) -> None:
    spec = skeletons.load("coco_17")
    clips = [person(spec, seed=seed, upright=True) for seed in range(7)]
    clips[5] = clips[5] * factor
    assert judged(spec, clips) == {}  # of data sets whose files are known
    found = judged(spec, clips, each=True)
    assert list(found) == [people.OUTLIERS]
    assert found[people.OUTLIERS].startswith("1 of 7 clips: clip5 (")
    assert people.OUTLIERS not in judged(spec, clips[4:6], each=True)


def test_children_among_adults_and_far_people_in_2d_are_no_outliers() -> None:
    spec = skeletons.load("coco_17")
    clips = [person(spec, seed=seed, upright=True) * (0.5 if seed % 3 else 1.1) for seed in range(6)]
    assert people.OUTLIERS not in judged(spec, clips, each=True)
    near = [clip * [1, 1, 0] * (0.1 if number == 2 else 1) for number, clip in enumerate(clips)]
    assert judged(spec, near, each=True, flat=True) == {}
    fractions = [clip * (0.001 if number == 2 else 1) for number, clip in enumerate(near)]
    assert list(judged(spec, fractions, each=True, flat=True)) == [people.OUTLIERS]


def test_clips_in_which_nothing_moves_or_all_is_one_point_are_named() -> None:
    spec = skeletons.load("coco_17")
    clips = [person(spec, frames=8, seed=seed, upright=True) for seed in range(12)]
    for number in range(1, 8):
        clips[number][:] = clips[number][:1]
    clips[9][:] = [1.0, 2.0, 3.0]
    clips[10][:] = clips[10][:, :, :1]  # a point that moves
    clips[11] = clips[11][:1]  # one frame
    found = judged(spec, clips, each=True)
    assert list(found) == [people.POINT, people.STILL]
    assert found[people.POINT] == "2 of 12 clips: clip9, clip10"
    assert found[people.STILL] == "7 of 12 clips: clip1, clip2, clip3, clip4 and 3 more"


def test_one_who_moves_beside_one_who_does_not_and_one_who_is_absent_move() -> None:
    spec = skeletons.load("coco_17")
    clip = np.concatenate([person(spec, seed=seed, upright=True) for seed in range(2)], axis=1)
    clip[:, 0] = clip[:1, 0]
    present = np.ones((6, 2), bool)
    assert not people.look(spec, clip, present).still
    present[1:, 1] = False
    clip[1:, 1] = 0
    assert people.look(spec, clip, present).still


# --- conversion and validation ------------------------------------------------------------------------------


def recorded(folder: Path, clips: int = 3, **changes: object) -> Path:
    settings(folder, convention="kinectv1_20", layout="T M V C", **changes)
    spec = skeletons.load("kinectv1_20")
    for number in range(clips):
        np.save(folder / f"clip{number:03}.npy", person(spec, seed=number, upright=True).astype(np.float32))
    return folder


OURS = (people.MIRRORED, people.HEIGHT, people.SCORE)


def test_odd_clips_of_a_user_s_own_are_all_found_and_noted_by_validate(tmp_path: Path) -> None:
    raw = recorded(tmp_path / "raw", 67)
    for number, change in {
        13: lambda clip: clip * 0.001,
        33: lambda clip: clip[:1].repeat(6, axis=0),
        51: lambda clip: clip * 0 + np.float32(0.5),
    }.items():
        file = raw / f"clip{number:03}.npy"
        np.save(file, change(np.load(file)))
    made = convert("custom", raw=raw, out=tmp_path / "a", frames=(4,))
    found = {row.problem: row.detail for row in made.findings}
    assert list(found) == [people.OUTLIERS, people.POINT, people.STILL]
    assert made.manifest.samples == 67
    assert all(f"clip{n:03}" in detail for n, detail in zip((13, 51, 33), found.values(), strict=True))
    report = check(tmp_path / "a")
    assert report.faults == ()
    assert [note.problem for note in report.notes][-3:] == [f"{name}: {text}" for name, text in found.items()]


def test_people_upside_down_are_told_by_any_recipe_and_noted(tmp_path: Path) -> None:
    raw = recorded(tmp_path / "raw", axes={"x": "right", "y": "down", "z": "forward"})
    for recipe in ("default", "centered"):
        made = convert("custom", raw=raw, out=tmp_path / recipe, frames=(4,), recipe=recipe)
        found = {row.problem: row.detail for row in made.findings}
        assert list(found) == [attitude.UPSIDE_DOWN]
        assert "read with x right, y down, z forward: try `axes: {x:" in found[attitude.UPSIDE_DOWN]
        noted = [note.problem for note in check(tmp_path / recipe).notes]
        assert f"{attitude.UPSIDE_DOWN}: {found[attitude.UPSIDE_DOWN]}" in noted


def test_faults_that_are_not_of_units_alone_keep_their_remedy() -> None:
    damaged = Fault("samples/id", "ids are not sorted, or one is there twice")
    assert remedy_for(Report((damaged,))) == "Convert the raw data again"
    assert remedy_for(Report((damaged, Fault("x", "these are no metres")))) == "Convert the raw data again"


def written_2d(folder: Path, **changes: object) -> Path:
    settings(folder, convention="coco_17", layout="T M V C", coordinates="xy", **changes)
    return folder


@pytest.mark.parametrize(("span", "told"), [(1.0, "within 1 pixel:"), (2.0, "within 2 pixels:")])
def test_an_image_size_over_fractions_of_the_image_is_refused(tmp_path: Path, span: float, told: str) -> None:
    raw = written_2d(tmp_path / "raw", image_size=[1920, 1080])
    spec = skeletons.load("coco_17")
    for number in range(3):
        clip = person(spec, seed=number, upright=True)[..., :2]
        clip = (clip - clip.min()) / (clip.max() - clip.min()) * span - (span - 1)
        np.save(raw / f"clip{number}.npy", clip * [1, -1] + [0, span - 1 + 1 * (span == 1)])
    with pytest.raises(SkelError) as error:
        convert("custom", raw=raw, out=tmp_path / "a", frames=(4,))
    assert told in error.value.message
    assert "`units`, metres per unit: [3.556, 2, 2]" in error.value.message
    written_2d(raw, units=[3.556, 2, 2])
    assert convert("custom", raw=raw, out=tmp_path / "a", frames=(4,)).manifest.samples == 3


def test_a_third_coordinate_that_says_nothing_is_left_out_of_2d_poses(tmp_path: Path) -> None:
    raw = written_2d(tmp_path / "raw", image_size=[1920, 1080])
    spec = skeletons.load("coco_17")
    pixels = person(spec, upright=True)[..., :2] * [200, -200] + [900, 700]
    np.save(raw / "a.npy", np.concatenate([pixels, np.zeros((6, 1, 17, 1))], axis=-1))
    np.save(raw / "b.npy", pixels)
    np.save(raw / "c.npy", np.concatenate([pixels, pixels[..., :1]], axis=-1))
    made = convert("custom", raw=raw, out=tmp_path / "a", frames=(4,))
    assert [(row.file, row.problem) for row in made.findings] == [("c.npy", "unreadable file")]
    opened = skeltools.open(tmp_path / "a")
    assert np.array_equal(opened["a"].joints, opened["b"].joints)


def notes(path: Path) -> list[str]:
    return [note.problem for note in check(path).notes if note.problem.startswith(OURS)]


def test_a_set_of_mirrored_people_is_told_at_conversion_and_by_validate(tmp_path: Path) -> None:
    right = convert("custom", raw=recorded(tmp_path / "right"), out=tmp_path / "a")
    assert (right.manifest.findings, right.warnings, notes(tmp_path / "a")) == ({}, (), [])
    raw = recorded(tmp_path / "wrong", axes={"x": "right", "y": "up", "z": "forward"}, units="cm")
    wrong = convert("custom", raw=raw, out=tmp_path / "b")
    assert wrong.manifest.findings == {people.HEIGHT: 1, people.MIRRORED: 1}
    assert [row.file for row in wrong.findings] == ["kinectv1_20"] * 2
    assert wrong.warnings[0].startswith("kinectv1_20: people look mirrored: toes point backward")
    assert [note.partition(":")[0] for note in notes(tmp_path / "b")] == [people.MIRRORED]
    report = check(tmp_path / "b")
    told = next(row.detail for row in wrong.findings if row.problem == people.HEIGHT)
    assert [fault.problem.split("; bones")[0] for fault in report.faults] == [f"{people.HEIGHT}: {told}"]
    assert "dataset.yaml" in remedy_for(report)


def test_what_is_found_does_not_depend_on_workers_and_parts(tmp_path: Path, monkeypatch) -> None:
    raw = recorded(tmp_path / "raw", 70, axes={"x": "right", "y": "up", "z": "forward"})
    whole = convert("custom", raw=raw, out=tmp_path / "a", frames=(4,))
    assert "35 clips" in whole.findings[-1].detail
    assert convert("custom", raw=raw, out=tmp_path / "b", frames=(4,), workers=2).manifest == whole.manifest
