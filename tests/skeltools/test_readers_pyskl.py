"""The 3D pickles of pyskl."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas import RawDataError
from skeltools.formats import pyskl
from tests.skeltools.archives import (
    CLIPS,
    NAMES,
    check,
    halves,
    problems,
    pyskl_content,
    write_pickle,
)
from tests.skeltools.archives import slots as clip


@pytest.mark.parametrize("protocol", range(6))
def test_pyskl_pickle(tmp_path, protocol):
    path = write_pickle(tmp_path / "ntu60_3danno.pkl", pyskl_content(CLIPS), protocol)
    for raw in (path, tmp_path):
        listing = pyskl.discover(raw)
        assert [item.id for item in listing.items] == sorted(NAMES)
        assert listing.findings == ()
        for name in ("xsub", "xview"):
            train, test = halves(NAMES, name)
            assert listing.halves[name] == {**dict.fromkeys(train, 1), **dict.fromkeys(test, 2)}
        for item in listing.items:
            check(pyskl.read(item), item.id)


def test_names_with_slashes_are_ids_as_of_folders_and_in_splits(tmp_path):
    content = pyskl_content(CLIPS)
    content["annotations"][3]["frame_dir"] = f"deep/{NAMES[3]}"
    content["annotations"][4]["frame_dir"] = f"deep\\{NAMES[4]}.skeleton"
    content["split"] = {"xsub_train": [f"deep/{NAMES[3]}"], "xsub_val": [f"deep\\{NAMES[4]}", NAMES[0]]}
    listing = pyskl.discover(write_pickle(tmp_path / "x.pkl", content))
    assert listing.findings == ()
    three, four = f"deep_{NAMES[3]}", f"deep_{NAMES[4]}"
    assert {three, four} < {item.id for item in listing.items}
    assert listing.halves == {"xsub": {three: 1, four: 2, NAMES[0]: 2}}
    (item,) = (item for item in listing.items if item.id == three)
    np.testing.assert_array_equal(pyskl.read(item).joints, CLIPS[NAMES[3]])


def spoil(**changes: Any) -> dict[str, Any]:
    """The content with a changed annotation 3; a key of None is removed."""
    content = pyskl_content(CLIPS)
    content["annotations"][3] |= changes
    return content


ANNOTATIONS = {
    "unusable sample name": [{"frame_dir": name} for name in ("", None, "\udcff", "a\nb", 5)],
    "label out of range": [{"label": label} for label in (-1, 70000, "1", None)],
    "keypoint of another form": [
        {"keypoint": keypoint}
        for keypoint in (
            None,
            [[1.0]],
            np.zeros((2, 5, 25), np.float32),
            np.zeros((2, 5, 25, 2), np.float32),
            np.zeros((2, 5, 25, 3), np.int64),
        )
    ],
    "another length": [{"total_frames": 99}, {"total_frames": "8"}],
    "duplicate sample id": [{"frame_dir": NAMES[0]}],
    "order of another form": [{"order": 7}, {"order": np.zeros((2, 3), np.int8)}],
}


@pytest.mark.parametrize(
    ("problem", "change"), [(problem, change) for problem, many in ANNOTATIONS.items() for change in many]
)
def test_one_bad_annotation_is_a_finding(tmp_path, problem, change):
    listing = pyskl.discover(write_pickle(tmp_path / "x.pkl", spoil(**change)))
    assert ("x.pkl", "sample 4", problem) in problems(listing)
    assert len(listing.items) == len(NAMES) - 1
    for finding in listing.findings:
        finding.model_dump_json()


@pytest.mark.parametrize(
    "content",
    [
        7,
        [],
        {"split": {}},
        {"annotations": {}},
        {"annotations": [1]},
        {"annotations": [], "split": []},
        {"annotations": [], "split": {"xsub_train": 5}},
    ],
)
def test_foreign_pickles(tmp_path, content):
    with pytest.raises(RawDataError, match="Expected the 3D pickle of pyskl"):
        pyskl.discover(write_pickle(tmp_path / "x.pkl", content))


def test_splits_that_do_not_fit(tmp_path):
    content = pyskl_content(CLIPS)
    content["split"] = {
        "xsub_val": [NAMES[0], "S999"],
        "xsub_train": [NAMES[0]],
        "sideways": [],
        "a/b_train": [],
    }
    listing = pyskl.discover(write_pickle(tmp_path / "x.pkl", content))
    assert listing.halves == {"xsub": {NAMES[0]: 1}}
    assert sorted(row.problem for row in listing.findings) == [
        "in both halves",
        "named by a split, but not there",
        "unknown split",
        "unknown split",
    ]


def test_a_pyskl_pickle_of_another_convention(tmp_path):
    path = write_pickle(tmp_path / "x.pkl", pyskl_content({NAMES[0]: clip(NAMES[0], joints=17)}))
    with pytest.raises(RawDataError, match="17 joints, but kinectv2_25 has 25"):
        pyskl.discover(path)


def test_two_pickles_in_a_folder(tmp_path):
    for name in "ab":
        write_pickle(tmp_path / f"{name}.pkl", pyskl_content(CLIPS))
    with pytest.raises(RawDataError, match=r"2 \.pkl files, expected one"):
        pyskl.discover(tmp_path)


def test_the_pickle_is_read_once(tmp_path, monkeypatch):
    path = write_pickle(tmp_path / "x.pkl", pyskl_content(CLIPS))
    calls = []
    load = pyskl.unpickle.load
    monkeypatch.setattr(pyskl.unpickle, "load", lambda path, **kind: calls.append(path) or load(path, **kind))
    for item in pyskl.discover(path).items:
        pyskl.read(item)
    assert calls == [path]
