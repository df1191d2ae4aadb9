"""The tab of uncut recordings: what the window classifier finds, beside the labels."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer import store as stores
from trainer.run import Run
from trainer.use import segment
from trainer.use.model import Model
from trainer.use.segment import Options, Recording

if TYPE_CHECKING:
    from skeltools.pictures.listing import Listing


class Recordings:
    """Recordings of a store, segmented by the classifier that ``trainer segment`` trained for the run."""

    def __init__(self, run: Run, store: Path) -> None:
        self.run, self.store = run, store

    @cached_property
    def convention(self) -> str:
        return self.run.config.data.conventions[0]

    @cached_property
    def _models(self) -> Mapping[str, Model]:
        """The models; raises UsageError with the command to train a window classifier if none was saved."""
        return segment.kept_models(
            self.run.path,
            encoder=None,
            convention=self.convention,
            classifier=None,
            device=str(self.run.device),
            store=self.run.store_paths,
            unfinished=True,
        )

    @cached_property
    def _options(self) -> Options:
        return segment.settled(self._models, self.convention, {})

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that the classifier knows, background last."""
        return next(iter(self._models.values())).classifier(self.convention).card.classes

    def items(self) -> dict[str, Any]:
        """All recordings of the store."""
        labels = stores.frame_labels(stores.open_store(self.store), self.convention)
        items = [
            {"id": id, "title": id, "note": f"{len(frames)} frames, {_actions(frames)} actions labelled"}
            for id, frames in labels.items()
        ]
        return {"items": items}

    @cached_property
    def _listing(self) -> Listing:
        from skeltools.pictures.listing import Listing

        return Listing(self.store)

    def scenes(self, id: str) -> dict[str, Any]:
        """A recording with two ribbons: the labels and what is found."""
        scene = self._listing.sample(id, [self.convention])
        clip = self._listing.opened.clip(self._listing.row(id), self.convention)
        ribbons = {**scene["ribbons"], "found": self._ribbon(clip)}
        note = "Below the clock: what is labelled, and what the classifier finds."
        return {"scenes": [{**scene, "ribbons": ribbons}], "layout": "beside", "note": note}

    def _ribbon(self, clip: Any) -> list[list[Any]]:
        """[start, stop, class, confidence] of every segment found in a clip of ``skeltools.open``."""
        recording = Recording(clip.id, clip.sequence)
        said = {
            name: segment.scores_of(model, recording, self.convention, self._options)
            for name, model in self._models.items()
        }
        segmented = segment.segmented(clip.id, segment.together(said), self._options)
        return [
            [each.start, each.stop, self.classes[each.label], round(each.confidence, 4)]
            for each in segmented.segments
        ]


def _actions(labels: Any) -> int:
    """The number of labelled actions: runs of one label."""
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    return int((labels[starts] >= 0).sum())
