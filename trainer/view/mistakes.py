"""The tab of errors: test clips that the last evaluation named wrong, the surest first."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.evaluate.scores import probabilities
from trainer.report.collect import headline
from trainer.run import Run, SavedResult

MOST = 500
"""Clips that are listed."""

CLOSEST = 3
"""Classes whose probability is told of each."""


@dataclass(frozen=True)
class Mistake:
    """A clip that was named wrong."""

    id: str
    true: str
    said: str
    confidence: float
    """Probability of the class that was said; of kNN its share of the votes."""
    closest: tuple[tuple[str, float], ...]
    """The most likely classes."""


def chosen(run: Run) -> SavedResult | None:
    """The result whose errors are shown, the one that reports speak of: of the run's own store and its last
    checkpoint. None where nothing was evaluated."""
    results = [
        saved
        for saved in run.results
        if saved.result.scores is not None and saved.result.store_hash == run.store.hash and not saved.of_kept
    ]
    return headline(results, run.config.data.conventions[0])


def mistakes(saved: SavedResult) -> tuple[list[Mistake], int]:
    """Clips that were named wrong, the surest first, and of how many. Raises SkelError for damaged scores."""
    scores = saved.scores()
    shares = probabilities(scores.values, scores.kind)
    best, said = shares.max(dim=1)
    wrong = (said != scores.labels).nonzero().flatten()
    order = wrong[best[wrong].argsort(descending=True, stable=True)].tolist()
    named_wrong = []
    for row in order:
        values, places = shares[row].topk(min(CLOSEST, shares.shape[1]))
        closest = tuple(
            (scores.classes[place], float(value))
            for place, value in zip(places.tolist(), values, strict=True)
        )
        true = scores.classes[int(scores.labels[row])]
        named_wrong.append(Mistake(scores.ids[row], true, closest[0][0], closest[0][1], closest))
    return named_wrong, len(scores)
