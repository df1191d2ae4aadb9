"""Out of a store and back, and archives of others: what comes back is what was there, to the bit."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from schemas import RawDataError
from skeltools import store
from skeltools.conversion import convert
from skeltools.conversion.derive import add_streams
from skeltools.formats import FORMATS
from skeltools.formats.export import export
from tests.skeltools.archives import (
    CONVENTIONS,
    LACKS,
    NAMES,
    NATIVE,
    OUT,
    SMPLX,
    back,
    ctrgcn_arrays,
    label_of,
    make_store,
    pyskl_content,
    read,
    stream,
    write_crossclr_set,
    write_pickle,
)
from tests.skeltools.archives import slots as slots_of


@pytest.fixture(scope="module")
def made(tmp_path_factory, serving, clip) -> Path:
    return make_store(tmp_path_factory.mktemp("export"), serving, clip)


@pytest.mark.parametrize(
    ("to", "convention", "workers"),
    [
        *((to, convention, 0) for to in ("crossclr", "hdf5", "pyskl") for convention in CONVENTIONS),
        ("pyskl", SMPLX, 2),
    ],
)
def test_what_has_names_comes_back_to_the_bit(made, tmp_path, to, convention, workers):
    export(made, to=to, out=tmp_path / OUT[to], conventions=(convention,))
    again = back(to, tmp_path / OUT[to], tmp_path / "s", conventions=(convention,), workers=workers)
    kept = [row for row, name in enumerate(NAMES) if name != LACKS[convention]]
    names = ["id", "label", "subject", "camera", "setup", "repetition"]
    columns = [f"samples/{name}" for name in names] + ["splits/xsub", "splits/xview"]
    for found, expected in zip(read(again, *columns), read(made, *columns), strict=True):
        assert found.tolist() == expected[kept].tolist()
    assert np.array_equal(stream(again, convention), stream(made, convention)[kept])
    old, new = store.open_store(made).manifest, store.open_store(again).manifest
    assert new.classes == old.classes
    assert new.conventions[convention].reader == to
    if to != "crossclr":  # full sequences: every array of them is the same
        for part in ("joints", "present", "order", "offsets"):
            path = f"sequences/{convention}/{part}"
            if part != "offsets":
                assert new.arrays[path].sha256 == old.arrays[path].sha256


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_ctrgcn_comes_back_to_the_bit_without_names(made, tmp_path, convention):
    export(made, to="ctrgcn", out=tmp_path / "NTU60_CV.npz", conventions=(convention,))
    again = back("ctrgcn", tmp_path / "NTU60_CV.npz", tmp_path / "s", conventions=(convention,))
    half, label, ids = read(made, "splits/xview", "samples/label", "samples/id")
    there = ids != LACKS[convention]
    rows = [row for number in (2, 1) for row in np.flatnonzero((half == number) & there)]  # test sorts first
    found = read(again, "samples/id", "samples/label", "splits/xview", "samples/subject")
    assert found[0].tolist()[:2] == ["test-000001", "test-000002"]
    assert found[1].tolist() == label[rows].tolist()
    assert found[2].tolist() == half[rows].tolist()
    assert set(found[3].tolist()) == {-1}
    assert np.array_equal(stream(again, convention), stream(made, convention)[rows])
    assert set(store.open_store(again).manifest.protocols) == {"xview"}


@pytest.mark.parametrize("recipe", ["default", "crossclr"])
@pytest.mark.parametrize("to", ["pyskl", "hdf5"])
def test_full_sequences_give_the_streams_of_any_recipe(made, tmp_path, to, recipe):
    whole = export(made, to="zarr", out=tmp_path / "whole.zarr", conventions=(NATIVE,)).path
    add_streams(whole, frames=(20,), recipe=recipe, force=True)
    export(whole, to=to, out=tmp_path / OUT[to])
    again = back(to, tmp_path / OUT[to], tmp_path / "s", recipe=recipe, frames=(20,))
    assert np.array_equal(stream(again, NATIVE, 20), stream(whole, NATIVE, 20))


def test_hdf5_brings_all_conventions_back(made, tmp_path):
    export(made, to="hdf5", out=tmp_path / "s.h5")
    again = store.open_store(back("hdf5", tmp_path / "s.h5", tmp_path / "s"))
    old = store.open_store(made).manifest
    kept = ("samples/", "splits/", "sequences/", "skeletons/")
    for path, info in old.arrays.items():
        if path.startswith(kept) or path.endswith("/joint"):
            assert again.manifest.arrays[path].sha256 == info.sha256, path
    for name in CONVENTIONS:
        assert again.manifest.conventions[name].missing == old.conventions[name].missing == (LACKS[name],)
    assert {name: info.rule for name, info in again.manifest.protocols.items()} == {
        name: info.rule for name, info in old.protocols.items()
    }


def test_archives_of_others_make_sound_stores(tmp_path):
    clips = {name: slots_of(name) for name in NAMES}
    write_crossclr_set(tmp_path / "aimclr", clips)
    write_pickle(tmp_path / "x.pkl", pyskl_content(clips))
    np.savez(tmp_path / "NTU60_CS.npz", **ctrgcn_arrays(clips))
    first = back("crossclr", tmp_path / "aimclr", tmp_path / "a", frames=(7,))
    other = back("pyskl", tmp_path / "x.pkl", tmp_path / "b", frames=(7,))
    third = back("ctrgcn", tmp_path / "NTU60_CS.npz", tmp_path / "c", frames=(7,))
    expected = np.stack([clips[name].transpose(3, 0, 2, 1) for name in sorted(NAMES)])
    for path in (first, other):
        assert np.array_equal(stream(path, NATIVE, 7), expected)
        assert read(path, "samples/label")[0].tolist() == [label_of(name) for name in sorted(NAMES)]
    clips_there = [row.tobytes() for row in expected]
    assert sorted(row.tobytes() for row in stream(third, NATIVE, 7)) == sorted(clips_there)
    manifest = store.open_store(third).manifest
    assert (manifest.protocols["xsub"].train, manifest.protocols["xsub"].test) == (6, 6)


def test_the_built_in_data_stay_labelled(tmp_path):
    clips = {name: slots_of(name) for name in NAMES}
    write_crossclr_set(tmp_path / "raw", clips)
    (tmp_path / "raw" / "DEMO.json").write_text("{}")
    first = back("crossclr", tmp_path / "raw", tmp_path / "s")
    for to in FORMATS:
        export(first, to=to, out=tmp_path / OUT[to])
        again = back(to, tmp_path / OUT[to], tmp_path / f"{to}.zarr")
        assert store.open_store(again).manifest.synthetic


@pytest.mark.parametrize("classes", [5, 59, 61, 100])
def test_one_hot_rows_that_are_not_as_wide_as_the_data_set(tmp_path, classes):
    clips = {name: slots_of(name) for name in NAMES if label_of(name) < classes}
    np.savez(tmp_path / "NTU60_CS.npz", **ctrgcn_arrays(clips, classes=classes))
    with pytest.raises(RawDataError, match=f"has {classes} classes, but ntu60 has 60.*custom --from ctrgcn"):
        convert("ntu60", source="ctrgcn", raw=tmp_path / "NTU60_CS.npz", out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_labels_that_the_data_set_does_not_have(tmp_path):
    arrays = ctrgcn_arrays({name: slots_of(name) for name in NAMES}, classes=100)
    arrays["y_train"] = np.roll(arrays["y_train"], 60, axis=1)
    np.savez(tmp_path / "mine.npz", **arrays)
    names = [f"class {number}" for number in range(60)]
    options = {"raw": tmp_path / "mine.npz", "out": tmp_path / "s", "classes": names}
    summary = convert("custom", source="ctrgcn", **options)
    assert summary.manifest.findings == {"unreadable file": 3}  # labels 60; those of 109 wrap around to 9
    assert "label 60 is none of the 60 classes" in summary.findings[0].detail


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--from", "pyskll", "--raw", "x"), 2, "unknown archive format 'pyskll'. Did you mean 'pyskl'"),
        (("--from", "pyskl", "--raw", "absent"), 2, "absent: no such file or folder"),
        (("--from", "pyskl"), 2, "raw: no such file or folder. Name the archive with --raw"),
        (("--from", "pyskl", "--raw", "foreign.npz"), 1, "no complete pickle"),
        (("--from", "ctrgcn", "--raw", "foreign.pkl"), 1, "cannot be read as an array"),
        (("--from", "hdf5", "--raw", "foreign.pkl"), 1, "damaged HDF5 file"),
        (("--from", "crossclr", "--raw", "foreign.pkl"), 1, "is no folder"),
        (("--from", "crossclr", "--raw", "."), 1, "no train_label.pkl or val_label.pkl"),
        (
            ("--from", "pyskl", "--raw", "x", "--convention", NATIVE, "--convention", SMPLX),
            2,
            "a pyskl archive holds one convention, but 2 are asked for",
        ),
    ],
)
def test_wrong_archives_on_the_command_line(run, tmp_path, args, code, message):
    np.savez(tmp_path / "foreign.npz", x=np.zeros(3))
    (tmp_path / "foreign.pkl").write_bytes(pickle.dumps([1, 2]))
    (tmp_path / "x").mkdir()
    found, out, err = run("convert", "ntu60", *args)
    assert (found, out) == (code, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "store.zarr").exists()
