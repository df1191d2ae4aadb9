"""Settings and raw files that harm: each is refused with a sentence, soon and in little memory."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

import skeltools
from schemas import ConfigError, Finding, RawDataError, SkelError, SkeletonSpec, regular
from schemas.regular import DEEPEST, MOST_NODES
from schemas.skeleton import MOST_JOINTS
from schemas.yaml_text import load_json, load_yaml
from skeltools import cli, skeletons
from skeltools.conversion import convert
from skeltools.custom import discovery, patterns
from skeltools.datasets import nwucla
from skeltools.files.arrays import MAX_INFLATED, npy_file, npz_file
from skeltools.files.hdf5_inside import inside, open_hdf5
from skeltools.formats import ctrgcn, hdf5, mat, own, selection, unpickle
from skeltools.inspect.validate import validate
from skeltools.metrabs import containers
from skeltools.raw_items import RawItem, visible_files
from tests.skeltools.raw_files import poses
from trainer.config import trees

LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
MERGED = "m0: &m0 {k: 1}\n" + "".join(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 40))
HOSTILE = {
    "aliases": (LAUGHS, "more than 50000 values"),
    "merged keys": (MERGED, "more than 50000 values"),
    "many values": ("a: [" + "1, " * 60_000 + "]", "more than 50000 values"),
    "many keys": ("\n".join(f"k{n}: 1" for n in range(30_000)), "more than 50000 values"),
    "deep lists": ("[" * 300 + "]" * 300, "nested too deeply|recursion"),
    "deep mappings": ("{a: " * 100 + "1" + "}" * 100, "nested too deeply"),
    "itself": ("a: &a [*a]", "nested too deeply"),
    "a 13th month": ("when: 2024-13-01", "month"),
    "digits": ("n: " + "9" * 5000, "digits|limit"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_yaml_that_harms(name: str, tmp_path: Path) -> None:
    text, what = HOSTILE[name]
    with pytest.raises(yaml.YAMLError, match=what):
        load_yaml(text)
    (tmp_path / "settings.yaml").write_text(text)
    with pytest.raises(ConfigError, match=what):
        trees.read_file(tmp_path / "settings.yaml")
    (tmp_path / "dataset.yaml").write_text(text)
    assert cli.run(["convert", "custom", "--raw", str(tmp_path), "--out", str(tmp_path / "s.zarr")]) == 2


def test_yaml_of_users_is_read_as_before() -> None:
    assert load_yaml("a: &a [1, 2]\nb: *a\nc: {<<: {d: 1}, e: 2024-05-06}")["b"] == [1, 2]
    assert load_yaml("") is None
    assert len(load_yaml(json.dumps(list(range(10_000))))) == 10_000
    assert MOST_NODES > 10_000 > DEEPEST


@pytest.mark.parametrize("kind", ["list", "tuple", "dict", "deep", "itself"])
def test_pickles_that_repeat_what_they_hold(tmp_path: Path, kind: str) -> None:
    value: Any = ["x"]
    for _ in range(40):
        value = {"list": [value, value], "tuple": (value, value), "dict": {"a": value, "b": value}}.get(
            kind, value
        )
    for _ in range(100 if kind == "deep" else 0):
        value = [value]
    if kind == "itself":
        value.append(value)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(RawDataError, match=r"stands for more than|nested too deeply"):
        unpickle.tree(tmp_path / "x.pkl")


@pytest.mark.parametrize("shape", ["(True, 2)", "(0, 99999999999999999999)", "(0, 4611686018427387904, 4)"])
def test_headers_of_arrays_that_lie(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    path = tmp_path / "x.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + b"\0" * 64)
    with pytest.raises(RawDataError, match="cannot be read as an array"):
        npy_file(path)


def test_deep_json_is_told() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        load_json("[" * 10**6)


@pytest.mark.parametrize("shape", ["chain", "star"])
@pytest.mark.parametrize(
    ("size", "message"), [(MOST_JOINTS + 1, "at most 1024"), (100_000, "has more than 1048576 bytes")]
)
def test_conventions_of_thousands_of_joints(tmp_path: Path, shape: str, size: int, message: str) -> None:
    edges = [[n, n - 1 if shape == "chain" else 0] for n in range(1, size)]
    content = {"name": "many", "joints": [f"j{n}" for n in range(size)], "edges": edges, "center": 0}
    (tmp_path / "many.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=message):
        skeletons.load(str(tmp_path / "many.json"))


@pytest.mark.parametrize("shape", ["chain", "star"])
def test_the_largest_convention_is_quick(shape: str) -> None:
    edges = tuple((n, n - 1 if shape == "chain" else 0) for n in range(1, MOST_JOINTS))
    spec = SkeletonSpec(
        name="many", joints=tuple(f"j{n}" for n in range(MOST_JOINTS)), edges=edges, center=MOST_JOINTS - 1
    )
    assert len(spec.from_centre) == MOST_JOINTS


@pytest.mark.parametrize("name", ["dataset.yaml", "own.yaml", "labels.csv", "list.txt"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_pipes_and_devices_that_settings_name(tmp_path: Path, name: str, kind: str) -> None:
    np.save(tmp_path / "walk.npy", poses(6))
    told = {"name": "mine", "convention": "kinectv2_25", "layout": "T M V C"}
    told |= {"own.yaml": {"convention": "own.yaml"}, "labels.csv": {"labels": "labels.csv"}}.get(name, {})
    told |= {"splits": {"one": {"train": {"list": "list.txt"}}}} if name == "list.txt" else {}
    (tmp_path / "dataset.yaml").write_text(json.dumps(told))
    (tmp_path / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).symlink_to("/dev/zero")
    assert cli.run(["convert", "custom", "--raw", str(tmp_path), "--out", str(tmp_path / "s.zarr")]) in (1, 2)


@pytest.mark.parametrize(
    "pattern", ["(" * 5000 + ")" * 5000, "a" * 10_001, "a{99999999999999999999}", "(?P<label>.)" + "["]
)
def test_patterns_that_cannot_be_compiled(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "dataset.yaml").write_text(
        json.dumps({"name": "mine", "convention": "kinectv2_25", "pattern": pattern})
    )
    assert cli.run(["convert", "custom", "--raw", str(tmp_path), "--out", str(tmp_path / "s.zarr")]) == 2


SLOW = ("(a+)+b", "(a|a)" * 40 + "b", "(|)" * 40 + "b", "a?" * 40 + "b", r"[a\(]?" * 40 + "b", "(?x)(a+) +b")


@pytest.mark.parametrize("slow", SLOW)
def test_patterns_that_may_go_back_for_ever_are_matched_elsewhere(slow: str) -> None:
    assert patterns._ways(slow, ["a" * 60]) > patterns._FEW


@pytest.mark.parametrize("place", ["pattern", "splits"])
def test_patterns_that_go_back_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr(patterns, "SECONDS", 1)
    np.save(tmp_path / f"{'a' * 60}.npy", poses(6))
    told: dict[str, Any] = {"name": "mine", "convention": "kinectv2_25", "layout": "T M V C"}
    slow = {"pattern": SLOW[0]}
    told |= slow if place == "pattern" else {"splits": {"one": {"train": slow}}}
    (tmp_path / "dataset.yaml").write_text(json.dumps(told))
    with pytest.raises(ConfigError, match=r"pattern: '.*' takes more than 1 s.* on the name 'aaa.*Repeat"):
        convert("custom", raw=tmp_path, out=tmp_path / "s.zarr")


@pytest.mark.parametrize(
    "pattern", ["(?P<id>a+)", "(?P<id>[a-z]+)(?P<label>_b)?", r"((?P<id>.)|\))+", "(?x) a | b+"]
)
def test_patterns_mean_the_same_in_both_processes(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a", "aa_b", "b", "\udcff)", "ü\n", ""]
    found = [found and found.groupdict() for found in map(re.compile(pattern).fullmatch, names)]
    assert patterns.match(pattern, names, where="x") == found
    monkeypatch.setattr(patterns, "_FEW", -1)
    assert patterns.match(pattern, names, where="x") == found


def test_usual_patterns_need_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "_elsewhere", None)
    usual = r"(?P<label>[a-z]+)_p(?P<subject>\d+)_c(?P<camera>\d+)"
    assert patterns.match(usual, ["walk_p1_c2"] * 100, where="x")[99] == {
        "label": "walk",
        "subject": "1",
        "camera": "2",
    }


# ------------------------------------------------------------------------------------------- HDF5


def test_hdf5_leads_nowhere_else(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "secret").write_bytes(b"\0" * 96)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["here"] = np.zeros(3)
        file["soft"] = h5py.SoftLink("/elsewhere/x")
        file["elsewhere"] = h5py.ExternalLink(str(tmp_path / "pipe"), "/x")
        file.create_dataset("secret", (12,), "f8", external=[(str(tmp_path / "secret"), 0, 96)])
        layout = h5py.VirtualLayout((12,), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "pipe"), "x", (12,))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("huge", (2**29,), "f8", chunks=(2**28,))
    with h5py.File(tmp_path / "x.h5", "r") as file:
        assert inside(file, "here").shape == (3,)
        assert inside(file, "nowhere/at/all") is None
        for name, what in {"soft": "link", "elsewhere/x": "link", "secret": "other files", "virtual": "other",
                           "huge": "chunks of 2147483648"}.items():  # fmt: skip
            with pytest.raises(OSError, match=what):
                inside(file, name)


@pytest.mark.parametrize("kind", ["external", "virtual", "link"])
def test_clips_and_poses_that_lie_elsewhere(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "dataset.yaml").write_text(
        json.dumps({"name": "mine", "convention": "kinectv2_25", "layout": "T M V C", "missing": "either"})
    )
    np.save(raw / "sit.npy", poses(6))
    shape = (6, 1, 25, 3)
    with h5py.File(raw / "walk.h5", "w") as file:
        if kind == "external":
            file.create_dataset("poses", shape, "f4", external=[(str(pipe), 0, 1800)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape, "f4")
            layout[:] = h5py.VirtualSource(str(pipe), "x", shape)
            file.create_virtual_dataset("poses", layout)
        else:
            file["poses"] = h5py.ExternalLink(str(pipe), "/x")
    assert cli.run(["convert", "custom", "--raw", str(raw), "--out", str(tmp_path / "s.zarr")]) == 0
    assert "1 x unreadable file" in capfd.readouterr().out


def test_names_that_are_no_text(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "wave.h5", "w") as file:
        file[b"\xff\xfe"] = poses(6)
        file["right"] = poses(6)
    (tmp_path / "dataset.yaml").write_text(
        json.dumps({"name": "mine", "convention": "kinectv2_25", "layout": "T M V C", "key": "{clip}ght"})
    )
    assert cli.run(["convert", "custom", "--raw", str(tmp_path), "--out", str(tmp_path / "s.zarr")]) == 0


def test_a_body_nearer_to_zero_than_numbers_can_tell_is_a_finding(tmp_path: Path) -> None:
    """What a store cannot hold is refused by the conversion, not by ``validate`` afterwards."""
    np.save(tmp_path / "walk.npy", np.full((6, 1, 25, 3), 1e-44, np.float32))
    np.save(tmp_path / "sit.npy", 1000 * poses(6))
    (tmp_path / "dataset.yaml").write_text(
        json.dumps({
            "name": "mine", "convention": "kinectv2_25", "layout": "T M V C", "units": "mm", "missing": "nan"
        })
    )  # fmt: skip
    out = tmp_path / "s.zarr"
    assert cli.run(["convert", "custom", "--raw", str(tmp_path), "--out", str(out)]) == 0
    assert validate(out) == ()
    shutil.rmtree(out)
    (tmp_path / "sit.npy").unlink()
    with pytest.raises(SkelError, match="nearer to it than"):
        convert("custom", raw=tmp_path, out=out)


def _inflating(path: Path, name: str, shape: tuple[int, ...], *, times: int = 1) -> None:
    """A dataset of one chunk, whose deflated bytes become 200 MB whatever its shape says."""
    packed = zlib.compress(bytes(200 * 2**20), 9)
    for _ in range(times - 1):
        packed = zlib.compress(packed, 9)
    kinds = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    kinds.set_chunk(shape)
    for _ in range(times):
        kinds.set_deflate(9)
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple(shape)
        made = h5py.h5d.create(file.id, name.encode(), h5py.h5t.IEEE_F32LE, space, kinds)
        made.write_direct_chunk((0,) * len(shape), packed)


@pytest.mark.parametrize(("times", "why"), [(1, "holds more than the 2700 bytes"), (2, "unusual filters")])
def test_chunks_that_inflate_to_more_than_their_shape_takes(tmp_path: Path, times: int, why: str) -> None:
    _inflating(tmp_path / "x.h5", "poses", (9, 1, 25, 3), times=times)
    with open_hdf5(tmp_path / "x.h5") as file, pytest.raises(OSError, match=why):
        inside(file, "poses")


def test_a_chunk_that_claims_more_than_its_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        values = np.random.default_rng(0).normal(size=(30_000, 4))
        size = (
            file.create_dataset("a", data=values, chunks=values.shape, compression="gzip")
            .id.get_chunk_info(0)
            .size
        )
    content = path.read_bytes()
    entry = struct.pack("<II", size, 0)  # of the index: the chunk's size and its filter mask
    assert content.count(entry) == 1
    path.write_bytes(content.replace(entry, struct.pack("<II", 0xF0000000, 0)))
    with open_hdf5(path) as file, pytest.raises(OSError, match="claims 4026531840 bytes in a file of"):
        inside(file, "a")


def test_chunks_as_they_are_usually_packed_are_read(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(300_000, 4))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name, more in {"a": {"shuffle": True}, "b": {"fletcher32": True}, "c": {}}.items():
            file.create_dataset(name, data=values, chunks=(100_000, 4), compression="gzip", **more)
        file.create_dataset("d", data=values, compression="lzf", chunks=True)
    with open_hdf5(tmp_path / "x.h5") as file:
        for name in "abcd":
            np.testing.assert_array_equal(inside(file, name)[()], values)


def test_mat_files_of_hdf5_lead_nowhere_else(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    np.save(tmp_path / "walk.npy", poses(6))
    with h5py.File(tmp_path / "wave.mat", "w", userblock_size=512) as file:
        file["d_skel"] = h5py.ExternalLink("pipe.h5", "/poses")
    with (tmp_path / "wave.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(128))
    told = {"name": "mine", "convention": "kinectv2_25", "layout": "T M V C"}
    (tmp_path / "dataset.yaml").write_text(json.dumps(told))
    convert("custom", raw=tmp_path, out=tmp_path / "s.zarr")
    rows = {row.file: row for row in skeltools.open(tmp_path / "s.zarr").findings}
    assert "links are not followed" in rows["wave.mat"].detail


def test_compressed_arrays_that_become_gigabytes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "ab":
            with archive.open(f"{name}.npy", "w") as member:
                for _ in range(MAX_INFLATED // 2**21 + 1):
                    member.write(bytes(2**20))
    with pytest.raises(RawDataError, match="are compressed, and"):
        npz_file(tmp_path / "x.npz", wanted=("a", "b"))


@pytest.mark.parametrize("content", ["[" + "[]," * 2_100_000 + "[]]", "[" + "1," * 10_100_000 + "1]"])
def test_json_of_millions_of_values(tmp_path: Path, content: str) -> None:
    (tmp_path / "a01_s01_e00_v01.json").write_text(content)
    with pytest.raises(RawDataError, match="too many values"):
        nwucla._parse(RawItem("x", "kinectv1_20", str(tmp_path / "a01_s01_e00_v01.json")))
    assert "too many values" in discovery._of_no_format(tmp_path / "a01_s01_e00_v01.json")[1]


ARCHIVES: dict[str, tuple[str, Any]] = {
    "pickle": ("x.pkl", unpickle.load),
    "npy": ("x.npy", npy_file),
    "npz": ("x.npz", lambda path: npz_file(path, wanted=("a",))),
    "ctrgcn": ("x.npz", ctrgcn._members),
    "hdf5": ("x.h5", hdf5._open),
    "poses, npz": ("x.npz", lambda path: containers._read(RawItem("x", "smpl_24", str(path)))),
    "poses, pt": ("x.pt", lambda path: containers._read(RawItem("x", "smpl_24", str(path)))),
    "mat": ("x.mat", lambda path: mat.read(RawItem("x", "", str(path)), None, None)),  # type: ignore[arg-type]
    "ids": ("x.txt", lambda path: selection._listed(None, path)),  # type: ignore[arg-type]
    "classes": ("x.txt", own._class_file),
}


@pytest.mark.parametrize("door", ARCHIVES)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_pipes_and_devices_in_place_of_archives_and_lists(tmp_path: Path, door: str, kind: str) -> None:
    name, read = ARCHIVES[door]
    path = tmp_path / name
    {"pipe": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero"), "folder": os.mkdir}[kind](path)
    with pytest.raises(SkelError):
        read(path)


@pytest.mark.parametrize("first", [True, False])
def test_a_pipe_in_place_of_the_settings_of_one_of_two_folders(tmp_path: Path, first: bool) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / f"{name}.npy", poses(6))
    told = {"name": "mine", "convention": "kinectv2_25", "layout": "T M V C"}
    (tmp_path / "one/dataset.yaml").write_text(json.dumps(told))
    os.mkfifo(tmp_path / "two/dataset.yaml")
    roots = [tmp_path / "one", tmp_path / "two"][:: 1 if first else -1]
    arguments = [each for root in roots for each in ("--raw", str(root))]
    assert cli.run(["convert", "custom", *arguments, "--out", str(tmp_path / "s.zarr")]) == 2


def test_what_the_system_makes_up_is_not_waited_for(tmp_path: Path) -> None:
    """/proc/kmsg calls itself a regular file, and to read it waits for the kernel to say something."""
    (tmp_path / "x").write_text("text")
    with regular.open_file(tmp_path / "x") as file:
        assert not os.get_blocking(file.fileno())
        assert file.read() == b"text"


def test_links_to_folders_above_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "raw" / "in").mkdir(parents=True)
    (tmp_path / "other.npy").write_bytes(b"x")
    (tmp_path / "raw" / "in" / "walk.npy").write_bytes(b"x")
    (tmp_path / "raw" / "up").symlink_to("..")
    (tmp_path / "raw" / "all").symlink_to("/")
    (tmp_path / "raw" / "itself").symlink_to(".")
    findings: list[Finding] = []
    assert [path.name for path in visible_files(tmp_path / "raw", findings)] == ["walk.npy"]
    assert [(row.file, row.problem) for row in findings] == [
        ("all", "link to a folder above"),
        ("up", "link to a folder above"),
    ]


def test_messages_of_megabytes_are_cut() -> None:
    said = str(RawDataError("x" * 10**6, where="y" * 10**6, remedy="Do " + "z" * 10**6))
    assert len(said) < 7000
    assert said.startswith("yyy")
    assert said.endswith("zzz")


@pytest.mark.parametrize("told", [{"name": "a" * 10**5}, {"files": "[" * 10**5}])
def test_names_and_globs_have_a_length(tmp_path: Path, told: dict[str, str]) -> None:
    (tmp_path / "dataset.yaml").write_text(json.dumps({"name": "mine", "convention": "kinectv2_25"} | told))
    assert cli.run(["convert", "custom", "--raw", str(tmp_path), "--out", str(tmp_path / "s.zarr")]) == 2
