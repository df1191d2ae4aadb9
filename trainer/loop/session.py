"""A training session: settings to a run folder, started fresh or continued."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml

from schemas import CheckpointError, ConfigError, RunConfig, UsageError
from trainer import checkpoint, logbook, optim
from trainer import device as devices
from trainer import store as stores
from trainer.checkpoint import LAST, Checkpoint
from trainer.evaluate import protocol_options
from trainer.evaluate.monitor import knn_monitor
from trainer.logbook import Logbook
from trainer.loop.signals import stop_signals
from trainer.loop.train import Ended, OnProgress, Run, save, train
from trainer.store import Samples, Store

_OURS = ("config.yaml", "metrics.jsonl", "checkpoints", "results", "tensorboard")


def pretrain(
    config: RunConfig,
    *,
    out: Path,
    resume: bool = False,
    force: bool = False,
    on_progress: OnProgress | None = None,
    on_load: Callable[[int, int], None] | None = None,
) -> Ended:
    """Trains a run in folder ``out``, from the start or, with ``resume``, from its last checkpoint.

    ``config`` must be resolved: a protocol and conventions are set. Everything is checked before the folder
    is touched. Raises UsageError for a folder in use, StoreError, CheckpointError and SkelError otherwise.
    """
    store, method, device = build(config)
    saved = _saved(out, store) if resume else None
    if saved is None:
        check_folder(out, force=force)
    else:
        checkpoint.load_weights(method, saved.model, where=out / LAST)
    method.to(device)
    samples = load_training_half(store, config, on_load=on_load).to(device)
    check = knn_monitor(method.encoders, store, config, device=device)
    if saved is None:
        _prepare_folder(out, config)
    with _open_log(out, config, saved) as log:
        told = {line["kind"] for line in logbook.read(out / "metrics.jsonl") if line["event"] == "warning"}
        optimiser = optim.sgd(method.parameters(), config.optimise)
        run = Run(out, config, store.hash, method, optimiser, samples, device, log, check=check, told=told)
        if saved is None:
            save(run)
        else:
            _restore(run, saved)
        with _untouched_global_rng(device), stop_signals() as stop:
            return train(run, stop=stop, on_progress=on_progress)


def build(config: RunConfig) -> tuple[Store, Any, torch.device]:
    """The store, the untrained method and the device of a run. Every setting has been checked behind it."""
    if config.runtime.tensorboard:
        logbook.require_tensorboard()
    protocol_options(config.evaluate, config.evaluate)
    device = devices.choose(config.runtime.device)
    store = stores.open_store(config.data.store)
    skeletons = stores.skeletons(store, config.data.conventions)
    return store, checkpoint.fresh_method(config, skeletons, seed=config.runtime.seed), device


def load_training_half(
    store: Store, config: RunConfig, *, on_load: Callable[[int, int], None] | None = None
) -> Samples:
    """The joints of the training half; bone and motion are derived after augmentation."""
    if config.data.protocol is None:
        raise UsageError("the run's data.protocol is not set", remedy="Resolve the settings first")
    return stores.load(
        store,
        protocol=config.data.protocol,
        part="train",
        conventions=config.data.conventions,
        frames=config.data.frames,
        on_progress=on_load,
    )


def check_folder(out: Path, *, force: bool) -> None:
    """Raises UsageError when ``out`` holds a run and ``force`` is off, or anything that is no run."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or not (out / "config.yaml").exists():
        raise UsageError("exists and is no run folder", where=out, remedy="Choose another --out")
    if not force:
        raise UsageError(
            "this run exists already",
            where=out,
            remedy="Continue it with --resume, replace it with --force, or choose another --out",
        )


def _prepare_folder(out: Path, config: RunConfig) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name in _OURS:
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    write_config(config, out)


def write_config(config: RunConfig, out: Path) -> None:
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    (out / "config.yaml").write_text(text, encoding="utf-8")


def _open_log(out: Path, config: RunConfig, saved: Checkpoint | None) -> Logbook:
    mirrors = (logbook.tensorboard(out / "tensorboard"),) if config.runtime.tensorboard else ()
    position = saved.log_position if saved else 0
    return logbook.open_logbook(out / "metrics.jsonl", position=position, mirrors=mirrors)


def _saved(out: Path, store: Store) -> Checkpoint:
    saved = checkpoint.load(out / LAST)
    checkpoint.check_store(
        saved, store, where=out, remedy="Resume with the run's own store, or start a new run with --out"
    )
    return saved


def _restore(run: Run, saved: Checkpoint) -> None:
    try:
        run.optimiser.load_state_dict(saved.optimiser)
    except ValueError as error:
        raise CheckpointError(f"the optimiser's state does not fit: {error}", where=run.folder) from error
    if saved.epoch > run.config.optimise.epochs:
        raise ConfigError(
            f"the run has done {saved.epoch} epochs already, found {run.config.optimise.epochs}",
            where="optimise.epochs",
            remedy="Ask for more, or evaluate the run as it is",
        )
    run.epoch, run.step = saved.epoch, saved.step
    run.meter.rows = list(saved.meter)
    write_config(run.config, run.folder)


@contextmanager
def _untouched_global_rng(device: torch.device) -> Iterator[None]:
    """Whatever training does to PyTorch's global generators is undone behind it."""
    with torch.random.fork_rng(devices=[device.index] if device.type == "cuda" else []):
        yield
