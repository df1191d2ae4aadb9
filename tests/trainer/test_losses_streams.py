"""Losses across streams against slow transcriptions, sum by sum; CSCLR's transformation as a geometry."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from tests.trainer.clips import generator
from trainer import losses
from trainer.methods.csclr import strengths

Array = NDArray[np.float64]

GRID = [
    (n, size, dim, tau, k)
    for n in (1, 3, 8)
    for size, dim in ((2, 2), (5, 4), (33, 16))
    for tau in (0.07, 0.2)
    for k in (1, 2)
]


def unit(*shape: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=generator(seed), dtype=torch.float64), dim=1)


def two_streams(n: int, size: int, dim: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    return [(unit(n, dim, seed=s), unit(n, dim, seed=s + 1), unit(size, dim, seed=s + 2)) for s in (1, 11)]


def cosines(q: Array, k: Array, queue: Array) -> list[float]:
    """q.k, then q.m_i, of one query."""
    return [float(sum(q * k)), *(float(sum(q * m)) for m in queue)]


def crosclr_term(own: list[float], other: list[float], *, k: int, tau: float, context: bool) -> float:
    """L_u of one clip and one other stream, from the cosines of both streams."""
    nearest = sorted(range(1, len(other)), key=lambda i: -other[i])[:k]
    terms = [math.exp(c / tau) for c in own]
    positives = [0, *nearest]
    if context:
        positives += [len(own) - 1 + i for i in nearest]
        terms += [math.exp(a * b / tau) for a, b in zip(own[1:], other[1:], strict=True)]
    return -sum(math.log(terms[p] / sum(terms)) for p in positives) / len(positives)


@pytest.mark.parametrize("context", [True, False])
@pytest.mark.parametrize(("n", "size", "dim", "tau", "k"), GRID)
def test_mining_across_streams_is_the_sum_over_clips(
    n: int, size: int, dim: int, tau: float, k: int, context: bool
) -> None:
    u, v = two_streams(n, size, dim)
    of_u, of_v = (
        [cosines(a, b, s[2].numpy()) for a, b in zip(*(t.numpy() for t in s[:2]), strict=True)]
        for s in (u, v)
    )
    expected = np.mean(
        [crosclr_term(a, b, k=k, tau=tau, context=context) for a, b in zip(of_u, of_v, strict=True)]
    )
    found = losses.cross_stream_nce(
        losses.logits(*u, tau), losses.logits(*v, tau), neighbours=k, temperature=tau, context=context
    )
    assert found.item() == pytest.approx(expected, abs=1e-6)


def pooled(row: list[float], positives: list[int], tau: float) -> float:
    """Eq. (11) of one clip."""
    terms = [math.exp(c / tau) for c in row]
    return -math.log(sum(terms[p] for p in positives) / sum(terms))


@pytest.mark.parametrize(("n", "size", "dim", "tau", "k"), GRID)
def test_neighbours_inside_the_logarithm_are_equation_11(
    n: int, size: int, dim: int, tau: float, k: int
) -> None:
    (q, key, queue), _ = two_streams(n, size, dim)
    scores = losses.logits(q, key, queue, tau)
    positives = losses.nearest(scores, k)
    positives[:, 0] = True
    expected = 0.0
    for a, b in zip(q.numpy(), key.numpy(), strict=True):
        row = cosines(a, b, queue.numpy())
        nearest = sorted(range(1, size + 1), key=lambda i: -row[i])[:k]
        expected += pooled(row, [0, *nearest], tau) / n
    assert losses.pooled_nce(scores, positives).item() == pytest.approx(expected, abs=1e-6)


def test_one_positive_makes_equation_11_info_nce() -> None:
    (q, key, queue), _ = two_streams(4, 9, 5)
    scores = losses.logits(q, key, queue, 0.1)
    alone = torch.zeros_like(scores, dtype=torch.bool)
    alone[:, 0] = True
    torch.testing.assert_close(losses.pooled_nce(scores, alone), losses.nce(scores))


def test_equations_9_and_11_differ_by_hand() -> None:
    """Two equal positives of three equal entries: -2 log(1/3) added, -log(2/3) pooled."""
    scores, positives = torch.zeros(1, 3), torch.tensor([[True, True, False]])
    assert losses.multi_positive_nce(scores, positives).item() == pytest.approx(2 * math.log(3))
    assert losses.pooled_nce(scores, positives).item() == pytest.approx(math.log(3 / 2))


def pairs(count: int = 400, dim: int = 6) -> tuple[Tensor, Tensor]:
    """Queries and keys from nearly equal to nearly opposite."""
    q = unit(count, dim, seed=1)
    away = torch.linspace(0.01, 3, count, dtype=torch.float64)[:, None]
    return q, F.normalize(q + away * unit(count, dim, seed=2), dim=1)


@pytest.mark.parametrize("strength", [1.0, 1.2, 1.5, 2.0])
def test_the_transformed_positive_is_the_product_of_equation_8(strength: float) -> None:
    q, k = pairs()
    scores = losses.logits(q, k, unit(5, 6, seed=3), 0.2)
    found = losses.extrapolated(scores, torch.full((len(q),), strength, dtype=torch.float64), temperature=0.2)
    new_q, new_k = strength * q + (1 - strength) * k, strength * k + (1 - strength) * q
    product, before = (new_q * new_k).sum(1), (q * k).sum(1)
    expected = torch.where(product < 0, before, product)
    torch.testing.assert_close(found[:, 0] * 0.2, expected)
    assert torch.equal(found[:, 1:], scores[:, 1:])
    assert (found[:, 0] <= scores[:, 0] + 1e-12).all()
    kept = product >= 0
    assert kept.any()
    angle, new_angle = (F.cosine_similarity(a, b).clamp(-1, 1).acos() for a, b in ((q, k), (new_q, new_k)))
    assert (new_angle[kept] >= angle[kept] - 1e-9).all()
    torch.testing.assert_close(
        (new_angle / 2).tan()[kept], (2 * strength - 1) * (angle / 2).tan()[kept], rtol=1e-6, atol=1e-9
    )


def test_pairs_that_would_turn_negative_keep_their_similarity() -> None:
    """lambda 2: s' = 5 s - 4, negative below 0.8."""
    scores = torch.tensor([[0.9, 0.0], [0.8, 0.0], [0.79, 0.0], [-0.3, 0.0]], dtype=torch.float64) / 0.1
    found = losses.extrapolated(scores, torch.full((4,), 2.0, dtype=torch.float64), temperature=0.1)
    assert (found[:, 0] * 0.1).tolist() == pytest.approx([0.5, 0.0, 0.79, -0.3], abs=1e-9)


@pytest.mark.parametrize(("alpha", "mu"), [(1, 1.0), (2, 1.0), (3, 0.5)])
def test_strengths_are_beta_times_mu_plus_one(alpha: int, mu: float) -> None:
    found = strengths(20000, generator(), alpha=alpha, mu=mu)
    assert found.min() >= 1
    assert found.max() <= 1 + mu
    assert stats.kstest(((found.double() - 1) / mu).numpy(), stats.beta(alpha, alpha).cdf).pvalue > 0.01
    assert torch.equal(found, strengths(20000, generator(), alpha=alpha, mu=mu))


@pytest.mark.parametrize(("alpha", "mu"), [(0.2, 1.0), (0.5, 1.5), (0.9, 1.2), (1.5, 1.0), (7.3, 0.5)])
def test_strengths_of_an_alpha_that_is_not_whole(alpha: float, mu: float) -> None:
    """The distribution function at 199 points; 1.63 / sqrt(20000) is Kolmogorov and Smirnov's 1 %."""
    found = strengths(20000, generator(), alpha=alpha, mu=mu)
    assert found.min() >= 1
    assert found.max() <= 1 + mu
    points = np.arange(1, 200) / 200
    below = np.searchsorted(np.sort(((found.double() - 1) / mu).numpy()), points) / 20000
    assert np.abs(below - stats.beta(alpha, alpha).cdf(points)).max() < 0.0115
    assert torch.equal(found, strengths(20000, generator(), alpha=alpha, mu=mu))
    assert torch.isfinite(strengths(20000, generator(), alpha=0.001, mu=mu)).all()


@pytest.mark.parametrize("name", ["mining", "mining without context", "pooled", "transformed"])
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    (q, key, queue), (other, other_key, other_queue) = two_streams(3, 6, 4)
    near = F.normalize(q + 0.2 * key, dim=1)
    strength = torch.tensor([1.1, 1.5, 1.9], dtype=torch.float64)

    def of(a: Tensor, b: Tensor) -> Tensor:
        scores, others = losses.logits(a, near, queue, 0.3), losses.logits(b, other_key, other_queue, 0.3)
        positives = losses.nearest(scores, 2)
        positives[:, 0] = True
        calls: dict[str, Any] = {
            "mining": lambda: losses.cross_stream_nce(scores, others, neighbours=2, temperature=0.3),
            "mining without context": lambda: losses.cross_stream_nce(
                scores, others, neighbours=1, temperature=0.3, context=False
            ) + 0 * others.sum(),
            "pooled": lambda: losses.pooled_nce(scores, positives) + others.sum(),
            "transformed": lambda: losses.pooled_nce(
                losses.extrapolated(scores, strength, temperature=0.3), positives
            ) + others.sum(),
        }  # fmt: skip
        found: Tensor = calls[name]()
        return found

    assert torch.autograd.gradcheck(of, (q.clone().requires_grad_(), other.clone().requires_grad_()))
