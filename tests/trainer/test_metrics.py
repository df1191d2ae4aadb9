"""Accuracies against scikit-learn, the meter against plain arithmetic, learning rates by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, recall_score, top_k_accuracy_score

from schemas import OptimiseConfig, UsageError
from trainer import device, metrics, optim
from trainer.metrics import Meter


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 30), classes=st.integers(6, 9), seed=st.integers(0, 99))
def test_accuracies_equal_scikit_learn(rows: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = rng.random((rows, classes)), rng.integers(classes, size=rows)
    ours = metrics.accuracy(torch.tensor(scores), torch.tensor(labels))
    assert ours == pytest.approx(accuracy_score(labels, scores.argmax(1)))
    top5 = top_k_accuracy_score(labels, scores, k=5, labels=range(classes))
    assert metrics.accuracy(torch.tensor(scores), torch.tensor(labels), top=5) == pytest.approx(top5)


def test_per_class_leaves_out_classes_without_samples() -> None:
    scores = torch.eye(3)[[0, 1, 1, 0]]
    found = metrics.per_class(scores, torch.tensor([0, 0, 1, 1]), ("a", "b", "c"))
    assert found == {"a": 0.5, "b": 0.5}


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 40), classes=st.integers(2, 6), seed=st.integers(0, 99))
def test_confusion_and_per_class_equal_scikit_learn(rows: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = rng.integers(3, size=(rows, classes)), rng.integers(classes, size=rows)
    guesses, names = scores.argmax(1), tuple(map(str, range(classes)))
    ours = metrics.confusion(torch.tensor(scores), torch.tensor(labels))
    assert (ours.numpy() == confusion_matrix(labels, guesses, labels=range(classes))).all()
    found = metrics.per_class(torch.tensor(scores), torch.tensor(labels), names)
    recall = recall_score(labels, guesses, labels=sorted(set(labels)), average=None)
    assert found == pytest.approx(dict(zip(map(str, sorted(set(labels))), recall, strict=True)))
    assert sum(found.values()) / len(found) == pytest.approx(balanced(labels, guesses))
    assert metrics.accuracy(torch.tensor(scores), torch.tensor(labels)) == (guesses == labels).mean()


def balanced(labels: np.ndarray, guesses: np.ndarray) -> float:
    """The mean over the classes that occur, as scikit-learn's balanced accuracy, which warns about others."""
    return float(np.mean([(guesses[labels == k] == k).mean() for k in set(labels)]))


def test_of_equal_scores_the_first_class_is_before() -> None:
    scores, labels = torch.tensor([[1.0, 1.0, 0.0]] * 3), torch.tensor([0, 1, 2])
    assert metrics.ranks(scores, labels).tolist() == [0, 1, 2]
    assert metrics.accuracy(scores, labels, top=2) == pytest.approx(2 / 3)


def test_meter_means_over_the_last_steps_and_over_all() -> None:
    meter = Meter()
    for step in range(5):
        extra = {"late": torch.tensor(10.0 * step)} if step > 2 else {}
        meter.add({"loss": torch.tensor(float(step), requires_grad=True), **extra})
        if step == 1:
            assert meter.mean() == {"loss": 0.5}
    assert meter.mean() == {"loss": 2.0, "late": 35.0}
    assert meter.mean(2) == {"loss": 3.5, "late": 35.0}
    assert meter.mean(3) == {"loss": 3.0, "late": 35.0}
    assert len(meter.rows) == 5
    meter.clear()
    assert meter.settle() == []


def test_the_rate_is_that_of_the_schedule() -> None:
    step = OptimiseConfig(lr=1.0, schedule="step", milestones=(2, 4), epochs=5)
    assert [optim.learning_rate(step, t) for t in (0, 1.9, 2, 3.9, 4)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01]
    )
    cosine = OptimiseConfig(lr=1.0, schedule="cosine", epochs=10)
    assert [optim.learning_rate(cosine, t) for t in (0, 2.5, 5, 10, 11)] == pytest.approx(
        [1, 0.5 + math.sqrt(0.125), 0.5, 0, 0]
    )
    warm = OptimiseConfig(lr=1.0, schedule="cosine", epochs=12, warmup_epochs=2)
    assert [optim.learning_rate(warm, t) for t in (0, 1, 2, 7, 12)] == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert optim.learning_rate(OptimiseConfig(lr=0.3, schedule="constant"), 200) == 0.3


def test_sgd_leaves_out_what_does_not_learn() -> None:
    network = torch.nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    config = OptimiseConfig(lr=0.5, momentum=0.8, weight_decay=0.01, nesterov=True)
    optimiser = optim.build(network.parameters(), config)
    (group,) = optimiser.param_groups
    assert len(group["params"]) == 1
    assert (group["lr"], group["momentum"], group["weight_decay"], group["nesterov"]) == (
        0.5,
        0.8,
        0.01,
        True,
    )
    optim.set_learning_rate(optimiser, 0.25)
    assert group["lr"] == 0.25


def test_devices_are_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose("auto") == device.choose("cpu") == torch.device("cpu")
    with pytest.raises(UsageError, match="'cuda:1' was asked for, but PyTorch sees 0 CUDA devices"):
        device.choose("cuda:1")
    for name in ("gpu", "meta", ""):
        with pytest.raises(UsageError, match=f"unknown device '{name}'.*auto, cpu, cuda"):
            device.choose(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device.choose("auto") == torch.device("cuda", 0)
    assert device.choose("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(UsageError, match="sees 2 CUDA devices"):
        device.choose("cuda:2")


def test_autocast_follows_the_precision() -> None:
    x = torch.ones(2, 2)
    with device.autocast(torch.device("cpu"), "bf16"):
        assert (x @ x).dtype == torch.bfloat16
    with device.autocast(torch.device("cpu"), "fp32"):
        assert (x @ x).dtype == torch.float32
    with pytest.raises(UsageError, match=r"runtime\.precision is not settled"):
        device.autocast(torch.device("cpu"), "auto")


@pytest.mark.parametrize(
    ("told", "precision"),
    [({}, "fp32"), ({"avx2": True, "avx512_bf16": False}, "fp32"), ({"amx_bf16": True}, "bf16")],
)
def test_auto_precision_is_bf16_where_the_cpu_computes_it(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, bool], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    cpu = torch.device("cpu")
    assert device.settled_precision(cpu, "auto") == precision
    assert [device.settled_precision(cpu, asked) for asked in ("fp32", "bf16")] == ["fp32", "bf16"]
