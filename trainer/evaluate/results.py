"""Results computed from scores: accuracies, their interval and notes for the reader; and their files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import stdev
from typing import Any

import torch

from schemas import EvaluationResult
from schemas.system import replacing
from trainer import __version__
from trainer.evaluate.features import Split
from trainer.evaluate.scores import Scores, write_scores
from trainer.evaluate.significance import bootstrap
from trainer.metrics import accuracy, confusion, per_class, ranks
from trainer.run import JOINED, RANDOM, Run

TOOL = f"trainer {__version__}"


def result_of(
    run: Run, scores: Scores, *, split: Split, untrained: bool, random_knn: float | None
) -> EvaluationResult:
    """The result of a run, without the name of a scores file; ``split``: the one whose halves were used."""
    config, manifest = run.config, split.store.manifest
    assert scores.train_labels is not None
    return EvaluationResult(
        protocol=scores.protocol,
        name=scores.name,
        settings=scores.settings,
        dataset=manifest.dataset,
        synthetic=manifest.synthetic,
        store=split.store.path.name,
        store_hash=split.store.hash,
        recipe=manifest.recipe.label,
        frames=config.data.frames,
        split=split.name,
        convention=scores.convention,
        stream=scores.stream,
        encoder=scores.encoder,
        method=config.method.name,
        checkpoint=RANDOM if untrained else str(run.checkpoint_file),
        checkpoint_hash="" if untrained else run.checkpoint_hash,
        preset=config.preset,
        epoch=0 if untrained else run.checkpoint.epoch,
        epochs=config.optimise.epochs,
        train_samples=len(scores.train_labels),
        draws=tuple(accuracy(each, scores.labels) for each in scores.draws),
        best_top1=scores.best_top1,
        random_knn=random_knn,
        details=scores.details,
        notes=tuple(_notes(run, scores, scores.train_labels, split, untrained=untrained)),
        seconds=scores.seconds,
        tool=TOOL,
        **accuracies(scores),
    )


def accuracies(scores: Scores) -> dict[str, Any]:
    """The fields of a result that follow from the scores alone."""
    values, labels = scores.values, scores.labels
    right = torch.stack([ranks(each, labels) == 0 for each in (values, *scores.draws[1:])]).double()
    single = per_class(values, labels, scores.classes)
    means = right.mean(dim=1).tolist()
    return {
        "test_samples": len(scores),
        "top1": float(right.mean()),
        "interval": bootstrap(right.mean(dim=0)),
        "std": stdev(means) if len(means) > 1 else None,
        "top5": accuracy(values, labels, top=5) if len(scores.classes) > 5 else None,
        "macro": sum(single.values()) / len(single),
        "per_class": single,
        "classes": scores.classes,
        "confusion": tuple(map(tuple, confusion(values, labels).tolist())),
        "scores_kind": scores.kind,
    }


def _notes(
    run: Run, scores: Scores, train_labels: torch.Tensor, split: Split, *, untrained: bool
) -> list[str]:
    """Notes for the reader: an unfinished run, other initial weights, classes and labels that are missing."""
    notes, epoch, epochs = [], run.checkpoint.epoch, run.config.optimise.epochs
    if untrained:
        notes.append("of random weights, not of the run's")
    elif run.epoch_file is not None:
        notes.append(f"of the kept checkpoint of epoch {epoch} of {epochs}")
    elif epoch < epochs:
        notes.append(f"the run is not finished: checkpoint of epoch {epoch} of {epochs}")
    init = scores.settings.get("init_from")
    if init:
        notes.append(f"started from {init['path']}, not from the run's weights")
    notes += scores.details.get("notes", ())
    tested, taught = set(scores.labels.tolist()), set(train_labels.tolist())
    untested = [name for label, name in enumerate(scores.classes) if label not in tested]
    untaught = [name for label, name in enumerate(scores.classes) if label in tested - taught]
    if untested:
        notes.append(f"no test sample of {listed(untested)}: not among the classes, not in the macro mean")
    if untaught:
        notes.append(f"no training sample of {listed(untaught)}: its test samples count as wrong")
    conventions = scores.convention.split(JOINED)
    train, test = (split.unlabelled(part, conventions) for part in ("train", "test"))
    if train + test:
        notes.append(f"without a label and left out: {train} training and {test} test samples")
    return notes


def listed(names: list[str]) -> str:
    """At most three classes: ``wave, kick, jump and 7 more classes``."""
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more classes" if more > 0 else "")


def ensemble_result(
    results: Sequence[EvaluationResult], settings: dict[str, Any], scores: Scores, *, seconds: float
) -> EvaluationResult:
    """The result of several results' combined scores: shared fields, or all values joined by ``+``."""
    first = results[0]
    hashes = "".join(result.checkpoint_hash for result in results)
    shared = (
        "dataset",
        "store",
        "store_hash",
        "recipe",
        "split",
        "convention",
        "stream",
        "encoder",
        "method",
    )
    return EvaluationResult(
        protocol="ensemble",
        settings=settings,
        synthetic=any(result.synthetic for result in results),
        frames=first.frames if len({result.frames for result in results}) == 1 else None,
        checkpoint=f"{len(results)} results",
        checkpoint_hash=hashlib.sha256(hashes.encode()).hexdigest(),
        epoch=min(result.epoch for result in results),
        epochs=first.epochs if len({result.epochs for result in results}) == 1 else None,
        train_samples=min(result.train_samples for result in results),
        notes=tuple(dict.fromkeys(note for result in results for note in result.notes)),
        seconds=seconds,
        tool=TOOL,
        **{name: _joined(getattr(result, name) for result in results) for name in (*shared, "preset")},
        **accuracies(scores),
    )


def _joined(names: Iterable[str]) -> str:
    return JOINED.join(dict.fromkeys(names))


def write_result(
    result: EvaluationResult, scores: Scores | None, path: Path, *, classifier: bytes | None = None
) -> None:
    """Write ``path`` and, beside it under the names in the result, scores and a classifier's content if any.

    All files are written before the first one gets its name, ``path`` last: a full disk leaves the previous
    files, and no result stands beside scores that are not its own.
    """
    with replacing(path) as last, ExitStack() as beside:
        last.write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if classifier is not None:
            assert result.classifier is not None
            beside.enter_context(replacing(path.with_name(result.classifier))).write_bytes(classifier)
        if scores is not None:
            assert result.scores is not None
            write_scores(scores, beside.enter_context(replacing(path.with_name(result.scores))))
        path.unlink(missing_ok=True)
