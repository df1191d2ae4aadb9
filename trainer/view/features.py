"""The feature tabs: clips beside their nearest neighbours, and a 2D map of all clips."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.nn.functional import normalize

from trainer.report.encoded import in_seeded_order
from trainer.run import Run
from trainer.use import search
from trainer.use.search import Bank, Neighbours

QUERIES = 100
"""Number of clips whose neighbours are listed, drawn by a fixed seed."""

NEAREST = 4
"""Number of neighbours shown beside a clip."""

POINTS = 400
"""Number of points of a map: exact t-SNE of this many takes seconds."""

_FEWEST = 12
"""Number of points below which a map shows principal components: t-SNE needs more."""

LARGE = 5000
"""Number of clips above which only the test half of a store, if it has one, is encoded."""


class FeatureSpace:
    """The features of the clips of the run's store, computed on first use."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @cached_property
    def bank(self) -> Bank:
        """The bank of all clips, or of the test half of a large store."""
        run, store = self.run, self.run.store
        split = run.data.split
        halves = store.manifest.protocols
        half = store.manifest.samples > LARGE and split in halves and halves[split].test > 0
        return search.bank(
            run.path,
            store.path,
            split=split if half else None,
            part="test" if half else None,
            device=str(run.device),
            unfinished=True,
        )

    @cached_property
    def _near(self) -> dict[str, Neighbours]:
        order = in_seeded_order(self.bank.ids, "queries")[:QUERIES]
        ids = [self.bank.ids[row] for row in order]
        return {near.query: near for near in self.bank.neighbours(*ids, k=NEAREST)}

    def items(self) -> dict[str, Any]:
        """Clips drawn by a fixed seed; those whose nearest clip is of another class come first."""
        order = sorted(self._near.values(), key=lambda near: _same(near, 0) is not False)
        return {"items": [_item(near) for near in order]}

    def near(self, id: str) -> Neighbours:
        """The neighbours of any clip of the bank; raises UsageError for other clips."""
        return self._near.get(id) or self.bank.neighbours(id, k=NEAREST)[0]

    def points(self) -> dict[str, Any]:
        """Clips drawn by a fixed seed in the plane; ``label`` is the index of the class, -1 for none."""
        bank = self.bank
        rows = in_seeded_order(bank.ids, "map")[:POINTS]
        classes = list(self.run.store.manifest.classes)
        places = plane(normalize(bank.values[rows].double(), dim=1).numpy())
        points = [
            {
                "x": round(float(x), 4),
                "y": round(float(y), 4),
                "label": -1 if (name := bank.labels[row]) is None else classes.index(name),
                "id": bank.ids[row],
                "title": bank.ids[row],
            }
            for row, (x, y) in zip(rows, places, strict=True)
        ]
        return {"points": points, "classes": classes}


def plane(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, D] unit vectors -> [N, 2]: t-SNE as in reports, or principal components.

    t-SNE needs the extra ``plots`` and more than a few points.
    """
    has_plots = all(importlib.util.find_spec(name) for name in ("sklearn", "matplotlib"))
    if has_plots and len(values) >= _FEWEST:
        from trainer.report.embedding import project

        return project(values)
    centred = values - values.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    flat = centred @ axes[:2].T
    return np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))


def titles(near: Neighbours) -> Sequence[str]:
    """A title for each neighbour: whether its class is the clip's, the cosine, and its class."""
    marks = {True: "✓ ", False: "✗ ", None: ""}
    return [
        f"{marks[_same(near, place)]}{cosine:.3f} {near.labels[place] or near.ids[place]}"
        for place, cosine in enumerate(near.similarities.tolist())
    ]


def _same(near: Neighbours, place: int) -> bool | None:
    """Whether a neighbour has the clip's class; None if either is unlabelled."""
    if place >= len(near.ids) or near.label is None or near.labels[place] is None:
        return None
    return near.labels[place] == near.label


def _item(near: Neighbours) -> dict[str, str]:
    first = titles(near)[:1]
    return {
        "id": near.query,
        "title": near.label or near.query,
        "note": f"nearest: {first[0]}" if first else "no other clip",
    }
