"""Run the command lines as a user would, and collect what they report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

TRAINER = ("-c", "from trainer.cli import main; main()")
SKELTOOLS = ("-c", "from skeltools.cli import main; main()")


def command(program: tuple[str, ...], *arguments: object, folder: Path) -> tuple[str, float]:
    """Standard output and seconds of one command; its stderr is passed through."""
    environment = {"GOMP_SPINCOUNT": "10000", **os.environ}
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *program, *map(str, arguments)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout, time.perf_counter() - begin


def pretrain_and_probe(
    folder: Path, store: Path, method: str, *, seed: int, options: Sequence[str] = ()
) -> dict[str, Any]:
    """Pre-train and evaluate one run: accuracies in percent, and seconds of pre-training."""
    out = folder / f"{method}-{seed}"
    _, seconds = command(
        TRAINER, "pretrain", "--store", store, "--method", method, "--seed", seed, "--out", out, *options,
        folder=folder,
    )  # fmt: skip
    return {"seed": seed, "seconds": round(seconds, 1), **probe(folder, out)}


def probe(folder: Path, run: Path, *options: str) -> dict[str, Any]:
    """kNN and linear evaluation of a run, in percent."""
    text, _ = command(
        TRAINER, "evaluate", run, "--protocol", "knn", "--protocol", "linear", "--json", *options,
        folder=folder,
    )  # fmt: skip
    results = {result["protocol"]: result for result in json.loads(text)}
    figures = {name: round(100 * result["top1"], 1) for name, result in results.items()}
    return {
        **figures,
        "linear_settings": results["linear"]["settings"],
        "random_knn": _percent(results["knn"]),
    }


def _percent(result: dict[str, Any]) -> float | None:
    random = result["random_knn"]
    return None if random is None else round(100 * random, 1)


def spread(rows: Sequence[dict[str, Any]], key: str) -> dict[str, float]:
    """Mean and, for two or more rows, sample standard deviation."""
    values = [row[key] for row in rows]
    return {"mean": round(mean(values), 1)} | ({"std": round(stdev(values), 1)} if len(values) > 1 else {})
