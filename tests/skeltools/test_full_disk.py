"""What writes stores and files on a full disk, into places that take no files, or while another process
reads: one sentence, what there was before is untouched, and the same command again does its work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import skeltools
from schemas import SkelError, guarded
from skeltools import cli
from skeltools.inspect.validate import validate
from tests.full_disk import content, full_disk
from tests.skeltools import hostile_stores

WRITERS: dict[str, tuple[str, ...]] = {
    "convert": ("convert", "ntu60", "--raw", "{0}/ntu60", "--frames", "6", "--out", "{0}/new.zarr"),
    "convert --force": (
        "convert", "ntu60", "--raw", "{0}/ntu60", "--frames", "8", "--out", "{0}/sound.zarr", "--force",
    ),
    "streams": ("streams", "{0}/sound.zarr", "--motion"),
    "map": ("map", "{0}/sound.zarr", "--to", "coco_17", "--partial", "--out", "{0}/mapped.zarr"),
    "map --force": (
        "map", "{0}/sound.zarr", "--to", "coco_17", "--partial", "--out", "{0}/old.zarr", "--force",
    ),
    "card": ("card", "{0}/sound.zarr", "--out", "{0}/card.md", "--croissant", "{0}/card.json"),
    "export to hdf5": ("export", "{0}/sound.zarr", "--to", "hdf5", "--out", "{0}/sound.h5"),
    "export to hdf5 --force": ("export", "{0}/sound.zarr", "--to", "hdf5", "--out", "{0}/old.h5", "--force"),
    "export to pyskl": ("export", "{0}/sound.zarr", "--to", "pyskl", "--out", "{0}/sound.pkl"),
    "export to crossclr": ("export", "{0}/sound.zarr", "--to", "crossclr", "--out", "{0}/arrays"),
}  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw data, a store of them, and old files that are replaced."""
    folder = tmp_path_factory.mktemp("full")
    hostile_stores.write_sound(folder)
    shutil.copytree(folder / "sound.zarr", folder / "old.zarr")
    (folder / "old.h5").write_bytes(b"old")
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "disk"))


def _run(folder: Path, writer: str) -> int:
    return cli.run([word.format(folder) for word in WRITERS[writer]])


def _refused(code: int, err: str, *words: str) -> None:
    told = err.splitlines()[-1]
    assert code in (1, 2)
    assert told.startswith("error: ")
    assert all(word in told for word in words), told
    assert "internal" not in told


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("most", [60, 1000])
def test_a_full_disk_leaves_what_there_was(
    folder: Path, writer: str, most: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(folder)
    with full_disk(most=most):
        code = _run(folder, writer)
    _refused(code, capsys.readouterr().err, "File too large", "the same command")
    after = {name: data for name, data in content(folder).items() if ".partial/" not in name}
    assert after == before
    assert _run(folder, writer) == 0
    for path in folder.glob("*.zarr"):
        assert validate(path) == ()
    assert not [path for path in folder.rglob("*") if "partial" in path.name]


@pytest.mark.parametrize("writer", [name for name in WRITERS if "--force" not in name and name != "streams"])
def test_places_that_take_no_files(folder: Path, writer: str, capsys: pytest.CaptureFixture[str]) -> None:
    before, words = content(folder), [word.format(folder) for word in WRITERS[writer]]
    words = words[: words.index("--croissant")] if "--croissant" in words else words
    words[words.index("--out") + 1] = "/proc/skeltools/x.zarr"
    _refused(cli.run(words), capsys.readouterr().err, "/proc")
    assert content(folder) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
@pytest.mark.parametrize("writer", WRITERS)
def test_folders_that_can_only_be_read(folder: Path, writer: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = content(folder)
    for path in (folder, *folder.glob("*.zarr")):
        path.chmod(0o555)
    try:
        _refused(_run(folder, writer), capsys.readouterr().err, "Permission denied")
    finally:
        for path in (folder, *folder.glob("*.zarr")):
            path.chmod(0o755)
    assert content(folder) == before


READER = """
import sys
import numpy as np
import skeltools

sums, told = set(), 0
print("ready", flush=True)
while True:
    try:
        opened = skeltools.open(sys.argv[1])
        stream = opened.stream(convention="kinectv2_25")
        length, values = stream.shape[2], stream[:]
        sums.add((length, round(float(np.abs(values).astype(np.float64).sum()), 3)))
    except skeltools.SkelError as error:
        told += 1
    if sys.stdin in __import__("select").select([sys.stdin], [], [], 0)[0]:
        break
print(sorted(sums), told)
"""


def test_who_reads_while_a_store_is_replaced_gets_one_of_the_two(folder: Path, tmp_path: Path) -> None:
    """Whole values of the old or of the new store, or a sentence; never a mixture, and no traceback."""
    place, two = folder / "sound.zarr", {}
    for frames in (6, 8):
        skeltools.convert("ntu60", raw=folder / "ntu60", out=tmp_path / f"{frames}.zarr", frames=(frames,))
        values = skeltools.open(tmp_path / f"{frames}.zarr").stream(convention="kinectv2_25", in_memory=True)
        two[frames] = round(float(abs(values).astype("f8").sum()), 3)
    skeltools.convert("ntu60", raw=folder / "ntu60", out=place, frames=(6,), force=True)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "ready\n"
    for frames in (8, 6, 8, 6):
        skeltools.convert("ntu60", raw=folder / "ntu60", out=place, frames=(frames,), force=True)
    said, _ = reader.communicate("stop\n", timeout=60)
    assert reader.returncode == 0
    seen = eval(said.rpartition(" ")[0])
    assert set(seen) <= set(two.items())
    assert seen


@pytest.mark.parametrize("change", [{"frames": (8,)}, {"frames": (6,), "recipe": "raw"}])
def test_an_open_store_that_is_replaced_is_told(folder: Path, change: dict[str, Any]) -> None:
    """Of an array that is another one now nothing is read, nor zeros for files that are gone; one that is the
    same is read as before."""
    place, raw = folder / "sound.zarr", folder / "ntu60"
    skeltools.convert("ntu60", raw=raw, out=place, frames=(6,), force=True)
    opened, other = skeltools.open(place), skeltools.open(place)
    stream = opened.stream(convention="kinectv2_25")
    before = [clip.joints for clip in other.clips("kinectv2_25")]
    skeltools.convert("ntu60", raw=raw, out=place, force=True, **change)
    for read in (lambda: stream[:], lambda: other.stream(convention="kinectv2_25", in_memory=True)):
        with pytest.raises(SkelError, match=r"was replaced while it was read: streams/.* is another one now"):
            read()
    assert all(
        np.array_equal(clip.joints, joints)
        for clip, joints in zip(opened.clips("kinectv2_25"), before, strict=True)
    )


def test_an_open_store_that_is_added_to_is_read_as_before(folder: Path) -> None:
    place = folder / "sound.zarr"
    stream = skeltools.open(place).stream(convention="kinectv2_25")
    before = np.asarray(skeltools.open(place).stream(convention="kinectv2_25", in_memory=True))
    skeltools.add_streams(place, kinds=["motion"])
    assert np.array_equal(stream[:], before)


def test_an_open_store_that_is_removed_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "_TRIES", 2)
    stream = skeltools.open(folder / "sound.zarr").stream(convention="kinectv2_25")
    shutil.rmtree(folder / "sound.zarr")
    with pytest.raises(SkelError, match="was removed while it was read"):
        stream[:]
