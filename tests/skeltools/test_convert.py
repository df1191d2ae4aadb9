from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from schemas import Finding, RawDataError, SkelError, StoreError, UsageError
from skeltools import conversion as module
from skeltools import skeletons, store
from skeltools.conversion import Summary, convert, planning
from skeltools.inspect.validate import validate
from skeltools.preprocess import Prepared, prepare

SMPLX = "smplx_42"
A, B, C, D = (
    "S001C001P001R001A001",
    "S001C002P003R001A002",
    "S001C003P002R002A050",
    "S017C001P040R002A060",
)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_sequences_come_back_as_they_went_in(recordings, clip, tmp_path):
    clips = [clip(A, frames=9), clip(B, bodies=3, frames=40), clip(C, bodies=2), clip(D, frames=1)]
    recordings.add(*clips, clip(B, SMPLX, frames=40), clip(C, SMPLX, bodies=2))
    out = tmp_path / "store.zarr"
    convert("ntu60", raw=recordings.raw, out=out)
    opened = store.open_store(out)
    for put, got in zip(clips, store.read_sequences(opened, "kinectv2_25"), strict=True):
        assert got is not None
        for part in ("joints", "present", "order"):
            assert np.array_equal(getattr(got, part), getattr(put, part))
            assert getattr(got, part).dtype == getattr(put, part).dtype
        for name in ("id", "convention", "label", "subject", "camera", "setup", "repetition"):
            assert getattr(got, name) == getattr(put, name)
    assert [bool(got) for got in store.read_sequences(opened, SMPLX)] == [False, True, True, False]
    assert opened.manifest.conventions[SMPLX].missing == (A, D)
    assert opened.manifest.conventions["kinectv2_25"].missing == ()
    assert opened.manifest.arrays["sequences/kinectv2_25/joints"].shape == (62, 3, 25, 3)
    assert opened.manifest.arrays[f"sequences/{SMPLX}/joints"].shape == (52, 2, 42, 3)
    assert validate(out) == ()


def test_streams_are_the_recipe_of_each_clip_and_zero_where_it_is_missing(recordings, clip, tmp_path):
    both = [clip(A, bodies=3, frames=30), clip(A, SMPLX, frames=30)]
    recordings.add(*both, clip(B))
    convert("ntu60", raw=recordings.raw, out=tmp_path / "s", frames=(50, 20), recipe="crossclr")
    opened = store.open_store(tmp_path / "s")
    for put in both:
        for frames in (20, 50):
            rows = store.read(opened, store.stream_path(put.convention, frames, "joint"))
            spec = skeletons.load(put.convention)
            expected = prepare(put, recipe="crossclr", spec=spec, frames=frames, bodies=2)
            assert isinstance(expected, Prepared)
            assert np.array_equal(rows[0], expected.joint)
    assert not store.read(opened, f"streams/{SMPLX}/t50/joint")[1].any()
    assert opened.manifest.recipe.name == "crossclr"


def test_columns_and_splits(recordings, clip, tmp_path):
    recordings.add(clip(D, frames=3), clip(B), clip(A), clip(C, bodies=2))
    manifest = convert("ntu60", raw=recordings.raw, out=tmp_path / "s").manifest
    opened = store.open_store(tmp_path / "s")
    assert store.read(opened, "samples/id").tolist() == [A, B, C, D]
    assert store.read(opened, "samples/label").tolist() == [0, 1, 49, 59]
    assert store.read(opened, "samples/frames").tolist() == [12, 12, 12, 3]
    assert store.read(opened, "samples/bodies").tolist() == [1, 1, 2, 1]
    assert store.read(opened, "splits/xsub").tolist() == [1, 2, 1, 2]
    assert store.read(opened, "splits/xview").tolist() == [2, 1, 1, 2]
    assert (manifest.protocols["xview"].train, manifest.protocols["xview"].test) == (2, 2)
    assert manifest.classes[0] == "drink water"
    assert len(manifest.classes) == 60


def test_graphs_are_padded_to_the_largest_convention(recordings, clip, tmp_path):
    recordings.add(clip(A), clip(A, SMPLX))
    convert("ntu60", raw=recordings.raw, out=tmp_path / "s")
    opened = store.open_store(tmp_path / "s")
    mask = store.read(opened, "skeletons/kinectv2_25/joint_mask")
    adjacency = store.read(opened, "skeletons/kinectv2_25/adjacency")
    assert mask.sum() == 25
    assert mask.shape == (42,)
    assert not adjacency[:, 25:].any()
    assert np.allclose(adjacency.sum(axis=(0, 1))[:25], 1)
    assert store.read_spec(opened, SMPLX) == skeletons.load(SMPLX)


def test_one_bad_file_is_a_finding(recordings, clip, tmp_path):
    recordings.add(clip(A), clip(C))
    recordings.fail(B, "line 12: truncated")
    summary = convert("ntu60", raw=recordings.raw, out=tmp_path / "s")
    expected = Finding(
        file=f"{B}.skeleton",
        place="line 12",
        problem="unreadable file",
        detail="truncated",
        action="skipped",
    )
    assert summary.findings == (expected,)
    assert summary.manifest.findings == {"unreadable file": 1}
    assert summary.manifest.samples == 2
    assert store.read_findings(store.open_store(tmp_path / "s")) == (expected,)


def test_strict_makes_a_bad_file_fatal(recordings, clip, tmp_path):
    recordings.add(clip(A))
    recordings.fail(B, "line 12: truncated")
    with pytest.raises(RawDataError, match=f"{B}.skeleton, line 12: unreadable file .truncated."):
        convert("ntu60", raw=recordings.raw, out=tmp_path / "s", strict=True)
    assert list(tmp_path.glob("s*")) == []


def test_findings_of_discovery_and_of_readers_are_kept(recordings, clip, tmp_path):
    listed = Finding(file="x.skeleton", problem="unknown file name", action="skipped")
    mended = Finding(file=f"{A}.skeleton", place="frame 3", problem="not finite", action="treated as absent")
    recordings.listed.append(listed)
    recordings.add(replace(clip(A), findings=(mended,)))
    assert convert("ntu60", raw=recordings.raw, out=tmp_path / "s").findings == (listed, mended)
    with pytest.raises(RawDataError, match=r"x.skeleton: unknown file name"):
        convert("ntu60", raw=recordings.raw, out=tmp_path / "t", strict=True)


def test_estimated_poses_stay_when_the_native_clip_cannot_be_read(recordings, clip, tmp_path):
    recordings.add(clip(A), clip(A, SMPLX), clip(B, SMPLX))
    recordings.fail(B, "empty")
    manifest = convert("ntu60", raw=recordings.raw, out=tmp_path / "s").manifest
    assert manifest.samples == 2
    assert manifest.conventions["kinectv2_25"].missing == (B,)
    assert recordings.natives[B] is None
    assert recordings.natives[A] is recordings.served["kinectv2_25", A]


def test_a_convention_of_which_nothing_could_be_read_is_left_out(recordings, clip, tmp_path):
    recordings.add(clip(A))
    recordings.fail(A, "another length", convention=SMPLX)
    summary = convert("ntu60", raw=recordings.raw, out=tmp_path / "s")
    manifest = summary.manifest
    assert [finding.file for finding in summary.findings] == [f"{SMPLX}/{A}.skeleton"]
    assert list(manifest.conventions) == ["kinectv2_25"]
    assert not any(SMPLX in path for path in manifest.arrays)
    assert validate(tmp_path / "s") == ()


def test_official_missing_list_and_foreign_samples(recordings, clip, tmp_path):
    missing, foreign = "S001C002P005R002A008", "S018C001P008R001A061"
    recordings.add(clip(A), clip(missing), clip(foreign))
    summary = convert("ntu60", raw=recordings.raw, out=tmp_path / "s", strict=True)
    assert summary.manifest.samples == 1
    assert summary.manifest.findings == {planning.OFFICIAL: 1, planning.FOREIGN: 1}
    assert {finding.file for finding in summary.findings} == {f"{missing}.skeleton", f"{foreign}.skeleton"}


def test_at_most_four_tracks_are_kept_the_first_places_first(recordings, clip, tmp_path):
    crowd = clip(A, bodies=6, frames=30, gaps=False)
    order = np.tile(np.array([5, 4, 3, 2, 1, 0], np.int8), (30, 1))
    still = crowd.joints.copy()
    still[:, 0] = still[0, 0]  # of those behind the first two places, track 0 does not move at all
    still[:, 1] = still[0, 1] + 1e-4 * np.arange(30, dtype=np.float32)[:, None, None]
    recordings.add(replace(crowd, order=order, joints=still))
    summary = convert("ntu60", raw=recordings.raw, out=tmp_path / "s")
    (got,) = store.read_sequences(store.open_store(tmp_path / "s"), "kinectv2_25")
    assert got is not None
    assert np.array_equal(got.joints, still[:, 2:])
    assert summary.findings[0].problem == "more than 4 bodies"
    assert summary.findings[0].detail == "6 tracks"


def test_only_the_conventions_that_were_asked_for(recordings, clip, tmp_path):
    recordings.add(clip(A), clip(A, SMPLX), clip(B), clip(A, "smpl_24"))
    manifest = convert("ntu60", raw=recordings.raw, out=tmp_path / "s", conventions=(SMPLX,)).manifest
    assert list(manifest.conventions) == [SMPLX]
    assert manifest.samples == 1
    assert recordings.natives[A] is not None  # its tracks are still matched to the native ones
    with pytest.raises(UsageError, match=r"no raw files of convention coco_17.*It has: kinectv2_25, smpl_24"):
        convert("ntu60", raw=recordings.raw, out=tmp_path / "t", conventions=("coco_17",))


@pytest.mark.parametrize(("asked", "option"), [(True, "--no-mirrored-video"), (False, "--mirrored-video")])
def test_warns_when_the_other_side_reading_fits_better(recordings, clip, tmp_path, asked, option):
    recordings.add(*(clip(id, convention) for id in (A, B, C) for convention in ("kinectv2_25", SMPLX)))
    recordings.fits_mirrored = not asked
    summary = convert("ntu60", raw=recordings.raw, out=tmp_path / "s", mirrored=asked)
    assert recordings.mirrored == {asked}
    assert len(summary.warnings) == 1
    assert "3 of 3 clips" in summary.warnings[0]
    assert summary.warnings[0].endswith(option)
    assert summary.manifest.findings == {module.MIRROR: 1}
    assert summary.manifest.conventions[SMPLX].mirrored_video is asked
    assert ("exchanged" in summary.manifest.conventions[SMPLX].axes) is asked


def test_no_warning_when_the_reading_fits(recordings, clip, tmp_path):
    recordings.add(clip(A), clip(A, SMPLX))
    summary = convert("ntu60", raw=recordings.raw, out=tmp_path / "s")
    assert recordings.mirrored == {True}
    assert summary.warnings == ()


def test_demo_data_make_a_synthetic_store(recordings, clip, tmp_path):
    recordings.add(clip(A))
    real = convert("ntu60", raw=recordings.raw, out=tmp_path / "s").manifest
    assert not real.synthetic
    assert "streams/kinectv2_25/t24/joint" not in real.arrays
    (recordings.raw / "DEMO.json").write_text("{}")
    made = convert("ntu60", raw=recordings.raw, out=tmp_path / "t").manifest
    assert made.synthetic
    # The demo presets take the shorter one.
    assert {"streams/kinectv2_25/t24/joint", "streams/kinectv2_25/t50/joint"} <= set(made.arrays)


def test_nothing_readable_is_an_error_and_writes_nothing(recordings, tmp_path):
    recordings.fail(A, "empty file")
    with pytest.raises(SkelError, match=r"no sample could be read .1 x unreadable file.*empty file"):
        convert("ntu60", raw=recordings.raw, out=tmp_path / "deep" / "s")
    assert list((tmp_path / "deep").iterdir()) == []


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, OSError(28, "No space left on device"), ValueError("bug")]
)
def test_conversion_interrupted_in_its_first_part_leaves_nothing(recordings, clip, tmp_path, error):
    recordings.add(clip(A), clip(B))

    def stop(done: int, total: int) -> None:
        assert [path.name for path in tmp_path.glob("s.zarr*")] == ["s.zarr.partial"]
        raise error

    expected = (
        StoreError if isinstance(error, OSError) else type(error) if isinstance(error, Exception) else error
    )
    with pytest.raises(expected):
        convert("ntu60", raw=recordings.raw, out=tmp_path / "s.zarr", on_progress=stop)
    assert list(tmp_path.glob("s.zarr*")) == []


def test_force_replaces_only_when_the_new_store_is_complete(recordings, clip, tmp_path):
    out = tmp_path / "s.zarr"
    recordings.add(clip(A))
    convert("ntu60", raw=recordings.raw, out=out)
    before = files(out)
    with pytest.raises(StoreError, match=r"there is a store already.*--force"):
        convert("ntu60", raw=recordings.raw, out=out)
    recordings.add(clip(B))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert("ntu60", raw=recordings.raw, out=out, force=True, on_progress=stop)
    assert files(out) == before
    assert convert("ntu60", raw=recordings.raw, out=out, force=True).manifest.samples == 2
    assert store.open_store(out).manifest.samples == 2
    assert [path.name for path in tmp_path.glob("s.zarr*")] == ["s.zarr"]


def test_never_replaces_what_is_no_store(recordings, clip, tmp_path):
    recordings.add(clip(A))
    folder, file, empty = tmp_path / "folder", tmp_path / "file", tmp_path / "empty"
    folder.mkdir()
    empty.mkdir()
    (folder / "thesis.tex").write_text("words")
    file.write_text("words")
    for place in (folder, file):
        with pytest.raises(StoreError, match="nothing but a store is ever replaced"):
            convert("ntu60", raw=recordings.raw, out=place, force=True)
    assert (folder / "thesis.tex").read_text() == file.read_text() == "words"
    assert convert("ntu60", raw=recordings.raw, out=empty).manifest.samples == 1


def test_unknown_names(tmp_path):
    with pytest.raises(UsageError, match=r"unknown data set 'ntu61'. Did you mean 'ntu60'"):
        convert("ntu61", out=tmp_path / "s")
    with pytest.raises(UsageError, match="unknown recipe 'cross'"):
        convert("ntu60", out=tmp_path / "s", recipe="cross")
    with pytest.raises(UsageError, match="unknown skeleton convention 'smplx'"):
        convert("ntu60", out=tmp_path / "s", conventions=("smplx",))
    with pytest.raises(UsageError, match="no raw data for ntu60"):
        convert("ntu60", out=tmp_path / "s", raw=tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------- real reader, real processes


def test_workers_do_not_change_a_byte(write_ucla, tmp_path):
    raw = write_ucla(tmp_path / "raw", [f"a01_s{i:02}_e00_v{1 + i % 3:02}" for i in range(1, 41)])
    (raw / "a02_s01_e00_v01.json").write_bytes(b"{")
    seen: list[tuple[int, int]] = []
    convert("nw-ucla", raw=raw, out=tmp_path / "zero")
    convert("nw-ucla", raw=raw, out=tmp_path / "two", workers=2, on_progress=lambda *at: seen.append(at))
    assert files(tmp_path / "zero") == files(tmp_path / "two")
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (41, 41)
    assert store.open_store(tmp_path / "two").manifest.samples == 40


def test_streams_have_the_lengths_of_the_data_set_unless_told(write_ucla, recordings, clip, tmp_path):
    raw = write_ucla(tmp_path / "ucla" / "raw")
    assert lengths(convert("nw-ucla", raw=raw, out=tmp_path / "a")) == {24, 50}
    assert lengths(convert("nw-ucla", raw=raw, out=tmp_path / "b", frames=(16,))) == {16}
    recordings.add(clip(A), clip(B))
    assert lengths(convert("ntu60", raw=recordings.raw, out=tmp_path / "c")) == {50}


def lengths(summary: Summary) -> set[int]:
    """T of the joint streams."""
    return {int(path.split("/")[2][1:]) for path in summary.manifest.arrays if path.startswith("streams/")}


def test_folder_and_zip_make_the_same_arrays(write_ucla, tmp_path):
    raw = write_ucla(tmp_path / "raw")
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        for path in raw.iterdir():
            archive.write(path, f"all_sqe/{path.name}")
    of_folder = convert("nw-ucla", raw=raw, out=tmp_path / "a").manifest
    of_zip = convert("nw-ucla", raw=tmp_path / "raw.zip", out=tmp_path / "b").manifest
    assert of_folder.arrays == of_zip.arrays
    assert of_folder.source["sha256"] == of_zip.source["sha256"]
    assert of_folder.source["name"] == "raw"
    assert str(tmp_path) not in json.dumps(of_folder.model_dump(mode="json"))


def test_several_shards(recordings, clip, tmp_path, monkeypatch):
    """Rows and frames that run over the borders of files come back whole."""
    for name, size in {"SAMPLE_CHUNK": 2, "SAMPLE_SHARD": 4, "FRAME_CHUNK": 8, "FRAME_SHARD": 16}.items():
        monkeypatch.setattr(store.layout, name, size)
    clips = [clip(f"S001C001P001R{i:03}A001", frames=5 + 7 * (i % 4)) for i in range(1, 12)]
    recordings.add(*clips)
    convert("ntu60", raw=recordings.raw, out=tmp_path / "s", frames=(6,))
    opened = store.open_store(tmp_path / "s")
    for put, got in zip(clips, store.read_sequences(opened, "kinectv2_25"), strict=True):
        assert got is not None
        assert np.array_equal(got.joints, put.joints)
    rows = store.read(opened, "streams/kinectv2_25/t6/joint")
    for put, row in zip(clips, rows, strict=True):
        expected = prepare(put, spec=skeletons.load("kinectv2_25"), frames=6, bodies=2)
        assert isinstance(expected, Prepared)
        assert np.array_equal(row, expected.joint)
    assert len(list((tmp_path / "s/streams/kinectv2_25/t6/joint/c").iterdir())) == 3
    assert validate(tmp_path / "s") == ()
