"""Evaluate an opened run: from its encoders to the files in ``results/``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from schemas import EvaluationResult, InitConfig, StoreError, UsageError, unknown
from trainer import start
from trainer import store as stores
from trainer.augment import compile_chain
from trainer.data import Source
from trainer.evaluate import PROTOCOLS, ensemble, heads, knn, protocol_options, transfer
from trainer.evaluate.features import (
    Features,
    Split,
    calibrate,
    check_finite,
    concatenated,
    cropped,
    extract,
    stream_of,
)
from trainer.evaluate.results import result_of, write_result
from trainer.evaluate.scores import Scores
from trainer.metrics import accuracy
from trainer.run import RESULTS, UNTRAINED, Run
from trainer.store import OnProgress, Store
from trainer.streams import STREAMS

Options = Mapping[str, Mapping[str, Any]]
Clips = tuple[Source, Source]
"""Clips of the training and of the test half."""
Halves = tuple[Features, Features]
"""Features of the training and of the test half."""
Measured = tuple[Scores, EvaluationResult]


@dataclass(frozen=True)
class Encoder:
    """An encoder of a run on its stream of one convention."""

    network: nn.Module
    """On the device: the trained encoder, the random one if the evaluation is ``untrained``, or the one with
    the weights of ``--init-from``."""
    random: nn.Module
    """The same architecture with fresh random weights, or those of ``--init-from``."""
    name: str
    stream: str
    features: Halves | None
    """Of the trained or the random encoder; None if all protocols learn on another store."""
    random_features: Halves | None


@dataclass(frozen=True)
class Evaluation:
    """A validated request for an evaluation."""

    run: Run
    split: Split
    target: Split | None
    """Of the store named by ``--target``, for protocols with ``NEEDS.target`` and on frozen encoders."""
    protocols: dict[str, Any]
    """Name -> options."""
    fusion: ensemble.Options
    untrained: bool
    init: InitConfig | None
    random: Mapping[str, nn.Module]
    """Encoder -> the same architecture with fresh random weights."""
    starts: Mapping[str, nn.Module]
    """Encoder -> the same architecture with the weights of ``init``; empty without."""
    on_progress: OnProgress | None

    @property
    def measured_on(self) -> Split:
        """The split whose halves frozen encoders are evaluated on: the target's, or else the run's own."""
        return self.split if self.target is None else self.target

    def split_of(self, protocol: str) -> Split:
        needs = PROTOCOLS[protocol].NEEDS
        return self.measured_on if needs.target or not needs.clips else self.split


def evaluate(
    run: Run,
    protocols: Sequence[str] = ("knn",),
    *,
    conventions: Sequence[str] = (),
    target: Path | None = None,
    target_split: str | None = None,
    options: Options,
    untrained: bool = False,
    init_from: Path | None = None,
    init_skip: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> list[EvaluationResult]:
    """Run the protocols and write a result and its scores for each set of scores.

    Every encoder of the method is evaluated on its own stored stream. A method with one encoder writes
    ``<figure>-<convention>.json``; one with several writes ``<figure>-<convention>-<encoder>.json`` for each,
    then for all combined. For a run of several stores, the name of the data set that is evaluated follows the
    figure. Scores are in the ``.npz`` of the same name.

    ``options``: protocol or ``fusion`` -> options, which override those of the run's settings, which override
    the defaults. ``conventions``: none selects the run's first, the reference; ``all`` selects all of the
    run; several are evaluated one by one and then as an ensemble. ``target``: the store that ``transfer``
    trains on; knn, linear and retrieval then use the frozen encoder on its halves, too. ``untrained``
    replaces the weights by random ones, to show what the training was worth, and writes to the folder
    ``untrained`` of the run; it excludes ``init_from``.
    ``init_from``: finetune, semi and supervised start from the weights of that run or export, except those
    that match ``init_skip``, and their files are named after these weights. Raises UsageError, StoreError and
    CheckpointError for anything that does not fit together.
    """
    _check_names(protocols, target, target_split)
    if untrained and init_from is not None:
        raise UsageError(
            "random weights and those of --init-from exclude each other",
            remedy="Leave out --untrained or --init-from",
        )
    init = _init(protocols, init_from, init_skip)
    chosen = protocol_options([*protocols, "fusion"], run.config.evaluate, options)
    fusion = chosen.pop("fusion")
    names = run.conventions(conventions)
    data = run.data
    assert data.split is not None  # resolved before a run starts
    stores.check_split(run.store, data.split)
    split = Split(run.store, data.split, data)
    learned_on = None if target is None else _target(target, target_split, split)
    _check_several(run, chosen, options.get("fusion", {}), conventions=len(names))
    random = run.untrained_method().encoders
    starts = {} if init is None else run.untrained_method().encoders
    if init is not None:
        start.initialise_encoders(starts, init)
        start.check_kind(init, run.store, names[0])
    evaluation = Evaluation(
        run, split, learned_on, chosen, fusion, untrained, init, random, starts, on_progress
    )
    _check_writable(evaluation)
    by_convention = [_in_convention(evaluation, name) for name in names]
    results: list[EvaluationResult] = []
    for protocol in chosen:
        several = [each[protocol] for each in by_convention]
        results += [result for each in several for _, result in each]
        if len(names) > 1:
            results += [_together(evaluation, protocol, same)[1] for same in zip(*several, strict=True)]
    return results


def _folder(evaluation: Evaluation) -> Path:
    """Where the results of the run, or those of random weights, are written."""
    run = evaluation.run.path
    return (run / UNTRAINED if evaluation.untrained else run) / RESULTS


def _check_writable(evaluation: Evaluation) -> None:
    """Raises UsageError before hours of measuring that could not be written."""
    folder = _folder(evaluation)
    parent = next(each for each in (folder, *folder.parents) if each.exists())
    if not os.access(parent, os.W_OK):
        raise UsageError(
            f"{parent} cannot be written to",
            remedy="Results are kept with their run: copy it to a folder that you may write to",
        )


def _in_convention(evaluation: Evaluation, convention: str) -> dict[str, list[Measured]]:
    """Protocol -> the results of every encoder, then of all of them combined if there are several.

    Each protocol's are written as soon as they are measured: whatever stops a later one, they stay.
    """
    encoders = _encoders(evaluation, convention)
    at_random = [each.random_features for each in encoders if each.random_features is not None]
    if len(at_random) > 1:
        at_random.append(_side_by_side(at_random, unit=True))
    classes = len(evaluation.measured_on.store.manifest.classes)
    random_knn = {train.encoder: knn.top1(train, test, classes=classes) for train, test in at_random}
    return {
        protocol: [
            _measured(evaluation, protocol, scores, random_knn)
            for scores in _scores(evaluation, protocol, convention, encoders)
        ]
        for protocol in evaluation.protocols
    }


def _measured(
    evaluation: Evaluation, protocol: str, scores: Scores, random_knn: Mapping[str, float]
) -> Measured:
    """The scores with their result, written; ``random_knn``: encoder -> accuracy of kNN at random weights."""
    split = evaluation.split_of(protocol)
    tried = split is evaluation.measured_on and not PROTOCOLS[protocol].NEEDS.target
    result = result_of(
        evaluation.run,
        scores,
        split=split,
        untrained=evaluation.untrained,
        random_knn=random_knn.get(scores.encoder) if tried else None,
    )
    return scores, _written(evaluation, split, scores, result)


def _encoders(evaluation: Evaluation, convention: str) -> list[Encoder]:
    """Every encoder of the method, in its order.

    Raises StoreError before anything is encoded if one of their streams is not in the store, and SkelError
    for features that are not finite.
    """
    run, split, target = evaluation.run, evaluation.split, evaluation.target
    trained, device, data = run.method.encoders, run.device, run.data
    streams = {name: stream_of(name, data) for name in trained}
    if target is not None:
        transfer.check_target(split.store, target.store, convention, trained=data.conventions)
    for each in (split,) if target is None else (split, target):
        _check_streams(each.store, convention, data.frames, list(dict.fromkeys(streams.values())))

    def encode(network: nn.Module, halves: Clips, name: str, *, random: bool) -> Halves:
        seen = None if random else evaluation.on_progress
        title = f"{name} (random)" if random else name
        both = [
            extract(network, half, convention=convention, device=device, on_progress=seen) for half in halves
        ]
        for features, half in zip(both, halves, strict=True):
            check_finite(features, half, encoder=title, convention=convention)
        return _named(both, name, streams[name])

    on_halves = not all(PROTOCOLS[protocol].NEEDS.target for protocol in evaluation.protocols)
    encoders = []
    for name, stream in streams.items():
        halves = evaluation.measured_on.halves(convention, stream) if on_halves else None
        fresh = evaluation.random[name].to(device)
        calibrate(fresh, split.trained_on(convention, stream), convention=convention, device=device)
        random_features = encode(fresh, halves, name, random=True) if halves else None
        network, features = fresh, random_features
        if not evaluation.untrained:
            network = trained[name].to(device)
            features = encode(network, halves, name, random=False) if halves else None
        if evaluation.starts:
            network = fresh = evaluation.starts[name].to(device)
        encoders.append(Encoder(network, fresh, name, stream, features, random_features))
    return encoders


def _named(halves: Iterable[Features], encoder: str, stream: str) -> Halves:
    train, test = (replace(half, encoder=encoder, stream=stream) for half in halves)
    return train, test


def _check_streams(store: Store, convention: str, frames: int, streams: Sequence[str]) -> None:
    """Raises StoreError with a single command that adds everything that is missing."""
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


def _scores(
    evaluation: Evaluation, protocol: str, convention: str, encoders: Sequence[Encoder]
) -> list[Scores]:
    """The scores of every encoder, then of all combined if there are several.

    Streams are fused as the protocol specifies, or trained together. Encoders that share a stream are
    representations of it: the features of frozen ones are concatenated, as in ISC.
    """
    needs, options = PROTOCOLS[protocol].NEEDS, evaluation.protocols[protocol]
    frozen = [] if needs.clips else [_seen(evaluation, protocol, convention, each) for each in encoders]
    if needs.clips:
        single = [_on_clips(evaluation, protocol, convention, each) for each in encoders]
    else:
        single = [_on_features(evaluation, protocol, convention, each) for each in frozen]
    scores = [each for several in single for each in several]
    if len(encoders) == 1:
        return scores
    by_stream = len({encoder.stream for encoder in encoders}) == len(encoders)
    jointly = by_stream and getattr(options, "streams", "") == "together"
    if needs.clips or (needs.fuse == "scores" and by_stream and not jointly):
        for same in zip(*single, strict=True):
            started = time.perf_counter()
            together = ensemble.fused(same, evaluation.fusion)
            scores.append(replace(together, seconds=time.perf_counter() - started))
        return scores
    joined = _side_by_side(frozen, unit=needs.fuse == "features")
    how = {"fusion": {"of": "probes" if jointly else "features"}}
    for each in _on_features(evaluation, protocol, convention, joined):
        scores.append(replace(each, settings=each.settings | how))
    return scores


def _side_by_side(encoders: Sequence[Halves], *, unit: bool) -> Halves:
    train, test = (concatenated(halves, unit=unit) for halves in zip(*encoders, strict=True))
    return train, test


def _seen(evaluation: Evaluation, protocol: str, convention: str, encoder: Encoder) -> Halves:
    """The features of whole clips, or of temporal crops if the protocol's options have a ``crop``."""
    crop = getattr(evaluation.protocols[protocol], "crop", None)
    if crop is None:
        assert encoder.features is not None  # protocols on features look at the run's own halves
        return encoder.features
    halves = evaluation.measured_on.halves(convention, encoder.stream)
    seed, device = evaluation.run.config.runtime.seed, evaluation.run.device
    crops = cropped(encoder.network, halves, crop, convention=convention, device=device, seed=seed)
    return _named(crops, encoder.name, encoder.stream)


def _on_features(evaluation: Evaluation, protocol: str, convention: str, halves: Halves) -> list[Scores]:
    train, test = halves
    started = time.perf_counter()
    several = PROTOCOLS[protocol].evaluate(
        train,
        test,
        classes=evaluation.measured_on.store.manifest.classes,
        seed=evaluation.run.config.runtime.seed,
        options=evaluation.protocols[protocol],
    )
    about: dict[str, Any] = {"encoder": test.encoder, "stream": test.stream, "convention": convention}
    about |= {"train_labels": train.labels, "seconds": time.perf_counter() - started}
    return _described(evaluation, protocol, several, about)


def _on_clips(evaluation: Evaluation, protocol: str, convention: str, encoder: Encoder) -> list[Scores]:
    """Evaluate a protocol that trains a copy of the encoder, on the run's store or on the target."""
    module, config, split = PROTOCOLS[protocol], evaluation.run.config, evaluation.split_of(protocol)
    train, test = split.halves(convention, encoder.stream)
    skeleton = stores.skeletons(split.store, [convention])[convention]
    chain = compile_chain(config.augment.normal, where="augment.normal")

    def augment(clips: Tensor, generator: torch.Generator) -> Tensor:
        return chain(clips, skeleton, generator)

    started = time.perf_counter()
    several = module.evaluate(
        encoder.random if module.NEEDS.random_weights else encoder.network,
        train,
        test,
        convention=convention,
        classes=split.store.manifest.classes,
        seed=config.runtime.seed,
        options=evaluation.protocols[protocol],
        device=evaluation.run.device,
        augment=augment,
        on_progress=evaluation.on_progress,
    )
    about: dict[str, Any] = {"encoder": encoder.name, "stream": encoder.stream, "convention": convention}
    about |= {"train_labels": train.labels, "seconds": time.perf_counter() - started}
    return [_named_after(evaluation.init, each) for each in _described(evaluation, protocol, several, about)]


def _described(
    evaluation: Evaluation, protocol: str, several: Sequence[Scores], about: Mapping[str, Any]
) -> list[Scores]:
    """Add fields to scores and, if they are of another store than the encoder's, both stores to details."""
    source, measured = evaluation.split, evaluation.split_of(protocol)
    more = {} if measured is source else transfer.provenance(source.store, measured.store)
    return [replace(each, **about, details=each.details | more) for each in several]


def _named_after(init: InitConfig | None, scores: Scores) -> Scores:
    """Add the initial weights to name and settings, because the figure is not the run's own."""
    if init is None:
        return scores
    name = f"{scores.name or scores.protocol}-from-{init.sha256[:8]}"
    return replace(scores, name=name, settings=scores.settings | {"init_from": init.model_dump(mode="json")})


def _together(evaluation: Evaluation, protocol: str, conventions: Sequence[Measured]) -> Measured:
    """Combine the same figure in several conventions into one."""
    started = time.perf_counter()
    members = [replace(scores, origin=scores.convention) for scores, _ in conventions]
    mean = ensemble.over_conventions(members, scores=evaluation.fusion.scores)
    return _measured(evaluation, protocol, replace(mean, seconds=time.perf_counter() - started), {})


def _written(
    evaluation: Evaluation, split: Split, scores: Scores, result: EvaluationResult
) -> EvaluationResult:
    """The result, written with its scores; random weights leave no classifier."""
    parts = [result.figure]
    of_epoch = evaluation.run.epoch_file is not None and not evaluation.untrained
    parts += [f"epoch-{result.epoch}"] if of_epoch else []
    parts += [evaluation.run.store_name] if evaluation.run.store_name else []
    parts += [split.store.path.stem] if split is not evaluation.split else []
    parts += [result.convention]
    parts += [result.encoder] if len(evaluation.run.method.encoders) > 1 else []
    stem = "-".join(parts)
    head = None if evaluation.untrained else scores.head
    classifier = None if head is None else f"{stem}{heads.SUFFIX}"
    result = result.model_copy(update={"scores": f"{stem}.npz", "classifier": classifier})
    content = None if head is None else heads.to_bytes(head, _card(evaluation, split, scores, result))
    write_result(result, scores, _folder(evaluation) / f"{stem}.json", classifier=content)
    return result


def _card(
    evaluation: Evaluation, split: Split, scores: Scores, result: EvaluationResult
) -> heads.ClassifierCard:
    """The card of the classifier that is saved beside a result."""
    assert scores.head is not None
    manifest, sure = split.store.manifest, scores.head.sureness
    return heads.ClassifierCard(
        format=heads.FORMAT,
        tool=result.tool,
        figure=result.figure,
        settings=result.settings,
        classes=scores.classes,
        convention=scores.convention,
        stream=scores.stream,
        encoder=scores.encoder,
        frames=evaluation.run.config.data.frames,
        bodies=evaluation.run.bodies,
        recipe=heads.Recipe(name=manifest.recipe.name, steps=manifest.recipe.steps),
        dataset=manifest.dataset,
        synthetic=manifest.synthetic,
        split=split.name,
        store_hash=split.store.hash,
        checkpoint_hash=evaluation.run.checkpoint_hash,
        train_samples=result.train_samples,
        test_top1=accuracy(scores.values, scores.labels),
        temperature=None if sure is None else sure.temperature,
        held_out=0 if sure is None else sure.held_out,
    )


def _check_names(protocols: Sequence[str], target: Path | None, target_split: str | None) -> None:
    """Check that ``--target`` is used with protocols that learn on another store or use a frozen encoder."""
    for name in protocols:
        if name not in PROTOCOLS:
            raise unknown("protocol", name, PROTOCOLS)
    needing = [name for name in protocols if PROTOCOLS[name].NEEDS.target]
    if needing and target is None:
        raise UsageError(
            f"{needing[0]} learns on another store, and none was named", remedy="Name it with --target STORE"
        )
    if target is None and target_split is not None:
        raise UsageError("--target-split is a split of --target", remedy="Name the store with --target STORE")
    learning = [name for name in protocols if PROTOCOLS[name].NEEDS.clips and name not in needing]
    if target is not None and learning and not needing:
        raise UsageError(
            f"--target is for transfer and for frozen encoders, not for {learning[0]}",
            remedy=f"Leave {learning[0]} out: transfer finetunes on the target",
        )


def _init(protocols: Sequence[str], path: Path | None, skip: Sequence[str]) -> InitConfig | None:
    """Describe the initial weights; raises UsageError for protocols that do not train on from them."""
    if path is None:
        if skip:
            raise UsageError(
                "there are no weights to leave out", where="--init-skip", remedy="Add --init-from PATH"
            )
        return None
    frozen = [name for name in protocols if not PROTOCOLS[name].NEEDS.starts]
    if frozen:
        starting = sorted(name for name, module in PROTOCOLS.items() if module.NEEDS.starts)
        raise UsageError(
            f"--init-from is for {', '.join(starting)}, found {frozen[0]}",
            remedy=f"Evaluate {path} itself: an imported run is a run",
        )
    return start.describe(path, skip=skip)


def _target(path: Path, name: str | None, own: Split) -> Split:
    """The named split, else the one with the same name as the run's, else the store's first."""
    store = stores.open_store(path)
    known = list(store.manifest.protocols)
    chosen = name or (own.name if own.name in known else next(iter(known), ""))
    if chosen not in known:
        raise StoreError(
            f"the target has no split '{chosen}'; there is {', '.join(known) or 'none'}",
            where=path,
            remedy="Choose one of them with --target-split",
        )
    return replace(own, store=store, name=chosen)


def _check_several(
    run: Run, protocols: Mapping[str, Any], fusion: Mapping[str, Any], *, conventions: int
) -> None:
    """Raises UsageError for settings of several encoders if the method has only one.

    One encoder has no streams to weight; conventions can only be averaged, as softmax or as logits.
    Classifiers are trained together over streams; several representations of one stream share one classifier
    anyway.
    """
    name, encoders = run.config.method.name, set(run.method.encoders)
    if fusion and len(encoders) == 1 and not (conventions > 1 and set(fusion) == {"scores"}):
        raise UsageError(f"{name} trains one encoder, there is nothing to fuse", where="fusion")
    for protocol, options in protocols.items():
        if getattr(options, "streams", "") == "together" and not (
            len(encoders) > 1 and encoders <= set(STREAMS)
        ):
            raise UsageError(
                f"{name} trains one stream, there are no classifiers to train together",
                where=f"{protocol}.streams",
                remedy="Leave it out, or take a method that trains several: crosclr, csclr",
            )
