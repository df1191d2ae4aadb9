"""The only training loop; it handles batches, losses and checkpoints, and nothing specific to a method."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from schemas import RunConfig, SkelError
from trainer import checkpoint, data, distributed, methods, optim
from trainer.batch import Batch, Pairing
from trainer.checkpoint import LAST, Checkpoint
from trainer.data import Training
from trainer.evaluate.monitor import Monitor
from trainer.logbook import Logbook
from trainer.loop import step, watch
from trainer.loop.clock import Clock
from trainer.loop.profile import Profile, Profiler
from trainer.loop.signals import Stop
from trainer.methods import Method
from trainer.metrics import Meter
from trainer.span import DATA, span


@dataclass(frozen=True)
class Progress:
    """State for a progress display after each step."""

    epoch: int
    """1-based."""
    epochs: int
    step: int
    """1-based, within the epoch."""
    steps: int
    loss: float
    """Mean over the steps since the last line of the log, nan before the first."""
    clips_per_second: float
    eta: float
    """Seconds left at the mean pace of this session."""
    stage: str = ""
    """Number, total and name of the stage, e.g. ``2/2 mining``; empty for methods of one stage."""
    warnings: tuple[str, ...] = ()
    """Alarms raised by this step; each kind is raised once per run."""


@dataclass(frozen=True)
class Ended:
    """How a training session ended: after the last epoch, or early with everything saved."""

    folder: Path
    epoch: int
    step: int
    """Steps done in the unfinished epoch."""
    signal: int | None
    loss: float
    seconds: float
    profile: Profile | None = None
    """The profile, if the session was to be profiled."""


@dataclass
class Run:
    """The state of one training session."""

    folder: Path
    config: RunConfig
    store_hash: str
    method: Method
    optimiser: torch.optim.Optimizer
    samples: Training
    device: torch.device
    log: Logbook
    epoch: int = 0
    step: int = 0
    meter: Meter = field(default_factory=Meter)
    loss: float = math.nan
    """Mean loss in the last line of the log."""
    check: Monitor = dict
    """The monitor of the features."""
    alarm_kinds: set[str] = field(default_factory=set)
    """Kinds of alarms recorded in the log."""
    warnings: list[str] = field(default_factory=list)
    """Alarms not reported yet."""
    more_hashes: list[str] = field(default_factory=list)
    """Hashes of the other stores of a run on several stores."""

    @cached_property
    def pairing(self) -> Pairing:
        return methods.pairing(self.config.method, self.config.data.conventions)

    @property
    def steps(self) -> int:
        size = self.config.optimise.batch_size
        return data.steps_per_epoch(self.samples, batch_size=size, passes=self.pairing.passes)

    @cached_property
    def stages(self) -> Sequence[methods.Stage]:
        return methods.stages(self.config.method)

    @property
    def stage(self) -> int:
        """Index of the stage that the epoch is in."""
        return methods.current(self.stages, self.epoch)

    @property
    def done(self) -> int:
        """Steps since the start of the run."""
        return self.epoch * self.steps + self.step


OnProgress = Callable[[Progress], None]


def train(
    run: Run,
    *,
    stop: Stop | None = None,
    on_progress: OnProgress | None = None,
    profiler: Profiler | None = None,
) -> Ended:
    """Train from the run's current epoch and step to its last epoch.

    Ends early when ``stop`` is set in any process or ``profiler`` has profiled its steps.
    """
    stop = stop or Stop()
    optimise, runtime = run.config.optimise, run.config.runtime
    clock = Clock(
        run.done, total=optimise.epochs * run.steps, clips_per_step=min(optimise.batch_size, len(run.samples))
    )
    run.method.train()
    seen, received = False, None
    while run.epoch < optimise.epochs:
        for batch in _batches(run):
            rate = optim.learning_rate(optimise, run.epoch + run.step / run.steps)
            optim.set_learning_rate(run.optimiser, rate)
            run.meter.add(_step(run, batch))
            run.step += 1
            if runtime.compile and run.done == clock.first + 1:
                _log_compilation(run, clock)
            if run.step % runtime.log_every == 0:
                _log_step(run, rate, clock)
            if run.step == run.steps:
                _log_epoch(run, rate, clock)
            if on_progress is not None:
                on_progress(_progress(run, clock))
            received = distributed.highest(stop.signal or 0) or None
            seen = profiler is not None and profiler.after_step()
            if (seen or received is not None) and run.step < run.steps:
                return _end(run, clock, received, profiler)
        run.meter.clear()
        run.epoch, run.step = run.epoch + 1, 0
        if runtime.keep_every and run.epoch % runtime.keep_every == 0:
            save(run, checkpoint.epoch_file(run.epoch))
        if seen or received is not None:
            break
        if run.epoch % runtime.checkpoint_every == 0 and run.epoch < optimise.epochs:
            save(run)
    return _end(run, clock, received if run.epoch < optimise.epochs else None, profiler)


def _batches(run: Run) -> Iterator[Batch]:
    batches = data.batches(
        run.samples,
        batch_size=run.config.optimise.batch_size,
        seed=run.config.runtime.seed,
        epoch=run.epoch,
        pairing=run.pairing,
        start_step=run.step,
    )
    while True:
        with span(DATA):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _step(run: Run, batch: Batch) -> dict[str, Tensor]:
    metrics = step.take(run.method, run.optimiser, batch, config=run.config, step=run.step)
    return watch.of_step(run.method, metrics, batch.rows, run.samples.labels)


def _log_compilation(run: Run, clock: Clock) -> None:
    """Log the cost of compiling: the duration of the session's first step."""
    place = {"event": "compile", "epoch": run.epoch + 1, "step": run.step}
    run.log.write({**place, "seconds": round(clock.seconds, 1)}, global_step=run.done)
    clock.new_lap(run.done)


def _log_step(run: Run, rate: float, clock: Clock) -> None:
    means = _settled(run, last=run.config.runtime.log_every)
    _log(run, "step", {"lr": rate, **means}, clock)


def _log_epoch(run: Run, rate: float, clock: Clock) -> None:
    means = _settled(run)
    record = {"lr": rate, **means, **run.method.diagnostics(run.steps)}
    every = run.config.runtime.knn_every
    _log(run, "epoch", record, clock, more=run.check if every and (run.epoch + 1) % every == 0 else dict)
    for kind, text in watch.alarms(run.method, means).items():
        if kind not in run.alarm_kinds:
            run.alarm_kinds.add(kind)
            run.warnings.append(f"epoch {run.epoch + 1}: {text}")
            line = {"event": "warning", "epoch": run.epoch + 1, "step": run.step, "kind": kind, "text": text}
            run.log.write(line, global_step=run.done)


def _log(run: Run, event: str, record: Mapping[str, float], clock: Clock, *, more: Monitor = dict) -> None:
    run.loss = record["loss"]
    place: dict[str, Any] = {"event": event, "epoch": run.epoch + 1, "step": run.step}
    if event == "epoch":
        place |= {"stage": run.stage + 1, "stage_name": run.stages[run.stage].name}
    pace = {"clips_per_second": round(clock.lap_speed(run.done), 1)}
    run.log.write({**place, **record, **pace, **more()}, global_step=run.done)
    clock.new_lap(run.done)


def _progress(run: Run, clock: Clock) -> Progress:
    stages, warnings = run.stages, tuple(run.warnings)
    run.warnings.clear()
    return Progress(
        epoch=run.epoch + 1,
        epochs=run.config.optimise.epochs,
        step=run.step,
        steps=run.steps,
        loss=run.loss,
        clips_per_second=clock.speed(run.done),
        eta=clock.remaining(run.done),
        stage=f"{run.stage + 1}/{len(stages)} {stages[run.stage].name}" if len(stages) > 1 else "",
        warnings=warnings,
    )


def _settled(run: Run, *, last: int | None = None) -> dict[str, float]:
    """Mean metrics; a loss that is not finite ends the run before anything is saved."""
    rows = run.meter.settle()
    for index, row in enumerate(rows):
        if not math.isfinite(row["loss"]):
            raise _diverged(run, f"the loss became {row['loss']} in epoch {run.epoch + 1}, step {index + 1}")
    return run.meter.mean(last)


def _diverged(run: Run, message: str) -> SkelError:
    return SkelError(
        message,
        where=run.folder,
        remedy=f"Lower optimise.lr or use --precision fp32; {LAST} is still the last good state",
    )


def save(run: Run, place: Path = LAST) -> None:
    """Write the checkpoint to ``place`` in the run folder, unless the run has diverged.

    All processes check for divergence; the first one writes.
    """
    if run.meter.rows or run.meter.waiting:
        _settled(run)
    for name, parameter in run.method.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise _diverged(
                run, f"weight {name} is no longer finite after epoch {run.epoch}, step {run.step}"
            )
    if not distributed.is_main():
        return
    checkpoint.save(
        Checkpoint(
            config=run.config,
            store_hash=run.store_hash,
            more_hashes=run.more_hashes,
            epoch=run.epoch,
            step=run.step,
            model=run.method.state_dict(),
            optimiser=run.optimiser.state_dict(),
            meter=list(run.meter.rows),
            log_position=run.log.position,
        ),
        run.folder / place,
    )


def _end(run: Run, clock: Clock, received: int | None, profiler: Profiler | None) -> Ended:
    save(run)
    profile = profiler.result if profiler is not None else None
    return Ended(run.folder, run.epoch, run.step, received, run.loss, clock.seconds, profile)
