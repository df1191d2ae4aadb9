"""The archives of CTR-GCN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas import RawDataError
from skeltools.formats import ctrgcn
from tests.skeltools.archives import (
    CLIPS,
    NAMES,
    ctrgcn_arrays,
    halves,
    label_of,
)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("name", "protocol"), [("NTU60_CS", "xsub"), ("NTU120_CSet", "xset"), ("mine", "file")]
)
def test_ctrgcn_archive(tmp_path, save, name, protocol):
    save(tmp_path / f"{name}.npz", **ctrgcn_arrays(CLIPS))
    listing = ctrgcn.discover(tmp_path)
    train, test = halves(NAMES, "xsub")
    made = {f"train-{n + 1:06}": name for n, name in enumerate(train)}
    made |= {f"test-{n + 1:06}": name for n, name in enumerate(test)}
    assert [item.id for item in listing.items] == sorted(made)
    assert listing.anonymous
    assert listing.halves == {protocol: {id: 1 if id.startswith("train") else 2 for id in made}}
    for item in listing.items:
        found = ctrgcn.read(item)
        assert np.array_equal(found.joints, CLIPS[made[item.id]])
        assert (found.id, found.label, found.subject) == (item.id, label_of(made[item.id]), -1)


def spoiled(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**ctrgcn_arrays(CLIPS), **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": None}, "holds no x_train"),
        ({"y_test": None}, "holds no y_test"),
        ({"x_train": np.zeros((6, 10, 75, 2), np.float32)}, "expected float32"),
        ({"x_train": np.zeros((6, 10, 150), np.int32)}, "expected float32"),
        ({"x_train": np.zeros((6, 10, 151), np.float32)}, "no multiple of 25 joints x 3"),
        ({"x_train": np.zeros((6, 10, 0), np.float32)}, "no multiple of 25 joints x 3"),
        ({"x_train": np.zeros((5, 10, 150), np.float32)}, "x_train has 5 clips, y_train 6 rows"),
        ({"y_train": np.zeros((6, 60, 1))}, "expected one-hot rows"),
        ({"y_train": np.full((6, 60), "a")}, "expected one-hot rows"),
        (dict.fromkeys(("x_train", "y_train", "x_test", "y_test")), "holds no x_train and x_test"),
        ({"export": np.array("[")}, "no valid JSON"),
    ],
)
def test_bad_ctrgcn_archives(tmp_path, changes, message):
    np.savez(tmp_path / "x.npz", **spoiled(**changes), other=np.zeros(1))
    with pytest.raises(RawDataError, match=message):
        ctrgcn.discover(tmp_path / "x.npz")


@pytest.mark.parametrize("hot", [0, 2])
def test_rows_that_are_not_one_hot(tmp_path, hot):
    labels = ctrgcn_arrays(CLIPS)["y_train"]
    labels[1] = 0
    labels[1, :hot] = 1
    np.savez(tmp_path / "x.npz", **spoiled(y_train=labels))
    items = {item.id: item for item in ctrgcn.discover(tmp_path / "x.npz").items}
    ctrgcn.read(items["train-000001"])
    with pytest.raises(RawDataError, match=f"train-000002: its row of y_train has {hot} classes"):
        ctrgcn.read(items["train-000002"])


def test_arrays_of_objects_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", **spoiled(x_train=np.array([None] * 6, dtype=object)))
    with pytest.raises(RawDataError, match=r"x_train\.npy: is an array of objects"):
        ctrgcn.discover(tmp_path / "x.npz")


def test_a_folder_of_several_archives(tmp_path):
    for name in ("NTU60_CS", "NTU60_CV"):
        np.savez(tmp_path / f"{name}.npz", **ctrgcn_arrays(CLIPS))
    with pytest.raises(RawDataError, match=r"2 \.npz files \(NTU60_CS\.npz, NTU60_CV\.npz\), expected one"):
        ctrgcn.discover(tmp_path)
