"""Several runs together, from what their evaluations left on disk: ensembles and comparisons."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from schemas import EvaluationResult, SkelError
from trainer import __version__
from trainer.evaluate.ensemble import Member, aligned, combined
from trainer.evaluate.fusion import JOINED
from trainer.evaluate.results import Found
from trainer.evaluate.scores import Scores
from trainer.evaluate.significance import McNemar, mcnemar
from trainer.evaluate.verdict import accuracies
from trainer.metrics import ranks


def ensemble_of(
    found: Sequence[Found],
    *,
    weights: Mapping[str, float],
    scores: Literal["softmax", "logits"] = "softmax",
    common: bool = False,
) -> tuple[EvaluationResult, Scores]:
    """The results as one: streams weighted by name, then the mean over conventions.

    ``common``: on the samples that all have. Raises SkelError for fewer than two results, and as
    ``ensemble.combined``.
    """
    started = time.perf_counter()
    if len(found) < 2:
        raise SkelError(
            "an ensemble needs two results or more, this is one",
            where=found[0].path,
            remedy="Name more runs, or evaluate this one in more streams or conventions (--convention all)",
        )
    _check_same_figure(found)
    members = aligned([_member(each) for each in found], common=common)
    together = combined(members, weights=weights, scores=scores)
    results = [each.result for each in found]
    settings = {
        "of": _all_of(each.figure for each in results),
        "scores": scores,
        "weights": {stream: weights.get(stream, 1.0) for stream in sorted({m.stream for m in members})},
        "members": [_described(each) for each in found],
    }
    return _result(results, settings, together, time.perf_counter() - started), together


def _check_same_figure(found: Sequence[Found]) -> None:
    """Draws of different shares of labels, say, are no members of one ensemble."""
    for other in found[1:]:
        if other.result.figure != found[0].result.figure:
            raise SkelError(
                f"this is a result of {other.result.figure}, {found[0].path} of {found[0].result.figure}",
                where=other.path,
                remedy="Name one of them with --protocol",
            )


def _member(found: Found) -> Member:
    return Member(str(found.path), found.result.stream, found.result.convention, found.scores())


def _described(found: Found) -> dict[str, Any]:
    """Enough to find a member again."""
    keys = ("method", "convention", "encoder", "stream", "epoch", "checkpoint_hash", "top1")
    return {"file": f"{found.path.parent.parent.name}/{found.path.stem}"} | found.result.model_dump(
        include=set(keys)
    )


def _result(
    results: Sequence[EvaluationResult], settings: dict[str, Any], scores: Scores, seconds: float
) -> EvaluationResult:
    first = results[0]
    hashes = "".join(result.checkpoint_hash for result in results)
    epochs = {result.epochs for result in results}
    return EvaluationResult(
        protocol="ensemble",
        settings=settings,
        dataset=_all_of(result.dataset for result in results),
        synthetic=any(result.synthetic for result in results),
        store=_all_of(result.store for result in results),
        store_hash=_all_of(result.store_hash for result in results),
        recipe=_all_of(result.recipe for result in results),
        frames=first.frames if len({result.frames for result in results}) == 1 else None,
        split=_all_of(result.split for result in results),
        convention=_all_of(result.convention for result in results),
        stream=_all_of(result.stream for result in results),
        encoder=_all_of(result.encoder for result in results),
        method=_all_of(result.method for result in results),
        checkpoint=f"{len(results)} results",
        checkpoint_hash=hashlib.sha256(hashes.encode()).hexdigest(),
        preset=_all_of(result.preset for result in results),
        epoch=min(result.epoch for result in results),
        epochs=first.epochs if len(epochs) == 1 else None,
        train_samples=min(result.train_samples for result in results),
        notes=tuple(dict.fromkeys(note for result in results for note in result.notes)),
        seconds=seconds,
        tool=f"trainer {__version__}",
        **accuracies(scores),
    )


def _all_of(names: Iterable[str]) -> str:
    return JOINED.join(dict.fromkeys(names))


def only(found: Sequence[Found], *, where: Path) -> Found:
    """The one result. Of several encoders or conventions that of all together, when there is one.

    Raises SkelError that names the others.
    """
    if len(found) == 1:
        return found[0]
    widest = max(_parts(each) for each in found)
    together = [each for each in found if _parts(each) == widest]
    if widest > 2 and len(together) == 1:
        return together[0]
    raise SkelError(
        f"several results fit: {', '.join(each.path.stem for each in found)}",
        where=where,
        remedy="Choose with --protocol, --convention and --encoder, or name the result's .json file",
    )


def _parts(found: Found) -> int:
    return len(found.result.convention.split(JOINED)) + len(found.result.encoder.split(JOINED))


def compare(first: Found, second: Found) -> McNemar:
    """McNemar's test of two results on the same samples. Raises as ``ensemble.aligned``."""
    one, two = aligned([_member(first), _member(second)])
    right = [ranks(member.scores.values, member.scores.labels) == 0 for member in (one, two)]
    return mcnemar(*right)
