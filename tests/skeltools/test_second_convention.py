"""Poses of a second convention beside every data set: found, and aligned with the native clips."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml

from schemas import UsageError
from skeltools import skeletons, store
from skeltools.conversion import beside, convert, planning
from skeltools.conversion.append import add_metrabs
from skeltools.datasets import DATASETS, find_raw
from skeltools.inspect.validate import validate
from skeltools.raw_items import Listing, RawItem
from tests.skeltools.own_data import SIX, settings
from tests.skeltools.raw_files import poses, write_npz, write_nwucla, write_pku

LSP = skeletons.load("lsp_14")
PATTERN = r"(?P<label>[a-z]+)_s(?P<subject>\d+)_c(?P<camera>\d+)"
STICK = ["hip", "neck", "left_shoulder", "left_elbow", "left_wrist"]
STICK += ["right_shoulder", "right_elbow", "right_wrist", "left_knee", "right_knee"]
OWN = {
    "name": "stick",
    "joints": STICK,
    "edges": [[0, 1], [2, 1], [3, 2], [4, 3], [5, 1], [6, 5], [7, 6], [8, 0], [9, 0]],
    "center": 1,
    "shoulders": [2, 5],
    "left_right_swap": [0, 1, 5, 6, 7, 2, 3, 4, 9, 8],
    "body_parts": {
        "trunk": [0, 1],
        "left_arm": [2, 3, 4],
        "right_arm": [5, 6, 7],
        "left_leg": [8],
        "right_leg": [9],
    },
}


def body(joints: Sequence[str], *, frames: int = 12, seed: int = 0) -> np.ndarray:
    """[T, V, 3] metres, canonical: what moves at each side is another thing, so that sides can be told."""
    rng = np.random.default_rng(seed)
    places = {name: rng.uniform(-0.6, 0.6, 3) for name in sorted(SHARED)}
    time = np.linspace(0, 3, frames)[:, None]
    told = {name: place + 0.2 * np.sin(time * (1 + i)) for i, (name, place) in enumerate(places.items())}
    rows = [told.get(SHARED_NAME.get(name, ""), np.zeros((frames, 3)) + 0.05) for name in joints]
    return (np.stack(rows, axis=1) + np.array([0.1, 0.2, 3.0])).astype(np.float32)


SHARED = ("lsho", "lelb", "lwri", "lkne", "rsho", "relb", "rwri", "rkne")
SHARED_NAME = {name: name for name in SHARED} | {
    f"{side}_{part}": f"{side[0]}{part[:3] if part != 'shoulder' else 'sho'}"
    for side in ("left", "right")
    for part in ("shoulder", "elbow", "wrist", "knee")
}
SHARED_NAME |= {
    f"{part}{side}": f"{side[0].lower()}{part[:3].lower()}"
    for side in ("Left", "Right")
    for part in ("Shoulder", "Elbow", "Wrist", "Knee")
}


def seen(joints: np.ndarray, *, mirrored: bool) -> np.ndarray:
    """Canonical lsp_14 [T, V, 3] as MeTRAbs estimates it: [T, 1, V, 3] millimetres, x right, y down."""
    swap = list(LSP.left_right_swap or ())
    turned = joints[:, swap] * [1, -1, 1] if mirrored else joints * [-1, -1, 1]
    return (turned[:, None] * 1000).astype(np.float32)


def own_data(folder: Path, **changes: object) -> Path:
    """Six clips of a skeleton of the user's own, one person each."""
    settings(folder, convention="stick.yaml", layout="T V C", pattern=PATTERN, **changes)
    (folder / "stick.yaml").write_text(yaml.safe_dump(OWN))
    for number, name in enumerate(SIX):
        np.save(folder / f"{name}.npy", body(STICK, seed=number))
    return folder


def estimate(folder: Path, names: list[str], *, mirrored: bool = False, **arrays: object) -> None:
    for number, name in enumerate(names):
        write_npz(folder, "lsp_14", name, seen(body(LSP.joints, seed=number), mirrored=mirrored), **arrays)


def joints_of(path: Path, convention: str) -> list[np.ndarray]:
    return [
        np.zeros((0, 1, 1, 3)) if clip is None else clip.joints
        for clip in store.read_sequences(store.open_store(path), convention)
    ]


# --- custom -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mirrored", [False, True])
def test_custom_clips_have_their_second_convention(tmp_path: Path, mirrored: bool) -> None:
    raw = own_data(tmp_path / "raw", mirrored_video=mirrored)
    estimate(raw, SIX, mirrored=mirrored)
    made = convert("custom", raw=raw, out=tmp_path / "s")
    assert list(made.manifest.conventions) == ["stick", "lsp_14"]
    assert made.manifest.conventions["lsp_14"].mirrored_video is mirrored
    assert (made.manifest.findings, made.warnings) == ({}, ())
    for number, joints in enumerate(joints_of(tmp_path / "s", "lsp_14")):
        np.testing.assert_allclose(joints[:, 0], body(LSP.joints, seed=number), atol=1e-5)
    assert store.read(store.open_store(tmp_path / "s"), "samples/subject").tolist() == [1, 1, 2, 2, 3, 3]
    assert validate(tmp_path / "s") == ()


def test_the_wrong_kind_of_video_is_noticed_in_any_room(tmp_path: Path) -> None:
    """Poses against native skeletons in the axes of a room, a quarter turn from the camera's."""
    raw = own_data(tmp_path / "raw", axes={"x": "forward", "y": "up", "z": "right"})
    estimate(raw, SIX, mirrored=True)
    made = convert("custom", raw=raw, out=tmp_path / "s")
    assert "--mirrored-video" in made.warnings[0]
    assert made.manifest.findings == {"left and right look exchanged": 1}
    assert convert("custom", raw=raw, out=tmp_path / "t", mirrored=True).warnings == ()


def test_the_native_convention_answers_to_the_name_that_the_store_prints(tmp_path: Path) -> None:
    raw = own_data(tmp_path / "raw")
    estimate(raw, SIX[:4])
    for asked in (("stick",), ("stick", "lsp_14"), ("lsp_14",)):
        made = convert("custom", raw=raw, out=tmp_path / "-".join(asked), conventions=asked)
        assert tuple(made.manifest.conventions) == asked
    assert made.manifest.samples == 4
    with pytest.raises(
        UsageError, match=r"no raw files of convention coco_17. It has: lsp_14, stick. MeTRAbs"
    ):
        convert("custom", raw=raw, out=tmp_path / "s", conventions=("coco_17",))


def test_added_to_a_custom_store_is_what_converting_at_once_makes(tmp_path: Path) -> None:
    raw = own_data(tmp_path / "raw")
    convert("custom", raw=raw, out=tmp_path / "s")
    estimate(raw, SIX)
    added = add_metrabs("custom", raw=raw, out=tmp_path / "s", conventions=("lsp_14",))
    direct = convert("custom", raw=raw, out=tmp_path / "t")
    assert added.manifest.arrays == direct.manifest.arrays
    assert added.manifest.conventions == direct.manifest.conventions
    assert validate(tmp_path / "s") == ()


def test_poses_are_named_after_the_clip_or_its_file(tmp_path: Path) -> None:
    """Ids from the pattern, clips in folders; a file of all joints in a folder finds its table."""
    raw = tmp_path / "raw"
    settings(raw, convention="kinectv1_20", layout="T V C", pattern=r"[^/]+/(?P<id>(?P<label>[a-z]+)\d)_.*")
    names = ["mon/wave1_x", "tue/walk1_y", "tue/walk2_z"]
    for number, name in enumerate(names):
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(raw / f"{name}.npy", body(skeletons.load("kinectv1_20").joints, seed=number))
    estimate(raw, [names[0], "walk1"])
    whole = raw / "metrabs" / "all" / "tue" / "walk2_z.npz"
    whole.parent.mkdir(parents=True)
    np.savez(whole, poses3d=seen(body(LSP.joints, seed=2), mirrored=False))
    (raw / "metrabs" / "joint_names.txt").write_text("\n".join(f"{joint}_lsp" for joint in LSP.joints))
    estimate(raw, ["nobody"])
    convert("custom", raw=raw, out=tmp_path / "none", conventions=("kinectv1_20",))
    added = add_metrabs("custom", raw=raw, out=tmp_path / "none")
    made = convert("custom", raw=raw, out=tmp_path / "s")
    assert added.manifest.arrays == made.manifest.arrays
    assert made.manifest.conventions["lsp_14"].missing == ()
    assert made.manifest.findings == {beside.WITHOUT_CLIP: 1}
    seeds = {"wave1": 0, "walk1": 1, "walk2": 2}
    opened = store.open_store(tmp_path / "s")
    for id, clip in zip(store.read(opened, "samples/id"), joints_of(tmp_path / "s", "lsp_14"), strict=True):
        np.testing.assert_allclose(clip[:, 0], body(LSP.joints, seed=seeds[id]), atol=1e-5)


def test_poses_of_the_native_convention_do_not_take_its_place(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    settings(
        raw, convention="lsp_14", layout="T V C", axes={"x": "left", "y": "up", "z": "forward"}, units="m"
    )
    np.save(raw / "a.npy", body(LSP.joints))
    estimate(raw, ["a"])
    write_npz(raw, "coco_17", "a", np.ones((12, 1, 17, 3), np.float32) * np.arange(17)[:, None])
    made = convert("custom", raw=raw, out=tmp_path / "s")
    assert list(made.manifest.conventions) == ["lsp_14", "coco_17"]
    assert made.manifest.findings[beside.NATIVE] == 1
    np.testing.assert_allclose(joints_of(tmp_path / "s", "lsp_14")[0][:, 0], body(LSP.joints), atol=1e-6)


def test_a_native_skeleton_without_sides_is_no_reason_to_fail(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    settings(raw, convention="mediapipe_hand_21", layout="T V C")
    np.save(raw / "a.npy", poses(12, 1, 21)[:, 0])
    estimate(raw, ["a"])
    made = convert("custom", raw=raw, out=tmp_path / "s", recipe="centered", conventions=("lsp_14",))
    assert (list(made.manifest.conventions), made.manifest.samples) == (["lsp_14"], 1)


@pytest.mark.parametrize(("video", "native", "fits"), [(25, 100, True), (60, 120, True), (25, 77, False)])
def test_an_unknown_rate_of_the_sensor_is_what_both_lengths_say(tmp_path, video, native, fits) -> None:
    raw = tmp_path / "raw"
    settings(raw, convention="kinectv1_20", layout="T V C")
    np.save(raw / "a.npy", body(skeletons.load("kinectv1_20").joints, frames=native * 2))
    np.save(raw / "b.npy", body(skeletons.load("kinectv1_20").joints, frames=native * 2))
    for id, rate in (("a", video), ("b", native)):
        path = write_npz(raw, "lsp_14", id, seen(body(LSP.joints, frames=rate * 2), mirrored=False), fps=rate)
        assert path.is_file()
    made = convert("custom", raw=raw, out=tmp_path / "s")
    expected = {"another clock than the sensor's": 1} if fits else {"unreadable file": 1}
    assert made.manifest.findings == expected
    *first, last = joints_of(tmp_path / "s", "lsp_14")
    assert [len(clip) for clip in (*first, last)] == [native * 2 if fits else 0, native * 2]


# --- NW-UCLA ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [False, True])
def test_nw_ucla_has_its_second_convention(tmp_path: Path, zipped: bool) -> None:
    names = ["a01_s01_e00_v01", "a02_s01_e00_v03", "a03_s02_e01_v02"]
    raw = tmp_path / "raw"
    for number, name in enumerate(names):
        write_nwucla(raw / "all", name, body(skeletons.load("kinectv1_20").joints, seed=number), number + 1)
    if zipped:
        with zipfile.ZipFile(raw / "nw-ucla.zip", "w") as archive:
            for name in names:
                archive.write(raw / "all" / f"{name}.json", f"{name}.json")
                (raw / "all" / f"{name}.json").unlink()
    estimate(raw, names, mirrored=DATASETS["nw-ucla"].mirrored)
    estimate(raw, ["a04_s01_e00_v01"], mirrored=True)
    (raw / "metrabs" / "skeletons.json").write_text("{}")
    write_npz(raw, "lsp_14", "S001C001P001R001A001", np.ones((4, 1, 14, 3), np.float32))
    made = convert("nw-ucla", raw=raw, out=tmp_path / "s")
    assert list(made.manifest.conventions) == ["kinectv1_20", "lsp_14"]
    assert made.manifest.conventions["kinectv1_20"].missing == ("a04_s01_e00_v01",)
    assert (made.manifest.findings, made.warnings) == ({beside.WITHOUT_CLIP: 1}, ())
    for number, joints in enumerate(joints_of(tmp_path / "s", "lsp_14")[:3]):
        np.testing.assert_allclose(joints[:, 0], body(LSP.joints, seed=number), atol=1e-5)
    assert store.read(store.open_store(tmp_path / "s"), "samples/label").tolist() == [0, 1, 2, 3]
    assert validate(tmp_path / "s") == ()


def test_estimated_poses_alone_are_found_by_their_own_data_set_only(tmp_path: Path) -> None:
    estimate(tmp_path, ["a01_s01_e00_v01"])
    assert find_raw(DATASETS["nw-ucla"], tmp_path) == tmp_path
    with pytest.raises(UsageError, match="no raw file of pku-mmd-1 in it"):
        find_raw(DATASETS["pku-mmd-1"], tmp_path)


# --- PKU-MMD ------------------------------------------------------------------------------------------------

VIDEO = "0002-L"
ROWS = [(1, 0, 20), (51, 30, 60), (7, 62, 90)]


def pku(folder: Path) -> np.ndarray:
    """A video of 100 frames with three actions; returns the same people in lsp_14."""
    native = body(skeletons.load("kinectv2_25").joints, frames=100)
    write_pku(folder, VIDEO, native[:, None], ROWS)
    return body(LSP.joints, frames=100)


def test_poses_of_a_recording_are_cut_with_its_clips(tmp_path: Path) -> None:
    whole = pku(tmp_path / "raw")
    estimate_one(tmp_path / "raw", VIDEO, whole)
    estimate_one(tmp_path / "raw", f"{VIDEO}_002", whole[30:60] + np.float32(0.25))
    made = convert("pku-mmd-1", raw=tmp_path / "raw", out=tmp_path / "s")
    assert (made.manifest.findings, made.warnings) == ({}, ())
    expected = [whole[0:20], whole[30:60] + np.float32(0.25), whole[62:90]]
    for clip, wanted in zip(joints_of(tmp_path / "s", "lsp_14"), expected, strict=True):
        np.testing.assert_allclose(clip[:, 0], wanted, atol=1e-5)
    convert("pku-mmd-1", raw=tmp_path / "raw", out=tmp_path / "t", conventions=("kinectv2_25",))
    added = add_metrabs("pku-mmd-1", raw=tmp_path / "raw", out=tmp_path / "t")
    assert added.manifest.arrays == made.manifest.arrays
    assert validate(tmp_path / "t") == ()


def estimate_one(folder: Path, name: str, joints: np.ndarray, **arrays: object) -> None:
    write_npz(folder, "lsp_14", name, seen(joints, mirrored=True), **arrays)


def test_a_recording_of_another_rate_tells_it_or_is_refused(tmp_path: Path) -> None:
    pku(tmp_path / "raw")
    slow = body(LSP.joints, frames=50)
    estimate_one(tmp_path / "raw", VIDEO, slow, fps=15)
    made = convert("pku-mmd-1", raw=tmp_path / "raw", out=tmp_path / "s")
    assert made.manifest.findings == {"another clock than the sensor's": 3}
    clips = joints_of(tmp_path / "s", "lsp_14")
    assert [len(clip) for clip in clips] == [20, 30, 28]
    whole = body(LSP.joints, frames=100)
    assert np.abs(clips[1][1:-1, 0] - whole[31:59]).max() < 0.05
    for frames in (50, 200):
        estimate_one(tmp_path / "raw", VIDEO, body(LSP.joints, frames=frames))
        made = convert("pku-mmd-1", raw=tmp_path / "raw", out=tmp_path / "s", force=True)
        assert made.manifest.findings == {"unreadable file": 3}
        assert "another clock" in made.findings[0].detail


@pytest.mark.parametrize(("fps", "video"), [(None, None), (60, 30)])
def test_poses_of_a_users_recording_are_cut_with_the_rows_of_a_table(tmp_path: Path, fps, video) -> None:
    raw = tmp_path / "raw"
    settings(raw, convention="kinectv1_20", layout="T V C", labels="cuts.csv", fps=fps, mirrored_video=True)
    (raw / "cuts.csv").write_text("file,start,end,label\nday,0,40,a\nday,60,100,b\nday,100,,a\n")
    np.save(raw / "day.npy", body(skeletons.load("kinectv1_20").joints, frames=120))
    whole = body(LSP.joints, frames=120 if video is None else 60)
    estimate_one(raw, "day", whole, **({} if video is None else {"fps": video}))
    made = convert("custom", raw=raw, out=tmp_path / "s")
    assert made.manifest.findings == ({} if video is None else {"another clock than the sensor's": 3})
    native, second = joints_of(tmp_path / "s", "kinectv1_20"), joints_of(tmp_path / "s", "lsp_14")
    assert [len(clip) for clip in second] == [len(clip) for clip in native] == [40, 40, 20]
    if video is None:
        np.testing.assert_allclose(second[1][:, 0], whole[60:100], atol=1e-5)
        np.testing.assert_allclose(second[2][:, 0], whole[100:], atol=1e-5)


# --- archives -----------------------------------------------------------------------------------------------


def test_nobody_is_told_to_put_poses_into_an_archive(tmp_path: Path) -> None:
    item = RawItem("a", "kinectv2_25", "a.npz")
    with pytest.raises(UsageError, match="no raw files of convention coco_17") as caught:
        planning.check_found(Listing((item,)), ("coco_17",), tmp_path, source="pyskl")
    assert "etrabs" not in str(caught.value).lower()
