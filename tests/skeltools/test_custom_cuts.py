"""Long recordings of one's own: cut by a table, or into windows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import skeltools
from schemas import ConfigError, RawDataError, SkelError
from skeltools import custom
from skeltools.conversion import convert
from skeltools.custom import cuts
from skeltools.inspect.validate import validate
from tests.skeltools.own_data import settings
from tests.skeltools.raw_files import poses

LONG = poses(300).astype(np.float32)


def _npy(path: Path, array: np.ndarray) -> None:
    np.save(path.with_suffix(".npy"), array)


def _npz(path: Path, array: np.ndarray) -> None:
    np.savez(path.with_suffix(".npz"), joints=array)


def _packed(path: Path, array: np.ndarray) -> None:
    np.savez_compressed(path.with_suffix(".npz"), joints=array)


def _h5(path: Path, array: np.ndarray) -> None:
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file.create_dataset("joints", data=array, chunks=True)


def _csv(path: Path, array: np.ndarray) -> None:
    np.savetxt(path.with_suffix(".csv"), array, delimiter=",", fmt="%.9g")


FILES = {"npy": _npy, "npz": _npz, "packed npz": _packed, "HDF5": _h5, "csv": _csv}


def recording(folder: Path, kind: str = "npy", **keys: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    FILES[kind](folder / "rec", LONG.reshape(300, -1))
    settings(folder, **{"layout": "T MVC", **keys})
    return folder


def table(folder: Path, text: str) -> None:
    (folder / "labels.csv").write_text(text)


# ---- tables -----------------------------------------------------------------------------------------------

ROWS = "id,start,end,label,subject\nrec,0,100,walk,1\nrec,90,200,wave,2\nrec,250,300,,\n"


@pytest.mark.parametrize("kind", FILES)
def test_rows_of_a_table_are_clips(tmp_path: Path, kind: str) -> None:
    recording(tmp_path, kind, labels="labels.csv")
    table(tmp_path, ROWS)
    summary = convert("custom", raw=tmp_path, out=tmp_path / "s")
    made = skeltools.open(tmp_path / "s")
    assert made.ids == ("rec_001", "rec_002", "rec_003")
    assert (made.classes, made.labels.tolist()) == (("walk", "wave"), [0, 1, -1])
    for id, (start, end) in zip(made.ids, ((0, 100), (90, 200), (250, 300)), strict=True):
        np.testing.assert_array_equal(made[id].joints, LONG[start:end])
    assert {f.problem for f in summary.findings} == {"some clips have no label"}
    assert summary.manifest.source["files"] == 1
    assert validate(tmp_path / "s") == ()


UNITS: dict[str, tuple[dict[str, Any], str, tuple[int, int]]] = {
    "frames": ({}, "10,20", (10, 20)),
    "from 1, inclusive": ({"segments": {"first": 1, "end": "inclusive"}}, "11,20", (10, 20)),
    "from 1": ({"segments": {"first": 1}}, "11,21", (10, 20)),
    "inclusive": ({"segments": {"end": "inclusive"}}, "10,19", (10, 20)),
    "seconds": ({"segments": {"unit": "seconds"}, "fps": 25}, "0.4,0.8", (10, 20)),
    "seconds between frames": ({"segments": {"unit": "seconds"}, "fps": 30}, "0.34,0.66", (10, 20)),
    "written by a spreadsheet": ({}, "10.0,20.0", (10, 20)),
    "to the end": ({}, "290,", (290, 300)),
    "from the beginning": ({}, ",20", (0, 20)),
}


@pytest.mark.parametrize("name", UNITS)
def test_start_and_end_in_the_unit_that_the_settings_say(tmp_path: Path, name: str) -> None:
    keys, row, (start, end) = UNITS[name]
    recording(tmp_path, labels="labels.csv", **keys)
    table(tmp_path, f"file,start,end,label\nrec.npy,{row},walk\nrec.npy,1,5,walk\n")
    first, _ = custom.discover(tmp_path).items
    np.testing.assert_array_equal(custom.read(first).joints, LONG[start:end])


WRONG = {
    "no number": ("x,20", "start 'x' is no number from 0"),
    "negative": ("-3,20", "start '-3' is no number from 0"),
    "backwards": ("20,10", "frames 20 to 10 are none: the end is not after the start"),
    "empty": ("20,20", "frames 20 to 20 are none"),
    "seconds": ("1.5,2.5", "start '1.5' is no frame; seconds need segments: {unit: seconds} and fps"),
}


def test_seconds_of_files_that_state_no_rate_need_fps(tmp_path: Path) -> None:
    recording(tmp_path, labels="labels.csv", segments={"unit": "seconds"})
    table(tmp_path, "id,start,end,label\nrec,0,2,walk\n")
    with pytest.raises(ConfigError, match="states no rate: say how many frames a second has, by `fps`"):
        custom.discover(tmp_path)


@pytest.mark.parametrize("name", WRONG)
def test_rows_that_are_no_segment_are_findings_and_keep_their_place(tmp_path: Path, name: str) -> None:
    row, words = WRONG[name]
    recording(tmp_path, labels="labels.csv")
    table(tmp_path, f"id,start,end,label\nrec,{row},walk\nrec,0,5,walk\n")
    listing = custom.discover(tmp_path)
    assert [item.id for item in listing.items] == ["rec_002"]
    (found,) = listing.findings
    assert (found.problem, found.place) == ("segment not described", "row 2")
    assert words in found.detail


@pytest.mark.parametrize("kind", FILES)
def test_segments_beyond_the_recording_are_cut_or_findings(tmp_path: Path, kind: str) -> None:
    recording(tmp_path, kind, labels="labels.csv")
    table(tmp_path, "id,start,end,label\nrec,280,320,walk\nrec,300,320,walk\n")
    summary = convert("custom", raw=tmp_path, out=tmp_path / "s")
    assert [(f.problem, f.action) for f in summary.findings] == [
        ("ends after the recording", "cut to the recording"),
        ("unreadable file", "skipped"),
    ]
    assert summary.findings[0].detail == "20 of 40 frames of rec_001"
    assert "begins at frame 300 of rec_002, but the recording has 300" in summary.findings[1].detail
    np.testing.assert_array_equal(skeltools.open(tmp_path / "s")["rec_001"].joints, LONG[280:])


def test_one_row_without_start_and_end_is_the_whole_file(tmp_path: Path) -> None:
    recording(tmp_path, labels="labels.csv")
    np.save(tmp_path / "other.npy", LONG[:40].reshape(40, -1))
    table(tmp_path, "id,start,end,label\nrec,1,9,walk\nother,,,wave\n")
    listing = custom.discover(tmp_path)
    assert [item.id for item in listing.items] == ["other", "rec_001"]
    assert custom.read(listing.items[0]).frames == 40


def test_rows_of_one_id_without_start_and_end_say_what_would_cut(tmp_path: Path) -> None:
    recording(tmp_path, labels="labels.csv")
    table(tmp_path, "id,label\nrec,walk\nrec,wave\n")
    (found,) = custom.discover(tmp_path).findings
    assert (found.problem, found.action) == ("row of the table twice", "ignored")
    assert found.detail == "rec; columns start and end would cut a recording into clips"


def test_splits_select_recordings_or_single_clips(tmp_path: Path) -> None:
    splits = {
        "lists": {"train": {"list": "train.txt"}},
        "names": {"train": {"pattern": "rec"}},
        "xsub": {"train": {"subject": [1]}},
    }
    recording(tmp_path, labels="labels.csv", splits=splits)
    np.save(tmp_path / "other.npy", LONG[:40].reshape(40, -1))
    table(tmp_path, "id,start,end,label,subject\nrec,1,9,a,1\nrec,10,19,b,2\nother,1,9,a,1\nother,9,,b,2\n")
    (tmp_path / "train.txt").write_text("rec\nother_001\nnobody\n")
    listing = custom.discover(tmp_path)
    halves = {name: [half[item.id] for item in listing.items] for name, half in listing.halves.items()}
    assert halves == {"lists": [1, 2, 1, 1], "names": [2, 2, 1, 1], "xsub": [1, 2, 1, 2]}
    assert [(f.problem, f.detail) for f in listing.findings] == [("listed clip is not there", "nobody")]


# ---- windows ----------------------------------------------------------------------------------------------


def literally(frames: int, length: int, stride: int) -> list[tuple[int, int]]:
    """Slide until the end is passed."""
    found, start = [], 0
    while start == 0 or start + length <= frames:
        found.append((start, min(start + length, frames)))
        start += stride
    return found


@pytest.mark.parametrize("frames", [1, 7, 8, 9, 15, 16, 17, 300])
@pytest.mark.parametrize("stride", [1, 3, 8, 11])
def test_windows_are_those_of_a_literal_slide(frames: int, stride: int) -> None:
    how = custom.settings.Windows(length=8, stride=stride)
    assert cuts.windows(frames, how) == literally(frames, 8, stride)


@pytest.mark.parametrize("kind", FILES)
def test_windows_of_recordings_without_labels(tmp_path: Path, kind: str) -> None:
    recording(tmp_path, kind, windows={"length": 64, "stride": 32})
    summary = convert("custom", raw=tmp_path, out=tmp_path / "s", strict=True)
    made = skeltools.open(tmp_path / "s")
    assert made.ids == tuple(f"rec_w{number:04}" for number in range(8))
    for number, id in enumerate(made.ids):
        np.testing.assert_array_equal(made[id].joints, LONG[32 * number : 32 * number + 64])
    assert (summary.manifest.classes, summary.manifest.protocols["all"].train) == ((), 8)


def test_windows_leave_segments_alone_and_keep_fields(tmp_path: Path) -> None:
    recording(tmp_path, labels="labels.csv", windows={"length": 16})
    np.save(tmp_path / "other.npy", LONG[:40].reshape(40, -1))
    table(tmp_path, "id,start,end,label,subject\nrec,1,99,walk,1\nother,,,wave,2\n")
    listing = custom.discover(tmp_path)
    assert [item.id for item in listing.items] == ["other_w0000", "other_w0001", "rec_001"]
    clip = custom.read(listing.items[1])
    assert (clip.label, clip.subject, clip.frames) == (1, 2, 16)


@pytest.mark.parametrize("kind", ["npy", "HDF5"])
def test_a_recording_larger_than_a_clip_may_be_is_cut_without_reading_it(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuts, "MAX_BYTES", 64 * 75 * 4)
    recording(tmp_path, kind)
    with pytest.raises(RawDataError, match=r"90000 bytes are too many for one clip .*Cut the recording"):
        custom.read(custom.discover(tmp_path).items[0])
    settings(tmp_path, layout="T MVC", windows={"length": 64})
    items = custom.discover(tmp_path).items
    np.testing.assert_array_equal(custom.read(items[3]).joints, LONG[192:256])


def test_a_text_larger_than_is_read_says_what_can_be_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuts, "MAX_BYTES", 1000)
    splits = {"a": {"train": {"pattern": "r.*"}, "test": {"pattern": "s.*"}}}
    recording(tmp_path, "csv", windows={"length": 64}, splits=splits)
    with pytest.raises(SkelError, match=r"no sample could be read \(1 x unreadable file.*too many"):
        convert("custom", raw=tmp_path, out=tmp_path / "s")
    settings(tmp_path, layout="T MVC")
    with pytest.raises(RawDataError, match=r"too many for one file of text .*Write it as \.npy or HDF5"):
        custom.read(custom.discover(tmp_path).items[0])


def test_other_axes_are_cut_along_time(tmp_path: Path) -> None:
    settings(tmp_path, layout="C T V M", windows={"length": 100})
    np.save(tmp_path / "rec.npy", LONG.transpose(3, 0, 2, 1))
    items = custom.discover(tmp_path).items
    np.testing.assert_array_equal(custom.read(items[2]).joints, LONG[200:])


def test_files_whose_length_cannot_be_told_are_findings(tmp_path: Path) -> None:
    recording(tmp_path, windows={"length": 64})
    np.save(tmp_path / "flat.npy", np.float32(1))
    (tmp_path / "torn.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "ripped.csv").write_text("1,2\nx,3\n")
    np.save(tmp_path / "many.npy", np.zeros((300_000, 0), np.float32))
    settings(tmp_path, layout="T MVC", windows={"length": 2, "stride": 1})
    listing = custom.discover(tmp_path)
    assert len(listing.items) == 299
    assert {f.file for f in listing.findings} == {"flat.npy", "torn.npy", "ripped.csv", "many.npy"}
    assert {f.problem for f in listing.findings} == {"unreadable file"}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "seconds from 1": ({"segments": {"unit": "seconds", "first": 1}, "fps": 5}, "first and end are about"),
    "uncut without a table": ({"uncut": True}, "uncut keeps recordings whole"),
    "no length": ({"windows": {"stride": 3}}, "windows.length: is missing"),
}


@pytest.mark.parametrize("name", BAD)
def test_settings_that_do_not_fit(tmp_path: Path, name: str) -> None:
    keys, words = BAD[name]
    recording(tmp_path, **keys)
    with pytest.raises(ConfigError, match=re.escape(words)):
        custom.discover(tmp_path)


def test_damaged_tables_end_in_a_sentence_or_a_finding(tmp_path: Path) -> None:
    recording(tmp_path, labels="labels.csv")
    table(tmp_path, ROWS)
    sound, draw = (tmp_path / "labels.csv").read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        text = bytearray(sound)
        for place in draw.integers(0, len(text), 3):
            text[place] = draw.integers(0, 256)
        (tmp_path / "labels.csv").write_bytes(bytes(text))
        try:
            for item in custom.discover(tmp_path).items:
                custom.read(item)
        except (ConfigError, RawDataError):
            pass
