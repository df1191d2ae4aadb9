"""Raw files one by one: by what they are told, exactly as they are, and never a traceback."""

from __future__ import annotations

import json
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from schemas import SkelError, UsageError
from skeltools import demo, skeletons
from skeltools.datasets import ntu
from skeltools.formats import mvnx
from skeltools.raw_items import RawItem
from skeltools.single import RawClip, read_clips
from tests.skeltools import mocap_files

SPEC = skeletons.load("coco_17")
JOINTS = np.random.default_rng(0).normal(size=(20, 1, 17, 3)).astype(np.float32)


def read(path: Path, *, settings: Path | None = None) -> list[RawClip]:
    return list(read_clips(path, SPEC, settings=settings))


def only(path: Path) -> np.ndarray:
    (clip,) = read(path)
    assert clip.sequence is not None, clip.problem
    return clip.sequence.joints


@pytest.fixture(scope="module")
def ntu_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    demo.write_demo(folder / "raw", subjects=2)
    return min((folder / "raw").rglob("*.skeleton"))


def test_arrays_come_back_as_they_were_written(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", JOINTS)
    np.savez(tmp_path / "two.npz", JOINTS[:, 0])
    np.savez_compressed(tmp_path / "three.npz", joints=JOINTS, other=np.zeros(3))
    for file in tmp_path.iterdir():
        assert np.array_equal(only(file), JOINTS), file
    assert [clip.id for clip in read(tmp_path)] == ["one", "three", "two"]


def test_a_sensor_file_is_what_its_reader_says_whatever_its_name(ntu_file: Path, tmp_path: Path) -> None:
    expected = ntu.read(RawItem(ntu_file.stem, ntu.CONVENTION, str(ntu_file)))
    other = tmp_path / "living room.SKELETON"
    other.write_bytes(ntu_file.read_bytes())
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.write(ntu_file, f"folder/{ntu_file.name}")
    for place in (ntu_file, other, tmp_path / "some.zip"):
        assert np.array_equal(only(place), expected.joints)
    (named,) = read(ntu_file)
    (unnamed,) = read(other)
    assert (named.id, unnamed.id, unnamed.class_name) == (ntu_file.stem, "living room", None)
    assert named.class_name is not None
    assert len(read(ntu_file.parent)) == len(list(ntu_file.parent.glob("*.skeleton")))


def test_a_format_that_says_what_it_is_needs_no_settings(tmp_path: Path) -> None:
    held = np.random.default_rng(0).uniform(0.1, 2, (4, 15, 3)).round(6)
    given = tmp_path / "clip [1].mvnx"
    given.write_text(mocap_files.mvnx(held))
    own = mvnx.convention(given).model_copy(update={"name": "coco_17"})  # ships, but is another skeleton
    for place in (given, tmp_path):
        (clip,) = read_clips(place, own)
        assert clip.sequence is not None, clip.problem
        assert (clip.id, clip.sequence.id, clip.sequence.convention) == ("clip [1]", "clip [1]", "coco_17")
        np.testing.assert_allclose(clip.sequence.joints[:, 0], held[..., [0, 2, 1]] * [-1, 1, 1], atol=1e-6)
    (other,) = read(given)
    assert "are none of coco_17" in other.problem


def test_what_a_format_does_not_say_is_asked_for(tmp_path: Path) -> None:
    mocap_files.write_bvh(tmp_path / "walk.bvh")
    (clip,) = read(tmp_path / "walk.bvh")
    assert clip.sequence is None
    assert str(tmp_path / "walk.bvh") in clip.problem
    assert "skeltools-" not in clip.problem, "nobody knows the temporary folder"


def test_a_table_is_not_guessed_at(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "clip.csv", JOINTS.reshape(20, -1), delimiter=",")
    with pytest.raises(
        SkelError, match=r"clip\.csv: .*says by itself what it is\. .*dataset\.yaml beside it"
    ):
        read(tmp_path / "clip.csv")


def test_only_the_named_file_is_read_by_the_settings_beside_it(tmp_path: Path) -> None:
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", JOINTS[:, 0] * 100)
    described = {"name": "own", "convention": "coco_17", "files": "*.npy", "layout": "T V C", "units": "cm",
                 "axes": {"x": "left", "y": "up", "z": "forward"}}  # fmt: skip
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(described))
    assert np.abs(only(tmp_path / "b.npy") - JOINTS).max() < 1e-5
    assert [clip.id for clip in read(tmp_path)] == ["a", "b"]
    (tmp_path / "c.txt").write_text("1 2 3")
    with pytest.raises(SkelError, match=r"c\.txt: .*dataset\.yaml does not take it for a clip.*--settings"):
        read(tmp_path / "c.txt")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npy", b"no array", "a.npy"),
        ("a.npz", b"PK no zip", "cannot be read as npz"),
        ("a.skeleton", b"5\n1\n", "promises 5 frames"),
        ("a.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, "
                  b"'shape': (999999999, 17, 3), }          \n", "a.npy"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_a_problem_of_its_own(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    (clip,) = read(tmp_path / name)
    assert clip.sequence is None
    assert message in clip.problem
    assert str(tmp_path / name) in clip.problem


def test_which_array_is_asked_for(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", x=JOINTS, y=JOINTS)
    (clip,) = read(tmp_path / "two.npz")
    assert "holds x, y, and none says that it is the joints. Call them 'joints'" in clip.problem


def test_no_pickle_is_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([JOINTS, {}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "b.npz", joints=np.array([{}], dtype=object))
    for name in ("a.npy", "b.npz"):
        (clip,) = read(tmp_path / name)
        assert clip.sequence is None


def test_what_is_not_there_or_tells_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        read(tmp_path / "gone.npy")
    (tmp_path / "notes.md").write_text("hello")
    with pytest.raises(SkelError, match="neither a store nor a raw file that says by itself what it is"):
        read(tmp_path / "notes.md")
    with pytest.raises(SkelError, match=r"no such settings file"):
        read(tmp_path / "notes.md", settings=tmp_path / "gone.yaml")


@pytest.mark.parametrize("kind", ["npy", "npz", "skeleton", "json"])
def test_changed_bytes_never_end_in_another_exception(kind: str, tmp_path: Path, ntu_file: Path) -> None:
    path, draw = tmp_path / f"clip.{kind}", random.Random(kind)
    if kind == "npy":
        np.save(path, JOINTS)
    elif kind == "npz":
        np.savez_compressed(path, JOINTS)
    elif kind == "skeleton":
        path.write_bytes(ntu_file.read_bytes())
    else:
        people = [{"pose_keypoints_2d": [0.5] * 51}]
        path.write_text(json.dumps({"version": 1.3, "people": people}))
    content = path.read_bytes()
    for _ in range(60):
        changed = bytearray(content)
        for _ in range(draw.choice((1, 2, 10))):
            changed[draw.randrange(min(len(changed), 400))] = draw.randrange(256)
        path.write_bytes(bytes(changed[: draw.choice((len(changed), draw.randrange(len(changed))))]))
        try:
            found = read(path)
        except SkelError:
            continue
        assert all((clip.sequence is None) == bool(clip.problem) for clip in found)
