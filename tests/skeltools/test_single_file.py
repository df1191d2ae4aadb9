"""One file with chosen samples: what is in it, and that it plays from a disk, alone."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

import skeltools
from schemas import UnknownSampleError, UsageError
from skeltools.cli import run
from skeltools.pictures.single_file import FIRST, write
from tests.browser import Browser, needs_chromium
from tests.skeltools.conftest import make_clip

NASTY = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """12 clips of two classes."""
    clips = [
        make_clip(f"S001C001P0{n:02d}R001A00{n % 2 + 1}", bodies=1 + n % 2, gaps=False) for n in range(1, 13)
    ]
    path = tmp_path_factory.mktemp("stores") / "toy.zarr"
    skeltools.write(clips, path, classes=["nod", "wave"], frames=[8])
    return path


def held(path: Path) -> dict[str, Any]:
    """The data in a page."""
    found = re.search(r'id="clips">([^<]*)<', path.read_text(encoding="utf-8"))
    assert found is not None
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


def test_the_first_ten_are_in_it_and_their_bytes_are_told(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.html"
    size = write(store, out)
    assert size == out.stat().st_size
    told, ids = held(out), list(skeltools.open(store).ids[:FIRST])
    assert told["rows"]["id"] == list(told["samples"]) == ids
    assert told["store"]["samples"] == len(told["poses"]) == len(told["rows"]["label"]) == 10
    assert all(told["samples"][id]["id"] == id for id in ids)


def test_the_same_clips_give_the_same_bytes(store: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "a.html", tmp_path / "b.html"
    write(store, one)
    write(store, other)
    assert one.read_bytes() == other.read_bytes()


def test_samples_classes_and_conventions_are_chosen(store: Path, tmp_path: Path) -> None:
    ids = ["S001C001P007R001A002", "S001C001P002R001A001"]
    write(store, tmp_path / "a.html", samples=ids)
    assert held(tmp_path / "a.html")["rows"]["id"] == ids
    write(store, tmp_path / "b.html", classes=["wave"])
    assert [id[-1] for id in held(tmp_path / "b.html")["rows"]["id"]] == ["2"] * 6
    write(store, tmp_path / "c.html", samples=ids, classes=["nod"], conventions=["kinectv2_25"])
    told = held(tmp_path / "c.html")
    assert told["rows"]["id"] == ids[1:]
    assert [each["name"] for each in told["store"]["conventions"]] == ["kinectv2_25"]


def test_what_the_store_does_not_have_is_a_sentence(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.html"
    with pytest.raises(UnknownSampleError, match="P007R001A002"):
        write(store, out, samples=["S001C001P007R001A001"])
    with pytest.raises(UsageError, match="class"):
        write(store, out, classes=["waves"])
    with pytest.raises(UsageError, match="convention"):
        write(store, out, conventions=["coco_17"])
    with pytest.raises(UsageError, match="of these classes"):
        write(store, out, samples=["S001C001P007R001A002"], classes=["nod"])
    for force in (False, True):
        with pytest.raises(UsageError, match=r"is a folder\. Name the file"):
            write(store, tmp_path, force=force)
    with pytest.raises(UsageError, match=r"cannot be written.*Choose a folder"):
        write(store, tmp_path / "none" / "a.html")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_with_force_alone(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.html"
    out.write_text("mine")
    assert run(["view", str(store), "--html", str(out)]) == 2
    assert out.read_text() == "mine"
    assert run(["view", str(store), "--html", str(out), "--force", "--class", "nod"]) == 0
    assert "MB" in capsys.readouterr().err
    assert run(["view", str(store), "--class", "nod"]) == 2
    assert "--html" in capsys.readouterr().err


@needs_chromium
def test_it_plays_from_a_disk_and_loads_nothing(browser: Browser, store: Path, tmp_path: Path) -> None:
    told = json.loads((store / "zarr.json").read_text())
    kept = json.dumps(told)
    told["attributes"]["classes"][0] = NASTY
    out = tmp_path / "a.html"
    try:
        (store / "zarr.json").write_text(json.dumps(told))
        write(store, out)
    finally:
        (store / "zarr.json").write_text(kept)
    page = browser.open(out.as_uri())
    page.wait("window.skeltoolsPage?.player?.drawn > 2")
    assert page.run("document.querySelectorAll('.list a').length") == 10
    assert NASTY in page.run("document.querySelector('.list').textContent")
    page.run("location.hash = '#id=S001C001P004R001A001'")
    page.wait("document.querySelector('.details code')?.textContent === 'S001C001P004R001A001'")
    inked = "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean)"
    page.wait(f"[...document.querySelectorAll('.list canvas')].every({inked})")
    assert page.run("document.images.length") == 0
    page.run("location.hash = '#id=nobody'")
    page.wait("document.querySelector('.status').textContent.startsWith(\"There is no sample 'nobody' in\")")
    assert page.console == []
    assert {each.split(":")[0] for each in page.requests} <= {"file", "data", "blob"}
    page.close()


@needs_chromium
def test_its_policy_stops_any_other_script(browser: Browser, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.html"
    write(store, out)
    out.write_text(out.read_text().replace("</body>", "<script>window.foreign = 1</script></body>"))
    page = browser.open(out.as_uri())
    page.wait("window.skeltoolsPage?.player?.drawn > 0")
    assert page.run("window.foreign") is None
    assert any("Content Security Policy" in each for each in page.console)
    page.close()
