"""Nearest rows, copies, outliers and doubtful labels: literal oracles, and what is found when it is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer.evaluate import knn
from trainer.use import search_checks
from trainer.use.search_nearest import nearest

COUNT, WIDTH, KINDS = 240, 16, 6


def clouds(seed: int = 0, *, count: int = COUNT) -> tuple[Tensor, Tensor]:
    """[count, WIDTH] float32 around a centre for each of KINDS classes, and the classes [count]."""
    draws = np.random.default_rng(seed)
    labels = np.arange(count) % KINDS
    centres = draws.normal(size=(KINDS, WIDTH)) + 1
    values = centres[labels] + 0.4 * draws.normal(size=(count, WIDTH))
    return torch.from_numpy(values.astype(np.float32)), torch.from_numpy(labels)


def cosine(a: Any, b: Any) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(
        math.fsum(x * x for x in a) * math.fsum(y * y for y in b)
    )


def literal_nearest(values: Tensor, k: int) -> list[list[tuple[float, int]]]:
    """Of every row the k largest cosines with others, and whose they are: all pairs, sorted."""
    rows = values.double().numpy()
    lengths = np.sqrt((rows**2).sum(axis=1))
    table = (rows[:, None] * rows[None]).sum(axis=2) / np.outer(lengths, lengths)
    return [
        sorted(((value, j) for j, value in enumerate(line) if j != i), reverse=True)[:k]
        for i, line in enumerate(table.tolist())
    ]


@pytest.mark.parametrize("block", [1, 64, 1 << 25])
def test_nearest_rows_are_those_of_all_pairs(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    values, _ = clouds(count=40)
    monkeypatch.setattr(knn, "_BLOCK", block)
    found = nearest(values, k=5)
    expected = literal_nearest(values, 5)
    assert found.rows.tolist() == [[row for _, row in each] for each in expected]
    assert np.abs(found.cosines.numpy() - [[value for value, _ in each] for each in expected]).max() < 1e-12
    other, _ = clouds(1, count=7)
    asked = nearest(values, other, k=3)
    for row, query in enumerate(other.double().tolist()):
        best = sorted(
            ((cosine(query, each), j) for j, each in enumerate(values.double().tolist())), reverse=True
        )
        assert asked.rows[row].tolist() == [j for _, j in best[:3]]
    assert nearest(values[:3], k=10).rows.shape == (3, 2), "no more than there are"


def test_no_matrix_of_all_pairs_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    blocks = knn.similarities

    def watched(*given: Tensor) -> Any:
        for block in blocks(*given):
            sizes.append(block.numel())
            yield block

    monkeypatch.setattr("trainer.use.search_nearest.similarities", watched)
    monkeypatch.setattr(knn, "_BLOCK", 100_000)
    values = torch.randn(2000, 4, generator=torch.Generator().manual_seed(0))
    found = nearest(values, k=3)
    assert found.rows.shape == (2000, 3)
    assert max(sizes) <= 100_000
    assert sum(sizes) == 2000 * 2000


def literal_copies(values: Tensor, k: int) -> tuple[set[tuple[int, int]], float]:
    """Pairs and dimension, by the words of ``copies``."""
    near = [[(math.sqrt(max(0.0, 2 - 2 * c)), j) for c, j in each] for each in literal_nearest(values, k)]
    ratios = sorted(each[0][0] / each[-1][0] for each in near if each[0][0] > 1e-6)
    middle = ratios[(len(ratios) - 1) // 2]
    d = math.log(1 - 0.5 ** (1 / (k - 1))) / math.log(middle)
    last = sorted(each[-1][0] for each in near)
    median = last[(len(last) - 1) // 2]
    pairs = set()
    for i, each in enumerate(near):
        yardstick = min(max(each[-1][0], median / search_checks.CROWDED), median)
        for r, j in each:
            if len(values) * (k - 1) * (r / yardstick) ** d < search_checks.CHANCE:
                pairs.add((min(i, j), max(i, j)))
    return pairs, d


def test_copies_are_found_and_nothing_else() -> None:
    values, _ = clouds()
    draws = torch.Generator().manual_seed(3)
    values[10] = values[4]  # an exact copy
    values[11] = values[4] * 3  # of another length: the same cosine
    values[50] = values[60] + 0.01 * torch.randn(WIDTH, generator=draws)
    values[70:82] = values[69] + 1e-4 * torch.randn(12, WIDTH, generator=draws)  # more than k of one
    found = search_checks.copies(nearest(values, k=10))
    pairs = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    expected, size = literal_copies(values, 10)
    assert pairs == expected
    assert found.dimension == pytest.approx(size)
    assert {(4, 10), (4, 11), (10, 11), (50, 60)} <= pairs
    assert {row for pair in pairs for row in pair} == {4, 10, 11, 50, 60, *range(69, 82)}
    assert found.cosines.tolist() == sorted(found.cosines.tolist(), reverse=True)
    groups: dict[int, set[int]] = {}
    for first, second, group in zip(found.first, found.second, found.groups, strict=True):
        groups.setdefault(int(group), set()).update((int(first), int(second)))
    assert sorted(map(sorted, groups.values())) == [[4, 10, 11], [50, 60], list(range(69, 82))]


def test_independent_clips_have_no_copies() -> None:
    """A twentieth of a pair is expected in a store: over 20 stores, one."""
    counts = [len(search_checks.copies(nearest(clouds(seed)[0], k=10)).first) for seed in range(20)]
    assert sum(counts) <= 3


def test_the_dimension_is_that_of_the_cloud() -> None:
    draws = torch.Generator().manual_seed(0)
    for size in (2, 5):
        flat = torch.zeros(2000, 12)
        flat[:, : size + 1] = torch.randn(2000, size + 1, generator=draws)  # a sphere has one less
        assert search_checks.dimension(nearest(flat, k=10).distances) == pytest.approx(size, rel=0.15)
    assert search_checks.dimension(torch.zeros(4, 3)) == 1.0


def test_a_threshold_takes_the_place_of_chance() -> None:
    values, _ = clouds(count=60)
    near = nearest(values, k=59)
    found = search_checks.copies(near, least=0.95)
    rows = values.double().tolist()
    expected = {(i, j) for i in range(60) for j in range(i + 1, 60) if cosine(rows[i], rows[j]) >= 0.95}
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected
    assert len(search_checks.copies(near, least=2.0).first) == 0


def test_clips_like_no_other_are_the_farthest() -> None:
    values, _ = clouds()
    draws = torch.Generator().manual_seed(5)
    garbage = [7, 100, 200]
    values[garbage] = torch.randn(3, WIDTH, generator=draws) * 3 - 2
    near = nearest(values, k=10)
    score = search_checks.isolation(near)
    assert sorted(score.argsort(descending=True)[:3].tolist()) == garbage
    far = [math.sqrt(max(0.0, 2 - 2 * each[-1][0])) for each in literal_nearest(values, 10)]
    median = sorted(far)[(COUNT - 1) // 2]
    mad = sorted(abs(each - median) for each in far)[(COUNT - 1) // 2]
    expected = [(each - median) / (1.4826 * mad) for each in far]
    assert np.abs(score.numpy() - expected).max() < 1e-6
    assert not search_checks.isolation(nearest(torch.ones(20, 3), k=4)).any(), "no spread, no outlier"


def literal_doubts(values: Tensor, labels: list[int], k: int) -> list[tuple[int, float]]:
    """(suggested or -1, doubt) of every row, by the words of ``doubts``."""
    shares = []
    for each in literal_nearest(values, k):
        votes = [0.0] * KINDS
        for value, j in each:
            votes[labels[j]] += math.exp(value / 0.1)
        shares.append([vote / sum(votes) for vote in votes])
    usual = []
    for kind in range(KINDS):
        own = [share[kind] for share, label in zip(shares, labels, strict=True) if label == kind]
        usual.append(sum(own) / len(own))
    found = []
    for share, label in zip(shares, labels, strict=True):
        spoken = [kind for kind in range(KINDS) if share[kind] > 0 and share[kind] >= usual[kind]]
        best = max(spoken, key=lambda kind: share[kind], default=label)
        others = max(value for kind, value in enumerate(share) if kind != label)
        rival = share[best] if best != label else others
        found.append((best if best != label else -1, rival - share[label]))
    return found


def test_swapped_labels_are_the_most_doubtful() -> None:
    values, labels = clouds()
    true = labels.clone()
    swapped = torch.randperm(COUNT, generator=torch.Generator().manual_seed(1))[:24]
    labels[swapped] = (labels[swapped] + 1 + torch.arange(24) % (KINDS - 1)) % KINDS
    found = search_checks.doubts(nearest(values, k=20), labels, classes=KINDS)
    first = found.order[:24]
    assert len(set(first.tolist()) & set(swapped.tolist())) >= 23, "precision at 24"
    assert (found.suggested[first] == true[first]).double().mean() > 0.95
    expected = literal_doubts(values, labels.tolist(), 20)
    assert found.suggested.tolist() == [kind for kind, _ in expected]
    assert np.abs(found.doubt.numpy() - [value for _, value in expected]).max() < 1e-9
    assert found.counts.sum(dim=1).tolist() == [20] * COUNT
    assert found.right == pytest.approx(0.9, abs=0.02)


def test_right_labels_are_not_doubted_and_absent_classes_are_not_suggested() -> None:
    values, labels = clouds()
    found = search_checks.doubts(nearest(values, k=20), labels, classes=KINDS + 3)
    assert len(found.order) <= 2
    assert found.suggested.max() < KINDS
    assert found.right > 0.98
