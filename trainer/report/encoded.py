"""A run's encoder with the clips and features of both halves, for the drawings that need them.

Of a method with several encoders, the first is used, as in the kNN monitor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from schemas import SkelError, SkeletonSpec
from trainer import seeds
from trainer import store as stores
from trainer.evaluate.features import Features, extract, stream_of
from trainer.report.collect import RunFolder
from trainer.report.parts import Note
from trainer.run import Run
from trainer.store import Samples


@dataclass(frozen=True)
class Encoded:
    """The frozen encoder of a run on its stream of the run's first convention."""

    run: RunFolder
    opened: Run
    name: str
    """Name of the encoder in its method."""
    stream: str
    convention: str
    encoder: nn.Module
    """In eval mode, on the run's device."""
    train: Samples
    test: Samples
    train_features: Features
    test_features: Features

    @property
    def spec(self) -> SkeletonSpec:
        return self.opened.skeletons[self.convention].spec

    @property
    def device(self) -> torch.device:
        return self.opened.device

    @property
    def classes(self) -> tuple[str, ...]:
        return self.opened.store.manifest.classes

    def poses(self, part: str, rows: Iterable[int]) -> Tensor:
        """Joints of selected samples of a half, [n, 3, T, V, M], whatever stream the encoder uses."""
        index = list(rows)
        samples = self.train if part == "train" else self.test
        if self.stream != "joint":
            samples = load_half(self.opened, part, self.convention, "joint")
        return samples.clips[self.convention][index]


def encode(run: RunFolder, *, on_progress: Callable[[int, int], None] | None = None) -> Encoded | Note:
    """The encoder with the features of both halves, or a note on why they are unavailable."""
    opened = run.opened
    if opened is None or run.store is None:
        what = "checkpoint" if opened is None else "store"
        return Note(f"{run.name}: needs the run's {what}, which cannot be read (see above).")
    try:
        convention = opened.data.conventions[0]
        name = next(iter(opened.method.encoders))
        encoder, stream = opened.encoder(name), stream_of(name, opened.data)
        train, test = (load_half(opened, part, convention, stream) for part in ("train", "test"))
        train_features, test_features = (
            extract(encoder, half, convention=convention, device=opened.device, on_progress=on_progress)
            for half in (train, test)
        )
    except SkelError as error:
        return Note(f"{run.name}: {error}", kind="warning")
    return Encoded(run, opened, name, stream, convention, encoder, train, test, train_features, test_features)


def load_half(run: Run, part: str, convention: str, stream: str) -> Samples:
    """The labelled samples of one half of the run's split; raises StoreError as ``trainer.store.load``."""
    data = run.data
    return stores.load(
        run.store,
        split=data.split or "",
        part=part,
        conventions=[convention],
        frames=data.frames,
        stream=stream,
        labelled=True,
        bodies=data.bodies,
    )


def in_seeded_order(ids: Iterable[str], *purpose: str) -> list[int]:
    """Positions of ``ids`` in an order that depends only on each id and the purpose.

    Runs that share samples therefore show the same ones.
    """
    keys = [seeds.derive(0, "report", *purpose, name) for name in ids]
    return sorted(range(len(keys)), key=keys.__getitem__)
