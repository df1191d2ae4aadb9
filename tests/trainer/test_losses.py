"""Against slow transcriptions of AimCLR's equations, one sum at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.trainer.clips import generator
from trainer import losses

GRID = [
    (n, size, dim, tau) for n in (1, 3, 8) for size, dim in ((1, 2), (5, 4), (33, 16)) for tau in (0.07, 0.2)
]


def unit(*shape: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=generator(seed), dtype=torch.float64), dim=1)


def material(n: int, size: int, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    return unit(n, dim, seed=1), unit(n, dim, seed=2), unit(size, dim, seed=3)


def probabilities(q: list[float], k: list[float], queue: list[list[float]], tau: float) -> list[float]:
    """p(z|q), p(m_1|q), ...: Eq. (4) and (5)."""

    def dot(a: list[float], b: list[float]) -> float:
        return sum(i * j for i, j in zip(a, b, strict=True))

    terms = [math.exp(dot(q, k) / tau)] + [math.exp(dot(q, m) / tau) for m in queue]
    return [term / sum(terms) for term in terms]


@pytest.mark.parametrize(("n", "size", "dim", "tau"), GRID)
def test_info_nce_is_equation_1(n: int, size: int, dim: int, tau: float) -> None:
    q, k, queue = material(n, size, dim)
    rows = [probabilities(q[i].tolist(), k[i].tolist(), queue.tolist(), tau) for i in range(n)]
    expected = sum(-math.log(row[0]) for row in rows) / n
    assert losses.info_nce(q, k, queue, temperature=tau).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("n", "size", "dim", "tau"), GRID)
def test_several_positives_are_equation_9_or_its_mean(n: int, size: int, dim: int, tau: float) -> None:
    q, k, queue = material(n, size, dim)
    positives = torch.rand(n, size + 1, generator=generator(4)) < 0.3
    positives[:, 0] = True
    scores = losses.logits(q, k, queue, tau)
    added = averaged = 0.0
    for i in range(n):
        row = probabilities(q[i].tolist(), k[i].tolist(), queue.tolist(), tau)
        terms = [-math.log(p) for p, positive in zip(row, positives[i].tolist(), strict=True) if positive]
        added += sum(terms) / n
        averaged += sum(terms) / len(terms) / n
    assert losses.multi_positive_nce(scores, positives).item() == pytest.approx(added, abs=1e-6)
    mean = losses.multi_positive_nce(scores, positives, reduction="mean")
    assert mean.item() == pytest.approx(averaged, abs=1e-6)


def test_the_two_reductions_of_two_positives_differ_by_the_factor_two() -> None:
    scores = torch.zeros(1, 4)
    positives = torch.tensor([[True, True, False, False]])
    assert losses.multi_positive_nce(scores, positives).item() == pytest.approx(2 * math.log(4))
    mean = losses.multi_positive_nce(scores, positives, reduction="mean")
    assert mean.item() == pytest.approx(math.log(4))


@pytest.mark.parametrize(("n", "size", "dim", "tau"), GRID)
def test_divergence_is_equation_7(n: int, size: int, dim: int, tau: float) -> None:
    q, k, queue = material(n, size, dim)
    extreme = unit(n, dim, seed=5)
    expected = 0.0
    for i in range(n):
        p = probabilities(q[i].tolist(), k[i].tolist(), queue.tolist(), tau)
        p_extreme = probabilities(extreme[i].tolist(), k[i].tolist(), queue.tolist(), tau)
        expected -= sum(a * math.log(b) for a, b in zip(p, p_extreme, strict=True)) / n
    found = losses.distribution_divergence(
        losses.logits(q, k, queue, tau), losses.logits(extreme, k, queue, tau)
    )
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_gradients_are_those_of_finite_differences() -> None:
    q, k, queue = material(3, 6, 4)
    q.requires_grad_(True)
    positives = losses.nearest(losses.logits(q.detach(), k, queue, 0.2), 1)
    positives[:, 0] = True
    target = losses.logits(k, k, queue, 0.2)
    for loss in (
        lambda q: losses.info_nce(q, k, queue, temperature=0.2),
        lambda q: losses.multi_positive_nce(losses.logits(q, k, queue, 0.2), positives),
        lambda q: losses.distribution_divergence(target, losses.logits(q, k, queue, 0.2)),
    ):
        assert torch.autograd.gradcheck(loss, (q,))


def test_the_target_of_the_divergence_gets_no_gradient() -> None:
    target = torch.randn(2, 5, requires_grad=True)
    scores = torch.randn(2, 5, requires_grad=True)
    losses.distribution_divergence(target, scores).backward()
    assert target.grad is None
    assert scores.grad is not None


def test_nearest_marks_the_most_similar_queue_entries_and_never_the_key() -> None:
    scores = torch.tensor([[9.0, 1.0, 3.0, 2.0], [9.0, 5.0, 0.0, 4.0]])
    assert losses.nearest(scores, 1).tolist() == [[False, False, True, False], [False, True, False, False]]
    assert losses.nearest(scores, 2).tolist() == [[False, False, True, True], [False, True, False, True]]


def test_half_precision_around_a_loss_changes_nothing() -> None:
    q, k, queue = (t.float() for t in material(4, 50, 16))
    plain = losses.info_nce(q, k, queue, temperature=0.07)
    with torch.autocast("cpu", torch.bfloat16):
        inside = losses.info_nce(q, k, queue, temperature=0.07)
    assert inside.dtype == torch.float32
    assert torch.equal(plain, inside)


def test_a_hopeless_query_has_a_large_but_finite_loss() -> None:
    q = F.normalize(torch.ones(1, 8), dim=1)
    loss = losses.info_nce(q, -q, q.repeat(4, 1), temperature=1e-3)
    assert loss.item() == pytest.approx(2000 + math.log(4), rel=1e-5)
    scores = losses.logits(q, -q, q.repeat(4, 1), 1e-3)
    assert torch.isfinite(losses.distribution_divergence(scores.flip(1), scores))
