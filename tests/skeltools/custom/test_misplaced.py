"""Numbers that mean "not seen" among the positions: findings about them, and `missing` with such a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from skeltools.sequence import SkeletonSequence
from tests.skeltools import own_data
from tests.skeltools.raw_files import poses

SOUND: NDArray[np.float32] = poses(20).astype(np.float32)
POINT, FAR = "all joints of a body at one point", "a joint absurdly far from its body"


def _read(folder: Path, array: NDArray[Any], **told: Any) -> tuple[SkeletonSequence, dict[str, str]]:
    own_data.settings(folder, **told)
    np.save(folder / "a.npy", array)
    clip = own_data.read(folder)
    return clip, {row.problem: f"{row.place}: {row.detail}" for row in clip.findings}


def _with(value: Any, frames: Any, joints: Any = slice(None), dtype: Any = np.float32) -> NDArray[Any]:
    array = SOUND.astype(dtype)
    array[frames, 0, joints] = value
    return array


@pytest.mark.parametrize("value", [-1, -9999.99, 0.1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_body_at_one_point_is_named_with_its_key(tmp_path: Path, value: float, dtype: Any) -> None:
    array = _with(value, slice(3, 8), dtype=dtype)
    _, found = _read(tmp_path, array)
    assert list(found) == [POINT]
    assert found[POINT].startswith("frame 4: 5 poses; the first at (")
    assert f"`missing: {value}` in dataset.yaml" in found[POINT]
    clip, found = _read(tmp_path, array, missing=value)
    assert found == {}
    assert np.flatnonzero(~clip.present[:, 0]).tolist() == [3, 4, 5, 6, 7]


def test_a_joint_far_away_is_named_with_its_key(tmp_path: Path) -> None:
    array = _with(-9999, slice(2, 4), 5)
    _, found = _read(tmp_path, array)
    assert list(found) == [FAR]
    assert found[FAR].startswith("frame 3: 2 positions of ElbowLeft; the first at (-9999, -9999, -9999)")
    assert "`missing: -9999` in dataset.yaml" in found[FAR]
    clip, found = _read(tmp_path, array, missing=-9999)
    assert list(found) == ["joints not seen"]
    assert clip.unseen is not None
    assert np.argwhere(clip.unseen).tolist() == [[2, 0, 5], [3, 0, 5]]


def test_a_joint_far_away_on_one_axis_has_no_key(tmp_path: Path) -> None:
    _, found = _read(tmp_path, _with([0, -50, 3], 2, 5))
    assert found == {FAR: "frame 3: 1 positions of ElbowLeft; the first at (0, -50, 3)"}


def test_a_point_of_three_values_has_no_key(tmp_path: Path) -> None:
    _, found = _read(tmp_path, _with([0, 1, 2], 2))
    assert found == {POINT: "frame 3: 1 poses; the first at (0, 1, 2)"}


def test_most_of_a_clip_at_a_marker_does_not_hide_it(tmp_path: Path) -> None:
    _, found = _read(tmp_path, _with(-9999, slice(0, 18)))
    assert list(found) == [POINT]
    array = _with(-9999, slice(None), 5)
    _, found = _read(tmp_path, array)
    assert "20 positions of ElbowLeft" in found[FAR]


def test_only_all_coordinates_at_the_number_are_a_marker(tmp_path: Path) -> None:
    array = SOUND.copy()
    array[2, 0, 5, 0] = -1
    clip, found = _read(tmp_path, array, missing=-1)
    assert (clip.unseen, found) == (None, {})
    np.testing.assert_array_equal(clip.joints, array)


def test_zero_and_nan_are_markers_besides_a_number(tmp_path: Path) -> None:
    array = _with(-1, 2)
    array[3, 0], array[4, 0] = 0, np.nan
    clip, found = _read(tmp_path, array, missing=-1)
    assert np.flatnonzero(~clip.present[:, 0]).tolist() == [2, 3, 4]
    assert found == {}


@pytest.mark.parametrize("scale", [1e-3, 1, 1e3])
def test_sound_clips_have_no_such_finding_in_any_unit(tmp_path: Path, scale: float) -> None:
    array = SOUND * np.float32(scale)
    array[:3] = np.nan
    _, found = _read(tmp_path, array, units=1 / scale)
    assert not {POINT, FAR} & set(found)
