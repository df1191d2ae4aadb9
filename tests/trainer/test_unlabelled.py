"""Stores with few labels, with none, or without a test half: what trains, what is measured, what is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from schemas import StoreError
from tests.trainer.command import call
from tests.trainer.runs import evaluate_run, tiny_arguments, tiny_config
from tests.trainer.stores import CLASSES, write_store
from trainer import checkpoint
from trainer import store as stores
from trainer.loop import pretrain, watch
from trainer.methods import METHODS
from trainer.run import open_run

PROTOCOLS = ("knn", "linear", "retrieval", "semi", "finetune", "supervised")
SHORT = {name: {"epochs": 1} for name in ("linear", "finetune", "supervised", "transfer")} | {
    "semi": {"epochs": 1, "draws": 1, "shares": [50]}
}
NONE = {"classes": ()}


def trained(store: Path, out: Path, *, method: str = "skeletonclr", **changes: object) -> Path:
    pretrain(tiny_config(store, method=method, **changes), out=out)
    return out


def as_run_of(run: Path, store: Path, out: Path) -> Path:
    """A copy of the run that says it was trained on another store."""
    saved = open_run(run).checkpoint
    data = saved.config.data.model_copy(update={"store": str(store)})
    config = saved.config.model_copy(update={"data": data})
    moved = replace(saved, config=config, store_hash=stores.open_store(store).hash)
    checkpoint.save(moved, out / checkpoint.LAST)
    return out


def few_labels(path: Path, **more: object) -> Path:
    """30 samples of which every second one has a label."""
    labels = [row % 3 if row % 2 else -1 for row in range(30)]
    return write_store(path, labels=labels, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("classes", [(), ("unlabelled",)])
@pytest.mark.parametrize("half", ["test", "none"])
def test_a_store_without_labels_pre_trains_and_says_that_nothing_monitors_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], classes: tuple[str, ...], half: str
) -> None:
    split = None if half == "test" else [1] * 30
    store = write_store(
        tmp_path / "s", labels=[len(classes) - 1] * 30, split=split, manifest={"classes": classes}
    )
    arguments = tiny_arguments(runtime__knn_every=1)
    code, told, errors = call(
        capsys, "pretrain", "--store", store, "--method", "skeletonclr", "--out", tmp_path / "r", *arguments
    )
    assert code == 0
    assert errors.count("without the kNN monitor") == 1
    reason = "has no test half" if split else "one class, 'unlabelled'" if classes else "has a label"
    assert reason in errors
    assert reason in told
    assert "--protocol transfer --target" in told
    following, others = told.splitlines()[-2:]
    assert following == f"next: trainer embed {tmp_path / 'r'} {store} --out features.npz"
    assert others == f"or: trainer search {tmp_path / 'r'} --duplicates; trainer export {tmp_path / 'r'}"
    out = ["--out", tmp_path / "features.npz"]
    for command in (following.split()[2:-2] + out, others.split("; ")[1].split()[1:]):
        assert call(capsys, *command)[0] == 0
    assert "monitor_knn" not in open_run(tmp_path / "r").metrics[-1]


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_trains_without_labels(tmp_path: Path, method: str) -> None:
    store = write_store(tmp_path / "s", labels=[-1] * 30, split=[1] * 30, manifest=NONE)
    run = trained(store, tmp_path / "r", method=method, runtime__knn_every=1, optimise__epochs=1)
    assert open_run(run).checkpoint.epoch == 1


def test_pre_training_sees_the_rows_without_a_label(tmp_path: Path) -> None:
    store = stores.open_store(few_labels(tmp_path / "s"))
    where = {"split": "xview", "part": "train", "conventions": ["few_6"], "frames": 12}
    every, some = stores.load(store, **where), stores.load(store, labelled=True, **where)  # type: ignore[arg-type]
    assert len(every) == 21
    assert (every.labels == -1).any()
    assert len(some) == int((every.labels >= 0).sum())
    assert (some.labels >= 0).all()
    assert some.clips["few_6"].equal(every.clips["few_6"][every.labels >= 0])


def test_labels_change_nothing_of_a_training(tmp_path: Path) -> None:
    labelled, bare = write_store(tmp_path / "a"), few_labels(tmp_path / "b")
    states = [
        open_run(trained(store, tmp_path / f"r{store.name}")).checkpoint.model for store in (labelled, bare)
    ]
    assert all(value.equal(states[1][name]) for name, value in states[0].items())


def test_protocols_use_what_is_labelled_and_tell_what_is_not(tmp_path: Path) -> None:
    """The figures are those of a store that has the labelled samples alone in its split."""
    run = trained(few_labels(tmp_path / "few"), tmp_path / "r")
    split = [0 if row % 2 == 0 else (1 if row % 9 < 6 else 2) for row in range(30)]
    alone = write_store(tmp_path / "alone", split=split)
    other = as_run_of(run, alone, tmp_path / "other")
    frozen = ("knn", "linear", "retrieval")
    found = evaluate_run(run, protocols=PROTOCOLS, options=SHORT)
    expected = {each.figure: each for each in evaluate_run(other, protocols=frozen, options=SHORT)}
    for result in found:
        assert result.train_samples <= 11
        assert result.test_samples == 4
        assert "without a label and left out: 10 training and 5 test samples" in result.notes
        assert sum(map(sum, result.confusion)) == 4
        if result.figure in expected:
            assert result.top1 == expected[result.figure].top1
            assert result.confusion == expected[result.figure].confusion
            assert not any("without a label" in note for note in expected[result.figure].notes)


@pytest.mark.parametrize(
    ("labels", "split", "message"),
    [
        ([-1] * 30, None, "none of the 21 training samples of split 'xview' has a label.*transfer"),
        ([row % 3 if row % 9 < 6 else -1 for row in range(30)], None, "none of the 9 test samples .* label"),
        ([0 if row % 2 else -1 for row in range(30)], None, "are of one class, 'wave'"),
        (None, [1] * 30, "the split 'xview' has no test half.*--split"),
    ],
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_missing_is_named(
    tmp_path: Path, labels: list[int] | None, split: list[int] | None, message: str, protocol: str
) -> None:
    run = trained(write_store(tmp_path / "s", labels=labels, split=split), tmp_path / "r")
    with pytest.raises(StoreError, match=message):
        evaluate_run(run, protocols=[protocol], options=SHORT)


def test_transfer_asks_for_labels_of_the_target_alone(tmp_path: Path) -> None:
    source = write_store(tmp_path / "s", labels=[-1] * 30, split=[1] * 30, manifest=NONE, protocol="all")
    run = trained(source, tmp_path / "r")
    target = few_labels(tmp_path / "t", seed=1)
    (result,) = evaluate_run(run, protocols=["transfer"], target=target, options=SHORT)
    assert (result.test_samples, result.classes, result.split) == (4, CLASSES, "xview")
    assert "without a label and left out: 10 training and 5 test samples" in result.notes
    bare = write_store(tmp_path / "u", labels=[-1] * 30, seed=2)
    with pytest.raises(StoreError, match=r"u: none of the 21 training samples"):
        evaluate_run(run, protocols=["transfer"], target=bare, options=SHORT)


def test_purity_of_mined_neighbours_is_that_of_labelled_pairs() -> None:
    labels = torch.tensor([0, -1, 0, 1, -1])
    mined = torch.tensor([[2, 3], [0, 4], [1, 0]])
    assert float(watch.same_label(mined, torch.tensor([0, 1, 2]), labels)) == pytest.approx(2 / 3)


def test_a_report_of_a_run_with_few_labels_counts_the_labelled(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from trainer.report import build

    run = trained(few_labels(tmp_path / "s"), tmp_path / "r", runtime__knn_every=1)
    evaluate_run(run, protocols=["knn", "retrieval"])
    bare = trained(write_store(tmp_path / "u", labels=[-1] * 30, manifest=NONE), tmp_path / "n")
    page = str(build.build([run, bare], device="cpu"))
    assert "none of the 21 training samples of split 'xview' has a label" in page
