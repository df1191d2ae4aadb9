"""What is exported, what comes back from it, and what export refuses."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from schemas import RawDataError, StoreError, UsageError
from skeltools import skeletons, store
from skeltools.conversion import convert
from skeltools.conversion.derive import add_streams
from skeltools.formats import FORMATS, hdf5
from skeltools.formats import hdf5 as hdf5_reader
from skeltools.formats.contents import Content
from skeltools.formats.export import TARGETS, export
from skeltools.inspect.validate import validate
from tests.skeltools.archives import (
    CONVENTIONS,
    LACKS,
    NAMES,
    NATIVE,
    OUT,
    SMPLX,
    T,
    back,
    label_of,
    make_store,
    read,
    stream,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory, serving, clip) -> Path:
    return make_store(tmp_path_factory.mktemp("export"), serving, clip)


# ------------------------------------------------------------------------------------- what the files are


def test_crossclr_files_are_what_its_feeders_read(made, tmp_path):
    export(made, to="crossclr", out=tmp_path / "o", protocols=("xview",))
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["xview"]
    data = np.load(tmp_path / "o/xview/train_position.npy", mmap_mode="r")
    names, labels = pickle.loads((tmp_path / "o/xview/train_label.pkl").read_bytes())
    half, ids = read(made, "splits/xview", "samples/id")
    rows = np.flatnonzero((half == 1) & (ids != LACKS[NATIVE]))
    assert names == [f"{ids[row]}.skeleton" for row in rows]
    assert labels == [label_of(name) for name in names]
    assert np.array_equal(data, stream(made, NATIVE)[rows])
    assert data.dtype == np.float32


@pytest.mark.parametrize("kind", ["bone", "motion"])
def test_derived_streams_can_be_exported(made, tmp_path, kind):
    export(made, to="crossclr", out=tmp_path / "o", streams=(kind,))
    export(made, to="ctrgcn", out=tmp_path / "o.npz", streams=(kind,), protocols=("xsub",))
    assert (tmp_path / f"o/xsub/val_{kind}.npy").is_file()
    with pytest.raises(RawDataError, match=f"holds the {kind} stream"):
        convert("ntu60", source="ctrgcn", raw=tmp_path / "o.npz", out=tmp_path / "s")


def test_ctrgcn_files_are_what_its_feeders_read(made, tmp_path):
    export(made, to="ctrgcn", out=tmp_path / "o.npz", protocols=("xsub",))
    half, ids, label = read(made, "splits/xsub", "samples/id", "samples/label")
    with np.load(tmp_path / "o.npz") as found:
        for name, number in (("train", 1), ("test", 2)):
            rows = np.flatnonzero((half == number) & (ids != LACKS[NATIVE]))
            x = found[f"x_{name}"]
            n, frames, _ = x.shape
            as_fed = x.reshape(n, frames, 2, 25, 3).transpose(0, 4, 1, 3, 2)  # feeders/feeder_ntu.py
            assert np.array_equal(as_fed, stream(made, NATIVE)[rows])
            assert np.where(found[f"y_{name}"] > 0)[1].tolist() == label[rows].tolist()


def test_pyskl_files_are_plain_pickles(made, tmp_path):
    export(made, to="pyskl", out=tmp_path / "o.pkl", conventions=(SMPLX,))
    found = pickle.loads((tmp_path / "o.pkl").read_bytes())
    assert sorted(found["split"]) == ["xsub_train", "xsub_val", "xview_train", "xview_val"]
    clips = [clip for clip in store.read_sequences(store.open_store(made), SMPLX) if clip]
    assert [a["frame_dir"] for a in found["annotations"]] == [clip.id for clip in clips]
    for annotation, clip in zip(found["annotations"], clips, strict=True):
        assert np.array_equal(annotation["keypoint"], clip.joints.transpose(1, 0, 2, 3))
        assert annotation["keypoint"].dtype == np.float32
        assert (annotation["total_frames"], annotation["label"]) == (clip.frames, clip.label)


def test_hdf5_has_the_arrays_of_the_store(made, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "FRAME_CHUNK", 16)
    export(made, to="hdf5", out=tmp_path / "o.h5")
    opened = store.open_store(made)
    with h5py.File(tmp_path / "o.h5") as file:
        manifest = json.loads(file.attrs["manifest"])
        for path, info in opened.manifest.arrays.items():
            values = file[path][()]
            expected = store.read(opened, path)
            if info.dtype == "string":
                values = np.array([value.decode() for value in values], dtype=object)
            assert np.array_equal(values, expected), path
            assert manifest["arrays"][path]["sha256"] == info.sha256, path
            assert tuple(dim.label for dim in file[path].dims) == info.dimensions
        assert file[f"sequences/{NATIVE}/joints"].chunks[0] == 16
        assert file[f"sequences/{NATIVE}/joints"].compression == "gzip"
        spec = skeletons.load(NATIVE)
        assert json.loads(file[f"skeletons/{NATIVE}"].attrs["joints"]) == list(spec.joints)
        assert file[f"skeletons/{NATIVE}"].attrs["center"] == spec.center
        assert json.loads(file["findings"].attrs["rows"]) == []


def test_a_manifest_larger_than_old_attributes_fits(made, tmp_path):
    whole = store.open_store(made)
    classes = tuple(f"class {number} " + "x" * 1000 for number in range(100))
    other = tmp_path / "s.zarr"
    export(made, to="zarr", out=other)
    store.write_manifest(other, whole.manifest.model_copy(update={"classes": classes}))
    export(other, to="hdf5", out=tmp_path / "o.h5")
    assert hdf5_reader.discover(tmp_path / "o.h5").classes == classes


@pytest.mark.parametrize("to", TARGETS)
def test_the_same_store_gives_the_same_bytes(made, tmp_path, to):
    for name in "ab":
        export(made, to=to, out=tmp_path / name / OUT[to])
    first, second = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in "ab"
    )
    assert first == second


# ---------------------------------------------------------------------------------------------- subsets


def test_a_whole_store_is_the_same_store(made, tmp_path):
    done = export(made, to="zarr", out=tmp_path / "s")
    assert validate(tmp_path / "s") == ()
    old, new = store.open_store(made).manifest, store.open_store(tmp_path / "s").manifest
    assert new.arrays == old.arrays
    assert new.hash == old.hash
    assert new.source["store"] == old.hash
    assert replace(done, manifest=old).samples == old.samples


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_part_is_a_sound_store_of_its_own(made, tmp_path, convention):
    options: Any = {"conventions": (convention,), "protocols": ("xview",), "streams": ("joint",)}
    export(made, to="zarr", out=tmp_path / "s", part="train", **options)
    assert validate(tmp_path / "s") == ()
    manifest = store.open_store(tmp_path / "s").manifest
    half, ids, offsets = read(made, "splits/xview", "samples/id", f"sequences/{convention}/offsets")
    rows = np.flatnonzero((half == 1) & (ids != LACKS[convention]))
    assert read(tmp_path / "s", "samples/id")[0].tolist() == ids[rows].tolist()
    assert np.array_equal(stream(tmp_path / "s", convention), stream(made, convention)[rows])
    assert list(manifest.conventions) == [convention]
    assert manifest.conventions[convention].missing == ()
    assert (manifest.protocols["xview"].train, manifest.protocols["xview"].test) == (len(rows), 0)
    assert read(tmp_path / "s", "samples/frames")[0].tolist() == np.diff(offsets)[rows].tolist()
    assert [path for path in manifest.arrays if path.startswith("streams/")] == [
        store.stream_path(convention, T, "joint")
    ]
    add_streams(tmp_path / "s", kinds=("bone",))
    assert validate(tmp_path / "s") == ()


def test_bodies_and_padding_are_those_of_the_part(made, tmp_path):
    (tmp_path / "ids.txt").write_text(f"{NAMES[0]}\n\n  {NAMES[3]}  \n")  # clips of one body
    export(made, to="zarr", out=tmp_path / "s", conventions=(NATIVE,), ids=tmp_path / "ids.txt")
    assert validate(tmp_path / "s") == ()
    manifest = store.open_store(tmp_path / "s").manifest
    assert manifest.samples == 2
    assert manifest.arrays[f"sequences/{NATIVE}/joints"].shape[1] == 1
    assert manifest.arrays[f"skeletons/{NATIVE}/joint_mask"].shape == (25,)
    assert read(tmp_path / "s", "samples/bodies")[0].tolist() == [1, 1]


def test_frames_are_those_of_the_first_convention_that_is_kept(made, tmp_path):
    export(made, to="zarr", out=tmp_path / "s", conventions=(SMPLX,))
    lengths = np.diff(read(made, f"sequences/{SMPLX}/offsets")[0])
    assert read(tmp_path / "s", "samples/frames")[0].tolist() == lengths[lengths > 0].tolist()


@pytest.mark.parametrize("to", TARGETS)
def test_ids_restrict_every_format(made, tmp_path, to):
    (tmp_path / "ids.txt").write_text("\n".join(NAMES[6:9]))
    done = export(made, to=to, out=tmp_path / OUT[to], ids=tmp_path / "ids.txt")
    assert done.samples == 3
    if to in FORMATS:
        assert len(read(back(to, tmp_path / OUT[to], tmp_path / "s"), "samples/id")[0]) == 3


# -------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("to", "options", "message"),
    [
        ("hdf", {}, "unknown export format 'hdf'. Did you mean 'hdf5'"),
        ("crossclr", {"conventions": ("smplx",)}, "unknown convention 'smplx'. Did you mean 'smplx_42'"),
        ("crossclr", {"protocols": ("xsubb",)}, "unknown split 'xsubb'. Did you mean 'xsub'"),
        ("crossclr", {"streams": ("bones",)}, "unknown stream 'bones'. Did you mean 'bone'"),
        ("crossclr", {"frames": (64,)}, "no stream of 64 frames. It has 9; `skeltools streams --frames 64`"),
        ("crossclr", {"conventions": CONVENTIONS}, "--convention: crossclr holds one at a time"),
        ("crossclr", {"streams": ("joint", "bone")}, "--stream: crossclr holds one at a time"),
        ("ctrgcn", {"protocols": ("xsub", "xview")}, "--split: ctrgcn holds one at a time"),
        ("pyskl", {"frames": (9,)}, "pyskl holds sequences at full length"),
        ("zarr", {"part": "train"}, "a part of which split? There are xsub, xview"),
        ("zarr", {"part": "val", "protocols": ("xsub",)}, "unknown part 'val'"),
        ("zarr", {"ids": Path("absent.txt")}, "absent.txt: cannot be read"),
    ],
)
def test_choices_that_cannot_be(made, tmp_path, to, options, message):
    with pytest.raises(UsageError) as error:
        export(made, to=to, out=tmp_path / "o", **options)
    assert message in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_ctrgcn_needs_to_know_the_split(made, tmp_path):
    with pytest.raises(UsageError, match=r"holds one split, the store has xsub, xview. Choose one"):
        export(made, to="ctrgcn", out=tmp_path / "o.npz")


def test_lists_of_ids_that_do_not_fit(made, tmp_path):
    listed = tmp_path / "ids.txt"
    listed.write_text("S999\n")
    with pytest.raises(UsageError, match=r"1 ids are not in the store, e.g. S999"):
        export(made, to="zarr", out=tmp_path / "o", ids=listed)
    listed.write_text("\n")
    with pytest.raises(UsageError, match="nothing is left to export"):
        export(made, to="zarr", out=tmp_path / "o", ids=listed)
    listed.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read"):
        export(made, to="zarr", out=tmp_path / "o", ids=listed)


@pytest.mark.parametrize("to", TARGETS)
def test_what_is_there_is_kept_without_force(made, tmp_path, to):
    out = tmp_path / OUT[to]
    export(made, to=to, out=out, protocols=("xsub",))
    size = len(list(tmp_path.rglob("*")))
    with pytest.raises(StoreError, match=r"is there already. --force replaces it"):
        export(made, to=to, out=out, protocols=("xview",))
    export(made, to=to, out=out, protocols=("xview",), force=True)
    assert len(list(tmp_path.rglob("*"))) == size
    if to in FORMATS:
        assert "xview" in READ[to](out)


READ: dict[str, Callable[[Path], Any]] = {
    name: lambda out, module=module: module.discover(out).halves for name, module in FORMATS.items()
}


@pytest.mark.parametrize("to", TARGETS)
def test_foreign_folders_are_never_replaced(made, tmp_path, to):
    out = tmp_path / "o"
    out.mkdir()
    (out / "mine").write_text("x")
    with pytest.raises(StoreError, match=r"folder with other contents|no file"):
        export(made, to=to, out=out, protocols=("xsub",), force=True)
    assert (out / "mine").read_text() == "x"


@pytest.mark.parametrize("to", TARGETS)
def test_nothing_is_written_into_the_store(made, to):
    with pytest.raises(UsageError, match="lies inside the store"):
        export(made, to=to, out=made / "o", protocols=("xsub",), force=True)


@pytest.mark.parametrize("to", TARGETS)
def test_after_an_error_the_target_is_as_it_was(made, tmp_path, to, monkeypatch):
    out = tmp_path / OUT[to]
    export(made, to=to, out=out, protocols=("xsub",))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def fail(partial: Path, selection: Any) -> None:
        write(partial, selection)
        raise OSError(28, "No space left on device")

    write = TARGETS[to].write
    monkeypatch.setattr(TARGETS[to], "write", fail)
    with pytest.raises(StoreError, match=r"cannot write the export .No space left on device"):
        export(made, to=to, out=out, protocols=("xsub",), force=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_no_store(tmp_path):
    with pytest.raises(StoreError, match="no such store"):
        export(tmp_path / "absent", to="hdf5", out=tmp_path / "o")


def test_hdf5s_whole_chunks(monkeypatch):
    monkeypatch.setattr(store, "FRAME_CHUNK", 7)
    values = np.arange(36).reshape(18, 2)
    blocks = np.split(values, [5, 14, 15])
    content = Content("sequences/c/order", ("F", "M"), (18, 2), "int8", lambda: iter(blocks))
    pieces = list(hdf5._pieces(content))
    assert [len(piece) for piece in pieces] == [14, 4]
    assert np.array_equal(np.concatenate(pieces), values)


# ---------------------------------------------------------------------------------------- command line


def test_commands_there_and_back(run, made):
    code, out, err = run("export", made, "--to", "crossclr", "--out", "o", "--split", "xsub")
    assert (code, err) == (0, "")
    assert out == f"o: 11 samples of ntu60 in {NATIVE}\nsplits: xsub\nstreams: {NATIVE}/t9/joint\n"
    code, out, err = run(
        "convert", "ntu60", "--from", "crossclr", "--raw", "o", "--recipe", "raw", "--frames", 9
    )
    assert (code, err) == (0, "")
    assert run("validate")[0] == 0
    assert "as the archive has it" in run("inspect")[1]


def test_help_names_every_format(run):
    _, out, _ = run("export", "--help")
    assert all(name in out for name in TARGETS)
    _, out, _ = run("convert", "--help")
    assert all(name in out for name in FORMATS)
