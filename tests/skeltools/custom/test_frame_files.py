"""Numbered files of one frame each: clips if `layout` has no T, and a finding if it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

import skeltools
from schemas import ConfigError, RawDataError
from skeltools import custom
from skeltools.conversion import convert
from skeltools.raw_items import MAX_BYTES
from skeltools.sequence import SkeletonSequence
from tests.skeltools import own_data
from tests.skeltools.raw_files import poses

MOVING: NDArray[np.float32] = poses(12).astype(np.float32)[:, 0]
"""[T, 25, 3]"""


def _write(path: Path, array: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, joints=array)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["joints"] = array
    else:
        np.savetxt(path, array, fmt="%.9g")


def _frames(folder: Path, name: str = "wave/s1/{}.npy", shape: tuple[int, ...] = (25, 3)) -> None:
    for number, frame in enumerate(MOVING):
        _write(folder / name.format(number), frame.reshape(shape))


def _read(folder: Path, **told: Any) -> SkeletonSequence:
    own_data.settings(folder, **told)
    return own_data.read(folder)


FORMS: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "npy": ("wave/s1/{}.npy", "V C", (25, 3)),
    "zero padded": ("wave/s1/frame_{:05}.npy", "V C", (25, 3)),
    "npz": ("wave/s1/{}.npz", "V C", (25, 3)),
    "HDF5": ("wave/s1/{}.h5", "V C", (25, 3)),
    "flat": ("wave/s1/{}.npy", "VC", (75,)),
    "one person of several": ("wave/s1/{}.npy", "M V C", (1, 25, 3)),
    "text, a row a joint": ("wave/s1/{}.txt", "V C", (25, 3)),
    "text, a row": ("wave/s1/{}.csv", "VC", (1, 75)),
    "text, a row a person": ("wave/s1/{}.txt", "M VC", (1, 75)),
}


@pytest.mark.parametrize("form", FORMS)
def test_numbered_files_of_a_folder_are_one_clip(tmp_path: Path, form: str) -> None:
    name, layout, shape = FORMS[form]
    _frames(tmp_path, name, shape)
    clip = _read(tmp_path, layout=layout, pattern=r"(?P<label>[a-z]+)/s(?P<subject>\d)")
    assert (clip.id, clip.label, clip.subject) == ("wave_s1", 0, 1)
    np.testing.assert_array_equal(clip.joints[:, 0], MOVING)


@pytest.mark.parametrize("suffix", ["npy", "txt"])
def test_people_of_a_frame_in_any_order_and_of_any_number(tmp_path: Path, suffix: str) -> None:
    other = MOVING + np.float32([1.5, 0, 0])
    for number, (one, two) in enumerate(zip(MOVING, other, strict=True)):
        there = [two, one] if number % 2 else [one, two] if number else [one]
        _write(tmp_path / f"hug_{number}.{suffix}", np.stack(there).reshape(len(there), -1))
    clip = _read(tmp_path, layout="M VC")
    assert (clip.id, clip.present.sum(axis=0).tolist()) == ("hug", [12, 11])
    np.testing.assert_array_equal(clip.joints[:, 0], MOVING)
    np.testing.assert_array_equal(clip.joints[1:, 1], other[1:])


def test_missing_numbers_and_empty_files_are_frames_without_a_person(tmp_path: Path) -> None:
    _frames(tmp_path, "a_{}.txt")
    (tmp_path / "a_3.txt").unlink()
    (tmp_path / "a_5.txt").write_text("")
    clip = _read(tmp_path, layout="V C")
    assert np.flatnonzero(~clip.present[:, 0]).tolist() == [3, 5]
    np.testing.assert_array_equal(clip.joints[6:, 0], MOVING[6:])


def test_scores_windows_and_a_store(tmp_path: Path) -> None:
    score = np.linspace(0.1, 1, 12 * 25, dtype=np.float32).reshape(12, 25)
    for number, (frame, of) in enumerate(zip(MOVING, score, strict=True)):
        _write(tmp_path / f"a/{number}.npy", np.concatenate([frame, of[:, None]], axis=1))
    own_data.settings(tmp_path, layout="V C", coordinates="xyzs", windows={"length": 5})
    convert("custom", raw=tmp_path, out=tmp_path / "s", strict=True)
    made = skeltools.open(tmp_path / "s")
    assert made.ids == ("a_w0000", "a_w0001")
    np.testing.assert_array_equal(made["a_w0001"].joints[:, 0], MOVING[5:10])
    np.testing.assert_allclose(made["a_w0001"].score[:, 0], score[5:10])


def test_files_that_are_no_single_frame_are_refused(tmp_path: Path) -> None:
    _write(tmp_path / "a_0.txt", MOVING[:2].reshape(2, -1))
    with pytest.raises(RawDataError, match=r"holds 2 rows of poses, but layout 'VC' has one frame .*M VC"):
        _read(tmp_path, layout="VC")
    _write(tmp_path / "a_00.txt", MOVING[:1].reshape(1, -1))
    with pytest.raises(RawDataError, match=r"frame 0 is there twice, also as a_0\.txt"):
        _read(tmp_path, layout="M VC")
    for file in tmp_path.glob("*.txt"):
        file.unlink()
    _write(tmp_path / "b.npy", MOVING)
    with pytest.raises(RawDataError, match="has shape"):
        _read(tmp_path, layout="V C")


def test_numbers_that_files_merely_claim_take_no_memory(tmp_path: Path) -> None:
    _frames(tmp_path, "a_{}.npy")
    _write(tmp_path / "a_10000000.npy", MOVING[0])
    with pytest.raises(RawDataError, match="frames 0 to 10000000 of up to 1 people are too many"):
        _read(tmp_path, layout="V C")
    (tmp_path / "a_10000000.npy").unlink()
    with (tmp_path / "a_99.npy").open("wb") as file:
        file.truncate(MAX_BYTES)
    with pytest.raises(RawDataError, match="too many for one clip"):
        _read(tmp_path, layout="V C")


@pytest.mark.parametrize("more", [{"key": "{clip}/x"}, {"csv": {"clip": "id"}}, {"csv": {"form": "long"}}])
def test_a_file_cannot_be_a_frame_and_hold_several(tmp_path: Path, more: dict[str, Any]) -> None:
    own_data.settings(tmp_path, layout="V C", **more)
    with pytest.raises(ConfigError, match="layout has no T, so a file is a frame"):
        custom.discover(tmp_path)


# ---- layouts with T ---------------------------------------------------------------------------------------

SHORT = {
    "a frame": ("TV C", (25, 3), "1 frame each", "V C"),
    "a row": ("T VC", (1, 75), "1 frame each", "VC"),
    "people": ("T MVC", (2, 150), "2 frames each", "MVC"),
    "rows of people": ("T VC", (2, 75), "2 frames each", "M VC"),
}


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("suffix", ["npy", "txt"])
def test_numbered_files_of_hardly_a_frame_are_a_finding(tmp_path: Path, name: str, suffix: str) -> None:
    layout, shape, words, without = SHORT[name]
    for number in range(5):
        _write(tmp_path / f"wave/{number}.{suffix}", np.resize(MOVING, shape))
    own_data.settings(tmp_path, layout=layout)
    (found,) = custom.discover(tmp_path).findings
    assert (found.problem, found.file) == ("numbered files of hardly a frame", f"wave/0.{suffix}")
    assert f"5 files of this folder hold {words}" in found.detail
    assert f"`layout: {without}`, without T" in found.detail


def test_numbered_clips_and_a_few_short_ones_are_none(tmp_path: Path) -> None:
    for number in range(8):
        _write(tmp_path / f"wave_{number}.npy", MOVING)
    for number in range(4):
        _write(tmp_path / f"short_{number}.npy", MOVING[:1])
    own_data.settings(tmp_path, layout="T V C")
    assert custom.discover(tmp_path).findings == ()


def test_an_array_of_an_axis_too_few_asks_whether_it_is_a_frame(tmp_path: Path) -> None:
    _write(tmp_path / "0.npy", np.zeros(1662))
    with pytest.raises(
        RawDataError, match=r"shape \(1662,\).* Is each file a frame\? `layout: VC`, without T"
    ):
        _read(tmp_path, layout="T VC")
