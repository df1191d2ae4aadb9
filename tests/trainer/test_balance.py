"""Unequal classes and early stopping: weights and batches by their definitions, the test half has no say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from schemas import ConfigError
from tests.trainer.features import blobs, names
from tests.trainer.learners import KINECT, Means, around, samples
from tests.trainer.runs import evaluate_run, tiny_config
from tests.trainer.stores import write_store
from trainer import loop
from trainer.evaluate import balance, finetune, fit, linear, validation
from trainer.evaluate.features import Features
from trainer.options import checked
from trainer.store import Samples


def test_weights_are_clips_over_classes_times_clips_of_the_class() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3 + [3])
    weights = balance.weights_of(labels, 5, "balanced")
    assert weights is not None
    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 0, 10 / 3, 0])
    assert float(weights[labels].mean()) == pytest.approx(1)
    assert balance.weights_of(labels, 5, "none") is None


def test_balanced_batches_see_every_class_equally_often() -> None:
    labels = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    rows = balance.order_of(labels, "balanced", torch.Generator().manual_seed(0))
    counts = torch.bincount(labels[rows], minlength=3)
    assert counts.sum() == 1000
    assert all(abs(count - 333) < 60 for count in counts.tolist())
    again = balance.order_of(labels, "balanced", torch.Generator().manual_seed(0))
    assert torch.equal(rows, again)
    whole = balance.order_of(labels, "shuffled", torch.Generator().manual_seed(0))
    assert sorted(whole.tolist()) == list(range(1000))


def test_a_weighted_step_is_autograds() -> None:
    generator = torch.Generator().manual_seed(1)
    x, labels = torch.randn(12, 5, generator=generator), torch.arange(12) % 3
    weights = torch.tensor([0.2, 1.0, 3.0])
    layer = linear._initial((5,), 3, 0)
    weight, bias = layer.weight.clone().requires_grad_(), layer.bias.clone().requires_grad_()
    cross_entropy(x @ weight.T + bias, labels, weight=weights).backward()
    expected = weight.detach() - 0.5 * weight.grad, bias.detach() - 0.5 * bias.grad  # type: ignore[operator]
    layer.step(x, labels, lr=0.5, options=linear.Options(momentum=0), weights=weights)
    torch.testing.assert_close((layer.weight, layer.bias), expected)


@pytest.mark.parametrize("options", [{"class_weights": "balanced"}, {"batches": "balanced"}])
def test_a_small_class_is_found_by_a_balanced_probe(options: dict[str, Any]) -> None:
    whole, test = blobs(0, rows=400, spread=2.0), blobs(1, rows=400, spread=2.0)
    kept = (whole.labels != 0) | (torch.arange(400) % 25 == 0)
    train = Features(whole.values[kept], whole.labels[kept])

    def recall(**more: Any) -> float:
        made = linear.Options(lr=0.1, epochs=60, **more)
        (found,) = linear.evaluate(train, test, classes=names(4), seed=0, options=made)
        return float((found.values.argmax(1) == 0)[test.labels == 0].float().mean())

    assert recall(**options) > recall() + 0.1


TRAIN, TEST = samples(24), samples(9, first=100)


def fitted(train: Samples = TRAIN, test: Samples = TEST, **options: Any) -> fit.Fitted:
    given = {"epochs": 4, "batch_size": 8, "lr": 0.05, "milestones": (), **options}
    made = checked(finetune.Options, given, where="finetune")
    return fit.fit("finetune", Means(), train, test, options=made, **around())


def test_weights_and_batches_change_a_finetuning_and_are_repeatable() -> None:
    plain = fitted()
    few = samples(24)
    labels = torch.where(torch.arange(24) < 20, 0, few.labels)
    skewed = Samples(few.clips, labels, few.ids, few.rows)
    for options in ({"class_weights": "balanced"}, {"batches": "balanced"}):
        one, same = (fitted(skewed, **options) for _ in range(2))
        assert torch.equal(one.scores, same.scores)
        assert not torch.equal(one.scores, fitted(skewed).scores)
    assert torch.equal(plain.scores, fitted(class_weights="none", batches="shuffled").scores)


def test_what_is_held_out_is_a_share_of_each_class_whatever_the_order() -> None:
    labels, ids = torch.tensor([0] * 10 + [1] * 5 + [2]), [f"S{row}" for row in range(16)]
    chosen = validation.held_out(labels, ids, share=0.2, seed=0)
    assert [int(chosen[labels == label].sum()) for label in range(3)] == [2, 1, 0]
    order = torch.randperm(16, generator=torch.Generator().manual_seed(3))
    moved = validation.held_out(labels[order], [ids[row] for row in order.tolist()], share=0.2, seed=0)
    assert torch.equal(moved, chosen[order])
    assert not torch.equal(validation.held_out(labels, ids, share=0.2, seed=1), chosen)
    with pytest.raises(ConfigError, match="no class has two clips"):
        validation.held_out(torch.arange(3), ids[:3], share=0.5, seed=0)


def test_the_best_validation_epoch_is_the_result_and_the_test_half_has_no_say() -> None:
    found = fitted(validation=0.3, epochs=6)
    assert len(found.validation["validation_top1"]) == 6
    best = found.validation["best_validation_epoch"]
    assert found.validation["validation_top1"][best - 1] == max(found.validation["validation_top1"])
    shuffled = Samples(TEST.clips, TEST.labels.roll(1), TEST.ids, TEST.rows)
    other = fitted(test=shuffled, validation=0.3, epochs=6)
    assert torch.equal(other.scores, found.scores)
    assert other.validation == found.validation
    until = fitted(validation=0.3, epochs=best, decay="constant")
    assert torch.equal(until.scores, fitted(validation=0.3, epochs=6, decay="constant").scores) or best == 6


def test_patience_ends_a_training_and_needs_a_validation_part() -> None:
    worse = [1.0, 0.5, 0.5, 0.5]
    best = validation.Best(patience=2)
    model = torch.nn.Linear(1, 2)
    labels = torch.zeros(4, dtype=torch.long)
    stops = []
    for right in worse[:3]:
        scores = torch.tensor([[1.0, 0.0]] * int(4 * right) + [[0.0, 1.0]] * (4 - int(4 * right)))
        with torch.no_grad():
            model.weight += 1
        stops.append(best.look(model, scores, labels))
    assert stops == [False, False, True]
    assert best.epoch == 1
    torch.testing.assert_close(best.state["weight"], (model.weight - 2).detach())
    with pytest.raises(ConfigError, match="patience needs a validation share"):
        fitted(patience=3)


def test_the_options_go_through_the_evaluation_of_a_run(tmp_path: Path) -> None:
    loop.pretrain(tiny_config(write_store(tmp_path / "toy.zarr"), optimise__epochs=1), out=tmp_path / "run")
    options = {
        "linear": {"epochs": 2, "class_weights": "balanced", "batches": "balanced"},
        "finetune": {"schedule": "small", "epochs": 3, "validation": 0.2, "patience": 1},
        "semi": {"schedule": "small", "epochs": 1, "shares": [50], "draws": 1, "class_weights": "balanced"},
    }
    found = evaluate_run(tmp_path / "run", protocols=list(options), options=options, device="cpu")
    assert [result.settings["class_weights"] for result in found] == ["balanced", "none", "balanced"]
    details = found[1].details
    assert 1 <= details["best_validation_epoch"] <= len(details["validation_top1"]) == len(details["loss"])
    assert KINECT
