"""What is evaluated: the frozen encoders of a run, and what they make of the two halves of the split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from schemas import RunConfig, StoreError
from trainer import checkpoint, seeds
from trainer import store as stores
from trainer.checkpoint import LAST, Checkpoint
from trainer.evaluate import knn
from trainer.evaluate.features import Features, calibrate, extract, stream_of
from trainer.evaluate.fusion import JOINED, concatenated
from trainer.metrics import accuracy
from trainer.store import Samples, Store

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Halves:
    """Features of the training and of the test half."""

    train: Features
    test: Features


@dataclass(frozen=True)
class Subject:
    """A frozen encoder on its stream, or several together."""

    encoder: str
    """Its name in the method; several are joined by ``+``."""
    stream: str
    found: Halves
    random: Halves
    """Of the same architecture with fresh random weights."""
    random_knn: float
    """kNN accuracy of those, at the protocol's own defaults."""


def trained_method(run: Path, saved: Checkpoint, store: Store) -> Any:
    """The run's method with its weights, on the CPU. Raises CheckpointError when they do not fit."""
    skeletons = stores.skeletons(store, saved.config.data.conventions)
    trained = checkpoint.fresh_method(saved.config, skeletons, seed=saved.config.runtime.seed)
    checkpoint.load_weights(trained, saved.model, where=run / LAST)
    return trained


def subjects(
    trained: Any,
    saved: Checkpoint,
    store: Store,
    convention: str,
    *,
    device: torch.device,
    untrained: bool,
    on_progress: OnProgress | None = None,
) -> list[Subject]:
    """Every encoder of the ``trained`` method, in its order. ``untrained``: random weights instead.

    Raises StoreError before anything is encoded when a stream of theirs is not in the store.
    """
    random = _random_method(saved.config, stores.skeletons(store, saved.config.data.conventions))
    streams = {name: stream_of(name, saved.config.data) for name in trained.encoders}
    _check_streams(store, convention, saved.config.data.frames, list(dict.fromkeys(streams.values())))
    samples: dict[str, tuple[Samples, Samples]] = {}
    found = []
    for name, stream in streams.items():
        if stream not in samples:
            samples.clear()  # encoders of one stream follow one another; one stream in memory is enough
            samples[stream] = _load_halves(store, saved.config, convention, stream)
        train, test = samples[stream]
        fresh = random.encoders[name].to(device)
        calibrate(fresh, train, convention=convention, device=device)
        theirs = _encode(fresh, train, test, convention, device)
        own = theirs
        if not untrained:
            own = _encode(trained.encoders[name].to(device), train, test, convention, device, on_progress)
        found.append(Subject(name, stream, own, theirs, _knn(theirs, len(store.manifest.classes))))
    return found


def together(several: Sequence[Subject], *, classes: int, unit: bool = False) -> Subject:
    """Their features side by side; ``unit`` as in ``fusion.concatenated``."""
    random = _joined([subject.random for subject in several], unit=True)
    return Subject(
        JOINED.join(subject.encoder for subject in several),
        JOINED.join(dict.fromkeys(subject.stream for subject in several)),
        _joined([subject.found for subject in several], unit=unit),
        random,
        _knn(random, classes),
    )


def _joined(halves: Sequence[Halves], *, unit: bool) -> Halves:
    return Halves(
        concatenated([half.train for half in halves], unit=unit),
        concatenated([half.test for half in halves], unit=unit),
    )


def _knn(halves: Halves, classes: int) -> float:
    votes = knn.vote(halves.train, halves.test, classes=classes, options=knn.Options())
    return accuracy(votes, halves.test.labels)


def _random_method(config: RunConfig, skeletons: Mapping[str, Any]) -> Any:
    """The same architecture from a seed that training never used."""
    seed = seeds.derive(config.runtime.seed, "random encoder")
    return checkpoint.fresh_method(config, skeletons, seed=seed)


def _encode(
    encoder: nn.Module,
    train: Samples,
    test: Samples,
    convention: str,
    device: torch.device,
    on_progress: OnProgress | None = None,
) -> Halves:
    train_features, test_features = (
        extract(encoder, half, convention=convention, device=device, on_progress=on_progress)
        for half in (train, test)
    )
    return Halves(train_features, test_features)


def _load_halves(store: Store, config: RunConfig, convention: str, stream: str) -> tuple[Samples, Samples]:
    """The run's split in one convention: the stored stream, of that convention's own bones."""
    protocol = config.data.protocol
    assert protocol is not None  # resolved before a run starts
    train, test = (
        stores.load(
            store,
            protocol=protocol,
            part=part,
            conventions=[convention],
            frames=config.data.frames,
            stream=stream,
        )
        for part in ("train", "test")
    )
    return train, test


def _check_streams(store: Store, convention: str, frames: int, streams: Sequence[str]) -> None:
    """Raises StoreError with the one command that adds everything that is missing."""
    missing: dict[str, StoreError] = {}
    for stream in streams:
        try:
            stores.check_stream(store, convention, frames=frames, stream=stream)
        except StoreError as error:
            missing[stream] = error
    if len(missing) < 2:
        for only in missing.values():
            raise only
        return
    flags = " ".join(f"--{stream}" for stream in sorted(missing) if stream != "joint")
    raise StoreError(
        f"{convention} has no {' and no '.join(missing)} stream of {frames} frames",
        where=store.path,
        remedy=f"Add them with `skeltools streams {store.path} {flags} --frames {frames}`",
    )
