"""Raw data made in code for the tests of stores: clips in memory behind fake readers, and NW-UCLA files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Clips
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from schemas import Finding, RawDataError, SkeletonSpec
from skeltools import cli, skeletons
from skeltools.pictures import design
from skeltools.pictures.scene import Scene, to_json
from skeltools.pictures.single_file import script, style
from skeltools.raw_items import Listing, RawItem
from skeltools.readers import READERS
from skeltools.sequence import SkeletonSequence
from tests.browser import Browser, Page

NATIVE = "kinectv2_25"


def make_clip(
    id: str, convention: str = NATIVE, *, frames: int = 12, bodies: int = 1, seed: int = 0, gaps: bool = True
) -> SkeletonSequence:
    """A clip of random poses; with gaps, bodies come and go and change places in the file."""
    rng = np.random.default_rng([seed, sum(id.encode()), frames, bodies])
    present = rng.random((frames, bodies)) < (0.8 if gaps else 1.0)
    present[0, 0] = present[-1, -1] = True
    joints = rng.standard_normal((frames, bodies, skeletons.load(convention).num_joints, 3)).astype(
        np.float32
    )
    order = np.full((frames, bodies), -1, np.int8)
    for frame in range(frames):
        seen = np.flatnonzero(present[frame])
        order[frame, seen] = rng.permutation(len(seen))
    setup, camera, subject, repetition, action = (int(id[at + 1 : at + 4]) for at in (0, 4, 8, 12, 16))
    return SkeletonSequence(
        id=id,
        convention=convention,
        joints=np.where(present[:, :, None, None], joints, np.float32(0)),
        present=present,
        order=order,
        body_ids=tuple(72057594037927936 + body for body in range(bodies)),
        label=action - 1,
        subject=subject,
        camera=camera,
        setup=setup,
        repetition=repetition,
    )


@dataclass
class Recordings:
    """What the fake readers serve: put clips or errors under (convention, id)."""

    raw: Path
    served: dict[tuple[str, str], SkeletonSequence | Exception] = field(default_factory=dict)
    listed: list[Finding] = field(default_factory=list)
    natives: dict[str, SkeletonSequence | None] = field(default_factory=dict)
    """Sample id -> the native clip that the MeTRAbs reader was given."""
    mirrored: set[bool] = field(default_factory=set)
    fits_mirrored: bool = True

    def add(self, *clips: SkeletonSequence) -> None:
        self.served |= {(clip.convention, clip.id): clip for clip in clips}

    def fail(self, id: str, message: str, convention: str = NATIVE) -> None:
        self.served[convention, id] = RawDataError(message, where=f"somewhere/{id}.skeleton")

    def item(self, convention: str, id: str) -> RawItem:
        folder = "skeletons" if convention == NATIVE else f"metrabs/{convention}"
        return RawItem(id, convention, str(self.raw / folder / f"{id}.skeleton"), size=100)

    def discover(self, native: bool) -> Listing:
        keys = sorted(key for key in self.served if (key[0] == NATIVE) == native)
        return Listing(tuple(self.item(*key) for key in keys), tuple(self.listed) if native else ())

    def read(self, item: RawItem) -> SkeletonSequence:
        found = self.served[item.convention, item.id]
        if isinstance(found, Exception):
            raise found
        return found

    def read_estimated(
        self, item: RawItem, *, native: SkeletonSequence | None, mirrored: bool, spec: SkeletonSpec
    ) -> SkeletonSequence:
        self.natives[item.id] = native
        self.mirrored.add(mirrored)
        return self.read(item)


@contextmanager
def serve(folder: Path) -> Iterator[Recordings]:
    """An ntu60 raw folder whose readers serve clips from memory."""
    made = Recordings(folder / "raw" / "ntu60")
    (made.raw / "metrabs").mkdir(parents=True)
    ntu = SimpleNamespace(discover=lambda raw: made.discover(native=True), read=made.read)
    metrabs = SimpleNamespace(
        discover=lambda raw, *, conventions: made.discover(native=False),
        read=made.read_estimated,
        mirror_check=lambda native, found, *, spec: SimpleNamespace(
            agrees=made.fits_mirrored in made.mirrored
        ),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(READERS, "ntu", ntu)
        patch.setitem(READERS, "metrabs", metrabs)
        yield made


@pytest.fixture
def recordings(tmp_path: Path) -> Iterator[Recordings]:
    with serve(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def serving() -> Callable[[Path], AbstractContextManager[Recordings]]:
    """``recordings`` for fixtures of a wider scope."""
    return serve


@pytest.fixture
def run(tmp_path, monkeypatch, capfd) -> Callable[..., tuple[int, str, str]]:
    """Run a command in an empty folder; returns exit code, stdout, stderr."""
    for name in ("SKELTOOLS_STORE", "SKELTOOLS_RAW", "SKELTOOLS_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def command(*args: object) -> tuple[int, str, str]:
        code = cli.run([str(arg) for arg in args])
        return code, *capfd.readouterr()

    return command


@pytest.fixture(scope="session")
def clip() -> Callable[..., SkeletonSequence]:
    return make_clip


@pytest.fixture(scope="session")
def write_ucla() -> Callable[..., Path]:
    """Write NW-UCLA files into a folder: one for each id, of ``frames`` plus a few frames."""

    def write(folder: Path, ids: Clips[str] = (), frames: int = 5) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for number, id in enumerate(ids or ucla_ids()):
            joints = np.random.default_rng(number).standard_normal((frames + number % 7, 20, 3)).round(4)
            content = {"file_name": id, "skeletons": joints.tolist(), "label": int(id[1:3])}
            (folder / f"{id}.json").write_text(json.dumps(content))
        return folder

    return write


def ucla_ids() -> list[str]:
    return [
        f"a{action:02}_s{subject:02}_e00_v{view:02}"
        for action in (1, 2)
        for subject in (1, 2)
        for view in (1, 2, 3)
    ]


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[Browser]:
    """One Chromium for all tests that skip without one."""
    with Browser(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture
def play(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Scenes in a player that stands; ``options`` are the player's, others those of the browser."""
    opened: list[Page] = []

    def opening(*scenes: Scene | dict[str, Any], options: Mapping[str, Any] = {}, **how: Any) -> Page:
        told = [each if isinstance(each, dict) else to_json(each) for each in scenes]
        given = {"autoplay": False, **options}
        path = tmp_path / f"{len(opened)}.html"
        path.write_text(
            f"<!doctype html><meta charset=utf-8><style>{design.css()}{style()}"
            ".player { height: 600px; width: 800px }</style><body><script type=module>"
            f"{script()}\nwindow.player = new Player(document.body, {json.dumps(told)}, {json.dumps(given)});"
            "</script>",
            encoding="utf-8",
        )
        page = browser.open(path.as_uri(), how.pop("size", (820, 620)), **how)
        opened.append(page)
        page.wait("window.player?.drawn > 0")
        return page

    yield opening
    for page in opened:
        assert page.console == []
        page.close()
