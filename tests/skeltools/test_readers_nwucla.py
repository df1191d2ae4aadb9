from __future__ import annotations

import json
import os
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from schemas import RawDataError
from skeltools.datasets import nwucla
from skeltools.sequence import SkeletonSequence
from tests.skeltools.raw_files import poses, write_nwucla

NAME = "a08_s03_e02_v01"


def body(frames: int = 6) -> np.ndarray:
    return poses(frames, 1, 20)[:, 0]


def read(folder: Path) -> SkeletonSequence:
    (item,) = nwucla.discover(folder).items
    return nwucla.read(item)


def test_a_clip_is_read_as_it_is(tmp_path: Path) -> None:
    joints = body()
    write_nwucla(tmp_path, NAME, joints, 7)
    clip = read(tmp_path)
    assert (clip.id, clip.convention, clip.body_ids) == (NAME, "kinectv1_20", (0,))
    assert (clip.label, clip.subject, clip.repetition, clip.camera, clip.setup) == (6, 3, 2, 1, -1)
    np.testing.assert_array_equal(clip.joints[:, 0], joints)
    assert clip.present.all()
    assert not clip.order.any()


@pytest.mark.parametrize(("action", "label"), [(1, 0), (6, 5), (8, 6), (9, 7), (11, 8), (12, 9)])
def test_numbers_in_names_are_not_labels(action: int, label: int) -> None:
    found = nwucla.fields(f"a{action:02}_s01_e00_v03")
    assert found == {"label": label, "subject": 1, "repetition": 0, "camera": 3}


@pytest.mark.parametrize(
    "name", ["a07_s01_e00_v01", "a10_s01_e00_v01", "a13_s01_e00_v01", "a1_s1_e0_v1", "x"]
)
def test_other_names_are_findings(tmp_path: Path, name: str) -> None:
    write_nwucla(tmp_path, name, body(), 7)
    listing = nwucla.discover(tmp_path)
    assert listing.items == ()
    assert [(f.problem, f.file) for f in listing.findings] == [("unknown file name", f"{name}.json")]


def test_folder_and_zip_file_read_alike(tmp_path: Path) -> None:
    path = write_nwucla(tmp_path / "all_sqe", NAME, body(), 7)
    archive = tmp_path / "ucla.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(path, f"all_sqe/{NAME}.json")
    (item,) = nwucla.discover(archive).items
    assert item.member == f"all_sqe/{NAME}.json"
    np.testing.assert_array_equal(nwucla.read(item).joints, read(tmp_path / "all_sqe").joints)


def test_frames_of_zeros_or_no_numbers_are_absent(tmp_path: Path) -> None:
    joints = body().astype(object)
    joints[1] = 0
    joints[3, 4, 1] = float("nan")
    joints[4, 0, 0] = None
    write_nwucla(tmp_path, NAME, joints, 7)
    clip = read(tmp_path)
    np.testing.assert_array_equal(clip.present[:, 0], [True, False, True, False, False, True])
    np.testing.assert_array_equal(clip.order[:, 0], [0, -1, 0, -1, -1, 0])
    assert not clip.joints[~clip.present].any()
    (found,) = clip.findings
    assert (found.problem, found.place, found.detail) == ("not a number", "frame 4", "2 poses")


GOOD = {"file_name": NAME, "label": 7, "skeletons": body().tolist()}
BAD = {
    "empty": ("", "no valid JSON"),
    "truncated": (json.dumps(GOOD)[:-100], "no valid JSON"),
    "binary": ("\x00\x01", "no valid JSON"),
    "deep": ("[" * 100_000, "no valid JSON"),
    "list": ("[]", "expected a JSON object"),
    "another label": (json.dumps(GOOD | {"label": 8}), "label 8, but the name a08_s03_e02_v01 says 7"),
    "no label": (json.dumps({"skeletons": GOOD["skeletons"]}), "label None"),
    "no skeletons": (json.dumps({"label": 7}), "skeletons"),
    "joint count": (json.dumps(GOOD | {"skeletons": poses(3)[:, 0].tolist()}), "has shape (3, 25, 3)"),
    "no frames": (json.dumps(GOOD | {"skeletons": []}), "has shape (0,)"),
    "ragged": (json.dumps(GOOD | {"skeletons": [[1, 2], [3]]}), "no array of numbers"),
    "text": (json.dumps(GOOD | {"skeletons": body().astype(str).tolist()}), "no array of numbers"),
    "huge number": (json.dumps(GOOD | {"skeletons": [[[10**400] * 3] * 20]}), "no array of numbers"),
    "zeros": (json.dumps(GOOD | {"skeletons": np.zeros((4, 20, 3)).tolist()}), "in any frame (4 frames)"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_line_that_names_the_file(tmp_path: Path, name: str) -> None:
    text, message = BAD[name]
    path = tmp_path / f"{NAME}.json"
    path.write_text(text)
    with pytest.raises(RawDataError) as caught:
        read(tmp_path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_the_real_data_set() -> None:
    raw = Path(os.environ.get("SKELTOOLS_NWUCLA") or Path(__file__).parents[3] / "shared/data/nw-ucla.zip")
    if not raw.exists():
        pytest.skip("NW-UCLA is not here: set SKELTOOLS_NWUCLA to its folder or zip file")
    listing = nwucla.discover(raw)
    clips = [nwucla.read(item) for item in listing.items]
    assert listing.findings == ()
    assert Counter(clip.camera for clip in clips) == {1: 516, 2: 504, 3: 464}
    assert {clip.label for clip in clips} == set(range(10))
    assert (min(clip.frames for clip in clips), max(clip.frames for clip in clips)) == (1, 201)
    assert all(clip.present.all() and not clip.findings for clip in clips)
