"""Class scores of every test clip, and the files that store them.

``RUN/results/<stem>.npz`` is written beside ``<stem>.json`` and holds plain arrays: ``ids`` [N] unicode,
``labels`` [N] int64, ``scores`` [N, classes] float32, ``classes`` [classes] unicode and ``kind``. Ensembles,
confusion matrices and significance tests are computed from these files, without an encoder, a store or a GPU.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from schemas import SkelError
from schemas.parsing import refusing
from schemas.system import replacing
from trainer.evaluate.heads import Head

Kind = Literal["logits", "probabilities", "votes"]
"""``logits``: before a softmax. ``probabilities``: rows sum to one. ``votes``: not negative, with any row
sum."""

_SUM_TOLERANCE = 1e-3
"""How far the sum of a row of probabilities may be from one: float32 sums over some hundred classes."""


@dataclass(frozen=True)
class Scores:
    """A protocol's scores for the N clips of a test half; the first five fields are stored in the file."""

    ids: tuple[str, ...]
    """Ids of the N samples, as in the store, without duplicates."""
    labels: Tensor
    """[N] int64 on the CPU: position in ``classes``."""
    values: Tensor
    """[N, classes] float32, finite: the higher, the more likely."""
    classes: tuple[str, ...]
    kind: Kind = "logits"
    """What the values are; an ensemble converts them to probabilities accordingly."""

    protocol: str = ""
    name: str = ""
    """Name of these scores if a protocol returns several of one kind, e.g. ``semi-5``: the stem of their
    files. Empty: the protocol's own name."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the protocol, as plain JSON."""
    draws: tuple[Tensor, ...] = ()
    """Values of every random draw, for protocols that draw; ``values`` are those of the first. The result is
    the mean of their accuracies. Streams are fused draw by draw."""
    best_top1: float | None = None
    """Best test accuracy of any epoch, for display; the result is that of the last epoch."""
    details: dict[str, Any] = field(default_factory=dict)
    """Further content of the result, as plain JSON: curves, drawn ids, ..."""
    train_labels: Tensor | None = None
    """[N_train] int64 of the training clips; None if unknown."""

    head: Head | None = None
    """The classifier that the scores come from, for protocols that train one; the first of several draws."""

    encoder: str = ""
    """The encoder of the method that the scores are of; several are joined by ``+``."""
    stream: str = ""
    convention: str = ""
    origin: str = ""
    """Where the scores come from, for messages: a file."""
    seconds: float = 0.0
    """Duration of their computation from features or clips."""

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, chosen: Sequence[int]) -> Scores:
        """Only the ``chosen`` samples, in the given order."""
        index = torch.tensor(chosen, dtype=torch.int64)
        return replace(
            self,
            ids=tuple(self.ids[row] for row in chosen),
            labels=self.labels[index],
            values=self.values[index],
            draws=tuple(draw[index] for draw in self.draws),
        )


def probabilities(values: Tensor, kind: Kind) -> Tensor:
    """[N, classes] of any kind -> rows that sum to one; votes are divided by their sum, not exponentiated."""
    if kind == "logits":
        return values.softmax(dim=1)
    return values / values.sum(dim=1, keepdim=True)


def write_scores(scores: Scores, path: Path) -> None:
    """Write the file atomically; equal scores give equal bytes."""
    content = {
        "ids": np.array(scores.ids, dtype=np.str_),
        "labels": scores.labels.numpy().astype(np.int64),
        "scores": scores.values.numpy().astype(np.float32),
        "classes": np.array(scores.classes, dtype=np.str_),
        "kind": np.array(scores.kind),
    }
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **content)


def read_scores(path: Path) -> Scores:
    """Read the file, running no code in it; raises SkelError if it is absent, damaged or something else."""
    if not path.is_file():
        raise SkelError("no scores here", where=path, remedy=_AGAIN)
    # Opened here: numpy would leave a damaged archive open.
    with refusing(lambda why: _refused(path, why)), path.open("rb") as file:
        _check_stored(file)
        with np.load(file, allow_pickle=False) as archive:
            content = {name: archive[name] for name in ("ids", "labels", "scores", "classes", "kind")}
    _check(path, **content)
    return Scores(
        tuple(content["ids"].tolist()),
        torch.from_numpy(content["labels"]),
        torch.from_numpy(content["scores"]),
        tuple(content["classes"].tolist()),
        str(content["kind"]),  # type: ignore[arg-type]  # checked above
        origin=str(path),
    )


_AGAIN = "Write them with `trainer evaluate RUN --protocol ...`"


def _check(path: Path, *, ids: Any, labels: Any, scores: Any, classes: Any, kind: Any) -> None:
    """Raises SkelError unless the arrays are those of ``Scores``."""
    shapes = (ids.ndim, labels.shape, scores.shape, classes.ndim, kind.ndim)
    if shapes != (1, ids.shape, (*ids.shape, *classes.shape), 1, 0):
        raise _refused(
            path, f"ids {ids.shape}, labels {labels.shape}, scores {scores.shape} do not fit together"
        )
    types = tuple(array.dtype.kind for array in (ids, labels, scores, classes, kind))
    if types != ("U", "i", "f", "U", "U") or labels.dtype != np.int64 or scores.dtype != np.float32:
        raise _refused(path, f"labels are {labels.dtype}, scores {scores.dtype}, not int64 and float32")
    if str(kind) not in get_args(Kind):
        raise _refused(path, f"scores of kind '{kind}', not {', '.join(get_args(Kind))}")
    if len(set(ids.tolist())) != len(ids) or not len(ids):
        raise _refused(path, "no sample, or one of them twice")
    if labels.min() < 0 or labels.max() >= len(classes):
        raise _refused(path, f"a label is outside 0..{len(classes) - 1}")
    if not np.isfinite(scores).all():
        raise _refused(path, "a score is not finite")
    if str(kind) != "logits" and (scores.min() < 0 or (scores.sum(axis=1) <= 0).any()):
        raise _refused(path, f"{kind} are negative, or all zero in a row")
    if str(kind) == "probabilities" and np.abs(scores.sum(axis=1) - 1).max() > _SUM_TOLERANCE:
        raise _refused(path, "probabilities do not sum to one")


def _check_stored(file: IO[bytes]) -> None:
    """Raises ValueError for compressed arrays, which may be thousands of times as large as the file."""
    with zipfile.ZipFile(file) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("its arrays are packed, as `trainer evaluate` packs none")
    file.seek(0)


def _refused(path: Path, problem: str) -> SkelError:
    return SkelError(
        f"these are not scores of `trainer evaluate`, or they are damaged: {problem}",
        where=path,
        remedy=_AGAIN,
    )
