"""Which of a run's results a drawing is about, when it can be about one only."""

from __future__ import annotations

from collections.abc import Iterable

from trainer.evaluate.results import Found
from trainer.report.collect import RunFolder

ORDER = ("linear", "ensemble", "finetune", "supervised", "transfer", "semi", "retrieval", "knn", "knn1")
"""Protocols, that which says most about the features first: the papers' tables are of linear evaluation."""


def rank(found: Found) -> tuple[int, int, str]:
    """For sorting: by protocol, then those of several encoders together, then by file name."""
    protocol = found.result.protocol
    place = ORDER.index(protocol) if protocol in ORDER else len(ORDER)
    return place, -found.result.encoder.count("+"), found.path.name


def headline(results: Iterable[Found]) -> Found | None:
    """The result that speaks for a run, or None when nothing was evaluated."""
    return min(results, key=rank, default=None)


def shared(run: RunFolder, baseline: RunFolder) -> tuple[Found, Found] | None:
    """Results of the same figure, data set and split of both runs, of both the most telling one.

    Conventions and streams may differ: that is what is compared.
    """
    for mine in sorted(run.results, key=rank):
        same = [found for found in baseline.results if _alike(mine, found)]
        nearest = headline([found for found in same if found.result.stream == mine.result.stream] or same)
        if nearest is not None:
            return mine, nearest
    return None


def _alike(one: Found, other: Found) -> bool:
    """The same protocol on the same test half."""
    return one.result.figure == other.result.figure and all(
        getattr(one.result, field) == getattr(other.result, field)
        for field in ("dataset", "split", "store_hash")
    )
