from __future__ import annotations

import numpy as np
import pytest

from schemas import StoreError, UsageError
from skeltools import skeletons, store
from skeltools.conversion import convert
from skeltools.conversion.derive import add_streams
from skeltools.inspect.validate import validate

A, B, C = "S001C001P001R001A001", "S001C002P003R001A002", "S001C003P002R002A050"
NATIVE, SMPLX = "kinectv2_25", "smplx_42"


@pytest.fixture
def made(recordings, clip, tmp_path):
    """A store of three samples, of which smplx_42 lacks the first; crossclr and two lengths."""
    recordings.add(clip(A), clip(B, bodies=3), clip(C), clip(B, SMPLX), clip(C, SMPLX, bodies=2))
    convert("ntu60", raw=recordings.raw, out=tmp_path / "s.zarr", frames=(10, 7), recipe="crossclr")
    return tmp_path / "s.zarr"


def streams(path) -> set[str]:
    return {name for name in store.open_store(path).manifest.arrays if name.startswith("streams/")}


def test_bone_and_motion_against_a_literal_loop(made):
    added = add_streams(made, kinds=("bone", "motion"))
    assert len(added.written) == 8
    opened = store.open_store(made)
    for name in (NATIVE, SMPLX):
        parents = skeletons.load(name).parents
        joint, bone, motion = (
            store.read(opened, store.stream_path(name, 10, kind)) for kind in ("joint", "bone", "motion")
        )
        for v, parent in enumerate(parents):
            assert np.array_equal(bone[:, :, :, v], joint[:, :, :, v] - joint[:, :, :, parent])
        for t in range(9):
            assert np.array_equal(motion[:, :, t], joint[:, :, t + 1] - joint[:, :, t])
        assert not motion[:, :, 9].any()
    assert not store.read(opened, f"streams/{SMPLX}/t10/bone")[0].any()
    assert validate(made) == ()


def test_hash_stays_and_the_manifest_lists_what_was_added(made):
    before = store.open_store(made).manifest
    add_streams(made, kinds=("bone",), frames=(7,), conventions=(NATIVE,))
    after = store.open_store(made).manifest
    assert after.hash == before.hash
    assert set(after.arrays) - set(before.arrays) == {f"streams/{NATIVE}/t7/bone"}


def test_another_length_from_sequences_is_what_convert_makes(made, recordings, tmp_path):
    added = add_streams(made, frames=(64, 10), kinds=("motion",))
    assert f"streams/{NATIVE}/t64/joint" in added.written
    assert f"streams/{NATIVE}/t10/joint" in added.skipped
    convert("ntu60", raw=recordings.raw, out=tmp_path / "t.zarr", frames=(64,), recipe="crossclr")
    mine, direct = store.open_store(made).manifest, store.open_store(tmp_path / "t.zarr").manifest
    for name in (NATIVE, SMPLX):
        path = store.stream_path(name, 64, "joint")
        assert mine.arrays[path] == direct.arrays[path]
    assert validate(made) == ()


def test_what_is_there_is_skipped_unless_forced(made):
    first = add_streams(made, kinds=("bone",))
    again = add_streams(made, kinds=("bone",))
    assert again.written == ()
    assert again.skipped == first.written
    before = store.open_store(made).manifest
    assert add_streams(made, kinds=("bone",), force=True).written == first.written
    assert store.open_store(made).manifest == before
    assert validate(made) == ()


def test_another_recipe_remakes_every_stream_or_none(made, recordings, tmp_path):
    add_streams(made, kinds=("bone",), frames=(7,))
    before = streams(made)
    with pytest.raises(UsageError, match=r"recipe crossclr, and a store holds one recipe.*--force"):
        add_streams(made, frames=(20,), recipe="default")
    assert streams(made) == before
    assert set(add_streams(made, recipe="default", force=True).written) == before
    convert("ntu60", raw=recordings.raw, out=tmp_path / "t.zarr", frames=(7, 10), recipe="default")
    mine, direct = store.open_store(made).manifest, store.open_store(tmp_path / "t.zarr").manifest
    assert mine.recipe == direct.recipe
    assert all(mine.arrays[path] == info for path, info in direct.arrays.items())
    assert validate(made) == ()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_interrupted_run_leaves_the_store_as_it_was(made, error):
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise error

    with pytest.raises(StoreError if isinstance(error, OSError) else KeyboardInterrupt):
        add_streams(made, kinds=("bone", "motion"), frames=(64,), on_progress=stop)
    assert {path: path.read_bytes() for path in made.rglob("*") if path.is_file()} == before


def test_what_a_killed_run_left_is_removed_and_ignored(made):
    left = made / ".tmp-1"
    store.write_array(store.create(left), "streams/x/t1/joint", np.zeros((1, 2)), ("N", "C"))
    work = made.with_name("s.zarr.partial")
    (work / "revision" / "streams").mkdir(parents=True)
    (work / "lock").write_text("1\n")
    assert validate(made) == ()
    add_streams(made, kinds=("bone",))
    assert not left.exists()
    assert not work.exists()
    assert validate(made) == ()


def test_no_file_that_is_there_is_written_again(made):
    before = {path.relative_to(made): path.stat().st_ino for path in made.rglob("c/**/*") if path.is_file()}
    add_streams(made, kinds=("bone",), frames=(7,))
    assert all((made / path).stat().st_ino == number for path, number in before.items())
    assert len(before) > 20


def test_progress_counts_rows(made):
    seen: list[tuple[int, int]] = []
    add_streams(made, kinds=("bone",), frames=(7,), on_progress=lambda *at: seen.append(at))
    assert seen[-1] == (6, 6)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_unknown_names(made):
    with pytest.raises(UsageError, match="unknown stream 'bones'"):
        add_streams(made, kinds=("bones",))
    with pytest.raises(UsageError, match="unknown convention of this store 'smpl_24'"):
        add_streams(made, kinds=("bone",), conventions=("smpl_24",))
    with pytest.raises(UsageError, match="unknown recipe 'cross'"):
        add_streams(made, recipe="cross", force=True)
