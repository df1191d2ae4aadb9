"""Frames per second: what the files of motion capture state, and `fps` of the settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skeltools import custom
from skeltools.conversion import convert
from skeltools.custom.registry import CLIP_FORMATS, rate_of
from skeltools.formats import bvh
from tests.skeltools import mocap_files, own_data

TOLD: dict[str, Any] = {"convention": "file", "layout": None, "units": "cm", "labels": "labels.csv"}
SECONDS: dict[str, Any] = {**TOLD, "segments": {"unit": "seconds"}}
POINTS = np.random.default_rng(1).uniform(100, 1800, (5, 2, 3))
NAMES = ["a", "b"]
STEP = "Frame Time: 0.0083333"


def _recording(folder: Path, name: str = "rec", step: str = STEP, frames: int = 130) -> None:
    mocap_files.write_bvh(folder / f"{name}.bvh", frames=frames)
    content = (folder / f"{name}.bvh").read_text()
    (folder / f"{name}.bvh").write_text(content.replace(STEP, step))


def _table(folder: Path, *rows: str) -> None:
    (folder / "labels.csv").write_text("\n".join(("file,start,end,label", *rows)))


def _frames(folder: Path, **told: Any) -> tuple[dict[str, int], list[tuple[str, str]]]:
    own_data.settings(folder, **told)
    listing = custom.discover(folder)
    frames = {item.id: custom.read(item).frames for item in listing.items}
    return frames, [(found.problem, found.detail) for found in listing.findings]


def test_seconds_are_those_of_the_file(tmp_path: Path) -> None:
    _recording(tmp_path)
    _table(tmp_path, "rec.bvh,0,0.5,walk", "rec.bvh,0.5,1,wave")
    assert _frames(tmp_path, **SECONDS) == ({"rec_001": 60, "rec_002": 60}, [])


@pytest.mark.parametrize(("fps", "frames"), [(119, 60), (120, 60), (121, 61)])
def test_an_fps_that_agrees_but_for_rounding_is_used(tmp_path: Path, fps: float, frames: int) -> None:
    _recording(tmp_path)
    _table(tmp_path, "rec.bvh,0,0.5,walk")
    assert _frames(tmp_path, **SECONDS, fps=fps) == ({"rec_001": frames}, [])


def test_an_fps_that_contradicts_the_file_is_a_finding_and_not_used(tmp_path: Path) -> None:
    _recording(tmp_path)
    _table(tmp_path, "rec.bvh,0,0.5,walk")
    frames, found = _frames(tmp_path, **SECONDS, fps=30)
    assert frames == {"rec_001": 60}
    assert found == [
        ("another frame rate than fps", "fps is 30, but files state 120 in 1 (rec): leave `fps` out")
    ]


def test_each_file_has_its_own_rate_and_several_are_a_usual_finding(tmp_path: Path) -> None:
    for number in range(3):
        _recording(tmp_path, f"quick{number}")
    _recording(tmp_path, "slow", "Frame Time: 0.0333333")
    _table(tmp_path, "quick0.bvh,0,0.5,walk", "slow.bvh,0,0.5,walk")
    frames, found = _frames(tmp_path, **SECONDS, unlabelled="skip")
    assert frames == {"quick0_001": 60, "slow_001": 15}
    assert ("files of several frame rates", "120 in 3 (quick0, quick1, quick2); 30 in 1 (slow)") in found
    summary = convert("custom", raw=tmp_path, out=tmp_path / "s", strict=True)
    assert "files of several frame rates" in {row.problem for row in summary.findings}


def test_fps_is_for_the_files_that_state_nothing(tmp_path: Path) -> None:
    _recording(tmp_path)
    path = tmp_path / "mute.bvh"
    mocap_files.write_bvh(path, frames=130)
    path.write_text(path.read_text().replace(f"{STEP}\n", ""))
    _table(tmp_path, "rec.bvh,0,0.5,walk", "mute.bvh,0,0.5,walk")
    frames, (contradiction,) = _frames(tmp_path, **SECONDS, fps=50)
    assert frames == {"rec_001": 60, "mute_001": 25}
    assert contradiction[0] == "another frame rate than fps"


TIMES = {
    "0.0083333": 120.0,
    "0.033": 30.0,
    "0.0333": 30.0,
    "0.033367": 1 / 0.033367,
    ".01": 100.0,
    "1": 1.0,
    "0": None,
    "0.0000001": None,
    "-0.01": None,
    "x": None,
    "1e-2": None,
}


@pytest.mark.parametrize("text", TIMES)
def test_a_frame_time_is_a_rounded_inverse(tmp_path: Path, text: str) -> None:
    _recording(tmp_path, step=f"Frame Time:\t{text} ", frames=2)
    assert rate_of(bvh.BVH, tmp_path / "rec.bvh") == TIMES[text]


STATED: dict[str, tuple[float, Callable[[], str | bytes]]] = {
    "c3d": (100, lambda: mocap_files.c3d(POINTS, NAMES)),
    "mvnx": (60, lambda: mocap_files.mvnx(np.zeros((2, len(mocap_files.SEGMENTS), 3)))),
    "trc": (100, lambda: mocap_files.trc(POINTS, NAMES)),
    "motive": (120, lambda: mocap_files.motive(POINTS, NAMES)),
    "nexus": (100, lambda: mocap_files.nexus(POINTS, NAMES, before="Joints\n50\n\n")),
    "qualisys": (100, lambda: mocap_files.qualisys(POINTS, NAMES)),
}


@pytest.mark.parametrize("name", STATED)
def test_what_a_header_states_and_damaged_ones_state_nothing(tmp_path: Path, name: str) -> None:
    rate, made = STATED[name]
    content = made()
    data = content if isinstance(content, bytes) else content.encode()
    path = tmp_path / "a"
    path.write_bytes(data)
    assert rate_of(CLIP_FORMATS[name], path) == rate
    for length in (*range(0, 400, 7), 600, 1023, 1100):
        path.write_bytes(data[:length])
        cut = rate_of(CLIP_FORMATS[name], path)
        assert cut is None or cut <= rate


def test_the_rate_of_amass(tmp_path: Path) -> None:
    mocap_files.parameters(tmp_path, 22)
    assert rate_of(CLIP_FORMATS["amass"], tmp_path / "walk.npz") == 120
    np.savez(tmp_path / "walk.npz", mocap_frame_rate=np.zeros(0))
    assert rate_of(CLIP_FORMATS["amass"], tmp_path / "walk.npz") is None
