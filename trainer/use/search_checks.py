"""Find duplicates, outliers and labels in doubt from the nearest neighbours of a store's clips.

Everything is computed from the k nearest neighbours of every clip: memory grows with clips, not with pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch.nn.functional import one_hot

from trainer.evaluate import knn
from trainer.use.search_nearest import Nearest

NEAR = 10
"""Number of neighbours used for copies and outliers: enough for a median, few enough to be local."""

CHANCE = 0.05
"""Expected number of pairs as close as the reported ones in a store of independent clips."""

CROWDED = 20
"""A clip whose k-th neighbour is this many times closer than the median clip's has k copies, so its own
distance is not a usable scale."""

FAR = 3.5
"""Robust score from which a clip is an outlier; source: Iglewicz and Hoaglin, 1993, modified z-score."""

_MAD = 1.4826
"""Ratio of standard deviation to median absolute deviation for a normal distribution."""


@dataclass(frozen=True)
class Copies:
    """Pairs of rows, most similar first, with ``first`` < ``second``."""

    first: Tensor
    """[P] int64."""
    second: Tensor
    """[P] int64."""
    cosines: Tensor
    """[P] float64."""
    chance: Tensor
    """[P] float64: expected number of pairs at least this close among independent clips."""
    groups: Tensor
    """[P] int64, from 0: number of the connected component of each pair."""
    dimension: float
    """Local dimension of the features around a clip, from which ``chance`` was computed."""


def copies(near: Nearest, *, chance: float = CHANCE, least: float | None = None) -> Copies:
    """Pairs that are closer than chance allows or, with ``least``, whose cosine is at least that.

    Around a clip, the features of independent clips fill a small ball evenly: of the k - 1 neighbours within
    the distance R of the k-th, (k - 1) (r / R)^d are expected within r, and N times that in the whole store;
    d is measured (``dimension``). A pair is thus judged by what is usual around it, not by one cosine for
    both standing and jumping. The model is from Facco et al., Scientific Reports 2017, for the first and
    second neighbour; the k-th does not move when there are copies. Clips far from all others, whose k-th
    neighbour is of another kind, are judged like the median clip.
    """
    distances = near.distances
    count, k = distances.shape
    median = float(distances[:, -1].median())
    yardstick = distances[:, -1].clamp(min=median / CROWDED, max=median)
    size = dimension(distances)
    expected = count * (k - 1) * (distances / yardstick[:, None].clamp(min=1e-12)) ** size
    keep = expected < chance if least is None else near.cosines >= least
    ends = torch.arange(count)[:, None].expand(-1, k)[keep]
    pairs = torch.stack([ends, near.rows[keep]], dim=1).sort(dim=1).values
    unique, place = pairs.unique(dim=0, return_inverse=True)
    cosines = torch.zeros(len(unique), dtype=torch.float64).scatter_(0, place, near.cosines[keep])
    lowest = torch.full((len(unique),), torch.inf, dtype=torch.float64)
    lowest = lowest.scatter_reduce(0, place, expected[keep], "amin")
    order = cosines.argsort(descending=True, stable=True)
    first, second = unique[order].T
    return Copies(first, second, cosines[order], lowest[order], _groups(first, second, count), size)


def dimension(distances: Tensor) -> float:
    """Local dimension of the features, from distances [N, k] to the nearest; copies are left out.

    Of the k - 1 neighbours within the k-th distance R the first is at r, and (r / R)^d is the minimum of
    k - 1 uniform draws in 0..1, whose median is 1 - 0.5^(1 / (k - 1)).
    """
    first, last = distances[:, 0], distances[:, -1]
    ratios = (first / last.clamp(min=1e-12))[first > 1e-6]
    if not len(ratios) or distances.shape[1] < 2 or (middle := float(ratios.median())) >= 1:
        return 1.0
    least = torch.tensor(1 - 0.5 ** (1 / (distances.shape[1] - 1)), dtype=torch.float64)
    return float(least.log() / torch.tensor(middle, dtype=torch.float64).log())


def _groups(first: Tensor, second: Tensor, count: int) -> Tensor:
    """Connected components, numbered from 0 in the order of the pairs."""
    if not len(first):
        return first.clone()
    graph = coo_array((torch.ones(len(first)).numpy(), (first.numpy(), second.numpy())), shape=(count, count))
    own = torch.from_numpy(connected_components(graph, directed=False)[1])[first].tolist()
    number = {group: place for place, group in enumerate(dict.fromkeys(own))}
    return torch.tensor([number[group] for group in own])


def isolation(near: Nearest) -> Tensor:
    """[N] float64: distance to the k-th neighbour, in robust standard deviations from the median clip's.

    Source of the distance: Ramaswamy et al., SIGMOD 2000. Zero for all if at least half of the clips have one
    and the same distance.
    """
    distance = near.distances[:, -1]
    apart = distance - distance.median()
    spread = _MAD * apart.abs().median()
    return apart / spread if spread > 0 else torch.zeros_like(apart)


@dataclass(frozen=True)
class Doubts:
    """The evidence of their neighbours about the labels of N clips."""

    suggested: Tensor
    """[N] int64: the class that the neighbours suggest; -1 if they do not contradict the label."""
    doubt: Tensor
    """[N] float64, -1..1: share of the votes for that class, or else for the best other class, minus the
    share for the label."""
    counts: Tensor
    """[N, classes] int64: neighbours of each class."""
    right: float
    """Share of clips whose label has the most votes, which shows how reliable the doubts are."""

    @property
    def order(self) -> Tensor:
        """Rows whose label is in doubt, worst first."""
        rows = (self.suggested >= 0).nonzero().flatten()
        return rows[self.doubt[rows].argsort(descending=True, stable=True)]


def doubts(near: Nearest, labels: Tensor, *, classes: int) -> Doubts:
    """Labels in doubt; ``near``: neighbours among labelled clips; ``labels``: [N] int64, 0-based.

    Shares are kNN's votes without the clip itself, exp(cosine / 0.1) each. A class is supported if its share
    reaches the mean share that clips of that class give it. Of several supported classes, the one with the
    largest share counts; if it is not the label, the label is in doubt. These are the off-diagonal clips of
    the confident joint of Northcutt et al., JAIR 2021, section 3.1, ranked by their normalised margin.
    """
    votes = torch.exp((near.cosines - near.cosines[:, :1]) / knn.Options().temperature)
    shares = torch.zeros(len(labels), classes, dtype=torch.float64)
    shares.scatter_add_(1, labels[near.rows], votes)
    shares /= shares.sum(dim=1, keepdim=True)
    own = shares.gather(1, labels[:, None])[:, 0]
    sizes = torch.bincount(labels, minlength=classes)
    usual = torch.zeros(classes, dtype=torch.float64).scatter_add_(0, labels, own) / sizes.clamp(min=1)
    spoken = torch.where((shares >= usual) & (sizes > 0) & (shares > 0), shares, -1.0)
    best = spoken.argmax(dim=1)
    against = (best != labels) & (spoken.gather(1, best[:, None])[:, 0] > 0)
    other = shares.scatter(1, labels[:, None], -1.0).argmax(dim=1)
    rival = shares.gather(1, torch.where(against, best, other)[:, None])[:, 0]
    counts = one_hot(labels[near.rows], classes).sum(dim=1)
    return Doubts(
        torch.where(against, best, -1),
        rival - own,
        counts,
        float((shares.argmax(dim=1) == labels).double().mean()),
    )
