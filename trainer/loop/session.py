"""A training session: from settings to a run folder, started fresh or continued."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import torch
import yaml

from schemas import CheckpointError, ConfigError, DataConfig, RunConfig, StoreError, UsageError
from schemas.locks import locked
from schemas.system import replacing
from trainer import batch_norm, checkpoint, data, distributed, few, logbook, loggers, methods, optim, start
from trainer import device as devices
from trainer import store as stores
from trainer.checkpoint import LAST, Checkpoint
from trainer.data import Source, Training
from trainer.evaluate import protocol_options
from trainer.evaluate.features import stream_of
from trainer.evaluate.monitor import Monitor, feature_monitor, why_none
from trainer.logbook import Logbook
from trainer.loop.compiled import compile_method
from trainer.loop.profile import WARM_UP, Profiler
from trainer.loop.signals import stop_signals
from trainer.loop.train import Ended, OnProgress, Run, save, train
from trainer.methods import Method
from trainer.store import Selection, Store

LOCK = ".training"
"""Lock file in a run folder: only one process, or one group of processes, writes to it at a time."""
_OURS = (
    "checkpoints",
    "metrics.jsonl",
    "results",
    "untrained",
    "profile",
    loggers.TENSORBOARD,
    loggers.NAMED,
    "config.yaml",  # last: without it the folder would not count as a run folder, and --force would refuse
)
_CPU = torch.device("cpu")


@distributed.processes()
def pretrain(
    config: RunConfig,
    *,
    out: Path,
    resume: bool = False,
    force: bool = False,
    profile: int | None = None,
    on_progress: OnProgress | None = None,
    on_load: Callable[[int, int], None] | None = None,
) -> Ended:
    """Train a run in folder ``out``, from the start or, with ``resume``, from its last checkpoint.

    With ``profile``, only that many steps, after a few for warm-up, are trained and profiled. With several
    processes, each calls this; the first one writes the folder, which must be visible to all of them.

    ``config`` must be resolved: a split and conventions are set. Everything is checked before the folder
    is touched. Raises UsageError for a folder in use, StoreError, CheckpointError and SkelError otherwise.
    """
    saved = _saved(out, config) if resume else None
    opened, method, device = build(config, initial=not resume)
    _check_lengths(opened, method, config)
    if saved is None:
        check_folder(out, force=force)
    else:
        checkpoint.load_weights(method, saved.model, where=out / LAST)
    _prepare_networks(method, config, device=device)
    samples = load_training(opened, config, device=device, on_load=on_load)
    batch_size = _smallest_batch(samples, config)
    distributed.check_parts(batch_size, config.optimise.accumulate)
    check: Monitor = dict
    if distributed.is_main():
        held = data.held_bytes(samples)
        check = feature_monitor(method.encoders, opened[0], config, device=device, held=held)
    optimiser = optim.of_method(method, config.optimise)
    if profile is not None:
        _check_profile(profile, config, samples, saved)
    distributed.wait()  # until all processes have checked the folder
    alone = locked(out / LOCK, what=out) if distributed.is_main() else nullcontext()
    with alone, _open_log(out, config, saved, force=force) as log:
        own, *others = (store.hash for store in opened)
        run = Run(out, config, own, method, optimiser, samples, device, log, check=check, more_hashes=others)
        if distributed.is_main():
            run.alarm_kinds = _alarm_kinds(out)
        run.warnings += _notes(run, opened, batch_size)
        if saved is None:
            run.warnings += _note_of_start(run, opened)
            save(run)
        else:
            _restore(run, saved)
        profiler = Profiler(profile, folder=out, device=device) if profile is not None else None
        # Training leaves PyTorch's global generators as they were.
        same_draws = torch.random.fork_rng(devices=[device.index] if device.type == "cuda" else [])
        with same_draws, stop_signals() as stop, profiler or nullcontext():
            return train(run, stop=stop, on_progress=on_progress, profiler=profiler)


def build(config: RunConfig, *, initial: bool = True) -> tuple[list[Store], Method, torch.device]:
    """The stores, the untrained method and the device of a run; it checks every setting.

    The method has the weights of ``init_from``; random ones without it or when ``initial`` is off.
    """
    if config.runtime.log is not None:
        loggers.require(config.runtime.log)
    protocol_options(config.evaluate, config.evaluate)
    device = devices.choose(distributed.local_device(config.runtime.device))
    parts = data.parts_of(config.data)
    opened = [stores.open_store(part.store) for part in parts]
    conventions = [part.conventions for part in parts]
    skeletons = stores.skeletons_of(list(zip(opened, conventions, strict=True)))
    methods.pairings(config.method, config.data)
    method = checkpoint.fresh_method(config, skeletons, seed=config.runtime.seed)
    if initial and config.init_from is not None:
        start.initialise(method, config.init_from)
        start.check_kind(config.init_from, opened[0], conventions[0][0])
    return opened, method, device


def _check_lengths(opened: Sequence[Store], method: Method, config: RunConfig) -> None:
    """Raises StoreError for a store without clips of the run's number of frames.

    The error names the command that adds all the streams needed for training and evaluation, and the lengths
    that the store has.
    """
    streams = dict.fromkeys(stream_of(name, config.data) for name in method.encoders)
    flags = [f"--{stream}" for stream in streams if stream != "joint"]
    for store, part in zip(opened, data.parts_of(config.data), strict=True):
        for name in part.conventions:
            try:
                stores.check_stream(store, name, frames=part.frames, stream="joint")
            except StoreError as error:
                command = ["skeltools", "streams", str(store.path), *flags, "--frames", str(part.frames)]
                remedy = f"Add it with `{' '.join(command)}`"
                known = " or ".join(map(str, stores.lengths_of(store, part.conventions)))
                remedy += f", or train on what is there: --set data.frames={known}" if known else ""
                raise StoreError(error.message, where=error.where, remedy=remedy) from error


def _prepare_networks(method: Method, config: RunConfig, *, device: torch.device) -> None:
    """Move the method to the device, with the run's BatchNorm and compilation; weights keep their names."""
    method.to(device)
    if device.type == "cuda" and distributed.size() > 1:
        torch.cuda.set_device(device)  # NCCL uses the current device
    if config.runtime.batch_norm == "sync" and distributed.size() > 1:
        method.join_batch_norm()
    if config.runtime.compile:
        compile_method(method, config.runtime, device=device)


def load_training_half(
    store: Store,
    config: RunConfig,
    *,
    device: torch.device = _CPU,
    on_load: Callable[[int, int], None] | None = None,
) -> Source:
    """Load the joints of the training half; bone and motion are derived after augmentation."""
    selection = _training_half(store, config.data)
    limit = config.data.memory_limit
    return data.load(selection, device=device, memory_limit=limit, on_progress=on_load)


def load_training(
    opened: Sequence[Store],
    config: RunConfig,
    *,
    device: torch.device = _CPU,
    on_load: Callable[[int, int], None] | None = None,
) -> Training:
    """Load the training halves of all stores of the run; for one store, like ``load_training_half``."""
    if len(opened) == 1:
        return load_training_half(opened[0], config, device=device, on_load=on_load)
    return data.together(
        [_training_half(*each) for each in zip(opened, data.parts_of(config.data), strict=True)],
        methods.pairings(config.method, config.data),
        weights=config.data.weights,
        device=device,
        memory_limit=config.data.memory_limit,
        on_progress=on_load,
    )


def _training_half(store: Store, part: DataConfig) -> Selection:
    """Select a store's training half; ``part`` holds the data settings of this store."""
    if part.split is None:
        raise UsageError("the run's data.split is not set", remedy="Resolve the settings first")
    return stores.select(
        store,
        split=part.split,
        part="train",
        conventions=part.conventions,
        frames=part.frames,
        bodies=part.bodies,
    )


def _smallest_batch(samples: Training, config: RunConfig) -> int:
    """Number of clips in a step; with several stores, in a step of the smallest store."""
    sources = samples.sources if isinstance(samples, data.Together) else (samples,)
    return min(config.optimise.batch_size, *map(len, sources))


def resumes(out: Path, asked: bool | str, *, force: bool) -> tuple[bool, bool]:
    """Whether a run continues, and whether the content of ``out`` is replaced.

    ``auto``, for jobs that are restarted automatically, continues if there is a checkpoint; a run that was
    stopped before its first checkpoint starts again.
    """
    if asked != "auto":
        return bool(asked), force
    there = (out / LAST).is_file()
    return there, force or not there


def _is_left(path: Path) -> bool:
    """Whether the file is one left by a training that was killed before it had written its settings."""
    return path.name == LOCK or path.name.startswith(".config.yaml.partial-")


def check_folder(out: Path, *, force: bool) -> None:
    """Raises UsageError when ``out`` holds a run and ``force`` is off, or anything that is not a run."""
    if not out.exists() or (out.is_dir() and all(_is_left(path) for path in out.iterdir())):
        return
    if not out.is_dir() or not (out / "config.yaml").exists():
        raise UsageError("exists and is not a run folder", where=out, remedy="Choose another --out")
    if not force:
        raise UsageError(
            "this run exists already",
            where=out,
            remedy="Continue it with --resume, replace it with --force, or choose another --out",
        )


def prepare_folder(out: Path, config: RunConfig) -> None:
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
    with replacing(out / "config.yaml") as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def _open_log(out: Path, config: RunConfig, saved: Checkpoint | None, *, force: bool) -> Iterator[Logbook]:
    """Prepare the folder and open its log with its mirrors; only the first of several processes does so."""
    if not distributed.is_main():
        with Logbook(Path(os.devnull).open("wb")) as nowhere:
            yield nowhere
        return
    if saved is None:
        check_folder(out, force=force)  # another training may have come first
        prepare_folder(out, config)
    position = saved.log_position if saved else 0
    with ExitStack() as stack:
        mirrors = []
        if config.runtime.log is not None:
            settings = config.model_dump(mode="json")
            logger = loggers.opened(config.runtime.log, out, settings, resumed=saved is not None)
            mirrors.append(stack.enter_context(logger))
        yield stack.enter_context(
            logbook.open_logbook(out / "metrics.jsonl", position=position, mirrors=tuple(mirrors))
        )


def _alarm_kinds(out: Path) -> set[str]:
    """Kinds of alarms recorded in the log."""
    return {line["kind"] for line in logbook.read(out / "metrics.jsonl") if line["event"] == "warning"}


def _notes(run: Run, opened: Sequence[Store], batch_size: int) -> list[str]:
    """Notes that the user should see before the first step."""
    at, keys = next(few.queues(run.config.method.options, "method.options"), ("", None))
    notes = few.warnings(
        clips=len(run.samples),
        batch_size=run.config.optimise.batch_size,
        steps=run.steps,
        queue=keys,
        at=at,
        left_out=0 if isinstance(run.samples, data.Together) else None,
    )
    notes += _note_of_parts(run, batch_size)
    without = why_none(opened[0], run.config)
    if without:
        notes.append(f"training without the kNN monitor (runtime.knn_every): {without}")
    recipes = {store.path.name: store.manifest.recipe.label for store in opened}
    if len(set(recipes.values())) > 1:
        listed = ", ".join(f"{name} by {recipe}" for name, recipe in recipes.items())
        notes.append(f"the stores were made by different recipes: {listed}; an encoder may tell them by that")
    if run.config.runtime.compile and run.device.type == "cpu":
        notes.append("on the CPU, compiled steps were measured to be slower; see `skeltools docs training`")
    return notes


def _note_of_start(run: Run, opened: Sequence[Store]) -> list[str]:
    """Warnings if a tuning method starts at random or the kind of the weights' poses is unknown."""
    init = run.config.init_from
    if init is None and run.method.tunes:
        return [
            f"{run.config.method.name} is for an encoder that was trained before, and this one begins with "
            "random weights: name a run or an export with --init-from"
        ]
    note = init and start.check_kind(init, opened[0], run.config.data.conventions[0])
    return [note] if note else []


def _note_of_parts(run: Run, batch_size: int) -> list[str]:
    """A note on how many clips BatchNorm's statistics cover when a batch is processed in parts."""
    sync = run.config.runtime.batch_norm == "sync"
    parts = run.config.optimise.accumulate * (1 if sync else distributed.size())
    if parts == 1 or not batch_norm.running_statistics(run.method):
        return []
    return [
        f"BatchNorm takes its statistics of {batch_size // parts} clips at a time, not of the batch of "
        f"{batch_size}; see `skeltools docs training`"
    ]


def _check_profile(steps: int, config: RunConfig, samples: Training, saved: Checkpoint | None) -> None:
    """Raises UsageError when the run has too few steps left to profile ``steps`` of them."""
    passes = methods.pairing(config.method, config.data.conventions).passes
    per_epoch = data.steps_per_epoch(samples, batch_size=config.optimise.batch_size, passes=passes)
    done = saved.epoch * per_epoch + saved.step if saved else 0
    left = config.optimise.epochs * per_epoch - done
    if 1 <= steps <= left - WARM_UP:
        return
    raise UsageError(
        f"a profile of {steps} steps takes {WARM_UP} more to warm up, the run has {left} left",
        where="--profile",
        remedy=f"Ask for 1 to {left - WARM_UP}" if left > WARM_UP else "Profile a longer run",
    )


def _saved(out: Path, config: RunConfig) -> Checkpoint:
    saved = checkpoint.load(out / LAST)
    remedy = "Resume with the run's own store, or start a new run with --out"
    for place, part in enumerate(data.parts_of(config.data)):
        store = stores.open_store(part.store)
        checkpoint.check_store(saved, store, where=out, remedy=remedy, place=place)
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
    if distributed.is_main():
        write_config(run.config, run.folder)
