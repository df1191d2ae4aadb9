"""A new data set is one module with ``READERS`` and ``DATASETS``, and its name in ``ROOMS``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import skeltools
from skeltools import datasets
from skeltools.cli import run
from skeltools.datasets import splits
from skeltools.datasets.dataset import Dataset
from skeltools.raw_items import Listing, RawItem, Reader, discover
from skeltools.readers import READERS
from skeltools.sequence import SkeletonSequence


def _fields(name: str) -> dict[str, int] | None:
    action, _, person = name.partition("-")
    return {"label": int(action), "subject": int(person)} if person else None


def _discover(raw: Path) -> Listing:
    return discover(raw, ".npy", convention="kinectv2_25", fields=_fields)


def _read(item: RawItem) -> SkeletonSequence:
    return SkeletonSequence.from_joints(
        item.id, np.load(item.path), "kinectv2_25", **(_fields(item.id) or {})
    )


TOY = Dataset(
    name="toy",
    title="Toy",
    reader="toy",
    convention="kinectv2_25",
    published="",
    num_classes=2,
    class_names=("sit", "stand"),
    bodies=1,
    rules={"xsub": splits.rule("subject", (1,), 2)},
    folder_names=("toy",),
    file_pattern=r"\d-\d\.npy",
    example="0-1.npy",
    hint="Make it yourself",
)


def test_a_new_data_set_converts_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(datasets.DATASETS, TOY.name, TOY)
    monkeypatch.setitem(READERS, "toy", Reader(_discover, _read))
    draws = np.random.default_rng(0)
    (tmp_path / "raw" / "toy").mkdir(parents=True)
    for name in ("0-1", "0-2", "1-1", "1-2"):
        np.save(tmp_path / "raw" / "toy" / f"{name}.npy", draws.normal(size=(9, 25, 3)))
    out = tmp_path / "toy.zarr"
    assert run(["convert", "toy", "--raw", str(tmp_path / "raw"), "--out", str(out), "--recipe", "raw"]) == 0
    assert "xsub 2 train, 2 test" in capsys.readouterr().out
    opened = skeltools.open(out)
    assert opened.ids == ("0-1", "0-2", "1-1", "1-2")
    assert opened["1-2"].class_name == "stand"
    assert opened.splits["xsub"].tolist() == [1, 2, 1, 2]
    assert skeltools.validate(out) == ()


def test_the_registry_holds_what_the_rooms_have() -> None:
    assert list(datasets.DATASETS) == [each.name for room in datasets.ROOMS for each in room.DATASETS]
    assert {each.reader for each in datasets.DATASETS.values()} <= READERS.keys()
