from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from schemas import RawDataError, UsageError
from skeltools import store
from skeltools.conversion import append, chunks, convert, publish
from skeltools.conversion.append import add_metrabs
from skeltools.conversion.derive import add_streams
from skeltools.files import durable
from skeltools.inspect.validate import validate

IDS = [f"S001C001P001R{i:03}A001" for i in range(1, 12)]
NATIVE, SMPLX, SMPL = "kinectv2_25", "smplx_42", "smpl_24"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def made(recordings, clip, tmp_path, monkeypatch):
    """A native store of eleven samples; then poses in two conventions, of all but the first two samples."""
    monkeypatch.setattr(chunks, "SAMPLES", 4)
    recordings.add(*(clip(id, bodies=1 + i % 3) for i, id in enumerate(IDS)))
    convert("ntu60", raw=recordings.raw, out=tmp_path / "s", frames=(5, 9), recipe="crossclr")
    recordings.natives.clear()
    recordings.add(
        *(clip(id, name, bodies=1 + i % 2) for name in (SMPLX, SMPL) for i, id in enumerate(IDS[2:]))
    )
    return tmp_path / "s"


def add(recordings, out: Path, **options: object):
    return add_metrabs("ntu60", raw=recordings.raw, out=out, **options)


@pytest.mark.parametrize("conventions", [None, (SMPL,)])
def test_added_is_what_converting_all_at_once_makes(made, recordings, tmp_path, conventions):
    summary = add(recordings, made, conventions=conventions)
    asked = (NATIVE, *conventions) if conventions else None
    options = {"raw": recordings.raw, "frames": (5, 9), "recipe": "crossclr", "conventions": asked}
    direct = convert("ntu60", out=tmp_path / "direct", **options).manifest
    assert summary.manifest.arrays == direct.arrays
    assert summary.manifest.conventions == direct.conventions
    assert summary.manifest.recipe == direct.recipe
    assert summary.manifest.hash == direct.hash
    assert summary.manifest == store.open_store(made).manifest
    assert summary.manifest.source["files"] == direct.source["files"]
    assert validate(made) == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["direct", "raw", "s"]


def test_native_clips_come_from_the_store(made, recordings, monkeypatch):
    first = store.open_store(made)
    clips = dict(zip(IDS, store.read_sequences(first, NATIVE), strict=True))
    for id in IDS:
        del recordings.served[NATIVE, id]
    add(recordings, made, conventions=(SMPL,))
    assert set(recordings.natives) == set(IDS[2:])
    for id, native in recordings.natives.items():
        assert native is not None
        assert np.array_equal(native.joints, clips[id].joints)
        assert (native.id, native.label) == (id, 0)


def test_only_small_files_are_written_again(made, recordings):
    big = {path.relative_to(made): path.stat() for path in made.rglob("*") if path.is_file()}
    big = {
        path: status
        for path, status in big.items()
        if path.parts[0] in ("samples", "splits", "sequences", "streams")
    }
    add(recordings, made)
    for path, status in big.items():
        now = (made / path).stat()
        assert path.name == "zarr.json" or now.st_ino == status.st_ino
        assert now.st_size == status.st_size


def test_poses_of_other_samples_are_findings(made, recordings, clip):
    recordings.add(clip("S002C001P001R001A001", SMPL))
    summary = add(recordings, made, conventions=(SMPL,))
    (found,) = summary.findings
    assert (found.file, found.problem, found.action) == (
        f"{SMPL}/S002C001P001R001A001.skeleton",
        append.NO_SAMPLE,
        "skipped",
    )
    assert summary.manifest.samples == 11
    assert summary.manifest.conventions[SMPL].missing == tuple(IDS[:2])
    assert summary.manifest.findings == {append.NO_SAMPLE: 1}
    assert validate(made) == ()


def test_one_after_the_other_and_streams_after_that(made, recordings):
    before = store.open_store(made).manifest
    add(recordings, made, conventions=(SMPL,))
    mask = store.read(store.open_store(made), f"skeletons/{NATIVE}/joint_mask")
    assert mask.shape == (25,)
    add(recordings, made, conventions=(SMPLX,))
    mask = store.read(store.open_store(made), f"skeletons/{NATIVE}/joint_mask")
    assert (mask.shape, mask.sum()) == ((42,), 25)
    add_streams(made, kinds=("bone",))
    after = store.open_store(made).manifest
    assert list(after.conventions) == [NATIVE, SMPL, SMPLX]
    kept = {path: info for path, info in before.arrays.items() if not path.startswith("skeletons/")}
    assert {path: after.arrays[path] for path in kept} == kept
    assert validate(made) == ()


def test_what_does_not_fit_changes_nothing(made, recordings, clip, tmp_path):
    add(recordings, made, conventions=(SMPL,))
    before = files(made)
    with pytest.raises(UsageError, match=r"has smpl_24 already"):
        add(recordings, made, conventions=(SMPL,))
    with pytest.raises(UsageError, match=r"is a store of ntu60, not of ntu120"):
        add_metrabs("ntu120", raw=recordings.raw, out=made)
    with pytest.raises(UsageError, match=r"no raw files of convention coco_17"):
        add(recordings, made, conventions=("coco_17",))
    recordings.fail(IDS[5], "broken", convention=SMPLX)
    with pytest.raises(RawDataError, match="broken"):
        add(recordings, made, strict=True)
    publish.discard(publish.work_folder(made))
    add(recordings, made)
    with pytest.raises(
        UsageError, match=r"no MeTRAbs poses of a convention that the store lacks. It has: smpl_24"
    ):
        add(recordings, made)
    assert files(made) != before
    assert store.open_store(made).manifest.findings == {"unreadable file": 1}
    assert validate(made) == ()


class Stop(BaseException):
    pass


@pytest.mark.parametrize("call", [1, 3, 5, 8, 11, 14, 17, 18, 19, 20])
def test_a_stop_leaves_the_old_store_or_the_new(made, recordings, tmp_path, monkeypatch, call):
    old, calls = files(made), 0

    def counted(function):
        def wrapper(*args, **options):
            nonlocal calls
            calls += 1
            if calls == call:
                raise Stop
            return function(*args, **options)

        return wrapper

    with monkeypatch.context() as patch:
        for place, name in ((durable, "write"), (durable, "exchange"), (publish, "discard")):
            patch.setattr(place, name, counted(getattr(place, name)))
        patch.setattr(Path, "rename", counted(Path.rename))
        patch.setattr(store, "write_graphs", counted(store.write_graphs))
        try:
            add(recordings, made, conventions=(SMPL,))
        except Stop:
            assert validate(made) == ()
            if SMPL not in store.open_store(made).manifest.conventions:
                assert files(made) == old
    said: list[str] = []
    if SMPL not in store.open_store(made).manifest.conventions:
        add(recordings, made, conventions=(SMPL,), on_note=said.append)
        assert call < 4 or said[0].startswith("resuming: ")
    add_streams(made, kinds=("motion",))
    assert validate(made) == ()


def test_the_warning_about_mirrors(made, recordings):
    recordings.fits_mirrored = False
    summary = add(recordings, made, conventions=(SMPL,), mirrored=True)
    assert "--no-mirrored-video" in summary.warnings[0]
    assert summary.manifest.conventions[SMPL].mirrored_video is True


def test_a_sample_without_its_native_clip(recordings, clip, tmp_path):
    recordings.add(clip(IDS[0]), clip(IDS[1]), clip(IDS[1], SMPLX), clip(IDS[2], SMPLX))
    convert("ntu60", raw=recordings.raw, out=tmp_path / "s", frames=(5,))
    recordings.add(replace(clip(IDS[2], SMPL), label=0), clip(IDS[0], SMPL))
    add(recordings, tmp_path / "s")
    assert recordings.natives[IDS[2]] is None
    assert validate(tmp_path / "s") == ()
