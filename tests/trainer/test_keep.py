"""Checkpoints that are kept on the way, and their evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import trainer
from schemas import CheckpointError
from tests.trainer.command import call
from tests.trainer.runs import tiny_config
from tests.trainer.stores import write_store
from trainer import checkpoint, loop
from trainer.run import find_results


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keep")
    store = write_store(folder / "toy.zarr")
    loop.pretrain(tiny_config(store, optimise__epochs=5, runtime__keep_every=2), out=folder / "run")
    loop.pretrain(tiny_config(store, optimise__epochs=4), out=folder / "shorter")
    return folder / "run"


def test_every_nth_is_kept_and_is_the_state_of_its_epoch(run: Path) -> None:
    assert checkpoint.kept_epochs(run) == [2, 4]
    kept, last = checkpoint.load(run / checkpoint.epoch_file(4)), checkpoint.load(run / checkpoint.LAST)
    assert (kept.epoch, kept.step, last.epoch) == (4, 0, 5)
    shorter = checkpoint.load(run.parent / "shorter" / checkpoint.LAST)
    assert shorter.epoch == 4
    for name, value in shorter.model.items():
        assert torch.equal(value, kept.model[name]), name
    assert checkpoint.kept_epochs(run.parent / "shorter") == []


def test_a_kept_epoch_is_evaluated_beside_the_last(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "evaluate", run, "--device", "cpu")[0] == 0
    code, out, err = call(capsys, "evaluate", run, "--epoch", 2, "--device", "cpu")
    assert code == 0, err
    assert "epoch 2, toy" in out
    assert "note: of the kept checkpoint of epoch 2 of 5" in out
    assert (run / "results" / "knn-epoch-2-few_6.json").is_file()
    (found,) = find_results(run, protocol="knn")
    assert found.result.epoch == 5, "the last checkpoint speaks for the run"
    assert call(capsys, "evaluate", run, "--epoch", 2, "--untrained", "--device", "cpu")[0] == 0
    names = {path.name for path in (run / "untrained" / "results").glob("*.json")}
    assert names == {"knn-few_6.json", "knn1-few_6.json"}, "random weights have no epoch"
    opened = trainer.open(run, device="cpu", epoch=2)
    expected = checkpoint.load(run / checkpoint.epoch_file(2)).model
    name = next(iter(expected))
    assert torch.equal(opened.method.state_dict()[name], expected[name])
    assert trainer.open(run, epoch=5).epoch_file is None, "the last one is that of epoch 5"


def test_an_epoch_that_was_not_kept_is_named(run: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"no checkpoint of epoch 3 is kept; there is 2, 4, 5.*keep_every"
    ):
        trainer.open(run, epoch=3)


def test_keeping_may_begin_when_a_run_goes_on(tmp_path: Path, run: Path) -> None:
    store = run.parent / "toy.zarr"
    loop.pretrain(tiny_config(store, optimise__epochs=1), out=tmp_path / "run")
    trainer.pretrain(out=tmp_path / "run", resume=True, epochs=3, settings={"runtime.keep_every": 1})
    assert checkpoint.kept_epochs(tmp_path / "run") == [2, 3]
