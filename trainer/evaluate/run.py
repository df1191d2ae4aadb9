"""Evaluating a finished run: from its folder to the files in ``results/``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from schemas import EvaluationResult, StoreError, UsageError, unknown
from trainer import __version__, checkpoint
from trainer import device as devices
from trainer import store as stores
from trainer.checkpoint import LAST, Checkpoint
from trainer.evaluate import PROTOCOLS, fusion, protocol_options
from trainer.evaluate.outcome import Outcome
from trainer.evaluate.subject import Subject, subjects, together, trained_method
from trainer.metrics import accuracy, per_class
from trainer.store import Store


@dataclass(frozen=True)
class Occasion:
    """Which run is evaluated, on which store and in which convention."""

    saved: Checkpoint
    checkpoint_hash: str
    """Empty for random weights."""
    store: Store
    convention: str

    @property
    def classes(self) -> int:
        return len(self.store.manifest.classes)


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

    Every encoder of the method is evaluated on its own stored stream: ``<protocol>-<convention>.json`` for a
    method with one, ``<protocol>-<convention>-<encoder>.json`` for several, and these together behind them.
    ``options``: protocol or ``fusion`` -> options, over those of the run's settings, over their own.
    ``convention`` None takes the run's first, the reference. ``untrained`` replaces the weights by random
    ones, to see what the training was worth, and writes nothing. Raises UsageError, StoreError and
    CheckpointError for whatever does not fit together.
    """
    _check_names(protocols, options or {})  # a slip of the pen is told before anything is read
    where = devices.choose(device)
    saved = checkpoint.load(run / LAST)
    chosen = protocol_options([*protocols, "fusion"], saved.config.evaluate, options or {})
    fusing = chosen.pop("fusion")
    convention = convention or saved.config.data.conventions[0]
    _check_convention(saved, convention, run)
    occasion = Occasion(
        saved,
        "" if untrained else checkpoint.file_hash(run / LAST),
        _open(saved, store),
        convention,
    )
    method = trained_method(run, saved, occasion.store)
    if len(method.encoders) == 1 and "fusion" in (options or {}):
        raise UsageError(
            f"{saved.config.method.name} trains one encoder, there is nothing to fuse", where="fusion"
        )
    found = subjects(
        method,
        saved,
        occasion.store,
        convention,
        device=where,
        untrained=untrained,
        on_progress=on_progress,
    )
    results = [
        result
        for name, settings in chosen.items()
        for result in _measured(occasion, found, name, settings, fusing)
    ]
    if not untrained:
        for result in results:
            encoder = f"-{result.encoder}" if len(found) > 1 else ""
            write_result(result, run / "results" / f"{result.protocol}-{convention}{encoder}.json")
    return results


def _check_names(protocols: Sequence[str], options: Mapping[str, Mapping[str, Any]]) -> None:
    for name in protocols:
        if name not in PROTOCOLS:
            raise unknown("protocol", name, PROTOCOLS)
    protocol_options([*protocols, "fusion"], options)


def _measured(
    occasion: Occasion, found: Sequence[Subject], name: str, settings: Any, fusing: fusion.Options
) -> list[EvaluationResult]:
    """One protocol on every encoder, and on all of them together when there are several.

    Streams are fused as the protocol says. Encoders that share a stream are representations of it: their
    features are taken side by side, as in ISC.
    """
    by_stream = len({subject.stream for subject in found}) == len(found)
    scores = PROTOCOLS[name].FUSES == "scores" and by_stream
    single: list[list[Outcome]] = []
    results = []
    for subject in found:
        outcomes, seconds = _outcomes(occasion, subject, name, settings)
        single.append(outcomes)
        results += [_result(occasion, subject, outcome, seconds=seconds) for outcome in outcomes]
    if len(found) == 1:
        return results
    both = together(found, classes=occasion.classes, unit=name == "knn")
    started = time.perf_counter()
    if scores:
        named = [
            dict(zip((s.stream for s in found), kind, strict=True)) for kind in zip(*single, strict=True)
        ]
        outcomes = [fusion.weighted(each, fusing) for each in named]
        seconds = time.perf_counter() - started
    else:
        outcomes, seconds = _outcomes(occasion, both, name, settings)
        outcomes = [replace(o, settings=o.settings | {"fusion": {"of": "features"}}) for o in outcomes]
    return results + [_result(occasion, both, outcome, seconds=seconds) for outcome in outcomes]


def _outcomes(occasion: Occasion, subject: Subject, name: str, settings: Any) -> tuple[list[Outcome], float]:
    started = time.perf_counter()
    outcomes = PROTOCOLS[name].evaluate(
        subject.found.train,
        subject.found.test,
        classes=occasion.classes,
        seed=occasion.saved.config.runtime.seed,
        options=settings,
    )
    return outcomes, time.perf_counter() - started


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


def _result(occasion: Occasion, subject: Subject, outcome: Outcome, *, seconds: float) -> EvaluationResult:
    saved, manifest = occasion.saved, occasion.store.manifest
    labels, classes, untrained = subject.found.test.labels, occasion.classes, not occasion.checkpoint_hash
    return EvaluationResult(
        protocol=outcome.protocol,
        settings=outcome.settings,
        dataset=manifest.dataset,
        synthetic=manifest.synthetic,
        store=occasion.store.path.name,
        store_hash=occasion.store.hash,
        split=saved.config.data.protocol or "",
        convention=occasion.convention,
        stream=subject.stream,
        encoder=subject.encoder,
        method=saved.config.method.name,
        checkpoint="random weights" if untrained else str(LAST),
        checkpoint_hash=occasion.checkpoint_hash,
        epoch=0 if untrained else saved.epoch,
        train_samples=len(subject.found.train.labels),
        test_samples=len(labels),
        top1=accuracy(outcome.scores, labels),
        top5=accuracy(outcome.scores, labels, top=5) if classes > 5 else None,
        per_class=per_class(outcome.scores, labels, manifest.classes),
        best_top1=outcome.best_top1,
        random_knn=subject.random_knn,
        seconds=seconds,
        tool=f"trainer {__version__}",
    )
