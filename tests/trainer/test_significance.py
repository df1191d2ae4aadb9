"""Bootstrap against the binomial law, McNemar's test against scipy and worked examples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from trainer.evaluate import significance
from trainer.evaluate.significance import bootstrap, mcnemar


def test_the_interval_is_that_of_the_binomial_law() -> None:
    """Resampled means of right and wrong are binomial: their percentiles are known."""
    right = torch.arange(400) < 300
    low, high = bootstrap(right)
    expected = stats.binom.ppf([0.025, 0.975], 400, 0.75) / 400
    assert (low, high) == pytest.approx(tuple(expected), abs=0.004)
    assert bootstrap(right) == (low, high)
    assert bootstrap(right, seed=1) != (low, high)


def test_the_interval_of_means_over_draws() -> None:
    values = torch.tensor([0.2, 0.4, 0.6, 1.0]).repeat(100)
    low, high = bootstrap(values)
    spread = float(values.std(correction=0)) / 20
    assert (low, high) == pytest.approx((0.55 - 1.96 * spread, 0.55 + 1.96 * spread), abs=0.005)
    assert bootstrap(torch.ones(5)) == (1, 1)


def test_a_large_test_half_is_resampled_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch.arange(50) < 20
    whole = bootstrap(right)
    monkeypatch.setattr(significance, "_BLOCK", 50 * 7)
    assert bootstrap(right) == pytest.approx(whole, abs=0.03)


def column(both: int, one: int, two: int, neither: int) -> tuple[torch.Tensor, torch.Tensor]:
    first = [True] * (both + one) + [False] * (two + neither)
    second = [True] * both + [False] * one + [True] * two + [False] * neither
    return torch.tensor(first), torch.tensor(second)


@settings(max_examples=50, deadline=None)
@given(cells=st.tuples(*[st.integers(0, 40)] * 4).filter(any))
def test_mcnemar_counts_and_chooses(cells: tuple[int, int, int, int]) -> None:
    found = mcnemar(*column(*cells))
    assert (found.both, found.only_first, found.only_second, found.neither) == cells
    one, two = cells[1:3]
    assert found.difference == pytest.approx((one - two) / sum(cells))
    swapped = mcnemar(*reversed(column(*cells)))
    assert (swapped.p, swapped.difference) == pytest.approx((found.p, -found.difference))
    if one + two < 25:
        assert found.test == "exact binomial"
        tail = sum(stats.binom.pmf(k, one + two, 0.5) for k in range(min(one, two) + 1))
        assert found.p == pytest.approx(min(1, 2 * tail))
    else:
        assert found.test == "chi-squared"
        normal = max(abs(one - two) - 1, 0) / np.sqrt(one + two)
        assert found.p == pytest.approx(2 * stats.norm.sf(normal))


def test_a_worked_example() -> None:
    """121 against 59 discordant pairs: chi-squared 20.67 with Edwards's correction."""
    found = mcnemar(*column(59, 121, 59, 80))
    assert found.p == pytest.approx(float(stats.chi2.sf((121 - 59 - 1) ** 2 / 180, 1)))
    assert found.p == pytest.approx(5.45e-6, rel=0.01)
