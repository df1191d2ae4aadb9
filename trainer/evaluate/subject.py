"""What is evaluated: the encoders of a run, and what they make of the two halves of the split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from schemas import StoreError
from trainer import checkpoint, seeds
from trainer import store as stores
from trainer.checkpoint import LAST
from trainer.data import Source
from trainer.evaluate import knn
from trainer.evaluate.features import Features, calibrate, check_finite, extract, stream_of
from trainer.evaluate.fusion import JOINED, concatenated
from trainer.evaluate.occasion import Load, Occasion
from trainer.metrics import accuracy
from trainer.store import Store

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Halves:
    """Features of the training and of the test half."""

    train: Features
    test: Features


@dataclass(frozen=True)
class Subject:
    """An encoder on its stream, or several together."""

    encoder: str
    """Its name in the method; several are joined by ``+``."""
    stream: str
    found: Halves
    """Of the frozen encoder."""
    random: Halves
    """Of the same architecture with fresh random weights."""
    random_knn: float | None
    """kNN accuracy of those, at the protocol's own defaults."""
    modules: Mapping[str, nn.Module]
    """``trained`` and ``random``, on the device; the trained is the random one where weights were not asked
    for. Empty for several encoders."""


def run_method(occasion: Occasion) -> Any:
    """The run's method with its weights, on the CPU. Raises CheckpointError when they do not fit."""
    config = occasion.saved.config
    skeletons = stores.skeletons(occasion.store, config.data.conventions)
    trained = checkpoint.fresh_method(config, skeletons, seed=config.runtime.seed)
    checkpoint.load_weights(trained, occasion.saved.model, where=occasion.run / LAST)
    return trained


def subjects(
    trained: Any,
    occasion: Occasion,
    convention: str,
    *,
    load: Load,
    on_progress: OnProgress | None = None,
) -> list[Subject]:
    """Every encoder of the ``trained`` method, in its order.

    Raises StoreError before anything is encoded when a stream of theirs is not in the store, and SkelError
    for features that are not finite.
    """
    config, store = occasion.saved.config, occasion.store
    random = random_method(occasion)
    streams = {name: stream_of(name, config.data) for name in trained.encoders}
    for where in occasion.grounds.values():
        _check_streams(where.store, convention, config.data.frames, list(dict.fromkeys(streams.values())))
    found = []
    for name, stream in streams.items():
        halves = load("run", stream)
        fresh = random.encoders[name].to(occasion.device)
        calibrate(fresh, halves[0], convention=convention, device=occasion.device)
        theirs = _encode(f"{name} (random)", fresh, halves, convention, occasion.device)
        module, own = fresh, theirs
        if occasion.checkpoint_hash:
            module = trained.encoders[name].to(occasion.device)
            own = _encode(name, module, halves, convention, occasion.device, on_progress)
        knn_of_theirs = _knn(theirs, len(store.manifest.classes))
        modules = {"trained": module, "random": fresh}
        found.append(Subject(name, stream, own, theirs, knn_of_theirs, modules))
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
        {},
    )


def _joined(halves: Sequence[Halves], *, unit: bool) -> Halves:
    return Halves(
        concatenated([half.train for half in halves], unit=unit),
        concatenated([half.test for half in halves], unit=unit),
    )


def _knn(halves: Halves, classes: int) -> float:
    votes = knn.vote(halves.train, halves.test, classes=classes, options=knn.Options())
    return accuracy(votes, halves.test.labels)


def random_method(occasion: Occasion) -> Any:
    """The run's architecture from a seed that training never used."""
    config = occasion.saved.config
    seed = seeds.derive(config.runtime.seed, "random encoder")
    return checkpoint.fresh_method(
        config, stores.skeletons(occasion.store, config.data.conventions), seed=seed
    )


def _encode(
    name: str,
    encoder: nn.Module,
    halves: tuple[Source, Source],
    convention: str,
    device: torch.device,
    on_progress: OnProgress | None = None,
) -> Halves:
    found = [
        extract(encoder, half, convention=convention, device=device, on_progress=on_progress)
        for half in halves
    ]
    for features, half in zip(found, halves, strict=True):
        check_finite(features, half, encoder=name, convention=convention)
    return Halves(*found)


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
