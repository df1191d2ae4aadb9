"""From scores to a result: accuracies, their interval, and what a reader must know about them."""

from __future__ import annotations

from statistics import stdev
from typing import Any

import torch

from schemas import EvaluationResult
from trainer import __version__
from trainer.checkpoint import LAST
from trainer.evaluate.measure import Figure
from trainer.evaluate.occasion import Occasion
from trainer.evaluate.outcome import Outcome
from trainer.evaluate.scores import Scores
from trainer.evaluate.significance import bootstrap
from trainer.metrics import accuracy, confusion, per_class, ranks


def scores_of(figure: Figure) -> Scores:
    """As they go to disk."""
    classes = figure.ground.store.manifest.classes
    return Scores(figure.ids, figure.labels, figure.outcome.scores.float(), classes, figure.outcome.kind)


def result_of(occasion: Occasion, figure: Figure) -> EvaluationResult:
    """The result of a run's figure, without the name of a file of scores."""
    saved, outcome, manifest = occasion.saved, figure.outcome, figure.ground.store.manifest
    untrained = not occasion.checkpoint_hash
    scores = scores_of(figure)
    drawn = [scores.values, *outcome.draws[1:]]
    return EvaluationResult(
        protocol=outcome.protocol,
        name=outcome.name,
        settings=outcome.settings,
        dataset=manifest.dataset,
        synthetic=manifest.synthetic,
        store=figure.ground.store.path.name,
        store_hash=figure.ground.store.hash,
        recipe=manifest.recipe.label,
        frames=saved.config.data.frames,
        split=figure.ground.split,
        convention=figure.convention,
        stream=figure.stream,
        encoder=figure.encoder,
        method=saved.config.method.name,
        checkpoint="random weights" if untrained else str(LAST),
        checkpoint_hash=occasion.checkpoint_hash,
        preset=saved.config.preset,
        epoch=0 if untrained else saved.epoch,
        epochs=saved.config.optimise.epochs,
        train_samples=len(figure.train_labels),
        draws=tuple(accuracy(each, scores.labels) for each in outcome.draws),
        best_top1=outcome.best_top1,
        random_knn=figure.random_knn,
        details=outcome.details,
        notes=(*_unfinished(occasion), *_started(outcome), *_absent(scores, figure)),
        seconds=figure.seconds,
        tool=f"trainer {__version__}",
        **accuracies(scores, drawn),
    )


def accuracies(scores: Scores, drawn: list[torch.Tensor] | None = None) -> dict[str, Any]:
    """The fields of a result that follow from scores; ``drawn``: those of every draw, the first included."""
    values, labels = scores.values, scores.labels
    right = torch.stack([ranks(each, labels) == 0 for each in drawn or [values]]).double()
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


def _unfinished(occasion: Occasion) -> list[str]:
    epoch, epochs = occasion.saved.epoch, occasion.saved.config.optimise.epochs
    if not occasion.checkpoint_hash or epoch >= epochs:
        return []
    return [f"the run is not finished: checkpoint of epoch {epoch} of {epochs}"]


def _started(outcome: Outcome) -> list[str]:
    init = outcome.settings.get("init_from")
    return [f"started from {init['path']}, not from the run's weights"] if init else []


def _absent(scores: Scores, figure: Figure) -> list[str]:
    """Classes that one of the halves lacks."""
    classes, notes = range(len(scores.classes)), []
    tested, taught = set(scores.labels.tolist()), set(figure.train_labels.tolist())
    untested = [scores.classes[k] for k in classes if k not in tested]
    untaught = [scores.classes[k] for k in classes if k in tested and k not in taught]
    if untested:
        notes.append(f"no test sample of {_named(untested)}: not among the classes, not in the macro mean")
    if untaught:
        notes.append(f"no training sample of {_named(untaught)}: its test samples count as wrong")
    return notes


def _named(names: list[str]) -> str:
    """``wave, kick and 7 more classes``"""
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more classes" if more > 0 else "")
