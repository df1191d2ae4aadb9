"""Runs that train in well under a second: a store, a two-block encoder, a short queue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from schemas import EvaluationResult, RunConfig
from trainer import config
from trainer import store as stores
from trainer.config import Override
from trainer.run import open_run

TINY: dict[str, Any] = {
    "data.frames": 12,
    "encoder.options.channels": [4, 8],
    "encoder.options.stride_blocks": [2],
    "optimise.epochs": 2,
    "optimise.batch_size": 4,
    "runtime.device": "cpu",
    "runtime.log_every": 2,
    "runtime.knn_every": 0,
}

TINY_PARTS: dict[str, dict[str, Any]] = {
    "isc": {
        "encoder.options": {"units": 4, "layers": 1},
        "method.options.representations.graph.options": {"channels": [4, 8], "stride_blocks": [2]},
    },
    "masked": {"encoder.options.dim": 8, "encoder.options.layers": 1, "encoder.options.heads": 2},
    "nn-tune": {"encoder.options.dim": 8, "encoder.options.layers": 2, "encoder.options.heads": 2},
}
"""For methods whose encoder is another one than ST-GCN: in the place of ``encoder.*`` above."""

WITHOUT_QUEUE = {
    "decorrelate": {"method.options.dim": 8, "method.options.hidden": 8},
    "masked": {"method.options.layers": 1, "method.options.width": 8, "method.options.heads": 2},
}
"""What makes a method without a queue small."""


def tiny_config(store: Path, *, method: str = "skeletonclr", **changes: Any) -> RunConfig:
    """The first preset, the paper's, made tiny; ``changes`` are dotted paths with ``__`` for the dots."""
    queue = "method.options.base.options.queue" if method == "ms-clr" else "method.options.queue"
    values = TINY | WITHOUT_QUEUE.get(method, {queue: 16})
    if method in TINY_PARTS:
        values = {path: value for path, value in values.items() if not path.startswith("encoder.")}
        values |= TINY_PARTS[method]
    values |= {name.replace("__", "."): value for name, value in changes.items()}
    overrides = [Override(path, value) for path, value in values.items()]
    preset = config.preset_names(method)[0] if method in config.preset_methods() else None
    opened = stores.open_store(store)
    return config.resolve(opened, method=method, preset=preset, overrides=overrides).config


def tiny_arguments(**changes: Any) -> list[str]:
    """The same as ``--set`` arguments, for method skeletonclr."""
    values = TINY | {"method.options.queue": 16}
    values |= {name.replace("__", "."): value for name, value in changes.items()}
    return [part for path, value in values.items() for part in ("--set", f"{path}={value}")]


def evaluate_run(
    run: Path,
    *,
    protocols: Sequence[str] = (),
    store: Path | None = None,
    device: str = "auto",
    unfinished: bool = False,
    **more: Any,
) -> list[EvaluationResult]:
    """As ``trainer evaluate``; ``more`` as for ``Run.evaluate``."""
    return open_run(run, store=store, device=device, unfinished=unfinished).evaluate(*protocols, **more)
