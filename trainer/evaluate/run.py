"""Evaluating a finished run: from its folder to ``results/<protocol>-<convention>.json``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from schemas import (
    EvaluationResult,
    StoreError,
    UsageError,
)
from trainer import __version__, checkpoint, seeds
from trainer import device as devices
from trainer import store as stores
from trainer.checkpoint import LAST, Checkpoint
from trainer.evaluate import PROTOCOLS, knn, protocol_options
from trainer.evaluate.features import Features, calibrate, extract
from trainer.evaluate.outcome import Outcome
from trainer.metrics import accuracy, per_class
from trainer.skeleton import Skeleton
from trainer.store import Samples, Store


@dataclass(frozen=True)
class Subject:
    """A frozen encoder in one convention, and what it makes of the two halves of the split."""

    run: Path
    saved: Checkpoint
    store: Store
    convention: str
    untrained: bool
    train: Features
    test: Features
    random_knn: float
    """kNN accuracy of the same architecture with fresh random weights."""


def evaluate_run(
    run: Path,
    *,
    protocols: Sequence[str] = ("knn",),
    convention: str | None = None,
    store: Path | None = None,
    device: str = "auto",
    options: Mapping[str, Mapping[str, Any]] | None = None,
    untrained: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[EvaluationResult]:
    """Runs the protocols on the last checkpoint of a run and writes a JSON file for each figure.

    ``options``: protocol -> options, over those of the run's settings, over the protocol's own.
    ``convention`` None takes the run's first, the reference. ``untrained`` replaces the weights by random
    ones, to see what the training was worth, and writes nothing. Raises UsageError, StoreError and
    CheckpointError for whatever does not fit together.
    """
    protocol_options(protocols, options or {})  # a slip of the pen is told before anything is read
    where = devices.choose(device)
    saved = checkpoint.load(run / LAST)
    chosen = protocol_options(protocols, saved.config.evaluate, options or {})
    opened = _open(saved, store)
    convention = convention or saved.config.data.conventions[0]
    _check_convention(saved, convention, run)
    subject = _subject(
        run, saved, opened, convention, device=where, untrained=untrained, on_progress=on_progress
    )
    results = []
    for name, settings in chosen.items():
        started = time.perf_counter()
        outcomes = PROTOCOLS[name].evaluate(
            subject.train,
            subject.test,
            classes=len(opened.manifest.classes),
            seed=saved.config.runtime.seed,
            options=settings,
        )
        seconds = time.perf_counter() - started
        results += [_result(subject, outcome, seconds=seconds) for outcome in outcomes]
    if not untrained:
        for result in results:
            write_result(result, run / "results" / f"{result.protocol}-{convention}.json")
    return results


def write_result(result: EvaluationResult, path: Path) -> None:
    """Complete or absent, as everything in a run folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    partial.write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def _open(saved: Checkpoint, path: Path | None) -> Store:
    given = Path(saved.config.data.store) if path is None else path
    if path is None and not given.exists():
        raise StoreError(
            "the run's store is no longer there", where=given, remedy="Name it with --store PATH"
        )
    opened = stores.open_store(given)
    checkpoint.check_store(
        saved,
        opened,
        where=given,
        remedy="Name the store of the run with --store PATH, or train on this one",
    )
    return opened


def _check_convention(saved: Checkpoint, convention: str, run: Path) -> None:
    trained = saved.config.data.conventions
    if convention not in trained:
        raise UsageError(
            f"the encoder was trained on {', '.join(trained)}, not on '{convention}'",
            where=run,
            remedy=f"Choose --convention {trained[0]}, or train with --convention {convention}",
        )


def _subject(
    run: Path,
    saved: Checkpoint,
    store: Store,
    convention: str,
    *,
    device: torch.device,
    untrained: bool,
    on_progress: Callable[[int, int], None] | None,
) -> Subject:
    halves = [load_part(store, saved, part, convention) for part in ("train", "test")]
    skeletons = stores.skeletons(store, saved.config.data.conventions)
    trained = checkpoint.fresh_method(saved.config, skeletons, seed=saved.config.runtime.seed)
    checkpoint.load_weights(trained, saved.model, where=run / LAST)
    random = random_encoder(saved, skeletons, halves[0], convention=convention, device=device)
    train, test = (extract(random, half, convention=convention, device=device) for half in halves)
    classes = len(store.manifest.classes)
    random_knn = accuracy(knn.vote(train, test, classes=classes, options=knn.Options()), test.labels)
    if not untrained:
        encoder = trained.encoder.to(device)
        train, test = (
            extract(encoder, half, convention=convention, device=device, on_progress=on_progress)
            for half in halves
        )
    return Subject(run, saved, store, convention, untrained, train, test, random_knn)


def load_part(store: Store, saved: Checkpoint, part: str, convention: str) -> Samples:
    """One half of the run's split in one convention: the stored stream, of that convention's own bones."""
    data = saved.config.data
    assert data.protocol is not None  # resolved before a run starts
    return stores.load(
        store,
        protocol=data.protocol,
        part=part,
        conventions=[convention],
        frames=data.frames,
        stream=data.stream,
    )


def random_encoder(
    saved: Checkpoint,
    skeletons: Mapping[str, Skeleton],
    train: Samples,
    *,
    convention: str,
    device: torch.device,
) -> nn.Module:
    """The same architecture from a seed that training never used, BatchNorm set to the data's statistics."""
    seed = seeds.derive(saved.config.runtime.seed, "random encoder")
    encoder = checkpoint.fresh_method(saved.config, skeletons, seed=seed).encoder.to(device)
    calibrate(encoder, train, convention=convention, device=device)
    return encoder


def _result(subject: Subject, outcome: Outcome, *, seconds: float) -> EvaluationResult:
    saved, manifest = subject.saved, subject.store.manifest
    data, labels = saved.config.data, subject.test.labels
    classes = len(manifest.classes)
    return EvaluationResult(
        protocol=outcome.protocol,
        settings=outcome.settings,
        dataset=manifest.dataset,
        synthetic=manifest.synthetic,
        store=subject.store.path.name,
        store_hash=subject.store.hash,
        split=data.protocol or "",
        convention=subject.convention,
        stream=data.stream,
        method=saved.config.method.name,
        checkpoint="random weights" if subject.untrained else str(LAST),
        checkpoint_hash="" if subject.untrained else checkpoint.file_hash(subject.run / LAST),
        epoch=0 if subject.untrained else saved.epoch,
        train_samples=len(subject.train.labels),
        test_samples=len(labels),
        top1=accuracy(outcome.scores, labels),
        top5=accuracy(outcome.scores, labels, top=5) if classes > 5 else None,
        per_class=per_class(outcome.scores, labels, manifest.classes),
        best_top1=outcome.best_top1,
        random_knn=subject.random_knn,
        seconds=seconds,
        tool=f"trainer {__version__}",
    )
