"""A store as a PyTorch data set: rows, batches, workers of both kinds."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

import trainer
from schemas import StoreError, UsageError
from tests.trainer.stores import CLASSES, write_store
from trainer import store as stores


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "toy.zarr"
    labels = [row % 3 if row % 5 else -1 for row in range(30)]
    return write_store(path, conventions=("few_6", "many_8"), streams=("joint", "bone"), labels=labels)


def dataset(store: Path, **changes: Any) -> trainer.SkeletonDataset:
    return trainer.SkeletonDataset(store, **{"split": "xview", "frames": 12, **changes})


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("stream", ["joint", "bone"])
@pytest.mark.parametrize("convention", ["few_6", "many_8"])
def test_its_rows_are_those_of_the_store(store: Path, part: Any, stream: str, convention: str) -> None:
    found = dataset(store, part=part, stream=stream, convention=convention)
    expected = stores.load(
        stores.open_store(store),
        split="xview",
        part=part,
        conventions=[convention],
        frames=12,
        stream=stream,
    )
    assert (found.ids, found.classes, found.spec.name) == (expected.ids, CLASSES, convention)
    assert len(found) == len(expected)
    for row in range(len(found)):
        clip, label = found[row]
        assert torch.equal(clip, expected.clips[convention][row])
        assert label == int(expected.labels[row])
    for rows in ([2, 0, 5], torch.tensor([2, 0, 5])):
        clips, labels = found[rows]
        assert torch.equal(clips, expected.clips[convention][[2, 0, 5]])
        assert torch.equal(labels, expected.labels[[2, 0, 5]])


@pytest.mark.parametrize("rows", [slice(1, 9, 3), slice(0, 0), np.array([4, 2]), []])
def test_slices_arrays_and_no_rows_are_batches(store: Path, rows: Any) -> None:
    found = dataset(store, split=None)
    clips, labels = found[rows]
    wanted = np.arange(len(found))[np.asarray(rows, int) if isinstance(rows, list) else rows].tolist()
    assert clips.shape == (len(wanted), *found[0][0].shape)
    assert labels.tolist() == [found[row][1] for row in wanted]
    assert all(torch.equal(clip, found[row][0]) for clip, row in zip(clips, wanted, strict=True))


@pytest.mark.parametrize("rows", [[-1, 0], torch.tensor([1, -2]), [True, False] * 15])
def test_rows_are_chosen_as_of_a_tensor(store: Path, rows: Any) -> None:
    found = dataset(store, split=None)
    clips, labels = found[rows]
    wanted = torch.as_tensor(rows)
    assert torch.equal(clips, found.clips[wanted])
    assert torch.equal(labels, found.labels[wanted])


def test_all_rows_or_only_the_labelled_ones(store: Path) -> None:
    everything = dataset(store, split=None)
    assert len(everything) == 30
    assert int((everything.labels < 0).sum()) == 6
    for split in (None, "xview"):
        some = dataset(store, split=split, labelled=True)
        assert (some.labels >= 0).all()
        known = {id: clip for id, (clip, _) in zip(everything.ids, everything, strict=False)}
        assert all(torch.equal(known[id], some[row][0]) for row, id in enumerate(some.ids))


def doubled(clip: Tensor) -> Tensor:
    return clip.mul_(2)


def test_a_transform_never_changes_the_store(store: Path) -> None:
    plain, twice = dataset(store), dataset(store, transform=doubled)
    for _ in range(2):
        assert torch.equal(twice[4][0], plain[4][0] * 2)
        assert torch.equal(twice[[1, 4]][0], plain[[1, 4]][0] * 2)
        assert torch.equal(twice.__getitems__([1, 4])[1][0], plain[4][0] * 2)


@pytest.mark.parametrize("how", [None, "fork", "spawn"])
def test_loaders_give_the_same_with_and_without_workers(store: Path, how: str | None) -> None:
    found = dataset(store)
    workers: dict[str, Any] = (
        {} if how is None else {"num_workers": 2 if how == "fork" else 1, "multiprocessing_context": how}
    )
    collated = list(DataLoader(found, batch_size=8, **workers))
    sampler = BatchSampler(SequentialSampler(found), 8, drop_last=False)
    whole = list(DataLoader(found, sampler=sampler, batch_size=None, **workers))
    for batches in (collated, whole):
        assert torch.equal(torch.cat([clips for clips, _ in batches]), found.clips)
        assert torch.equal(torch.cat([labels for _, labels in batches]), found.labels)


def test_it_can_be_pickled_and_holds_no_file(store: Path) -> None:
    again = pickle.loads(pickle.dumps(dataset(store)))
    assert torch.equal(again.clips, dataset(store).clips)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"split": "xset"}, StoreError, "no split 'xset'"),
        ({"stream": "motion"}, StoreError, "no motion stream of 12 frames.*skeltools streams"),
        ({"frames": 50}, StoreError, "no joint stream of 50 frames"),
        ({"convention": "h36m"}, StoreError, "no convention 'h36m'; there is few_6, many_8"),
        ({"bodies": 1}, StoreError, "places for 2 bodies"),
        ({"part": "both"}, UsageError, "expected 'train' or 'test'"),
    ],
)
def test_what_is_not_there_is_named(
    store: Path, changes: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        dataset(store, **changes)


def test_fewer_bodies_are_filled_up(tmp_path: Path) -> None:
    path = write_store(tmp_path / "single.zarr", bodies=1)
    clip, _ = dataset(path, bodies=2)[0]
    assert clip.shape[-1] == 2
    assert not clip[..., 1].any()
