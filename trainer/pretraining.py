"""``trainer.pretrain``: a training from Python, with the settings of the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer import config as settings_of
from trainer import loop, start
from trainer.config import Override
from trainer.loop import Progress
from trainer.run import Run, open_run
from trainer.store import open_store


def pretrain(
    store: str | Path,
    *,
    method: str,
    out: str | Path,
    preset: str | None = None,
    base: str | None = None,
    split: str | None = None,
    conventions: Sequence[str] | None = None,
    stream: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    settings: Mapping[str, Any] | None = None,
    init_from: str | Path | None = None,
    init_skip: Sequence[str] = (),
    force: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Run:
    """Train an encoder without labels in the run folder ``out``, and open the run.

    What is None comes from the preset, which the store chooses where ``preset`` is None. ``settings`` are
    those of ``--set``, by dotted path: ``{"optimise.lr": 0.05}``. ``force`` replaces an earlier run. Raises
    what ``trainer pretrain`` says: UsageError, ConfigError, StoreError, CheckpointError.
    """
    named = {
        "data.split": split,
        "data.conventions": None if conventions is None else list(conventions),
        "data.stream": stream,
        "optimise.epochs": epochs,
        "optimise.batch_size": batch_size,
        "runtime.seed": seed,
        "runtime.device": device,
    }
    given = {**(settings or {}), **{path: value for path, value in named.items() if value is not None}}
    overrides = [Override(path, value, path) for path, value in given.items()]
    if init_from is not None:
        init = start.describe(Path(init_from), skip=tuple(init_skip)).model_dump(mode="json")
        overrides += [Override(f"init_from.{key}", value, "init_from") for key, value in init.items()]
    resolved = settings_of.resolve(
        open_store(store), method=method, preset=preset, base=base, overrides=overrides
    )
    loop.pretrain(resolved.config, out=Path(out), force=force, on_progress=on_progress)
    return open_run(Path(out), device=resolved.config.runtime.device)
