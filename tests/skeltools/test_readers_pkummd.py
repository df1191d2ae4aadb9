from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from schemas import RawDataError
from skeltools import store
from skeltools.conversion import convert
from skeltools.datasets import DATASETS, find_raw, pkummd, pkummd_text, splits
from skeltools.inspect.validate import validate
from skeltools.raw_items import Listing
from skeltools.readers import READERS
from tests.skeltools.raw_files import pku_text, poses, write_pku

VIDEO = "0002-L"


def problems(listing: Listing) -> list[tuple[str, str, str]]:
    return [(f.problem, f.place, f.action) for f in listing.findings]


def two_lists(train: list[str], test: list[str], *, comma: str = "") -> str:
    return f"Training videos:\n{', '.join(train)}{comma}\n\nValidataion videos:\n{', '.join(test)}{comma}\n"


# ---- cutting ----------------------------------------------------------------------------------------------


def test_actions_are_start_to_end_of_the_video_to_the_bit(tmp_path: Path) -> None:
    video = poses(60, 2)
    write_pku(tmp_path, VIDEO, video, [(1, 0, 20), (51, 20, 60), (7, 5, 6)])
    listing = READERS["pkummd1"].discover(tmp_path)
    assert [item.id for item in listing.items] == [f"{VIDEO}_{n:03}" for n in (1, 2, 3)]
    assert listing.findings == ()
    for item, (start, end), label in zip(listing.items, [(0, 20), (20, 60), (5, 6)], [0, 50, 6], strict=True):
        clip = pkummd.read(item)
        np.testing.assert_array_equal(clip.joints, video[start:end])
        assert (clip.label, clip.camera, clip.setup, clip.subject) == (label, 1, 2, -1)
        assert clip.findings == ()


def test_fields_of_both_parts() -> None:
    assert pkummd.fields("0364-R", pkummd.PART_1) == {"setup": 364, "camera": 3}
    assert pkummd.fields("A26N13-M", pkummd.PART_2) == {"setup": 26, "subject": 13, "camera": 2}
    for name, part in [("A01N01-L", pkummd.PART_1), ("0002-L", pkummd.PART_2), ("0002-X", pkummd.PART_1)]:
        assert pkummd.fields(name, part) is None


ROWS = {
    "start after end": ("1,20,5,2", ("start after end", "line 1", "exchanged"), slice(5, 20)),
    "negative": ("1,-3,5,2", ("starts before the video", "line 1", "cut to frame 0"), slice(0, 5)),
    "empty": ("1,5,5,2", ("empty action", "line 1", "skipped"), None),
    "empty after cutting": ("1,-9,-4,2", ("empty action", "line 1", "skipped"), None),
    "class 0": ("0,1,5,2", ("unknown action", "line 1", "skipped"), None),
    "class 52": ("52,1,5,2", ("unknown action", "line 1", "skipped"), None),
    "no integer": ("1,2.5,5,2", ("no row of an action", "line 1", "skipped"), None),
    "text": ("bow,1,5,2", ("no row of an action", "line 1", "skipped"), None),
    "two fields": ("1,5", ("no row of an action", "line 1", "skipped"), None),
}


@pytest.mark.parametrize("name", ROWS)
def test_odd_rows_are_findings_and_ids_stay(tmp_path: Path, name: str) -> None:
    row, problem, window = ROWS[name]
    video = poses(30)
    _, labels = write_pku(tmp_path, VIDEO, video, [])
    labels.write_text(f"{row}\n\n  \n3,7,9,1\n")
    listing = READERS["pkummd1"].discover(tmp_path)
    assert problem in problems(listing)
    assert listing.items[-1].id == f"{VIDEO}_002"
    assert len(listing.items) == (1 if window is None else 2)
    if window is not None:
        np.testing.assert_array_equal(pkummd.read(listing.items[0]).joints, video[window])


@pytest.mark.parametrize("text", ["4,3,9,2", "4,3,9,2\r\n", "\ufeff4, 3, 9, 2\n", "4,3,9"])
def test_one_row_with_or_without_a_line_end(tmp_path: Path, text: str) -> None:
    _, labels = write_pku(tmp_path, VIDEO, poses(30), [])
    labels.write_text(text, encoding="utf-8", newline="")
    (item,) = READERS["pkummd1"].discover(tmp_path).items
    clip = pkummd.read(item)
    assert (clip.frames, clip.label) == (6, 3)


def test_ends_beyond_the_video(tmp_path: Path) -> None:
    write_pku(tmp_path, VIDEO, poses(30), [(1, 20, 40), (1, 30, 35)])
    late, beyond = READERS["pkummd1"].discover(tmp_path).items
    clip = pkummd.read(late)
    assert clip.frames == 10
    assert [(f.problem, f.place, f.detail) for f in clip.findings] == [
        ("ends after the video", late.id, "frame 40, the video has 30")
    ]
    with pytest.raises(RawDataError, match="frames 30:35 of the action 0002-L_002 are beyond the video"):
        pkummd.read(beyond)


def test_files_without_their_other_half_and_odd_names_are_findings(tmp_path: Path) -> None:
    write_pku(tmp_path, VIDEO, poses(10), [(1, 0, 5)])
    write_pku(tmp_path, "0003-L", poses(10), [(1, 0, 5)])[0].unlink()
    write_pku(tmp_path, "0004-L", poses(10), [(1, 0, 5)])[1].unlink()
    write_pku(tmp_path, "0005-L", poses(10), [])
    write_pku(tmp_path, "5-L", poses(10), [(1, 0, 5)])
    write_pku(tmp_path, "A01N01-L", poses(10), [(1, 0, 5)])
    (tmp_path / "README.txt").write_text("about")
    listing = READERS["pkummd1"].discover(tmp_path)
    assert [item.id for item in listing.items] == [f"{VIDEO}_001"]
    assert sorted((f.problem, f.file) for f in listing.findings) == [
        ("labels without skeletons", "Train_Label_PKU_final/0003-L.txt"),
        ("no action in the label file", "Train_Label_PKU_final/0005-L.txt"),
        ("skeletons without labels", "PKU_Skeleton_Renew/0004-L.txt"),
        ("unknown file name", "PKU_Skeleton_Renew/5-L.txt"),
        ("unknown file name", "Train_Label_PKU_final/5-L.txt"),
    ]


@pytest.mark.parametrize("layout", ["nested", "zips", "one zip", "csv", "plain names"])
def test_layouts_met_in_the_wild(tmp_path: Path, layout: str) -> None:
    video = poses(12)
    paths = write_pku(tmp_path / "made", "A01N02-R", video, [(3, 2, 9)], part=2)
    raw = tmp_path / "raw"
    raw.mkdir()
    if layout == "nested":
        paths[0].parent.parent.rename(raw / "deep")
    elif layout in ("zips", "one zip"):
        for path in paths:
            name = path.parent.name if layout == "zips" else "all"
            with zipfile.ZipFile(raw / f"{name}.zip", "a") as archive:
                archive.write(path, f"x/{path.parent.name}/{path.name}")
    elif layout == "csv":
        paths[0].rename(raw / paths[0].name)
        paths[1].rename(raw / "A01N02-R.csv")
    else:
        for path, folder in zip(paths, ("a", "b"), strict=True):
            (raw / folder).mkdir()
            path.rename(raw / folder / path.name)
    assert find_raw(DATASETS["pku-mmd-2"], raw) == raw
    for place in [raw, *raw.glob("all.zip")]:
        (item,) = READERS["pkummd2"].discover(place).items
        np.testing.assert_array_equal(pkummd.read(item).joints, video[2:9])


def test_the_same_video_twice_is_a_finding(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_pku(tmp_path / folder, VIDEO, poses(10), [(1, 0, 5)])
    listing = READERS["pkummd1"].discover(tmp_path)
    assert len(listing.items) == 1
    assert [f.problem for f in listing.findings] == ["duplicate file of a video"] * 2
    assert all(f.file.startswith("b/") and "kept a/" in f.detail for f in listing.findings)


# ---- skeleton text ----------------------------------------------------------------------------------------


def test_parsing_equals_float_on_every_number() -> None:
    rng = np.random.default_rng(0)
    video = (rng.normal(size=(700, 2, 25, 3)) * 10.0 ** rng.integers(-8, 3, (700, 2, 25, 3))).astype(
        np.float32
    )
    text = pku_text(video)
    for form in (
        text,
        text.replace(" ", "  "),
        text.replace("\n", "\r\n"),
        text.replace(" ", "\t"),
        "\n" + text,
    ):
        np.testing.assert_array_equal(pkummd_text.parse_skeletons(form.encode()), video)
    literal = [[np.float32(field) for field in line.split()] for line in text.splitlines()]
    np.testing.assert_array_equal(pkummd_text.parse_skeletons(text.encode()).reshape(700, 150), literal)


def test_real_text_forms_are_read() -> None:
    line = " ".join(["-0.25", "1e-3", "+2", "0"] + ["0.0000000"] * 146)
    first = pkummd_text.parse_skeletons(f"{line}\n {line} ".encode())[1, 0]
    np.testing.assert_array_equal(first[0], np.float32([-0.25, 1e-3, 2]))


BAD = {
    "empty": (b" \n", "the file is empty"),
    "149 numbers": (b"0 " * 150 + b"\n" + b"0 " * 149, "line 2: expected 150 numbers"),
    "299 and 1": (b"0 " * 151 + b"\n" + b"0 " * 149, "line 1: expected 150 numbers"),
    "text": (b"0 " * 149 + b"zero", "found 'zero'"),
    "labels": (b"1,2,3,4\n", "found '1,2,3,4'"),
    "binary": (bytes(range(256)), "line 1: expected 150 numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_text_names_the_line(name: str) -> None:
    data, message = BAD[name]
    with pytest.raises(RawDataError) as caught:
        pkummd_text.parse_skeletons(data, where="x.txt")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_video_is_parsed_once_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = write_pku(tmp_path, VIDEO, poses(40), [(1, n, n + 3) for n in range(20)])
    calls = []
    real = pkummd_text.parse_skeletons
    monkeypatch.setattr(
        pkummd_text, "parse_skeletons", lambda data, *, where: calls.append(where) or real(data, where=where)
    )
    items = READERS["pkummd1"].discover(tmp_path).items
    for item in items:
        pkummd.read(item)
    assert len(calls) == 1
    path.write_text("damaged\n")
    os.utime(path, (1, 1))
    for item in items:
        with pytest.raises(RawDataError, match="line 1"):
            pkummd.read(item)
    assert len(calls) == 2


# ---- people -----------------------------------------------------------------------------------------------


def test_people_who_change_places_in_the_file_keep_their_track(tmp_path: Path) -> None:
    video = poses(40, 2)
    swapped = video.copy()
    swapped[15:] = video[15:, ::-1]
    write_pku(tmp_path, VIDEO, swapped, [(14, 0, 40)])
    (item,) = READERS["pkummd1"].discover(tmp_path).items
    clip = pkummd.read(item)
    np.testing.assert_array_equal(clip.joints, video)
    np.testing.assert_array_equal(clip.order, np.where(np.arange(40)[:, None] < 15, [0, 1], [1, 0]))


def test_zeros_are_absent_and_nan_is_a_finding(tmp_path: Path) -> None:
    video = poses(20, 2)
    video[4:8, 1] = 0
    video[9, 0, 3, 1] = np.nan
    write_pku(tmp_path, VIDEO, video, [(14, 2, 20)])
    (item,) = READERS["pkummd1"].discover(tmp_path).items
    clip = pkummd.read(item)
    assert clip.bodies == 2
    assert np.flatnonzero(~clip.present[:, 1]).tolist() == [2, 3, 4, 5]
    assert np.flatnonzero(~clip.present[:, 0]).tolist() == [7]
    assert not clip.joints[~clip.present].any()
    (found,) = clip.findings
    assert (found.problem, found.detail) == ("not a number", "1 poses, the first in frame 10")


@pytest.mark.parametrize("step", [0.002, 0.2, 0.9])
@pytest.mark.parametrize("bodies", [1, 2])
def test_the_quick_way_for_steady_bodies_equals_linking(
    bodies: int, step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        place = np.cumsum(rng.normal(scale=step, size=(12, bodies, 1, 3)), axis=0)
        frames = np.zeros((12, 2, 25, 3), np.float32)
        frames[:, :bodies] = poses(12, bodies, seed=seed) + place
        there = frames.any(axis=(2, 3))
        quick += pkummd._steady(frames[there], there)
        found = pkummd._people(frames[there], there)
        with monkeypatch.context() as patch:
            patch.setattr(pkummd, "_steady", lambda poses, there: False)
            np.testing.assert_array_equal(found, pkummd._people(frames[there], there))
    assert (quick == 30) == (step == 0.002)
    assert quick > 0 or step == 0.9


def test_somebody_lost_for_long_is_no_third_person(tmp_path: Path) -> None:
    video = poses(200, 2)
    video[50:120, 1] = 0
    video[120:, 1] += np.float32(2)
    write_pku(tmp_path, VIDEO, video, [(14, 0, 200)])
    (item,) = READERS["pkummd1"].discover(tmp_path).items
    clip = pkummd.read(item)
    np.testing.assert_array_equal(clip.joints, video)


def test_noise_neither_fails_nor_takes_memory_per_track(tmp_path: Path) -> None:
    video = np.random.default_rng(0).uniform(-50, 50, (300, 2, 1, 3)).astype(np.float32) + poses(300, 2)
    write_pku(tmp_path, VIDEO, video, [(14, 0, 300)])
    (item,) = READERS["pkummd1"].discover(tmp_path).items
    clip = pkummd.read(item)
    assert clip.present.sum() == 600
    assert clip.bodies == 2


def test_an_action_without_anybody_is_an_error(tmp_path: Path) -> None:
    video = poses(20)
    video[5:9] = 0
    write_pku(tmp_path, VIDEO, video, [(1, 5, 9)])
    (item,) = READERS["pkummd1"].discover(tmp_path).items
    with pytest.raises(RawDataError, match=r"no body in any frame of 0002-L_001 \(5:9\)"):
        pkummd.read(item)


# ---- splits -----------------------------------------------------------------------------------------------

PART_2 = [f"A{a:02}N{n:02}-{v}" for a in range(1, 27) for n in range(1, 14) for v in "LMR"]
ABSENT = {"A05N04-M", "A07N12-M", "A08N12-M", "A14N12-M", "A20N01-M"}
"""Videos of part II that were never released."""


def rule(dataset: str, part: pkummd.Part, videos: list[str]) -> dict[str, np.ndarray]:
    fields = [{"subject": -1, **(pkummd.fields(video, part) or {})} for video in videos]
    columns = {name: [f[name] for f in fields] for name in ("subject", "camera", "setup")}
    return {
        n: h
        for n, (h, _) in splits.halves_of(DATASETS[dataset].rules, {}, {}, ids=videos, fields=columns).items()
    }


def test_the_rules_give_the_published_counts() -> None:
    videos = [video for video in PART_2 if video not in ABSENT]
    halves = rule("pku-mmd-2", pkummd.PART_2, videos)
    counts = {name: (int((h == 1).sum()), int((h == 2).sum())) for name, h in halves.items()}
    assert len(videos) == 1009
    assert counts == {"xsub": (775, 234), "xview": (671, 338)}
    one = [f"{number:04}-{view}" for number in range(1, 365) for view in "LMR"]
    halves = rule("pku-mmd-1", pkummd.PART_1, one)
    test = [video for video, half in zip(one, halves["xsub"], strict=True) if half == 2]
    assert (len(test), test[0], test[-1]) == (132, "0291-L", "0334-R")
    assert halves["xview"][:3].tolist() == [2, 1, 1]


def test_no_subject_is_in_both_halves_of_xsub() -> None:
    half = rule("pku-mmd-2", pkummd.PART_2, PART_2)["xsub"]
    sides = [{v[4:6] for v, h in zip(PART_2, half, strict=True) if h == side} for side in (1, 2)]
    assert sides[0] | sides[1] == {f"{n:02}" for n in range(1, 14)}
    assert sides[1] == {"02", "03", "07"}
    assert not sides[0] & sides[1]


@pytest.mark.parametrize("name", ["cross-subject_v2.txt", "cross_subject_v2.txt", "cross-subject.txt"])
def test_official_lists_go_before_the_rule(tmp_path: Path, name: str) -> None:
    for video in ("A01N01-L", "A01N02-L", "A01N03-L", "A01N04-L"):
        write_pku(tmp_path, video, poses(10), [(1, 0, 5), (2, 5, 9)], part=2)
    text = two_lists(["A01N01-L", "A01N03-L", "A09N09-R"], ["A01N03-L", "A01N02-L"], comma=", ")
    (tmp_path / name).write_text(text)
    summary = convert("pku-mmd-2", raw=tmp_path, out=tmp_path / "s")
    opened = store.open_store(tmp_path / "s")
    ids = store.read(opened, "samples/id").tolist()
    half = dict(zip(ids, store.read(opened, "splits/xsub").tolist(), strict=True))
    expected = {"A01N01": 1, "A01N02": 2, "A01N03": 0, "A01N04": 0}
    assert half == {f"{v}-L_{n:03}": side for v, side in expected.items() for n in (1, 2)}
    assert summary.manifest.protocols["xsub"].rule == f"official list {name}"
    assert summary.manifest.protocols["xview"].rule.startswith("train: cameras 2, 3")
    assert [(f.problem, f.detail) for f in summary.findings] == [
        ("video in both halves", "A01N03-L"),
        ("video in neither half", "A01N04-L"),
        ("listed videos that are not there", "1 of 4, e.g. A09N09-R"),
    ]
    assert validate(tmp_path / "s") == ()


def test_a_list_that_parts_a_camera_or_names_no_video_is_told(tmp_path: Path) -> None:
    for video in ("0001-L", "0002-L", "0002-M"):
        write_pku(tmp_path, video, poses(10), [(1, 0, 5)])
    (tmp_path / "cross-view.txt").write_text(two_lists(["0001-L", "0002-M", "what"], ["0002-L"]))
    (tmp_path / "cross-subject.txt").write_text("Training videos:\n0001-L\n")
    listing = READERS["pkummd1"].discover(tmp_path)
    assert set(listing.halves) == {"xview"}
    assert [(f.problem, f.detail) for f in listing.findings] == [
        ("no split list", "expected four lines: a heading, training names, a heading, test names"),
        ("no name of a video", "'what'"),
        ("camera in both halves", "camera 1"),
    ]


def test_lists_of_the_other_part_are_left_alone(tmp_path: Path) -> None:
    write_pku(tmp_path, VIDEO, poses(10), [(1, 0, 5)])
    (tmp_path / "cross-view_v2.txt").write_text(two_lists(["A01N01-M"], ["A01N01-L"]))
    listing = READERS["pkummd1"].discover(tmp_path)
    assert (listing.halves, listing.findings) == ({}, ())


# ---- conversion -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("part", "videos"), [(1, ["0001-L", "0291-M"]), (2, ["A01N01-L", "A01N02-M"])])
def test_both_parts_convert(tmp_path: Path, part: int, videos: list[str]) -> None:
    made = {video: poses(40, 2, seed=n) for n, video in enumerate(videos)}
    for video, joints in made.items():
        write_pku(tmp_path / "raw", video, joints, [(8, 0, 15), (51, 15, 40)], part=part)
    out = tmp_path / "s"
    manifest = convert(f"pku-mmd-{part}", raw=tmp_path / "raw", out=out, strict=True).manifest
    opened = store.open_store(out)
    assert validate(out) == ()
    assert store.read(opened, "samples/id").tolist() == [f"{v}_{n:03}" for v in videos for n in (1, 2)]
    assert manifest.classes[7] == "drink water"
    assert len(manifest.classes) == 51
    assert manifest.source["files"] == 2
    assert "linked by distance" in manifest.conventions["kinectv2_25"].axes
    assert store.read(opened, "splits/xsub").tolist() == [1, 1, 2, 2]
    assert store.read(opened, "splits/xview").tolist() == [2, 2, 1, 1]
    clips = list(store.read_sequences(opened, "kinectv2_25"))
    for video, first, second in zip(videos, clips[::2], clips[1::2], strict=True):
        assert first is not None
        assert second is not None
        np.testing.assert_array_equal(np.concatenate([first.joints, second.joints]), made[video])


def test_the_other_parts_videos_are_not_this_parts(tmp_path: Path) -> None:
    write_pku(tmp_path, VIDEO, poses(10), [(1, 0, 5)])
    write_pku(tmp_path, "A01N01-L", poses(10), [(1, 0, 5)], part=2)
    for part in (1, 2):
        summary = convert(f"pku-mmd-{part}", raw=tmp_path, out=tmp_path / f"{part}.zarr")
        assert summary.manifest.samples == 1
        assert summary.findings == ()
