"""Workers read a store that their parent has read: forked and spawned ones, one after another and at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import skeltools
import trainer
from tests.workers import WAIT, in_worker
from trainer import store as stores

IDS = [f"clip{clip:02}" for clip in range(12)]
METHODS = ("fork", "spawn")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("read") / "own.zarr"
    joints = np.random.default_rng(0).normal(size=(12, 15, 1, 17, 3))
    labels = [("walk", "sit", "wave")[clip % 3] for clip in range(12)]
    halves = {"halves": {"train": IDS[:8]}}
    skeltools.write(joints, out, ids=IDS, labels=labels, convention="coco_17", frames=[12], splits=halves)
    return out


def half(opened: stores.Store) -> torch.Tensor:
    """[8, 3, 12, 17, 1]: clips of the training half."""
    samples = stores.load(opened, split="halves", part="train", conventions=["coco_17"], frames=12)
    return samples.clips["coco_17"]


def read_by_trainer(path: Path) -> np.ndarray:
    return half(trainer.open_store(path)).numpy()


def read_by_skeltools(path: Path) -> np.ndarray:
    opened = skeltools.open(path)
    return np.stack([opened[id].joints for id in IDS])


@pytest.mark.parametrize("read", [read_by_trainer, read_by_skeltools])
@pytest.mark.parametrize("method", METHODS)
def test_a_worker_opens_what_its_parent_has_read(path: Path, method: str, read: Any) -> None:
    expected = read(path)
    for _ in range(2):
        assert np.array_equal(in_worker(method, read, path), expected)
        assert np.array_equal(read(path), expected)


class Clips(Dataset[torch.Tensor]):
    """Reads from a store that was open when the workers started, as a data set of one's own may."""

    def __init__(self, path: Path) -> None:
        self.opened = skeltools.open(path)

    def __len__(self) -> int:
        return len(IDS)

    def __getitem__(self, row: int) -> torch.Tensor:
        return torch.from_numpy(self.opened[IDS[row]].joints)


@pytest.mark.parametrize("method", METHODS)
def test_loaders_read_a_store_that_is_open_in_all_of_their_workers(path: Path, method: str) -> None:
    found = Clips(path)
    expected = torch.stack([found[row] for row in range(len(found))])
    loader = DataLoader(found, batch_size=3, num_workers=2, multiprocessing_context=method, timeout=WAIT)
    for _ in range(2):
        assert torch.equal(torch.cat(list(loader)), expected)


def read_open(opened: stores.Store) -> np.ndarray:
    return half(opened).numpy()


@pytest.mark.parametrize("method", METHODS)
def test_an_open_store_of_the_trainer_goes_to_workers(path: Path, method: str) -> None:
    opened = trainer.open_store(path)
    assert np.array_equal(in_worker(method, read_open, opened), half(opened).numpy())
