"""Search a store's features: nearest clips, duplicates, outliers and suspicious labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from schemas import Count, SkelError, StoreError, UsageError, checks_arguments
from schemas.places import Place
from trainer import checkpoint, hub
from trainer import store as stores
from trainer.evaluate import knn
from trainer.export import CARD
from trainer.run import read_config, recorded_store
from trainer.use import search_checks, sources
from trainer.use.embedded import Embedded, OnProgress, embedded
from trainer.use.model import Model, every
from trainer.use.search_checks import NEAR
from trainer.use.search_nearest import Nearest, nearest
from trainer.use.search_results import Duplicate, Neighbours, Outlier, SuspiciousLabel
from trainer.use.sources import Asked, OnProblem


class Bank:
    """The features of a store's clips, as returned by ``trainer.bank``.

    A similarity is the cosine of two features, as in kNN and retrieval; with several encoders it is the mean
    of their cosines.
    """

    def __init__(self, models: Mapping[str, Model], clips: Embedded, asked: Asked) -> None:
        self._models, self._clips, self._asked = models, clips, asked

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        store, width = self.store, self.values.shape[1]
        return f"<bank of {len(self)} clips of {store}: {width} features, {', '.join(self._models)}>"

    @property
    def store(self) -> Path:
        return self._asked.places[0]

    @property
    def ids(self) -> tuple[str, ...]:
        return self._clips.ids

    @cached_property
    def labels(self) -> tuple[str | None, ...]:
        """Class names; None for unlabelled clips."""
        return tuple(self._clips.classes[label] if label >= 0 else None for label in self._clips.labels)

    @cached_property
    def values(self) -> Tensor:
        """[N, D] float32; features of several encoders side by side, each scaled to unit length."""
        return _side_by_side(self._clips)

    @checks_arguments
    def neighbours(
        self, *queries: Any, k: Count = 5, on_problem: OnProblem = lambda _: None
    ) -> list[Neighbours]:
        """The ``k`` nearest clips to every query.

        A query is an id of the bank, which does not find itself, a raw file or a folder of raw files, or
        joints [T, M, V, 3] as accepted by ``Model.embed``. Raises UsageError for anything else, suggesting
        the most similar id.
        """
        return [each for query in queries for each in self._near(query, k, on_problem)]

    @checks_arguments
    def duplicates(self, *, threshold: float | None = None, k: Count = NEAR) -> list[Duplicate]:
        """Pairs of clips that are closer than chance allows (``search_checks.copies``), closest first.

        With ``threshold``, the pairs with at least this cosine instead. Only pairs in which a clip is among
        the other's k nearest are considered.
        """
        pairs = search_checks.copies(self._among(k), least=threshold)
        columns = (pairs.first, pairs.second, pairs.cosines, pairs.chance, pairs.groups)
        return [
            Duplicate(group + 1, self.ids[a], self.ids[b], cosine, chance, self.labels[a], self.labels[b])
            for a, b, cosine, chance, group in zip(*(each.tolist() for each in columns), strict=True)
        ]

    @checks_arguments
    def outliers(self, *, threshold: float = search_checks.FAR, k: Count = NEAR) -> list[Outlier]:
        """Clips that are far from all others, farthest first.

        The k-th neighbour of an outlier is at least ``threshold`` robust standard deviations farther away
        than that of the median clip.
        """
        near = self._among(k)
        score = search_checks.isolation(near)
        rows = [
            row for row in score.argsort(descending=True, stable=True).tolist() if score[row] >= threshold
        ]
        return [
            Outlier(
                self.ids[row],
                self.labels[row],
                float(near.distances[row, -1]),
                float(score[row]),
                self.ids[int(near.rows[row, 0])],
                float(near.cosines[row, 0]),
            )
            for row in rows
        ]

    @checks_arguments
    def suspicious_labels(self, *, k: Count | None = None) -> tuple[list[SuspiciousLabel], float]:
        """Clips whose neighbours suggest another class than their label, clearest first.

        Also returns the share of clips whose neighbours vote for their label. ``k`` None: 20 as in kNN, or a
        tenth of the clips if there are few. Raises StoreError for a bank with fewer than two classes.
        """
        rows = torch.from_numpy(np.flatnonzero(self._clips.labels >= 0))
        labels = torch.from_numpy(self._clips.labels)[rows]
        if len(labels.unique()) < 2:
            raise StoreError(
                "labels of two classes or more are needed",
                where=self.store,
                remedy="Search a labelled store",
            )
        wanted = k or min(knn.Options().k, max(3, len(rows) // 10))
        near = nearest(self.values[rows], k=wanted)
        doubts = search_checks.doubts(near, labels, classes=len(self._clips.classes))
        return [self._doubted(row, rows, near, labels, doubts) for row in doubts.order.tolist()], doubts.right

    def _doubted(
        self, row: int, rows: Tensor, near: Nearest, labels: Tensor, doubts: search_checks.Doubts
    ) -> SuspiciousLabel:
        own, other = int(labels[row]), int(doubts.suggested[row])
        place = int((labels[near.rows[row]] == other).nonzero()[0])
        classes = self._clips.classes
        return SuspiciousLabel(
            self.ids[int(rows[row])],
            classes[own],
            classes[other],
            float(doubts.doubt[row]),
            near.rows.shape[1],
            int(doubts.counts[row, other]),
            int(doubts.counts[row, own]),
            self.ids[int(rows[near.rows[row, place]])],
            float(near.cosines[row, place]),
        )

    def _among(self, k: int) -> Nearest:
        """Nearest neighbours of all clips within the bank; raises StoreError for fewer than three clips."""
        if len(self) < 3:
            raise StoreError(
                f"{len(self)} clips cannot be compared with one another",
                where=self.store,
                remedy="Search a store of three clips or more",
            )
        return nearest(self.values, k=k)

    def _near(self, query: Any, k: int, on_problem: OnProblem) -> list[Neighbours]:
        if isinstance(query, str) and query in self._place:
            row = self._place[query]
            near = nearest(self.values, self.values[row : row + 1], k=k + 1)
            others = (near.rows[0] != row).nonzero().flatten()[:k]
            return [self._named(query, self.labels[row], near.rows[0, others], near.cosines[0, others])]
        asked = self._embedded(query, on_problem)
        near = nearest(self.values, _side_by_side(asked), k=k)
        names = [asked.classes[label] if label >= 0 else None for label in asked.labels]
        return [self._named(*each) for each in zip(asked.ids, names, near.rows, near.cosines, strict=True)]

    def _named(self, query: str, label: str | None, rows: Tensor, cosines: Tensor) -> Neighbours:
        places = rows.tolist()
        return Neighbours(
            query,
            label,
            tuple(self.ids[row] for row in places),
            tuple(self.labels[row] for row in places),
            cosines.numpy(),
        )

    @cached_property
    def _place(self) -> dict[str, int]:
        return {id: row for row, id in enumerate(self.ids)}

    def _embedded(self, query: Any, on_problem: OnProblem) -> Embedded:
        """Features of a query: a raw file, or joints."""
        if isinstance(query, str | Path):
            if not query or not Path(query).exists():
                raise self._unknown(str(query))
            asked = Asked((Path(query),), convention=self._asked.convention, settings=self._asked.settings)
            return embedded(self._models, asked, on_problem=on_problem)
        convention = self._clips.conventions[0]
        features = {name: np.asarray(model.embed(query, convention)) for name, model in self._models.items()}
        ids = tuple(f"query {number}" for number in range(len(next(iter(features.values())))))
        return Embedded(ids, np.full(len(ids), -1), (), features, (convention,))

    def _unknown(self, query: str) -> UsageError:
        close = get_close_matches(query, self.ids, n=1)
        return UsageError(
            f"'{query}' is neither a clip of it nor a file",
            where=self.store,
            remedy=f"Did you mean '{close[0]}'?" if close else f"Its ids are such as {self.ids[0]}",
        )


def _side_by_side(clips: Embedded) -> Tensor:
    """[N, D] float32, combined as in kNN; raises SkelError for values that are not finite."""
    values = torch.from_numpy(clips.fused)
    bad = (~values.isfinite()).any(dim=1)
    if bad.any():
        raise SkelError(
            f"{int(bad.sum())} of {len(bad)} clips have features that are not finite, "
            f"{clips.ids[int(bad.nonzero()[0])]} first",
            remedy="The training diverged, or the clips are damaged: see `skeltools validate`",
        )
    return values


@checks_arguments
def bank(
    run: str | Path,
    store: str | Path | None = None,
    *,
    encoder: str | None = None,
    convention: str | None = None,
    split: str | None = None,
    part: str | None = None,
    settings: str | Path | None = None,
    device: str = "cpu",
    unfinished: bool = False,
    on_problem: OnProblem | None = None,
    on_progress: OnProgress | None = None,
) -> Bank:
    """The features of a store's clips, computed by the encoders of a run or an export, for searching.

    ``store``: None is the run's own. With ``split`` or ``part``, only the clips of that half; otherwise all
    clips, labelled or not. ``settings``: a dataset.yaml for raw files used as queries. Other arguments and
    errors are those of ``trainer.load`` and ``trainer embed``.

        >>> import trainer
        >>> found = trainer.bank("runs/skeletonclr", "store.zarr")
        >>> near = found.neighbours(found.ids[0], k=3)[0]
        >>> len(near.ids), near.similarities.shape
        (3, (3,))
    """
    path = hub.local(run)
    place = _store_of(path) if store is None else Place(store)
    if not sources.is_store(place):
        stores.open_store(place)  # raises an error that says what is wrong
    own = _is_of_run(path, place)
    models = every(path, encoder=encoder, device=device, store=(place,) if own else (), unfinished=unfinished)
    asked = Asked((place,), convention, split, part, None if settings is None else Path(settings))
    problem = on_problem or (lambda _: None)
    return Bank(models, embedded(models, asked, on_problem=problem, on_progress=on_progress), asked)


def _store_of(run: Path) -> Path:
    """The run's own store; raises UsageError for an export, which has none, and StoreError if it is gone."""
    if (run / CARD).is_file() and not (run / checkpoint.LAST).is_file():
        raise UsageError("an export has no store of its own", where=run, remedy="Name one with --store")
    return recorded_store(read_config(run))


def _is_of_run(run: Path, store: Path) -> bool:
    """Whether the run was trained on the store, wherever that is now."""
    if not (run / checkpoint.LAST).is_file():
        return False
    return stores.open_store(store).hash in checkpoint.load(run / checkpoint.LAST).hashes


def across(store: Path, pairs: Sequence[Duplicate]) -> dict[str, int]:
    """Split of the store -> number of pairs with one clip in each half: a leak."""
    opened = stores.open_store(store)
    leaks = {}
    for split in opened.manifest.protocols:
        halves = [stores.ids_of(opened, split=split, part=part, conventions=()) for part in ("train", "test")]
        train, test = map(frozenset, halves)
        leaks[split] = sum(
            (each.first in train and each.second in test) or (each.first in test and each.second in train)
            for each in pairs
        )
    return leaks
