"""Run folders for tests of the report: settings, log and results written by hand, nothing trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from schemas import EvaluationResult
from tests.trainer.runs import tiny_config
from tests.trainer.stores import CLASSES
from trainer.loop.session import write_config

CONFUSION = ((4, 1, 0), (0, 5, 0), (2, 0, 3))
"""Three classes of five test samples: 12 of 15 are right."""


def result(**changes: Any) -> EvaluationResult:
    """A linear evaluation with ``CONFUSION``; ``per_class`` and ``top1`` follow from the confusion given."""
    counts = changes.pop("confusion", CONFUSION)
    right = {name: counts[row][row] / sum(counts[row]) for row, name in enumerate(CLASSES)}
    values: dict[str, Any] = {
        "protocol": "linear",
        "settings": {"epochs": 100, "lr": 3.0},
        "dataset": "toy",
        "synthetic": False,
        "store": "toy.zarr",
        "store_hash": "5" * 64,
        "recipe": "crossclr",
        "frames": 50,
        "split": "xview",
        "convention": "few_6",
        "stream": "joint",
        "encoder": "joint",
        "method": "skeletonclr",
        "checkpoint": "checkpoints/last.pt",
        "checkpoint_hash": "",
        "epoch": 4,
        "train_samples": 21,
        "test_samples": sum(map(sum, counts)),
        "top1": sum(counts[row][row] for row in range(3)) / sum(map(sum, counts)),
        "interval": (0.6, 0.93),
        "macro": sum(right.values()) / 3,
        "per_class": right,
        "classes": CLASSES,
        "confusion": counts,
        "best_top1": 0.875,
        "random_knn": 0.375,
        "seconds": 1.0,
        "tool": "test",
    }
    return EvaluationResult.model_validate(values | changes)


def epoch(number: int, **metrics: Any) -> dict[str, Any]:
    """A line of the log as a method with easy and hard pairs writes it."""
    values = {
        "loss": 5.0 / number,
        "info_nce": 3.0 / number,
        "mix": 2.0 / number,
        "positive": 1 - 0.5 / number,
        "negative": 0.1 / number,
        "trimmed": 0.5,
        "feature_std": 0.8,
        "queue_age": 0.25,
        "query_key_distance": 0.1,
    }
    place = {"event": "epoch", "epoch": number, "step": 5, "stage": 1, "stage_name": "contrast", "lr": 0.1}
    return {**place, **values, **metrics}


def write_run(
    folder: Path,
    store: Path,
    *,
    results: Sequence[EvaluationResult] = (),
    log: Sequence[dict[str, Any]] | None = None,
    **changes: Any,
) -> Path:
    """A run of four epochs without a checkpoint; ``changes`` as for ``tiny_config``."""
    folder.mkdir(parents=True)
    write_config(tiny_config(store, **{"optimise__epochs": 4, **changes}), folder)
    lines = [epoch(number) for number in range(1, 5)] if log is None else log
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "results").mkdir()
    for each in results:
        name = f"{each.name or each.protocol}-{each.convention}.json"
        (folder / "results" / name).write_text(each.model_dump_json())
    return folder
