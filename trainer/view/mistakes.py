"""The tab of errors: test clips misclassified by the evaluation, most confident first."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.evaluate.scores import probabilities
from trainer.report.collect import headline
from trainer.run import Run, SavedResult

MOST = 500
"""Maximum number of clips listed."""

CLOSEST = 3
"""Number of classes whose probability is shown for each clip."""


@dataclass(frozen=True)
class Mistake:
    """A misclassified clip."""

    id: str
    true: str
    said: str
    confidence: float
    """Probability of the predicted class; for kNN its share of the votes."""
    closest: tuple[tuple[str, float], ...]
    """The most likely classes."""

    def item(self) -> dict[str, str]:
        """The clip as listed on the page."""
        return {
            "id": self.id,
            "title": f"{self.true} → {self.said}",
            "note": f"{self.confidence:.0%} sure, {self.id}",
        }


def chosen(run: Run) -> SavedResult | None:
    """The result whose errors are shown, or None if nothing was evaluated.

    It is the headline result of reports, on the run's own store and its last checkpoint.
    """
    results = [
        saved
        for saved in run.results
        if saved.result.scores is not None and saved.result.store_hash == run.store.hash and not saved.of_kept
    ]
    return headline(results, run.config.data.conventions[0])


def mistakes(saved: SavedResult) -> tuple[list[Mistake], int]:
    """Misclassified clips, most confident first, and the total number of clips.

    Raises SkelError for damaged scores.
    """
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
