"""Raw data in several folders and zip files, and names in capitals."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

import skeltools
from schemas import UsageError
from skeltools import cli, store
from skeltools.conversion import convert
from skeltools.conversion.append import add_metrabs
from skeltools.raw_items import RawItem, first_of_each
from tests.skeltools.own_data import clips, settings
from tests.skeltools.raw_files import ntu_text, poses, write_npz, write_ntu, write_nwucla, write_pku

FIRST, SECOND, THIRD = "S001C001P001R001A001", "S018C001P041R001A061", "S018C001P041R001A062"


def archive(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for name in names:
            opened.writestr(f"nturgb+d_skeletons/{name}.skeleton", ntu_text(poses(8)))
    return path


def folder(path: Path, *names: str) -> Path:
    for name in names:
        write_ntu(path / f"{name}.skeleton", poses(8))
    return path


def test_two_archives_of_one_data_set(tmp_path: Path) -> None:
    first, second = archive(tmp_path / "a.zip", FIRST), archive(tmp_path / "b.zip", SECOND, THIRD)
    summary = convert("ntu120", raw=[first, str(second)], out=tmp_path / "s")
    assert (summary.manifest.samples, summary.warnings, summary.findings) == (3, (), ())
    assert (summary.manifest.source["name"], summary.manifest.source["files"]) == ("a.zip + b.zip", 3)
    together = tmp_path / "both"
    together.mkdir()
    for path in (first, second):
        shutil.copy(path, together)
    one = convert("ntu120", raw=together, out=tmp_path / "t").manifest
    assert one.hash == summary.manifest.hash
    assert one.source["sha256"] == summary.manifest.source["sha256"]


def test_a_folder_and_an_archive_by_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    raw = ["--raw", str(folder(tmp_path / "a", FIRST)), "--raw", str(archive(tmp_path / "b.zip", SECOND))]
    assert cli.run(["convert", "ntu120", *raw, "--out", str(tmp_path / "s")]) == 0
    assert "2 samples of ntu120" in capfd.readouterr().out
    assert cli.run(["convert", "ntu120", *raw[:2], "--out", str(tmp_path / "t")]) == 0
    assert "or name both: --raw A --raw B" in capfd.readouterr().err


def test_the_first_place_counts_where_both_have_a_sample(tmp_path: Path) -> None:
    second = folder(tmp_path / "a", FIRST)
    first = folder(tmp_path / "b" / "raw", FIRST, SECOND)
    summary = convert("ntu120", raw=(first, second), out=tmp_path / "s")
    (found,) = summary.findings
    assert (found.problem, found.file, found.detail) == (
        "duplicate sample id",
        f"a/{FIRST}.skeleton",
        f"kept raw/{FIRST}.skeleton",
    )
    moved = tmp_path / "elsewhere" / "deep"
    moved.mkdir(parents=True)
    for place in (first, second):
        shutil.move(place, moved / place.name)
    again = convert("ntu120", raw=(moved / "raw", moved / "a"), out=tmp_path / "t")
    assert again.findings == summary.findings
    assert again.manifest == summary.manifest


def test_duplicates_of_one_root_are_told_as_before() -> None:
    items = [RawItem("x", "c", f"/r/{place}/x.npy") for place in ("b", "a")]
    kept, (found,) = first_of_each(items, [Path("/r")])
    assert (kept[0].path, found.file, found.detail) == ("/r/a/x.npy", "b/x.npy", "kept a/x.npy")


def test_skeletons_in_one_place_and_labels_in_another(tmp_path: Path) -> None:
    joints = np.concatenate([poses(30), poses(30) + 1], axis=1)
    text, labels = write_pku(tmp_path / "pku", "0002-L", joints, [(3, 2, 12), (4, 15, 25)])
    for order in ([text.parent, labels.parent], [labels.parent, text.parent]):
        summary = convert("pku-mmd-1", raw=order, out=tmp_path / "s", force=True)
        assert skeltools.open(tmp_path / "s").labels.tolist() == [2, 3]
        assert summary.findings == ()
    twice = write_pku(tmp_path / "other", "0002-L", joints, [(9, 2, 12)])[1].parent
    summary = convert("pku-mmd-1", raw=[text.parent, labels.parent, twice], out=tmp_path / "s", force=True)
    assert [(f.problem, f.detail) for f in summary.findings] == [
        ("duplicate file of a video", "kept Train_Label_PKU_final/0002-L.txt")
    ]


def test_poses_of_metrabs_in_a_place_of_their_own(tmp_path: Path) -> None:
    native = folder(tmp_path / "native", "S001C001P001R001A001")
    write_npz(tmp_path / "videos", "smplx_42", FIRST, 1000 * poses(8, joints=42))
    both = convert("ntu60", raw=[native, tmp_path / "videos"], out=tmp_path / "s").manifest
    assert list(both.conventions) == ["kinectv2_25", "smplx_42"]
    convert("ntu60", raw=native, out=tmp_path / "t")
    added = add_metrabs("ntu60", raw=[native, tmp_path / "videos"], out=tmp_path / "t").manifest
    assert list(added.conventions) == ["kinectv2_25", "smplx_42"]


def test_own_clips_in_several_folders_have_one_description(tmp_path: Path) -> None:
    first, second = clips(tmp_path / "a", "x", "y"), clips(tmp_path / "b", "y", "z")
    settings(first, labels="labels.csv")
    (first / "labels.csv").write_text("id,label\nx,1\nz,2\n")
    summary = convert("custom", raw=[second, first], out=tmp_path / "s")
    assert skeltools.open(tmp_path / "s").ids == ("x", "y", "z")
    assert skeltools.open(tmp_path / "s").labels.tolist() == [0, -1, 1]
    assert ("duplicate sample id", "b/y.npy") in {(f.problem, f.file) for f in summary.findings}
    shutil.copy(first / "dataset.yaml", second)
    assert convert("custom", raw=[first, second], out=tmp_path / "t").manifest.samples == 3
    settings(second, units="mm")
    with pytest.raises(UsageError, match=r"another dataset\.yaml"):
        convert("custom", raw=[first, second], out=tmp_path / "u")


def test_places_that_do_not_fit_are_named(tmp_path: Path) -> None:
    first, other = folder(tmp_path / "a", FIRST), folder(tmp_path / "b")
    other.mkdir()
    with pytest.raises(UsageError, match=r"/b: no raw file of ntu60"):
        convert("ntu60", raw=[first, other], out=tmp_path / "s")
    os.symlink(first, tmp_path / "link")
    with pytest.raises(UsageError, match="is given twice with --raw"):
        convert("ntu60", raw=[first, tmp_path / "link"], out=tmp_path / "s")
    with pytest.raises(UsageError, match="2 places with --raw, but one archive of pyskl"):
        convert("ntu60", raw=[first, other], source="pyskl", out=tmp_path / "s")
    own = clips(tmp_path / "own", "x")
    settings(own)
    with pytest.raises(UsageError, match="is no folder of clips"):
        convert("custom", raw=[own, archive(tmp_path / "c.zip", FIRST)], out=tmp_path / "s")


# ---- suffixes ---------------------------------------------------------------------------------------------


def test_suffixes_may_be_in_capitals(tmp_path: Path) -> None:
    path = write_ntu(tmp_path / "ntu" / f"{FIRST}.SKELETON", poses(8))
    assert convert("ntu60", raw=path.parent, out=tmp_path / "s").manifest.samples == 1
    with zipfile.ZipFile(tmp_path / "N.ZIP", "w") as opened:
        opened.write(path, path.name)
    assert convert("ntu60", raw=tmp_path / "N.ZIP", out=tmp_path / "t").manifest.samples == 1
    clip = write_nwucla(tmp_path / "ucla", "a01_s01_e00_v01", poses(8, joints=20)[:, 0], 1)
    clip.rename(clip.with_suffix(".JSON"))
    assert convert("nw-ucla", raw=tmp_path / "ucla", out=tmp_path / "u").manifest.samples == 1
    for file in write_pku(tmp_path / "pku", "0002-L", poses(30), [(3, 2, 12)]):
        file.rename(file.with_suffix(".TXT"))
    assert convert("pku-mmd-1", raw=tmp_path / "pku", out=tmp_path / "p").manifest.samples == 1


@pytest.mark.parametrize("suffix", [".NPY", ".NPZ", ".CSV", ".H5"])
def test_suffixes_of_own_clips_may_be_in_capitals(tmp_path: Path, suffix: str) -> None:
    array = poses(6)
    settings(tmp_path, layout="T MVC")
    flat = array.reshape(6, -1)
    if suffix == ".CSV":
        np.savetxt(tmp_path / "x.CSV", flat, delimiter=",", fmt="%.9g")
    elif suffix == ".H5":
        import h5py

        with h5py.File(tmp_path / "x.H5", "w") as file:
            file["joints"] = flat
    else:
        np.save(tmp_path / "x.npy", flat) if suffix == ".NPY" else np.savez(tmp_path / "x.npz", flat)
        (tmp_path / f"x{suffix.lower()}").rename(tmp_path / f"x{suffix}")
    convert("custom", raw=tmp_path, out=tmp_path / "s")
    opened = store.open_store(tmp_path / "s")
    (clip,) = store.read_sequences(opened, "kinectv2_25")
    assert clip is not None
    np.testing.assert_array_equal(clip.joints, array)


def test_a_manifest_of_one_place_names_it_alone(tmp_path: Path) -> None:
    made = convert("ntu60", raw=[folder(tmp_path / "a", FIRST)], out=tmp_path / "s").manifest
    assert made.source["name"] == "a"
    assert json.loads((tmp_path / "s" / "zarr.json").read_text())["attributes"]["source"]["name"] == "a"
