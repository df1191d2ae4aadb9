"""The uncertainty of a figure, and whether two differ: bootstrap interval and McNemar's test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from scipy.stats import binomtest, chi2
from torch import Tensor

from trainer import seeds

RESAMPLES = 2000
"""Efron and Tibshirani, An Introduction to the Bootstrap, 13.3 and 14.2: 1000 or more for percentiles."""

_FEW = 25
"""Discordant pairs below which the chi-squared approximation is poor: the limit that mlxtend names."""

_BLOCK = 1 << 22
"""Rows drawn at once: 32 MiB of indices."""


def bootstrap(values: Tensor, *, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the mean of ``values`` [N], drawing N of them with replacement each time.

    ``values``: 1 for a correct sample and 0 otherwise, or the mean of that over several draws of a protocol.
    Equal values give an equal interval.
    """
    generator = seeds.generator("cpu", seed, "bootstrap")
    values = values.double()
    at_once = max(1, _BLOCK // len(values))
    means = []
    for start in range(0, RESAMPLES, at_once):
        shape = (min(at_once, RESAMPLES - start), len(values))
        means.append(values[torch.randint(len(values), shape, generator=generator)].mean(dim=1))
    low, high = torch.cat(means).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


@dataclass(frozen=True)
class McNemar:
    """Outcome of McNemar's test of two classifiers on the same samples."""

    both: int
    only_first: int
    """Samples that only the first classifies correctly."""
    only_second: int
    neither: int
    test: Literal["exact binomial", "chi-squared"]
    p: float
    """Two-sided: the probability of a difference at least this large between equally good classifiers."""

    @property
    def difference(self) -> float:
        """Accuracy of the first minus that of the second."""
        total = self.both + self.only_first + self.only_second + self.neither
        return (self.only_first - self.only_second) / total


def mcnemar(first: Tensor, second: Tensor) -> McNemar:
    """McNemar's test of two [N] bool columns of correctness; only samples on which they differ count.

    Exact for few of those, else chi-squared with one degree of freedom and continuity correction. Source:
    McNemar, Psychometrika 12, 1947; Edwards, Psychometrika 13, 1948; Dietterich, Neural Computation 10, 1998,
    on comparing classifiers.
    """
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    one, two = int((first & ~second).sum()), int((~first & second).sum())
    discordant = one + two
    if discordant < _FEW:
        p = float(binomtest(one, discordant, 0.5).pvalue) if discordant else 1.0
        return McNemar(both, one, two, neither, "exact binomial", p)
    statistic = max(abs(one - two) - 1, 0) ** 2 / discordant
    return McNemar(both, one, two, neither, "chi-squared", float(chi2.sf(statistic, df=1)))
