"""What an evaluation leaves on disk, several conventions at once, and what it refuses or notes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from scipy.special import softmax

from schemas import CheckpointError, EvaluationResult, SkelError, StoreError, UsageError
from tests.trainer.runs import evaluate_run, tiny_config
from tests.trainer.stores import CLASSES, write_store
from trainer import checkpoint, loop
from trainer import store as stores
from trainer.evaluate import run as evaluating
from trainer.evaluate.features import Features
from trainer.evaluate.scores import Scores
from trainer.run import read_results

BOTH = ("few_6", "many_8")
SHORT = {"linear": {"epochs": 5, "lr": 0.5, "standardise": True}}

MOST_VOTE = "knn: 20 of 21 training samples vote. Try --set knn.k=2"
"""What is noted of kNN at its default k on the 21 training samples of the store."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The larger convention lacks a test sample."""
    folder = tmp_path_factory.mktemp("data")
    return write_store(folder / "toy.zarr", conventions=BOTH, missing={"many_8": (26,)})


@pytest.fixture(scope="module")
def trained(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "ms"
    loop.pretrain(tiny_config(store, method="ms-clr"), out=out)
    return out


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def on_disk(run: Path) -> dict[str, tuple[EvaluationResult, Scores]]:
    return {found.path.stem: (found.result, found.scores()) for found in read_results(run)}


def test_every_figure_follows_from_its_scores(run: Path, store: Path) -> None:
    protocols = ["knn", "linear", "retrieval"]
    results = evaluate_run(run, protocols=protocols, device="cpu", options=SHORT)
    files = on_disk(run)
    assert [result for result, _ in files.values()] == sorted(results, key=lambda result: result.figure)
    kinds = {result.figure: result.scores_kind for result in results}
    assert kinds == {"knn": "votes", "knn1": "votes", "linear": "logits", "retrieval": "logits"}
    test = stores.load(stores.open_store(store), split="xview", part="test", conventions=["few_6"], frames=12)
    for stem, (result, scores) in files.items():
        assert result.scores == f"{stem}.npz"
        assert (scores.ids, scores.classes, scores.kind) == (test.ids, CLASSES, result.scores_kind)
        assert torch.equal(scores.labels, test.labels)
        guesses, table = scores.values.argmax(1), np.array(result.confusion)
        assert result.top1 == pytest.approx(float((guesses == scores.labels).double().mean()))
        assert table.sum() == result.test_samples == len(scores)
        assert np.trace(table) == pytest.approx(result.top1 * len(scores))
        assert table[0, 1] == int(((scores.labels == 0) & (guesses == 1)).sum())
        assert result.macro == pytest.approx(np.mean(list(result.per_class.values())))
        assert result.interval is not None
        assert result.interval[0] <= result.top1 <= result.interval[1]
        assert (result.recipe, result.frames, result.epochs) == ("default", 12, 2)
        assert result.notes == ((MOST_VOTE,) if result.protocol == "knn" else ())
        assert result.preset == "ms-clr/paper"
    nearest = files["retrieval-few_6"][0].details["neighbours"]
    assert len(nearest["ids"]) == len(nearest["similarities"]) == len(test)
    assert {len(ids) for ids in nearest["ids"]} == {4}
    assert not {name for ids in nearest["ids"] for name in ids} & set(test.ids)
    assert files["retrieval-few_6"][0].top1 == files["knn1-few_6"][0].top1


@pytest.mark.parametrize("how", ["softmax", "logits"])
def test_all_conventions_are_measured_and_averaged(how: str, run: Path) -> None:
    options = SHORT | {"fusion": {"scores": how}}
    results = evaluate_run(
        run, protocols=["linear", "knn"], conventions=["all"], device="cpu", options=options
    )
    assert [(result.figure, result.convention) for result in results] == [
        (figure, convention)
        for figures in (("linear",), ("knn", "knn1"))
        for convention in (*BOTH, "few_6+many_8")
        for figure in figures
    ]
    files = on_disk(run)
    (_, few), (_, many) = files["linear-few_6"], files["linear-many_8"]
    result, both = files["linear-few_6+many_8"]
    assert both.ids == many.ids, "the samples that both have"
    assert len(few) == len(many) + 1
    one, two = few.values[[few.ids.index(name) for name in many.ids]].numpy(), many.values.numpy()
    expected = (softmax(one, axis=1) + softmax(two, axis=1)) / 2 if how == "softmax" else (one + two) / 2
    assert np.allclose(both.values.numpy(), expected, atol=1e-6)
    members = {"of": "conventions", "scores": how, "members": [*BOTH]}
    assert result.settings["ensemble"] == members
    assert result.random_knn is None
    votes, _ = files["knn-few_6+many_8"]
    assert votes.settings["ensemble"]["scores"] == "softmax", "votes are averaged as shares"


def test_alone_and_together_a_convention_gives_the_same(run: Path) -> None:
    asked: dict[str, Any] = {"protocols": ["linear"], "device": "cpu", "options": SHORT}
    together = evaluate_run(run, conventions=["many_8", "few_6", "many_8"], **asked)
    assert [result.convention for result in together] == ["many_8", "few_6", "many_8+few_6"]
    (alone,) = evaluate_run(run, conventions=["many_8"], **asked)
    assert alone == together[0].model_copy(update={"seconds": alone.seconds})


def test_one_encoder_and_several_conventions_take_scores_but_no_weights(run: Path) -> None:
    with pytest.raises(UsageError, match="ms-clr trains one encoder, there is nothing to fuse"):
        evaluate_run(run, conventions=["all"], device="cpu", options={"fusion": {"bone": 1}})


def rewritten(run: Path, **changes: Any) -> None:
    """The checkpoint with other content."""
    content = torch.load(run / checkpoint.LAST, weights_only=True)
    torch.save(content | changes, run / checkpoint.LAST)


def test_an_unfinished_run_is_refused_unless_asked_for(run: Path) -> None:
    rewritten(run, epoch=1, step=3)
    message = r"last\.pt: the run is not finished: .* of epoch 1 of 2\. .*--resume`, or .*--unfinished"
    with pytest.raises(CheckpointError, match=message):
        evaluate_run(run, device="cpu")
    assert not (run / "results").exists()
    (result, _) = evaluate_run(run, device="cpu", unfinished=True)
    assert (result.epoch, result.epochs) == (1, 2)
    assert result.notes == ("the run is not finished: checkpoint of epoch 1 of 2", MOST_VOTE)


def test_a_checkpoint_that_is_replaced_meanwhile_is_noticed(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = checkpoint.load

    def load_and_replace(path: Path) -> Any:
        found = load(path)
        rewritten(run, step=1)
        return found

    monkeypatch.setattr(checkpoint, "load", load_and_replace)
    with pytest.raises(CheckpointError, match="the file was replaced while it was read"):
        evaluate_run(run, device="cpu")


def test_features_that_are_not_finite_are_refused(run: Path) -> None:
    content = torch.load(run / checkpoint.LAST, weights_only=True)
    name = "moco.query.encoder.blocks.0.temporal.weight"
    content["model"][name] = torch.full_like(content["model"][name], torch.nan)
    torch.save(content, run / checkpoint.LAST)
    message = r"encoder joint, few_6: 21 of 21 clips have features that are not finite, S\w+ first\. The"
    with pytest.raises(SkelError, match=message):
        evaluate_run(run, protocols=["linear"], device="cpu")
    assert not (run / "results").exists()


def test_clips_that_are_not_finite_are_blamed_on_the_store(run: Path, store: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(store, tmp_path / "toy.zarr"))
    array = zarr.open_group(damaged)["streams/few_6/t12/joint"]
    split = np.asarray(zarr.open_group(damaged)["splits/xview"])
    row = int(np.flatnonzero(split == 2)[0])
    array[row, 0, 0, 0, 0] = np.inf
    message = r"1 of 9 clips .* first; the clips themselves are not\. `skeltools validate`"
    with pytest.raises(SkelError, match=message):
        evaluate_run(run, store=damaged, device="cpu")


@pytest.fixture
def trained_on(tmp_path: Path) -> Callable[..., Path]:
    """A run on a store whose halves of the split hold the labels that are given."""

    def train(labels: Callable[[Any, Any], Any]) -> Path:
        path = write_store(tmp_path / "odd.zarr")
        group = zarr.open_group(path)
        stored, split = group["samples/label"], np.asarray(group["splits/xview"])
        stored[:] = labels(np.asarray(stored), split)
        loop.pretrain(tiny_config(path, optimise__epochs=1), out=tmp_path / "run")
        return tmp_path / "run"

    return train


def test_a_class_without_test_samples_is_noted(trained_on: Callable[..., Path]) -> None:
    run = trained_on(lambda labels, split: np.where((split == 2) & (labels == 2), 0, labels))
    (result, _) = evaluate_run(run, device="cpu")
    absent = "no test sample of jump: not among the classes, not in the macro mean"
    assert set(result.notes) == {absent, MOST_VOTE}
    assert set(result.per_class) == {"wave", "kick"}
    assert result.classes == CLASSES
    assert [sum(row) for row in result.confusion][2] == 0


def test_a_class_without_training_samples_is_noted(trained_on: Callable[..., Path]) -> None:
    run = trained_on(lambda labels, split: np.where((split == 1) & (labels == 1), 0, labels))
    (result,) = evaluate_run(run, protocols=["linear"], device="cpu", options=SHORT)
    assert result.notes == ("no training sample of kick: its test samples count as wrong",)
    assert result.per_class["kick"] == 0


def test_a_training_half_of_one_class_is_refused(trained_on: Callable[..., Path]) -> None:
    run = trained_on(lambda labels, split: np.where(split == 1, 1, labels))
    message = r"odd\.zarr: all 21 training samples of xview are of one class, 'kick': .* meaningless"
    with pytest.raises(StoreError, match=message):
        evaluate_run(run, device="cpu")


def test_features_know_their_samples(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Features] = []
    check = evaluating.check_finite
    monkeypatch.setattr(
        evaluating,
        "check_finite",
        lambda features, *a, **k: (seen.append(features), check(features, *a, **k)),
    )
    evaluate_run(run, device="cpu")
    assert all(len(features.ids) == len(features.values) == len(features.labels) for features in seen)
    assert len(seen) == 4, "two halves, the trained and the random encoder"


def test_a_target_is_for_transfer_and_frozen_encoders(run: Path) -> None:
    with pytest.raises(UsageError, match=r"--target is for transfer and for frozen encoders, not for semi"):
        evaluate_run(run, protocols=["knn", "semi"], device="cpu", target=Path("x"))
    with pytest.raises(UsageError, match=r"--target-split is a split of --target\. Name the store"):
        evaluate_run(run, device="cpu", target_split="xsub")
