"""One protocol on every encoder of a run, and on all of them together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from schemas import ConfigError
from trainer import memory, shards
from trainer import store as stores
from trainer.augment import compile_chain
from trainer.data import Source
from trainer.evaluate import PROTOCOLS, crop, ensemble, fusion, transfer
from trainer.evaluate.ensemble import Member
from trainer.evaluate.features import Features
from trainer.evaluate.fusion import JOINED
from trainer.evaluate.occasion import Ground, Load, Occasion
from trainer.evaluate.outcome import Outcome
from trainer.evaluate.scores import Scores
from trainer.evaluate.subject import OnProgress, Subject, together
from trainer.store import Samples


@dataclass(frozen=True)
class Figure:
    """One outcome, and everything that says of what."""

    protocol: str
    """The one that was asked for: knn, where the outcome may be knn1."""
    outcome: Outcome
    encoder: str
    stream: str
    convention: str
    ground: Ground
    ids: tuple[str, ...]
    """Of the test samples, in the order of the scores."""
    labels: Tensor
    """[N] int64 on the CPU."""
    train_labels: Tensor
    random_knn: float | None
    seconds: float


def measured(
    occasion: Occasion,
    found: Sequence[Subject],
    convention: str,
    protocol: str,
    *,
    settings: Any,
    fusing: fusion.Options,
    load: Load,
    on_progress: OnProgress | None = None,
) -> list[Figure]:
    """The figures of every encoder, then those of all together when there are several.

    Streams are fused as the protocol says, or learn together. Encoders that share a stream are
    representations of it: the features of frozen ones are taken side by side, as in ISC.
    """
    on_clips = PROTOCOLS[protocol].NEEDS == "clips"
    seen = None if on_clips else [_views(occasion, each, convention, settings, load) for each in found]
    single = [
        _on_clips(occasion, each, convention, protocol, settings, load, on_progress)
        if seen is None
        else _on_features(occasion, each, convention, protocol, settings, seen[place : place + 1])
        for place, each in enumerate(found)
    ]
    figures = [figure for several in single for figure in several]
    if len(found) == 1:
        return figures
    by_stream = len({subject.stream for subject in found}) == len(found)
    fuses = PROTOCOLS[protocol].FUSES
    both = together(found, classes=len(occasion.store.manifest.classes), unit=fuses == "features")
    jointly = by_stream and getattr(settings, "streams", "") == "together"
    if seen is None or (fuses == "scores" and by_stream and not jointly):
        return figures + [_fused(kind, both, fusing) for kind in zip(*single, strict=True)]
    widths = [subject.found.train.values.shape[1] for subject in found] if jointly else []
    joined = _on_features(occasion, both, convention, protocol, settings, seen, widths=widths)
    return figures + [_told(each, "probes" if jointly else "features") for each in joined]


def _views(
    occasion: Occasion, subject: Subject, convention: str, settings: Any, load: Load
) -> crop.Views | None:
    """What a protocol on frozen features sees in place of whole clips, when its options say so."""
    cut = getattr(settings, "crop", None)
    if cut is None:
        return None
    return crop.views(
        subject.modules["trained"],
        load("run", subject.stream),
        cut,
        convention=convention,
        device=occasion.device,
        seed=occasion.saved.config.runtime.seed,
    )


def _on_features(
    occasion: Occasion,
    subject: Subject,
    convention: str,
    protocol: str,
    settings: Any,
    seen: Sequence[crop.Views | None],
    *,
    widths: Sequence[int] = (),
) -> list[Figure]:
    """``seen``: of each encoder of the subject. ``widths``: of streams whose probes learn together."""
    started = time.perf_counter()
    train, test = subject.found.train, subject.found.test
    learning: dict[str, Any] = {"widths": widths} if widths else {}
    cut = [each for each in seen if each is not None]
    if cut:
        unit = len(cut) > 1 and PROTOCOLS[protocol].FUSES == "features"
        stretches = crop.side_by_side(cut, unit=unit)
        train = replace(train, values=stretches.train(0))
        test = replace(test, values=stretches.test)
        if protocol == "linear":  # the one that sees them more than once
            learning["anew"] = stretches.train
    outcomes = PROTOCOLS[protocol].evaluate(
        train,
        test,
        classes=len(occasion.store.manifest.classes),
        seed=occasion.saved.config.runtime.seed,
        options=settings,
        **learning,
    )
    seconds = time.perf_counter() - started
    return _figures(protocol, outcomes, subject, convention, occasion.grounds["run"], (train, test), seconds)


def _on_clips(
    occasion: Occasion,
    subject: Subject,
    convention: str,
    protocol: str,
    settings: Any,
    load: Load,
    on_progress: OnProgress | None,
) -> list[Figure]:
    """The protocol trains a copy of the encoder, on the run's store or on the target."""
    module = PROTOCOLS[protocol]
    where = getattr(module, "SAMPLES", "run")
    ground, config = occasion.grounds[where], occasion.saved.config
    train, test = (_held(half, protocol) for half in load(where, subject.stream))
    skeleton = stores.skeletons(ground.store, [convention])[convention]
    chain = compile_chain(config.augment.normal, where="augment.normal")

    def augment(clips: Tensor, generator: torch.Generator) -> Tensor:
        return chain(clips, skeleton, generator)

    started = time.perf_counter()
    outcomes = module.evaluate(
        subject.modules[getattr(module, "WEIGHTS", "trained")],
        train,
        test,
        convention=convention,
        classes=len(ground.store.manifest.classes),
        seed=config.runtime.seed,
        options=settings,
        device=occasion.device,
        augment=augment,
        on_progress=on_progress,
    )
    seconds = time.perf_counter() - started
    if where == "target":
        stores_used = transfer.provenance(occasion.store, ground.store)
        outcomes = [replace(each, details=each.details | stores_used) for each in outcomes]
        subject = replace(subject, random_knn=None)  # it is about the run's store
    return _figures(protocol, outcomes, subject, convention, ground, (train, test), seconds)


def _held(half: Source, protocol: str) -> Samples:
    """The half in memory, where the run's limit left it in the store but this machine has room.

    Raises ConfigError where it has not.
    """
    if isinstance(half, Samples):
        return half
    needed, limit = shards.bytes_in_memory(half.selection), memory.host_limit()
    if needed > limit:
        raise ConfigError(
            f"{protocol} trains on clips in memory: half of the split takes {needed} bytes, and this machine "
            f"has room for {limit}",
            where="data.memory_limit",
            remedy="Evaluate on a machine with more memory; knn, linear and retrieval need little",
        )
    return stores.in_memory(half.selection)


def _figures(
    protocol: str,
    outcomes: Sequence[Outcome],
    subject: Subject,
    convention: str,
    ground: Ground,
    halves: tuple[Features, Features] | tuple[Samples, Samples],
    seconds: float,
) -> list[Figure]:
    train, test = halves
    return [
        Figure(
            protocol, outcome, subject.encoder, subject.stream, convention, ground,
            test.ids, test.labels, train.labels, subject.random_knn, seconds,
        )
        for outcome in outcomes
    ]  # fmt: skip


def _fused(kind: Sequence[Figure], both: Subject, fusing: fusion.Options) -> Figure:
    """The same figure of every encoder as one, from their scores."""
    started = time.perf_counter()
    outcome = fusion.weighted({figure.encoder: figure.outcome for figure in kind}, fusing)
    return replace(
        kind[0],
        outcome=outcome,
        encoder=both.encoder,
        stream=both.stream,
        random_knn=None if kind[0].random_knn is None else both.random_knn,
        seconds=time.perf_counter() - started,
    )


def _told(figure: Figure, of: str) -> Figure:
    settings = figure.outcome.settings | {"fusion": {"of": of}}
    return replace(figure, outcome=replace(figure.outcome, settings=settings))


def over_conventions(figures: Sequence[Figure], *, scores: Literal["softmax", "logits"]) -> Figure:
    """The same figure in several conventions as one: the mean of their scores, on the samples that all have.

    Source: MS-CLR 3.5: a classifier for each convention on the shared encoder, their softmax scores averaged.
    Scores that are no logits are averaged as probabilities.
    """
    first, started = figures[0], time.perf_counter()
    how = scores if all(figure.outcome.kind == "logits" for figure in figures) else "softmax"
    members = ensemble.aligned([_member(figure, figure.outcome.scores) for figure in figures], common=True)
    mean = ensemble.combined(members, weights={}, scores=how)
    draws = [
        ensemble.combined(
            ensemble.aligned([_member(f, f.outcome.draws[draw]) for f in figures], common=True),
            weights={},
            scores=how,
        ).values
        for draw in range(len(first.outcome.draws))
    ]
    settings = first.outcome.settings | {
        "ensemble": {"of": "conventions", "scores": how, "members": [figure.convention for figure in figures]}
    }
    outcome = Outcome(
        first.outcome.protocol, mean.values, settings,
        kind=mean.kind, name=first.outcome.name, draws=tuple(draws),
    )  # fmt: skip
    return replace(
        first,
        outcome=outcome,
        convention=JOINED.join(figure.convention for figure in figures),
        ids=mean.ids,
        labels=mean.labels,
        random_knn=None,
        seconds=time.perf_counter() - started,
    )


def _member(figure: Figure, values: Tensor) -> Member:
    classes = figure.ground.store.manifest.classes
    scores = Scores(figure.ids, figure.labels, values, classes, figure.outcome.kind)
    return Member(figure.convention, figure.stream, figure.convention, scores)
