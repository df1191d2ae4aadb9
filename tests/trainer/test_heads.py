"""Classifiers that evaluations keep: their files, and how sure they say they are."""

from __future__ import annotations

import math
import random
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from schemas import CheckpointError, Component
from tests.trainer.features import blobs, names
from trainer.evaluate import heads, linear
from trainer.evaluate.heads import ClassifierCard, Head, Recipe, Sureness

TRAIN, TEST = blobs(0, rows=80), blobs(1, rows=40)
OPTIONS = linear.Options(epochs=20, lr=0.5, batch_size=16)


def card(*, classes: tuple[str, ...] = names(4), sure: Sureness | None = None) -> ClassifierCard:
    return ClassifierCard(
        format=1, tool="test", figure="linear", settings={}, classes=classes, convention="few_6",
        stream="joint", encoder="joint", frames=12, bodies=2, dataset="toy", synthetic=False, split="xview",
        recipe=Recipe(name="default", steps=(Component(name="resize"),)), store_hash="a", checkpoint_hash="b",
        train_samples=80, test_top1=0.5, temperature=sure and sure.temperature,
        held_out=sure.held_out if sure else 0,
    )  # fmt: skip


def learned(options: linear.Options = OPTIONS) -> Head:
    (scores,) = linear.evaluate(TRAIN, TEST, classes=names(4), seed=3, options=options)
    assert scores.head is not None
    assert torch.equal(scores.head.logits(TEST.values), scores.values)
    return scores.head


@pytest.mark.parametrize("changes", [{}, {"standardise": True}])
def test_a_kept_layer_gives_the_scores_of_the_evaluation(tmp_path: Path, changes: dict[str, bool]) -> None:
    head = learned(OPTIONS.model_copy(update=changes))
    assert head.sureness is not None
    path = tmp_path / "linear.safetensors"
    path.write_bytes(heads.to_bytes(head, card(sure=head.sureness)))
    again, told = heads.read_head(path)
    assert told == card(sure=head.sureness)
    assert torch.equal(again.logits(TEST.values), head.logits(TEST.values))
    assert torch.equal(again.distance(TEST.values), head.distance(TEST.values))
    assert again.sureness is not None
    assert torch.equal(again.sureness.energy, head.sureness.energy)
    assert path.read_bytes() == heads.to_bytes(again, told), "the same head gives the same bytes"


def test_the_figure_is_the_same_with_and_without_clips_to_hold_out(monkeypatch: pytest.MonkeyPatch) -> None:
    (with_them,) = linear.evaluate(TRAIN, TEST, classes=names(4), seed=3, options=OPTIONS)
    monkeypatch.setattr(heads, "LEAST_HELD_OUT", 1000)
    (without,) = linear.evaluate(TRAIN, TEST, classes=names(4), seed=3, options=OPTIONS)
    assert torch.equal(with_them.values, without.values)
    assert without.head is not None
    assert without.head.sureness is None


def test_a_fifth_of_every_class_is_held_out_whatever_the_order() -> None:
    rows = heads.held_out_rows(TRAIN.labels, TRAIN.ids, seed=1)
    assert rows is not None
    for label in range(4):
        own = TRAIN.labels == label
        assert int(rows[own].sum()) == int(own.sum()) // 5
    order = torch.randperm(len(TRAIN.labels), generator=torch.Generator().manual_seed(0))
    shuffled = heads.held_out_rows(TRAIN.labels[order], [TRAIN.ids[row] for row in order.tolist()], seed=1)
    assert shuffled is not None
    assert torch.equal(shuffled, rows[order])
    assert heads.held_out_rows(TRAIN.labels[:30], TRAIN.ids[:30], seed=1) is None
    other = heads.held_out_rows(TRAIN.labels, TRAIN.ids, seed=2)
    assert other is not None
    assert not torch.equal(other, rows)


@pytest.mark.parametrize("seed", range(4))
def test_the_temperature_is_that_of_a_search_over_all(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(200, 5, generator=draw) * (1 + 3 * seed)
    labels = torch.where(
        torch.rand(200, generator=draw) < 0.6, logits.argmax(1), torch.randint(5, (200,), generator=draw)
    )
    found = heads.fitted_temperature(logits, labels)
    grid = [math.exp(place / 500) for place in range(-1950, 1950)]
    best = min(grid, key=lambda each: float(cross_entropy(logits.double() / each, labels)))
    assert found == pytest.approx(best, rel=3e-3)


def test_logits_that_are_ten_times_too_large_get_ten_times_the_temperature() -> None:
    logits, labels = TEST.values[:, :4] * 2, TEST.labels
    one, ten = (heads.fitted_temperature(logits * factor, labels) for factor in (1, 2))
    assert ten == pytest.approx(2 * one, rel=1e-4)


def test_quantiles_ascend_and_the_means_are_those_of_the_classes() -> None:
    head = learned()
    assert head.sureness is not None
    assert head.means is not None
    for values in (head.sureness.energy, head.sureness.distance):
        assert values.shape == (heads.SHARES,)
        assert (values.diff() >= 0).all()
    slow, centre = [], TRAIN.values.mean(0)
    for label in range(4):
        units = [row / row.norm() for row in (TRAIN.values - centre)[TRAIN.labels == label]]
        mean = torch.stack(units).mean(0)
        slow.append(mean / mean.norm())
    assert torch.allclose(head.means, torch.stack(slow), atol=1e-6)
    expected = [1 - max(float(row @ mean / row.norm()) for mean in slow) for row in TEST.values - centre]
    assert torch.allclose(head.distance(TEST.values), torch.tensor(expected), atol=1e-6)


def test_a_class_without_a_clip_is_near_to_nothing() -> None:
    means = heads.class_means(TRAIN.values, TRAIN.labels, 5)
    assert not means[4].any()
    assert torch.equal(heads.distances(TEST.values, means), heads.distances(TEST.values, means[:4]))


def test_files_that_are_no_classifier_are_refused(tmp_path: Path) -> None:
    head, path = learned(), tmp_path / "linear.safetensors"
    with pytest.raises(CheckpointError, match=r"no classifier here. Make one with `trainer evaluate"):
        heads.read_head(path)
    path.write_bytes(heads.to_bytes(head, card(classes=names(3), sure=head.sureness)))
    with pytest.raises(CheckpointError, match="its tensors do not fit its classes"):
        heads.read_head(path)
    newer = card(sure=head.sureness).model_copy(update={"format": 9})
    path.write_bytes(heads.to_bytes(head, newer))
    with pytest.raises(CheckpointError, match="newer version: format 9"):
        heads.read_head(path)


def test_damaged_files_are_an_error_and_never_a_traceback(tmp_path: Path) -> None:
    head, path, draw = learned(), tmp_path / "linear.safetensors", random.Random(0)
    content = heads.to_bytes(head, card(sure=head.sureness))
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(draw.choice((1, 3, 20))):
            damaged[draw.randrange(min(len(damaged), 3000))] = draw.randrange(256)
        path.write_bytes(bytes(damaged[: draw.choice((len(damaged), draw.randrange(len(damaged))))]))
        with suppress(CheckpointError):
            heads.read_head(path)
