"""Results and scores made up, as an evaluation would leave them in a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from schemas import EvaluationResult
from tests.trainer.stores import CLASSES
from trainer.evaluate.results import write_result
from trainer.evaluate.scores import Kind, Scores


def scores(
    *,
    samples: int = 12,
    seed: int = 0,
    kind: Kind = "logits",
    classes: Sequence[str] = CLASSES,
    ids: Sequence[str] = (),
) -> Scores:
    """Random, and right more often than not. Labels follow from the number of the sample."""
    names = tuple(ids) or tuple(f"S{row:03}" for row in range(samples))
    labels = torch.tensor([int(name[1:]) % len(classes) for name in names])
    values = torch.randn(len(names), len(classes), generator=torch.Generator().manual_seed(seed))
    values[torch.arange(len(names)), labels] += 1
    if kind != "logits":
        values = values.softmax(dim=1)
    return Scores(names, labels, values, tuple(classes), kind)


def result(**changes: Any) -> EvaluationResult:
    values: dict[str, Any] = {
        "protocol": "linear", "settings": {}, "dataset": "toy", "synthetic": False, "store": "toy.zarr",
        "store_hash": "a", "split": "xview", "convention": "few_6", "stream": "joint", "encoder": "joint",
        "method": "aimclr", "checkpoint": "checkpoints/last.pt", "checkpoint_hash": "b", "epoch": 2,
        "epochs": 2, "train_samples": 20, "test_samples": 12, "top1": 0.5, "seconds": 0, "tool": "test",
    }  # fmt: skip
    return EvaluationResult(**(values | changes))


def write(run: Path, *, of: Scores | None = None, **changes: Any) -> Path:
    """A result of ``run`` and its scores; the path of its file."""
    made = result(**changes)
    stem = f"{made.figure}-{made.convention}" + (f"-{made.encoder}" if "encoder" in changes else "")
    path = run / "results" / f"{stem}.json"
    write_result(made.model_copy(update={"scores": f"{stem}.npz"}), of or scores(), path)
    return path
