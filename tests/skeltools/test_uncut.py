"""Recordings that stay whole, with a label for each frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import skeltools
from schemas import UsageError
from skeltools import cli, framewise, store
from skeltools.conversion import convert
from skeltools.conversion.mapped import map_store
from skeltools.conversion.merged import merge
from skeltools.formats.export import export
from skeltools.framewise import Action
from skeltools.inspect.validate import validate
from tests.skeltools.own_data import settings
from tests.skeltools.raw_files import poses, write_pku

NATIVE = "kinectv2_25"
PART_1 = {"0002-L": [(3, 2, 12), (51, 10, 25)], "0003-M": [(1, 0, 4)]}


def recordings(folder: Path) -> Path:
    for video, rows in PART_1.items():
        write_pku(folder, video, np.concatenate([poses(30), poses(30) + 1], axis=1), rows)
    return folder


def literally(actions: list[tuple[int, int, int]], frames: int) -> list[int]:
    return [
        next((label for label, start, end in reversed(actions) if start <= frame < end), -1)
        for frame in range(frames)
    ]


def test_whole_recordings_of_pku_mmd(tmp_path: Path) -> None:
    raw = recordings(tmp_path / "raw")
    summary = convert("pku-mmd-1", raw=raw, out=tmp_path / "s", uncut=True, frames=(8,))
    assert validate(tmp_path / "s") == ()
    made = skeltools.open(tmp_path / "s")
    assert (made.ids, made.labels.tolist()) == (("0002-L", "0003-M"), [-1, -1])
    assert len(made.classes) == 51
    assert (made["0003-M"].camera, made["0003-M"].setup) == (2, 3)
    for video, rows in PART_1.items():
        clip = made[video]
        expected = literally([(label - 1, start, end) for label, start, end in rows], 30)
        assert clip.frame_labels is not None
        assert clip.frame_labels.tolist() == expected
        np.testing.assert_array_equal(clip.joints[:, 0], poses(30)[:, 0])
    info = summary.manifest.arrays[f"sequences/{NATIVE}/frame_label"]
    assert (info.dimensions, info.shape, info.dtype) == (("F",), (60,), "int16")
    assert summary.manifest.conventions[NATIVE].reader == "pkummd1-uncut"
    assert summary.manifest.protocols["xview"].train == 1


def test_actions_are_cut_as_ever_without_the_option(tmp_path: Path) -> None:
    manifest = convert("pku-mmd-1", raw=recordings(tmp_path / "raw"), out=tmp_path / "s").manifest
    assert manifest.samples == 3
    assert not [path for path in manifest.arrays if path.endswith("frame_label")]
    assert skeltools.open(tmp_path / "s")["0002-L_001"].frame_labels is None


def test_workers_and_the_command_make_the_same_store(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    raw = recordings(tmp_path / "raw")
    one = convert("pku-mmd-1", raw=raw, out=tmp_path / "s", uncut=True).manifest
    arguments = ["convert", "pku-mmd-1", "--raw", str(raw), "--out", str(tmp_path / "t"), "--uncut"]
    assert cli.run([*arguments, "--workers", "2"]) == 0
    assert "2 samples of pku-mmd-1" in capfd.readouterr().out
    assert store.open_store(tmp_path / "t").manifest == one
    assert cli.run(["inspect", str(tmp_path / "t")]) == 0
    assert cli.run(["card", str(tmp_path / "t")]) == 0


def test_actions_beyond_the_video_are_cut_with_a_finding(tmp_path: Path) -> None:
    write_pku(tmp_path / "raw", "0002-L", poses(20), [(3, 2, 12), (4, 15, 40), (5, 50, 60)])
    summary = convert("pku-mmd-1", raw=tmp_path / "raw", out=tmp_path / "s", uncut=True)
    (found,) = summary.findings
    assert (found.problem, found.detail) == (
        "ends after the video",
        "2 actions, e.g. to frame 40, the video has 20",
    )
    labels = skeltools.open(tmp_path / "s")["0002-L"].frame_labels
    assert labels is not None
    assert labels.tolist() == [-1] * 2 + [2] * 10 + [-1] * 3 + [3] * 5


def test_a_part_of_such_a_store_keeps_its_labels(tmp_path: Path) -> None:
    convert("pku-mmd-1", raw=recordings(tmp_path / "raw"), out=tmp_path / "s", uncut=True, frames=(8,))
    (tmp_path / "ids.txt").write_text("0003-M\n")
    export(source=tmp_path / "s", out=tmp_path / "part", to="zarr", ids=tmp_path / "ids.txt")
    assert validate(tmp_path / "part") == ()
    clip = skeltools.open(tmp_path / "part")["0003-M"]
    assert clip.frame_labels is not None
    assert clip.frame_labels.tolist() == [0] * 4 + [-1] * 26
    export(source=tmp_path / "s", out=tmp_path / "s.h5", to="hdf5")


def test_mapped_and_merged_stores_keep_the_labels(tmp_path: Path) -> None:
    raw = recordings(tmp_path / "raw")
    convert("pku-mmd-1", raw=raw, out=tmp_path / "whole", uncut=True, frames=(8,))
    convert("pku-mmd-1", raw=raw, out=tmp_path / "cut", frames=(8,))
    map_store(tmp_path / "whole", to="kinectv1_20", out=tmp_path / "mapped", partial=True)
    merge([tmp_path / "cut", tmp_path / "whole"], out=tmp_path / "both")
    before = skeltools.open(tmp_path / "whole")
    for name, prefix in {"mapped": "", "both": "pku-mmd-1-"}.items():
        assert validate(tmp_path / name) == ()
        made = skeltools.open(tmp_path / name)
        for id in before.ids:
            mine, told = made[prefix + id].frame_labels, before[id].frame_labels
            assert mine is not None
            assert told is not None
            np.testing.assert_array_equal(mine, told)
    cut = skeltools.open(tmp_path / "both")["pku-mmd-1-0002-L_001"]
    assert cut.frame_labels is not None
    assert (cut.frame_labels == -1).all()


def test_other_labels_are_another_store(tmp_path: Path) -> None:
    raw = recordings(tmp_path / "raw")
    one = convert("pku-mmd-1", raw=raw, out=tmp_path / "s", uncut=True).manifest
    (raw / "Train_Label_PKU_final" / "0003-M.txt").write_text("1,0,5,2\n")
    two = convert("pku-mmd-1", raw=raw, out=tmp_path / "s", uncut=True, force=True).manifest
    assert one.hash != two.hash
    assert one.source["sha256"] != two.source["sha256"]


def test_data_sets_of_single_actions_have_no_such_option(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"single actions: --uncut is an option of pku-mmd-1, pku-mmd-2"):
        convert("ntu60", raw=tmp_path, out=tmp_path / "s", uncut=True)
    with pytest.raises(UsageError, match="an archive has no recordings"):
        convert("pku-mmd-1", raw=tmp_path, out=tmp_path / "s", uncut=True, source="pyskl")
    np.save(tmp_path / "a.npy", poses(4))
    settings(tmp_path)
    with pytest.raises(UsageError, match=r"Say uncut: true in dataset\.yaml"):
        convert("custom", raw=tmp_path, out=tmp_path / "s", uncut=True)


def test_own_recordings_stay_whole(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        np.save(tmp_path / f"{name}.npy", poses(20))
    (tmp_path / "labels.csv").write_text(
        "id,start,end,label,subject,camera\na,2,5,walk,1,1\na,4,9,wave,1,2\nb,15,,walk,2,1\nb,1,3,,2,1\n"
    )
    settings(tmp_path, labels="labels.csv", uncut=True)
    summary = convert("custom", raw=tmp_path, out=tmp_path / "s")
    assert validate(tmp_path / "s") == ()
    made = skeltools.open(tmp_path / "s")
    assert (made.ids, made.classes) == (("a", "b", "c"), ("walk", "wave"))
    assert [made[id].subject for id in made.ids] == [1, 2, None]
    assert [made[id].camera for id in made.ids] == [None, 1, None]
    expected = {"a": [(0, 2, 5), (1, 4, 9)], "b": [(0, 15, 20)], "c": []}
    for id, actions in expected.items():
        labels = made[id].frame_labels
        assert labels is not None
        assert labels.tolist() == literally(actions, 20)
    assert {f.problem for f in summary.findings} == {"some clips have no label"}


def test_details_come_back() -> None:
    actions = (Action(3, 0, 5), Action(-1, 2, None))
    told, found = framewise.taken((("label", -1), *framewise.details(actions), ("camera", 2)))
    assert (told, found) == ({"label": -1, "camera": 2}, actions)
