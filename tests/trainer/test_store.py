"""Reading a store: what comes back is what was written, and every lack is one clear line."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

from schemas import StoreError
from tests.trainer.stores import CLASSES, FEW, MANY, write_store
from trainer import store as stores


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(
        tmp_path_factory.mktemp("store") / "toy.zarr",
        conventions=("few_6", "many_8"),
        frames=(12, 6),
        streams=("joint", "bone"),
        missing={"many_8": (1, 4)},
    )


def load(path: Path, **changes: object) -> stores.Samples:
    wanted = {"split": "xview", "part": "train", "conventions": ["few_6"], "frames": 12} | changes
    return stores.load(stores.open_store(path), **wanted)  # type: ignore[arg-type]


def test_a_split_is_read_as_it_was_written(path: Path) -> None:
    raw = zarr.open_group(str(path), mode="r")
    rows = np.flatnonzero(raw["splits/xview"][:] == 2)
    samples = load(path, part="test", stream="bone")
    assert samples.rows.tolist() == rows.tolist()
    assert samples.ids == tuple(f"S{row:03}" for row in rows)
    assert samples.labels.tolist() == [row % len(CLASSES) for row in rows]
    assert torch.equal(samples.clips["few_6"], torch.tensor(raw["streams/few_6/t12/bone"][:][rows]))


def test_only_rows_that_all_conventions_have_are_used(path: Path) -> None:
    one, both = load(path), load(path, conventions=["few_6", "many_8"])
    assert {*one.ids} - {*both.ids} == {"S001", "S004"}
    assert [clip.shape[3] for clip in both.clips.values()] == [6, 8]
    assert len(both.clips["few_6"]) == len(both.clips["many_8"]) == len(both) == len(both.labels)


def test_blocks_are_put_together_in_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load(path)
    seen = []
    monkeypatch.setattr(stores, "_BLOCK", 4)
    pieces = stores.load(
        stores.open_store(path),
        split="xview",
        part="train",
        conventions=["few_6"],
        frames=12,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert torch.equal(whole.clips["few_6"], pieces.clips["few_6"])
    assert seen[-1] == (len(whole), len(whole))
    assert len(seen) > 2


def test_skeletons_come_without_padding(path: Path) -> None:
    found = stores.skeletons(stores.open_store(path), ["few_6", "many_8"])
    assert found["few_6"].spec == FEW
    assert found["few_6"].adjacency.shape == (3, 6, 6)
    assert found["many_8"].spec == MANY
    assert torch.equal(found["few_6"].adjacency[0], torch.eye(6))
    assert torch.equal(found["few_6"].adjacency_degenerate, found["few_6"].adjacency[[0, 2, 1]])


def test_hash_is_that_of_the_manifest_and_native_the_sensor(path: Path) -> None:
    store = stores.open_store(path)
    assert store.hash == store.manifest.hash
    assert store.native == "few_6"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"split": "xsub"}, ["no split 'xsub'", "there is xview", "--split"]),
        ({"conventions": ["smplx_42"]}, ["no convention 'smplx_42'", "few_6, many_8", "metrabs/smplx_42"]),
        ({"frames": 64}, ["64 frames", "t12/joint", "skeltools streams", "--frames 64"]),
        ({"stream": "motion"}, ["no motion stream", "t12/bone", "--motion --frames 12"]),
    ],
)
def test_what_is_missing_is_named_with_the_remedy(
    path: Path, changes: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(StoreError) as caught:
        load(path, **changes)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    for word in words:
        assert word in message


def test_no_common_row_is_an_error(tmp_path: Path) -> None:
    path = write_store(
        tmp_path / "s.zarr", conventions=("few_6", "many_8"), samples=9, missing={"many_8": tuple(range(9))}
    )
    with pytest.raises(StoreError, match="no sample of xview"):
        load(path, conventions=["few_6", "many_8"])


def test_labels_outside_the_classes_are_an_error(tmp_path: Path) -> None:
    path = write_store(tmp_path / "s.zarr", manifest={"classes": ["wave", "kick"]})
    with pytest.raises(StoreError, match="labels run from 0 to 2, but there are 2 classes"):
        load(path)


def test_a_path_that_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("hello")
    zarr.open_group(str(tmp_path / "other.zarr"), mode="w-").attrs["format"] = "mine"
    with pytest.raises(StoreError, match="no such store"):
        stores.open_store(tmp_path / "absent")
    for name in ("folder", "file", "other.zarr"):
        with pytest.raises(StoreError, match=f"{name}: is not a skeleton store.*skeltools convert"):
            stores.open_store(tmp_path / name)


def test_a_newer_format(tmp_path: Path) -> None:
    path = write_store(tmp_path / "s.zarr", manifest={"format": 2})
    with pytest.raises(StoreError, match=r"newer version: format 2, this one reads up to 1\. Upgrade"):
        stores.open_store(path)


def test_damage_is_reported_by_place(tmp_path: Path) -> None:
    path = write_store(tmp_path / "s.zarr")
    shutil.rmtree(path / "samples" / "label")
    with pytest.raises(StoreError, match=r"damaged store .samples/label: zarr.json is not there"):
        load(path)
    damaged = write_store(tmp_path / "d.zarr", manifest={"samples": -1})
    with pytest.raises(StoreError, match=r"damaged store .manifest: samples"):
        stores.open_store(damaged)


def test_a_damaged_chunk_is_reported(tmp_path: Path) -> None:
    path = write_store(tmp_path / "s.zarr")
    for chunk in (path / "streams/few_6/t12/joint/c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(chunk.read_bytes()[: chunk.stat().st_size // 2])
    with pytest.raises(StoreError, match=r"damaged store .streams/few_6/t12/joint"):
        load(path)
