"""``trainer pretrain``."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schemas import UsageError
from schemas.commands import echo
from trainer.cli.display import duration, training_display
from trainer.cli.options import INIT_FROM, INIT_SKIP, PATH, STORES, usual_store
from trainer.cli.profile import show_profile

if TYPE_CHECKING:  # PyTorch takes a second to import; --help must not wait for it
    from schemas import RunConfig
    from trainer import config, loop


@click.command("pretrain")
@STORES
@click.option(
    "--store-weight",
    "store_weights",
    type=float,
    multiple=True,
    metavar="W",
    help="Share of the steps that a store has, one for each --store. Default: each clip once in an epoch.",
)
@click.option("--method", help="Method, or method-preset; `trainer methods` lists them.")
@click.option("--preset", help="Preset of the method. Default: the one that suits the store.")
@click.option("--base", help="The method that ms-clr trains.")
@click.option("--config", "file", type=PATH, help="YAML file with settings.")
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated."
)
@click.option("--split", help="Split whose training half is used. Default: the store's first.")
@click.option("--stream", help="joint, bone or motion, of a method with one stream.")
@click.option("--convention", "conventions", multiple=True, help="Skeleton convention; may be repeated.")
@click.option("--epochs", type=int, help="Number of epochs.")
@click.option("--seed", type=int, help="Seed of everything random.")
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--precision", help="fp32, bf16, or auto: bf16 where the device computes it.")
@click.option("--batch-size", type=int, help="Clips in a step, in all processes together.")
@click.option("--accumulate", type=int, help="Parts of the batch that a process computes one after another.")
@click.option(
    "--compile/--no-compile",
    "compiled",
    default=None,
    help="Compile encoders and augmentations with torch.compile; useful on CUDA.",
)
@click.option("--log", metavar="NAME", help="Tell it what the log is told: tensorboard, wandb, trackio.")
@click.option(
    "--profile", type=int, metavar="N", help="Profile N steps, write RUN/profile/trace.json and stop."
)
@INIT_FROM
@INIT_SKIP
@click.option("--out", type=PATH, help="Run folder. Default: runs/METHOD.")
@click.option(
    "--resume",
    type=click.Choice(["yes", "auto"]),
    is_flag=False,
    flag_value="yes",
    metavar="[auto]",
    help="Continue the run in --out from its last checkpoint; --resume=auto starts it where there is none.",
)
@click.option("--force", is_flag=True, help="Replace an earlier run in --out.")
@click.option("--dry-run", is_flag=True, help="Print the settings with their sources and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print what --profile found as JSON.")
def command(**options: Any) -> None:
    """Train an encoder without labels.

    \b
    Examples:
      trainer pretrain --store store.zarr --method ms-clr
      trainer pretrain --store store.zarr --method aimclr-released --stream bone --out runs/aimclr-bone
      trainer pretrain --store store.zarr --method skeletonclr --set optimise.lr=0.05 --epochs 100
      trainer pretrain --out runs/ms-clr --resume
      trainer pretrain --store store.zarr --method aimclr --out runs/job --resume=auto
      trainer pretrain --store ntu60.zarr --store pku.zarr --method skeletonclr --out runs/both
      trainer pretrain --store store.zarr --method aimclr-released --init-from runs/imported --out runs/on
      trainer pretrain --store store.zarr --method aimclr --profile 10 --out look
      trainer pretrain --store store.zarr --method aimclr --log tensorboard
      torchrun --nproc-per-node 4 -m trainer pretrain --store store.zarr --method aimclr

    Run `skeltools docs training` to read about processes, parts of a batch, precision, compilation and
    profiles, and `skeltools docs import` about --init-from.
    """
    from trainer import config, distributed, loop, methods

    if options["as_json"] and options["profile"] is None:
        raise UsageError("--json is of a profile", remedy="Add --profile N")
    out = options["out"] or Path("runs", options["method"] or "run")
    resume, force = loop.resumes(out, options["resume"] or False, force=options["force"])
    if resume:
        settings = _settings_to_resume(out, options)
    else:
        settings = settings_of(options)
    main = distributed.is_main()
    unreached = config.unreached(methods.stages(settings.config.method), settings.config.optimise.epochs)
    for line in (*unreached, *settings.notes) if main else ():
        echo(f"note: {line}", err=True)
    if options["dry_run"]:
        loop.build(settings.config, initial=not resume)
        for line in config.draw(settings.config.method, settings.config.optimise):
            echo(f"# {line}")
        echo(config.render(settings), nl=False)
        return
    display = training_display(_title(out, settings.config)) if main else nullcontext((None, None))
    with display as (show_load, show_step):
        ended = loop.pretrain(
            settings.config,
            out=out,
            resume=resume,
            force=force,
            profile=options["profile"],
            on_load=show_load,
            on_progress=show_step,
        )
    if main:
        _report(ended, settings.config, as_json=options["as_json"])
    if ended.signal is not None:
        sys.exit(128 + ended.signal)


def _title(out: Path, settings: RunConfig) -> str:
    from trainer import device, distributed

    where = device.describe(device.choose(distributed.local_device(settings.runtime.device)))
    processes = f"{distributed.size()} processes, each on " if distributed.size() > 1 else ""
    compiled = ", compiled" if settings.runtime.compile else ""
    return f"{out}: {settings.preset} on {processes}{where}, {settings.runtime.precision}{compiled}"


def _report(ended: loop.Ended, settings: RunConfig, *, as_json: bool) -> None:
    """Print how the training ended and what to do next."""
    out, epochs = ended.folder, settings.optimise.epochs
    if ended.profile is not None:
        show_profile(ended.profile, as_json=as_json)
    if ended.epoch < epochs:
        echo(
            f"stopped after epoch {ended.epoch}, step {ended.step}; everything is saved. "
            f"Continue with: trainer pretrain --out {out} --resume",
            err=True,
        )
        return
    for line in (f"{out}: {ended.epoch} epochs done in {duration(ended.seconds)}", *_next(out, settings)):
        echo(line, err=as_json)


def _next(out: Path, settings: RunConfig) -> list[str]:
    """Suggestions for the next command, as far as the store's labels, halves and streams allow."""
    reason, missing = _unmeasurable(settings), _missing_streams(out)
    if reason:
        return [
            f"{reason}, so kNN and linear cannot be measured on it; with a labelled store: "
            f"trainer evaluate {out} --protocol transfer --target STORE",
            f"next: trainer embed {out} {settings.data.store} --out features.npz",
            f"or: trainer search {out} --duplicates; trainer export {out}",
        ]
    lines = [f"next: trainer evaluate {out} --protocol knn --protocol linear"]
    if missing:
        flags = " ".join(f"--{stream}" for stream in missing)
        store, frames = settings.data.store, settings.data.frames
        lines = [f"first: skeltools streams {store} {flags} --frames {frames}", *lines]
    return lines


def _unmeasurable(settings: RunConfig) -> str:
    """Why no figure can be measured on the run's own store; empty if it has labels in both halves."""
    from trainer.evaluate.features import Split
    from trainer.store import open_store

    data = settings.data
    split = Split(open_store(data.store), data.split or "", data)
    return split.unmeasurable(data.conventions[0])


def _missing_streams(out: Path) -> list[str]:
    """Streams of the run's encoders that its store lacks."""
    from schemas import SkelError
    from trainer import store as stores
    from trainer.evaluate.features import stream_of
    from trainer.run import open_run

    run = open_run(out, device="cpu")
    missing = []
    for stream in dict.fromkeys(stream_of(name, run.data) for name in run.method.encoders):
        try:
            stores.check_stream(
                run.store, run.config.data.conventions[0], frames=run.config.data.frames, stream=stream
            )
        except SkelError:
            missing.append(stream)
    return missing


def _settings_to_resume(out: Path, options: dict[str, Any]) -> config.Settings:
    from trainer import checkpoint, config

    saved = checkpoint.load(out / checkpoint.LAST).config
    return config.resume(saved, store=options["stores"], **_named(options), overrides=_overrides(options))


def settings_of(options: dict[str, Any]) -> config.Settings:
    """Settings of a new run, from the options of the command."""
    from trainer import config
    from trainer.store import open_store

    paths = list(options["stores"])
    if not paths and options["file"] is not None:
        named = dict(config.read_file(options["file"]).get("data") or {}).get("store") or []
        paths = list(named) if isinstance(named, list) else [named]
    first, *others = map(open_store, paths or [usual_store()])
    return config.resolve(first, more=others, **_named(options), overrides=_overrides(options))


def _named(options: dict[str, Any]) -> dict[str, Any]:
    """The options that name where settings come from."""
    return {name: options[name] for name in ("method", "preset", "base", "file")}


_SHORTCUTS = {
    "split": "data.split",
    "stream": "data.stream",
    "conventions": "data.conventions",
    "store_weights": "data.weights",
    "epochs": "optimise.epochs",
    "seed": "runtime.seed",
    "device": "runtime.device",
    "precision": "runtime.precision",
    "batch_size": "optimise.batch_size",
    "accumulate": "optimise.accumulate",
    "compiled": "runtime.compile",
    "log": "runtime.log",
}


_FLAGS = {
    "conventions": "--convention",
    "store_weights": "--store-weight",
    "batch_size": "--batch-size",
    "compiled": "--compile",
}


def _overrides(options: dict[str, Any]) -> list[config.Override]:
    from trainer import config

    overrides = [config.parse_override(text) for text in options["assignments"]]
    for name, path in _SHORTCUTS.items():
        value = options[name]
        if value not in (None, ()):
            value = list(value) if isinstance(value, tuple) else value
            overrides.append(config.Override(path, value, _FLAGS.get(name, f"--{name}")))
    return overrides + _init(options)


def _init(options: dict[str, Any]) -> list[config.Override]:
    """``--init-from`` and ``--init-skip`` as settings."""
    from trainer import config, start

    if options["init_from"] is None:
        if options["init_skip"]:
            raise UsageError(
                "there are no weights to leave out", where="--init-skip", remedy="Add --init-from PATH"
            )
        return []
    init = start.describe(options["init_from"], skip=options["init_skip"])
    values = init.model_dump(mode="json")
    return [config.Override(f"init_from.{key}", value, "--init-from") for key, value in values.items()]
