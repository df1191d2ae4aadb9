"""Finding raw files where strangers packed them: archives, links, pipes, odd names."""

from __future__ import annotations

import os
import socket
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from schemas import RawDataError
from skeltools import custom, metrabs, raw_items, store
from skeltools.conversion import convert
from skeltools.datasets import ntu
from tests.skeltools.raw_files import SAMPLE, ntu_text, poses, write_ntu

TEXT = ntu_text(poses(2))
NAME = f"{SAMPLE}.skeleton"


def zipped(path: Path, *names: str, text: str = TEXT) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, text)
    return path


def problems(raw: Path) -> list[tuple[str, str]]:
    return [(row.file, row.problem) for row in ntu.discover(raw).findings]


@pytest.mark.parametrize(
    "name", [f"../../{NAME}", f"/etc/{NAME}", f"a/../{NAME}", f"..\\{NAME}", f"C:\\{NAME}"]
)
def test_names_that_lead_out_of_an_archive_are_not_read(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "a.zip", name, "S001C001P001R001A001.skeleton")
    (item,) = ntu.discover(tmp_path).items
    assert item.id == "S001C001P001R001A001"
    assert problems(tmp_path) == [(f"a.zip::{name.replace(chr(0), '')}", "unsafe name in a zip file")]
    assert problems(path) == problems(tmp_path)
    assert [found.name for found in tmp_path.rglob("*")] == ["a.zip"]


def test_archives_inside_archives_are_not_entered(tmp_path: Path) -> None:
    zipped(tmp_path / "a.zip", "inner.ZIP", "deeper/inner.zip", NAME)
    listing = ntu.discover(tmp_path)
    assert [item.id for item in listing.items] == [SAMPLE]
    assert problems(tmp_path) == [
        ("a.zip::deeper/inner.zip", "zip file inside a zip file"),
        ("a.zip::inner.ZIP", "zip file inside a zip file"),
    ]


def test_encrypted_members_are_findings(tmp_path: Path) -> None:
    content = bytearray(zipped(tmp_path / "a.zip", NAME).read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    assert ntu.discover(tmp_path).items == ()
    assert problems(tmp_path) == [(f"a.zip::{NAME}", "encrypted")]


def bomb(path: Path, *, method: int, true: int, declared: int | None) -> Path:
    """A member of ``true`` zeros whose headers declare another size, and the checksum of so many zeros."""
    with zipfile.ZipFile(path, "w", method) as archive, archive.open(NAME, "w", force_zip64=False) as member:
        for _ in range(true // 2**20):
            member.write(bytes(2**20))
    if declared is not None:
        content = bytearray(path.read_bytes())
        told = struct.pack("<I", zlib.crc32(bytes(declared)))
        for place in (0, content.index(b"PK\x01\x02") + 2):
            content[place + 14 : place + 18] = told
            content[place + 22 : place + 26] = struct.pack("<I", declared)
        path.write_bytes(content)
    return path


def test_an_archive_that_claims_too_much_is_left_alone(tmp_path: Path) -> None:
    bomb(tmp_path / "a.zip", method=zipfile.ZIP_DEFLATED, true=100 * 2**20, declared=None)
    write_ntu(tmp_path / NAME, poses(2))
    listing = ntu.discover(tmp_path)
    assert len(listing.items) == 1
    assert problems(tmp_path) == [("a.zip", "zip file that claims too much")]
    assert "104857600" in listing.findings[0].detail


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_without_a_limit_are_not_used(tmp_path: Path, method: int) -> None:
    path = bomb(tmp_path / "a.zip", method=method, true=2**20, declared=1000)
    assert problems(tmp_path) == [(f"a.zip::{NAME}", "unusual compression")]
    with zipfile.ZipFile(path) as archive, pytest.raises(zipfile.BadZipFile, match="again with deflate"):
        raw_items.read_member(archive, archive.getinfo(NAME))


def test_data_longer_than_declared_are_never_unpacked(tmp_path: Path) -> None:
    bomb(tmp_path / "a.zip", method=zipfile.ZIP_DEFLATED, true=200 * 2**20, declared=1000)
    (item,) = ntu.discover(tmp_path).items
    tracemalloc.start()
    try:
        with pytest.raises(RawDataError, match=r"cannot be read|line 1"):
            ntu.read(item)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_a_member_shorter_than_declared_is_refused(tmp_path: Path) -> None:
    bomb(tmp_path / "a.zip", method=zipfile.ZIP_DEFLATED, true=2**20, declared=2**21)
    (item,) = ntu.discover(tmp_path).items
    with pytest.raises(RawDataError, match="cannot be read"):
        ntu.read(item)


def test_an_npz_of_the_same_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrabs" / "smplx_42" / f"{SAMPLE}.npz"
    path.parent.mkdir(parents=True)
    bomb(path, method=zipfile.ZIP_DEFLATED, true=100 * 2**20, declared=1000)
    path.write_bytes(path.read_bytes().replace(NAME.encode(), b"poses3d.npy".ljust(len(NAME), b" ")))
    (item,) = metrabs.discover(tmp_path).items
    with pytest.raises(RawDataError):
        metrabs.read(item)


def test_loops_of_links_end(tmp_path: Path) -> None:
    write_ntu(tmp_path / "a" / "b" / NAME, poses(2))
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "again").symlink_to("a")
    assert [item.id for item in ntu.discover(tmp_path).items] == [SAMPLE]
    assert [found for found in problems(tmp_path) if found[1] != "duplicate sample id"] == [
        ("gone", "no regular file"),
        ("self", "no regular file"),
    ]


def test_pipes_and_sockets_are_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / NAME)
    os.mkfifo(tmp_path / "a.zip")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(tmp_path)
        try:
            listening.bind("S001C001P001R001A001.skeleton")
        finally:
            os.chdir(here)
        listing = ntu.discover(tmp_path)
    assert listing.items == ()
    assert [problem for _, problem in problems(tmp_path)] == ["no regular file"] * 3


def test_a_folder_that_may_not_be_read_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_ntu(tmp_path / "open" / NAME, poses(2))
    (tmp_path / "shut").mkdir()
    whole = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return whole(path)

    monkeypatch.setattr(os, "scandir", scandir)
    listing = ntu.discover(tmp_path)
    assert len(listing.items) == 1
    assert [(row.file, row.problem, row.detail) for row in listing.findings] == [
        ("shut", "unreadable folder", "Permission denied")
    ]


def test_names_that_differ_only_in_case(tmp_path: Path) -> None:
    (tmp_path / "dataset.yaml").write_text("name: mine\nconvention: kinectv2_25\nlayout: T M V C\n")
    for name in ("wave", "Wave", "WAVE", "walk"):
        np.save(tmp_path / f"{name}.npy", poses(4))
    if len(list(tmp_path.iterdir())) < 5:
        pytest.skip("the file system takes these names for one")
    listing = custom.discover(tmp_path)
    assert [item.id for item in listing.items] == ["WAVE", "walk"]
    assert [(row.file, row.problem, row.detail) for row in listing.findings] == [
        ("Wave.npy", "names differ only in case", "kept WAVE.npy"),
        ("wave.npy", "names differ only in case", "kept WAVE.npy"),
    ]


def test_names_that_are_no_text_can_be_written_everywhere(tmp_path: Path) -> None:
    raw = tmp_path / os.fsdecode(b"raw-\xff")
    raw.mkdir()
    (raw / "dataset.yaml").write_text("name: mine\nconvention: kinectv2_25\nlayout: T M V C\n")
    np.save(raw / os.fsdecode(b"caf\xe9.npy"), poses(4))
    (raw / os.fsdecode(b"bad\xe8.npy")).write_bytes(b"nothing")
    summary = convert("custom", raw=raw, out=tmp_path / "s.zarr")
    opened = store.open_store(tmp_path / "s.zarr")
    assert store.read(opened, "samples/id").tolist() == ["caf\\udce9"]
    assert [row.file for row in summary.findings] == ["bad\\udce8.npy"]
    assert opened.manifest.source["name"] == "raw-\\udcff"
    assert b"bad\\udce8.npy" in (tmp_path / "s.zarr" / "findings.csv").read_bytes()


def test_stores_among_the_raw_files_are_not_entered(tmp_path: Path) -> None:
    write_ntu(tmp_path / NAME, poses(2))
    convert("ntu60", raw=tmp_path, out=tmp_path / "s.zarr")
    assert [path.name for path in raw_items.visible_files(tmp_path)] == [NAME]
