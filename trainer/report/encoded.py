"""A run's encoder with the clips and features of both halves, for the drawings that need them.

Of a method with several encoders it is the first, as in the kNN monitor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from schemas import SkelError, SkeletonSpec
from trainer import checkpoint, seeds
from trainer import store as stores
from trainer.checkpoint import LAST
from trainer.evaluate.features import Features, extract, stream_of
from trainer.report.collect import RunFolder
from trainer.report.parts import Note
from trainer.store import Samples, Store


@dataclass(frozen=True)
class Encoded:
    """The frozen encoder of a run on its stream of the run's first convention."""

    run: RunFolder
    name: str
    """Of the encoder in its method."""
    stream: str
    convention: str
    encoder: nn.Module
    """In evaluation mode, on ``device``."""
    spec: SkeletonSpec
    store: Store
    train: Samples
    test: Samples
    train_features: Features
    test_features: Features
    device: torch.device

    @property
    def classes(self) -> tuple[str, ...]:
        return self.store.manifest.classes

    def poses(self, part: str, rows: Iterable[int]) -> Tensor:
        """Joints of chosen samples of a half, [n, 3, T, V, M], whatever stream the encoder sees."""
        index = list(rows)
        samples = self.train if part == "train" else self.test
        if self.stream != "joint":
            samples = load_half(self.run, self.store, part, self.convention, "joint")
        return samples.clips[self.convention][index]


def encode(
    run: RunFolder, *, device: torch.device, on_progress: Callable[[int, int], None] | None = None
) -> Encoded | Note:
    """The encoder and what it makes of its halves, or a note that says why there is none."""
    if run.saved is None or run.store is None:
        what = "checkpoint" if run.saved is None else "store"
        return Note(f"{run.name}: needs the run's {what}, which cannot be read (see above).")
    try:
        return _encode(run, run.store, device, on_progress)
    except SkelError as error:
        return Note(f"{run.name}: {error}", kind="warning")


def _encode(
    run: RunFolder, store: Store, device: torch.device, on_progress: Callable[[int, int], None] | None
) -> Encoded:
    assert run.saved is not None
    convention = run.config.data.conventions[0]
    skeletons = stores.skeletons(store, run.config.data.conventions)
    method = checkpoint.fresh_method(run.config, skeletons, seed=run.config.runtime.seed)
    checkpoint.load_weights(method, run.saved.model, where=run.path / LAST)
    name, encoder = next(iter(method.encoders.items()))
    encoder = encoder.to(device).eval()
    stream = stream_of(name, run.config.data)
    train, test = (load_half(run, store, part, convention, stream) for part in ("train", "test"))
    train_features, test_features = (
        extract(encoder, half, convention=convention, device=device, on_progress=on_progress)
        for half in (train, test)
    )
    return Encoded(
        run=run,
        name=name,
        stream=stream,
        convention=convention,
        encoder=encoder,
        spec=skeletons[convention].spec,
        store=store,
        train=train,
        test=test,
        train_features=train_features,
        test_features=test_features,
        device=device,
    )


def load_half(run: RunFolder, store: Store, part: str, convention: str, stream: str) -> Samples:
    """One half of the run's split in one convention. Raises StoreError as ``trainer.store.load``."""
    data = run.config.data
    return stores.load(
        store,
        protocol=data.split or "",
        part=part,
        conventions=[convention],
        frames=data.frames,
        stream=stream,
    )


def random_encoder(of: Encoded) -> nn.Module:
    """The same architecture from a seed that training never used; its BatchNorm is not calibrated."""
    config = of.run.config
    skeletons = stores.skeletons(of.store, config.data.conventions)
    seed = seeds.derive(config.runtime.seed, "random encoder")
    encoder: nn.Module = checkpoint.fresh_method(config, skeletons, seed=seed).encoders[of.name]
    return encoder.to(of.device)


def in_seeded_order(ids: Iterable[str], *purpose: str) -> list[int]:
    """Positions of ``ids`` in an order that depends on the ids and the purpose alone, not on one another:
    runs that share samples show the same ones."""
    keys = [seeds.derive(0, "report", *purpose, name) for name in ids]
    return sorted(range(len(keys)), key=keys.__getitem__)
