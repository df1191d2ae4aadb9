"""Train a window classifier on the training half of a store of whole recordings; measure it on the test half.

The result is written to ``RUN/results/`` as for any protocol, with the classifier beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from schemas import EvaluationResult, StoreError
from trainer import store as stores
from trainer.evaluate import detection, heads, linear
from trainer.evaluate.results import TOOL, listed, write_result
from trainer.evaluate.segments import NOTHING, segments_of
from trainer.export.classifier import Kept
from trainer.options import checked
from trainer.run import JOINED, RESULTS, Run
from trainer.store import Store
from trainer.use import segment, sources, windows
from trainer.use.model import Classifier, Model, of_run
from trainer.use.segment import BACKGROUND, PROTOCOL, Answer, Options, Recording, Scores, Segmented
from trainer.use.sources import Asked

OnRecording = Callable[[int, int], None]
"""Called with the number of recordings done and their total."""


@dataclass(frozen=True)
class Half:
    """Recordings of one half of a split whose frames are labelled."""

    store: Store
    asked: Asked
    labels: dict[str, NDArray[np.int64]]
    """Recording -> [T] annotated class of each frame, -1 for none."""

    def recordings(self, model: Model, convention: str) -> Iterator[Recording]:
        for each in segment.recordings(model, self.asked, convention, lambda _: None):
            if each.id in self.labels:
                yield each


def has_frame_labels(path: Path, convention: str | None) -> bool:
    """Whether a place is a store on which a window classifier can be trained."""
    if not sources.is_store(path):
        return False
    store = stores.open_store(path)
    names = [convention] if convention is not None else list(store.manifest.conventions)
    return any(stores.frame_labels(store, name) for name in names)


def learn(
    run: Run,
    path: Path,
    *,
    encoder: str | None = None,
    convention: str | None = None,
    split: str | None = None,
    options: Mapping[str, Any],
    device: str = "cpu",
    on_recording: OnRecording | None = None,
) -> Answer:
    """Train and measure a window classifier; returns the segments of the test recordings, and the results.

    Writes ``RUN/results/segment-STORE-CONVENTION.json`` with the classifier beside it. ``convention`` None:
    the run's first. ``split`` None: the run's, else the store's only one. Raises StoreError for a store
    without frame labels or without a half, or of another skeleton.
    """
    names = list(run.method.encoders) if encoder is None else [run.encoder_name(encoder)]
    models = {name: of_run(run, name, device=device) for name in names}
    first = next(iter(models.values())).card
    of = sources.convention_of(first, Asked((path,), convention))
    store = stores.open_store(path)
    sources.check_fits(first, store, of)
    asked = Asked((path,), of, sources.split_of(store, Asked((path,), of, split), first))
    train, test = (_half(store, replace(asked, part=part)) for part in ("train", "test"))
    chosen = _settled(options, train)
    counted = _counter(len(models) * (len(train.labels) + len(test.labels)), on_recording)
    scores: dict[str, dict[str, Scores]] = {}
    results: list[EvaluationResult] = []
    for name, model in models.items():
        started = time.perf_counter()
        features, taught = _features(model, train, of, chosen, counted)
        head = _head(features, taught, run, store, chosen)
        card = _card(run, name, model, train, chosen, len(taught))
        classifier = Classifier(head, card, model.encoder)
        able = Model(model.encoder, {of: classifier}, path=run.path)
        scores[name] = {}
        for recording in test.recordings(able, of):
            scores[name][recording.id] = segment.scores_of(able, recording, of, chosen)
            counted()
        recordings = _segmented({name: scores[name]}, chosen)
        seconds = time.perf_counter() - started
        result = _result(run, {name: model}, (train, test), chosen, recordings, taught, seconds)
        results.append(
            _written(run, result, store, several=len(run.method.encoders) > 1, classifier=classifier)
        )
    if len(models) > 1:
        recordings = _segmented(scores, chosen)
        result = _result(run, models, (train, test), chosen, recordings, taught, 0.0)
        results.append(_written(run, result, store, several=True, classifier=None))
    return Answer(recordings, store.manifest.classes, tuple(results))


def _counter(total: int, on_recording: OnRecording | None) -> Callable[[], None]:
    done = 0

    def counted() -> None:
        nonlocal done
        done += 1
        if on_recording is not None:
            on_recording(done, total)

    return counted


def _half(store: Store, asked: Asked) -> Half:
    """The recordings of a half that have labelled frames; raises StoreError if there are none."""
    assert asked.split is not None
    assert asked.part is not None
    assert asked.convention is not None
    every = stores.frame_labels(store, asked.convention)
    ids = stores.ids_of(store, split=asked.split, part=asked.part, conventions=[asked.convention])
    labels = {id: every[id] for id in ids if id in every and (every[id] != NOTHING).any()}
    if not labels:
        raise StoreError(
            f"no recording of the {'training' if asked.part == 'train' else 'test'} half of {asked.split} "
            "has labels of frames",
            where=store.path,
            remedy="Choose another --split, or convert recordings whole, with labels of frames: `skeltools "
            "convert pku-mmd-1 --uncut`, or uncut: true in the dataset.yaml of your own",
        )
    return Half(store, asked, labels)


def _settled(options: Mapping[str, Any], train: Half) -> Options:
    """The options, with the window length derived from the actions of the training half if not given."""
    given = {name: value for name, value in options.items() if value is not None}
    chosen = checked(Options, given, where=PROTOCOL)
    if chosen.window is not None:
        return chosen
    lengths = [each.stop - each.start for labels in train.labels.values() for each in segments_of(labels)]
    return chosen.model_copy(update={"window": max(int(np.median(lengths) * 2 / 3), 2)})


def _features(
    model: Model, train: Half, convention: str, options: Options, counted: Callable[[], None]
) -> tuple[torch.Tensor, torch.Tensor]:
    """[N, D] features and [N] labels of all windows in which somebody is seen.

    The label is the class of most of a window's frames.
    """
    size = len(train.store.manifest.classes) + 1
    features, labels = [], []
    for recording in train.recordings(model, convention):
        of, clips = windows.prepared(
            recording.sequence, options.spans(recording.frames), model.card, convention
        )
        own = train.labels[recording.id] % size
        labels += [int(np.bincount(own[span.start : span.stop]).argmax()) for span in of]
        features.append(model.embed(clips, convention) if of else np.zeros((0, model.card.feature_dim)))
        counted()
    return torch.from_numpy(np.concatenate(features).astype(np.float32)), torch.tensor(labels)


def _head(
    features: torch.Tensor, labels: torch.Tensor, run: Run, store: Store, options: Options
) -> heads.Head:
    """Train the layer; raises StoreError if all windows are of one class."""
    if len(labels.unique()) < 2:
        raise StoreError(
            f"all {len(labels)} windows of the training half are of one class: there is nothing to learn",
            where=store.path,
            remedy="Choose a shorter --window",
        )
    return linear.learned(
        features,
        labels,
        classes=len(store.manifest.classes) + 1,
        seed=run.config.runtime.seed,
        options=linear.Options(
            epochs=options.epochs,
            lr=options.lr,
            milestones=(options.epochs * 4 // 5,),
            standardise=True,
            class_weights=options.class_weights,
        ),
    )


def _settings(options: Options) -> dict[str, Any]:
    return options.model_dump(mode="json") | {"background": BACKGROUND}


def _card(
    run: Run, name: str, model: Model, train: Half, options: Options, count: int
) -> heads.ClassifierCard:
    card, manifest = model.card, train.store.manifest
    assert train.asked.convention is not None
    assert train.asked.split is not None
    return heads.ClassifierCard(
        format=heads.FORMAT,
        tool=TOOL,
        figure=PROTOCOL,
        settings=_settings(options),
        classes=(*manifest.classes, BACKGROUND),
        convention=train.asked.convention,
        stream=card.input.stream,
        encoder=name,
        frames=card.input.frames,
        bodies=card.input.bodies,
        recipe=card.recipe,
        dataset=manifest.dataset,
        synthetic=manifest.synthetic,
        split=train.asked.split,
        store_hash=train.store.hash,
        checkpoint_hash=run.checkpoint_hash,
        train_samples=count,
        test_top1=0.0,
    )


def _segmented(scores: Mapping[str, Mapping[str, Scores]], options: Options) -> tuple[Segmented, ...]:
    """Segments of every recording, by all encoders combined."""
    ids = next(iter(scores.values()))
    return tuple(
        segment.segmented(id, segment.together({name: each[id] for name, each in scores.items()}), options)
        for id in ids
    )


def _result(
    run: Run,
    models: Mapping[str, Model],
    halves: tuple[Half, Half],
    options: Options,
    recordings: tuple[Segmented, ...],
    taught: torch.Tensor,
    seconds: float,
) -> EvaluationResult:
    train, test = halves
    manifest, card = test.store.manifest, next(iter(models.values())).card
    classes = (*manifest.classes, BACKGROUND)
    labels = {each.id: each.labels for each in recordings}
    every = [one for each in recordings for one in each.segments]
    made = detection.figures(labels, test.labels, every)
    table = detection.confusion(labels, test.labels, len(manifest.classes))
    shares = {
        name: float(row[place] / row.sum())
        for place, (name, row) in enumerate(zip(classes, table, strict=True))
        if row.sum()
    }
    return EvaluationResult(
        protocol=PROTOCOL,
        settings=_settings(options),
        dataset=manifest.dataset,
        synthetic=manifest.synthetic,
        store=test.store.path.name,
        store_hash=test.store.hash,
        recipe=card.recipe.name,
        frames=card.input.frames,
        split=str(test.asked.split),
        convention=str(test.asked.convention),
        stream=JOINED.join(dict.fromkeys(each.card.input.stream for each in models.values())),
        encoder=JOINED.join(models),
        method=run.config.method.name,
        checkpoint=str(run.checkpoint_file),
        checkpoint_hash=run.checkpoint_hash,
        preset=run.config.preset,
        epoch=run.checkpoint.epoch,
        epochs=run.config.optimise.epochs,
        train_samples=len(train.labels),
        test_samples=len(test.labels),
        top1=made["frames"],
        macro=sum(shares.values()) / len(shares),
        per_class=shares,
        classes=classes,
        confusion=tuple(map(tuple, table.tolist())),
        details={
            "figures": made,
            "windows": len(taught),
            "segments": len(every),
            "annotated": sum(len(segments_of(each)) for each in test.labels.values()),
        },
        notes=tuple(_notes(run, classes, test, taught)),
        seconds=seconds,
        tool=TOOL,
    )


def _notes(run: Run, classes: tuple[str, ...], test: Half, taught: torch.Tensor) -> Iterator[str]:
    epoch, epochs = run.checkpoint.epoch, run.config.optimise.epochs
    if epoch < epochs:
        yield f"the run is not finished: checkpoint of epoch {epoch} of {epochs}"
    seen, known = set(np.concatenate([*test.labels.values()]).tolist()), set(taught.tolist())
    unknown = [classes[label] for label in sorted(seen - known - {NOTHING})]
    if unknown:
        yield f"no training window is mostly of {listed(unknown)}: never found"


def _written(
    run: Run, result: EvaluationResult, store: Store, *, several: bool, classifier: Kept | None
) -> EvaluationResult:
    """Write the result with the classifier beside it; returns the result as stored."""
    other = [] if store.hash == run.store.hash else [store.path.stem]
    stem = "-".join([PROTOCOL, *other, result.convention, *([result.encoder] if several else [])])
    content = None
    if classifier is not None:
        result = result.model_copy(update={"classifier": f"{stem}{heads.SUFFIX}"})
        card = classifier.card.model_copy(update={"test_top1": result.top1})
        content = heads.to_bytes(classifier.head, card)
    write_result(result, None, run.path / RESULTS / f"{stem}.json", classifier=content)
    return result
