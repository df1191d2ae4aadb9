"""The tab of views: clips of the training half, unchanged and as the method's encoders see them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from torch import Tensor

from schemas import UnknownSampleError
from trainer import data, methods
from trainer.batch import Batch
from trainer.data import Together, Training
from trainer.loop.session import load_training
from trainer.report.tracks import Array, scene, track, upright
from trainer.run import Run
from trainer.shards import Shards
from trainer.view.inputs import MIXED, VIEW, EncoderInput, distinct_inputs

CLIPS = 12
"""Number of clips shown from the first batch of the training."""

DRAWS = 3
"""Maximum number of epochs, from the first, from which each clip's views are shown."""

MOST = 8
"""Number of pictures per clip that further epochs must not exceed."""


class Views:
    """The first batch of the run's training, and the views that its method makes of the clips.

    Everything is drawn as in training: from the run's seed, in the batch that contained the clip. The numbers
    differ on another device than that of the training.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    @cached_property
    def _samples(self) -> Training:
        return load_training(self.run.stores, self.run.config, device=self.run.device)

    @cached_property
    def _method(self) -> methods.Method:
        method: methods.Method = self.run.untrained_method()
        return method.to(self.run.device).eval()

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch of the training, counted from 0."""
        config = self.run.config
        return data.batches(
            self._samples,
            batch_size=config.optimise.batch_size,
            seed=config.runtime.seed,
            epoch=epoch,
            pairing=methods.pairing(config.method, config.data.conventions),
        )

    def items(self) -> list[dict[str, str]]:
        """The clips shown, as listed on the page: the first of the training's first batch."""
        return [
            {"id": self._ids[row], "title": self._class(row) or self._ids[row], "note": self._ids[row]}
            for row in self._shown
        ]

    def scenes(self, id: str) -> dict[str, Any]:
        """The clip and its views in some epochs; raises UnknownSampleError for a clip that is not shown."""
        row = next((row for row in self._shown if self._ids[row] == id), None)
        if row is None:
            raise UnknownSampleError(f"'{id}' is none of the clips that are shown")
        plain: dict[str, dict[str, Any]] = {}
        drawn: list[list[dict[str, Any]]] = []
        for epoch in range(DRAWS):
            batch_and_place = self._batch_with(row, epoch)
            if (
                batch_and_place is None
                or sum(map(len, (plain, *drawn))) + len(drawn[0] if drawn else ()) > MOST
            ):
                continue
            batch, place = batch_and_place
            seen = distinct_inputs(self._method, batch)
            for given in seen:
                clip = batch.clips[given.convention][place]
                plain.setdefault(given.convention, self._scene(id, "the clip", given.convention, clip))
            drawn.append([self._view(id, epoch, *each, place) for each in enumerate(seen, 1)])
        note = (
            "The clip as the recipe made it, and its views: what encoders are given, with the draws of the "
            "training. The number before a view is the epoch."
        )
        views = [scene for scenes in drawn for scene in scenes]
        return {"scenes": [*plain.values(), *views], "layout": "beside", "note": note}

    def _batch_with(self, row: int, epoch: int) -> tuple[Batch, int] | None:
        """The first batch of an epoch with the clip, and its index there; None if it was left out."""
        for batch in self.batches(epoch):
            place = (batch.rows == row).nonzero()
            if len(place):
                return batch, int(place[0])
        return None

    def _view(self, id: str, epoch: int, number: int, given: EncoderInput, place: int) -> dict[str, Any]:
        role = f"view {number}" if given.role == VIEW else given.role
        taken = None
        if given.taken is not None:
            taken = _array(given.taken.float()[..., None].expand(-1, -1, given.joints.shape[-1]))
        shaded = {"shaded": "from another clip, or taken out"} if given.name == MIXED else {}
        return self._scene(
            id,
            f"{epoch + 1}: {role}, {given.name}",
            given.convention,
            given.joints[place],
            kind=given.stream,
            vectors=None if given.stream == "joint" else _array(given.values[place]),
            shade=taken,
            facts=shaded,
        )

    def _scene(
        self, id: str, title: str, convention: str, joints: Tensor, *, facts: Any = None, **more: Any
    ) -> dict[str, Any]:
        """A clip [3, T, V, M] as a scene; ``more``: see ``track``."""
        info = self.run.store.manifest.conventions.get(convention)
        flat = info is not None and info.coordinates == "xy"
        spec = self.run.skeletons[convention].spec
        people = track(spec.name, _array(joints), spec, self._turn(convention), flat=flat, **more)
        return scene([people], id, title, facts)

    def _turn(self, convention: str) -> Array:
        """The rotation that turns clips of a convention upright, from those of the first batch."""
        if convention not in self._turns:
            clips = _array(self._first.clips[convention])
            self._turns[convention] = upright(self.run.skeletons[convention].spec, clips)
        return self._turns[convention]

    @cached_property
    def _turns(self) -> dict[str, Array]:
        return {}

    @cached_property
    def _first(self) -> Batch:
        return next(self.batches(0))

    @cached_property
    def _shown(self) -> list[int]:
        rows: list[int] = self._first.rows[:CLIPS].tolist()
        return rows

    @cached_property
    def _ids(self) -> tuple[str, ...]:
        """Ids of all training clips, store by store."""
        sources = self._samples.sources if isinstance(self._samples, Together) else (self._samples,)
        return tuple(
            id
            for source in sources
            for id in (source.selection.ids if isinstance(source, Shards) else source.ids)
        )

    def _class(self, row: int) -> str:
        """Class name of a training clip; empty if unlabelled."""
        names = [name for store in self.run.stores for name in store.manifest.classes]
        label = int(self._samples.labels[row])
        return names[label] if label >= 0 else ""


def _array(values: Tensor) -> Array:
    array: Array = values.detach().cpu().numpy()
    return array
