"""``trainer.pretrain``: pre-training from Python, with the settings of the command line."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from schemas import RunConfig, UsageError, checks_arguments
from schemas.places import Place
from trainer import checkpoint, loop, methods, start
from trainer import config as settings_of
from trainer.config import Override
from trainer.loop import Progress
from trainer.run import Run, open_run
from trainer.store import open_store

_LOG = logging.getLogger("trainer")


@checks_arguments
def pretrain(
    store: str | Path | Sequence[str | Path] | None = None,
    *,
    store_weights: Sequence[float] | None = None,
    method: str | None = None,
    out: str | Path,
    preset: str | None = None,
    base: str | None = None,
    config: str | Path | None = None,
    split: str | None = None,
    conventions: Sequence[str] | None = None,
    stream: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    accumulate: int | None = None,
    precision: str | None = None,
    compile: bool | None = None,
    seed: int | None = None,
    device: str | None = None,
    settings: Mapping[str, Any] | None = None,
    init_from: str | Path | None = None,
    init_skip: Sequence[str] = (),
    resume: bool | Literal["auto"] = False,
    force: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Run:
    """Train an encoder without labels in the run folder ``out``, and open the run.

    ``store``: one store, or several that train one encoder; ``store_weights`` divides the steps among them.

    The arguments are the options of ``trainer pretrain``. Those that are None come from ``config``, a YAML
    file, and then from the preset, which is chosen by the store where ``preset`` is None. ``settings`` are
    those of ``--set``, by dotted path or nested: ``{"optimise.lr": 0.05}`` or ``{"optimise": {"lr": 0.05}}``.
    ``resume`` continues the run in ``out``, which then needs neither store nor method; ``auto`` starts it if
    there is no checkpoint. ``force`` replaces it. ``on_progress`` is called after every step.

    Notes that the command prints on the settings before it starts, e.g. those for a store of few clips, go to
    the logger ``trainer``; without ``on_progress``, so do warnings.

    Ctrl-C saves everything and raises KeyboardInterrupt; ``resume`` continues from there. Raises the errors
    that ``trainer pretrain`` reports: UsageError, ConfigError, StoreError, CheckpointError.
    """
    given = {
        "data.weights": None if store_weights is None else list(store_weights),
        "data.split": split,
        "data.stream": stream,
        "data.conventions": None if conventions is None else list(conventions),
        "optimise.epochs": epochs,
        "optimise.batch_size": batch_size,
        "optimise.accumulate": accumulate,
        "runtime.precision": precision,
        "runtime.compile": compile,
        "runtime.seed": seed,
        "runtime.device": device,
    }
    overrides = [Override(path, value, "settings") for path, value in _flat(settings or {})]
    overrides += [
        Override(path, value, path.rpartition(".")[2]) for path, value in given.items() if value is not None
    ]
    overrides += _init(init_from, init_skip)
    named: dict[str, Any] = {"method": method, "preset": preset, "base": base}
    named["file"] = None if config is None else Path(config)
    resume, force = loop.resumes(Path(out), resume, force=force)
    paths = [Place(store)] if isinstance(store, str | Path) else [Place(each) for each in store or ()]
    if resume:
        saved = checkpoint.load(Path(out) / checkpoint.LAST).config
        resolved = settings_of.resume(saved, store=paths, **named, overrides=overrides)
    elif not paths:
        raise UsageError("pretrain() needs a store", remedy="Make one with skeltools.convert")
    else:
        first, *others = map(open_store, paths)
        resolved = settings_of.resolve(first, more=others, **named, overrides=overrides)
    for note in (*_unreached(resolved.config), *resolved.notes):
        _LOG.warning("note: %s", note)
    listener = on_progress or _warn
    ended = loop.pretrain(resolved.config, out=Path(out), resume=resume, force=force, on_progress=listener)
    if ended.signal == signal.SIGINT:
        raise KeyboardInterrupt(f"everything is saved; go on with trainer.pretrain(out='{out}', resume=True)")
    if ended.signal is not None:
        raise SystemExit(128 + ended.signal)
    return open_run(Path(out), device=resolved.config.runtime.device)


def _unreached(config: RunConfig) -> list[str]:
    return settings_of.unreached(methods.stages(config.method), config.optimise.epochs)


def _warn(progress: Progress) -> None:
    for text in progress.warnings:
        _LOG.warning("warning: %s", text)


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, value) of all leaves; ``name`` comes first because setting it drops old options."""
    for key, value in sorted(settings.items(), key=lambda item: item[0] != "name"):
        path = f"{above}.{key}" if above else str(key)
        if isinstance(value, Mapping) and value:
            yield from _flat(value, path)
        else:
            yield path, value


def _init(init_from: str | Path | None, init_skip: Sequence[str]) -> list[Override]:
    if init_from is None:
        if init_skip:
            raise UsageError("there are no weights to leave out", where="init_skip", remedy="Add init_from")
        return []
    init = start.describe(Path(init_from), skip=tuple(init_skip)).model_dump(mode="json")
    return [Override(f"init_from.{key}", value, "init_from") for key, value in init.items()]
