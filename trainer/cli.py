"""The command line of the trainer: parse, call, print. Errors become one line and an exit code here."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from schemas import EvaluationResult, SkelError, UsageError
from trainer import __version__

if TYPE_CHECKING:  # PyTorch takes a second to import; --help must not wait for it
    from trainer import config, loop

    OnLoad = Callable[[int, int], None]
    OnStep = Callable[[loop.Progress], None]

_SYNTHETIC = "built-in demo data: numbers say nothing about NTU RGB+D"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="trainer")
@click.option("--debug", is_flag=True, envvar="SKELTOOLS_DEBUG", help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Contrastive pre-training on skeleton stores, and its evaluation.

    \b
    Example:
      trainer pretrain --store store.zarr --method ms-clr
      trainer evaluate runs/ms-clr --protocol knn --protocol linear
    """


@cli.command()
@click.option("--store", type=click.Path(path_type=Path), help="Store made by `skeltools convert`.")
@click.option("--method", help="Method, or method-preset; `trainer methods` lists them.")
@click.option("--preset", help="Preset of the method. Default: the one that suits the store.")
@click.option("--base", help="The method that ms-clr wraps.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="YAML file with settings.")
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated."
)
@click.option("--protocol", help="Split whose training half is used. Default: the store's first.")
@click.option("--stream", help="joint, bone or motion.")
@click.option("--convention", "conventions", multiple=True, help="Skeleton convention; may be repeated.")
@click.option("--epochs", type=int, help="Number of epochs.")
@click.option("--seed", type=int, help="Seed of everything random.")
@click.option("--device", help="auto, cpu, cuda or cuda:N.")
@click.option("--precision", help="fp32 or bf16.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder. Default: runs/METHOD.")
@click.option("--resume", is_flag=True, help="Continue the run in --out from its last checkpoint.")
@click.option("--force", is_flag=True, help="Replace an earlier run in --out.")
@click.option("--dry-run", is_flag=True, help="Print the settings with their sources and stop.")
def pretrain(**options: Any) -> None:
    """Train an encoder without labels.

    \b
    Examples:
      trainer pretrain --store store.zarr --method ms-clr
      trainer pretrain --store store.zarr --method aimclr-released --stream bone --out runs/aimclr-bone
      trainer pretrain --store store.zarr --method skeletonclr --set optimise.lr=0.05 --epochs 100
      trainer pretrain --out runs/ms-clr --resume
    """
    from trainer import config, device, loop

    out = options["out"] or Path("runs", options["method"] or "run")
    if options["resume"]:
        settings = _settings_to_resume(out, options)
    else:
        settings = _settings(options)
    if options["dry_run"]:
        loop.build(settings.config)
        click.echo(config.render(settings), nl=False)
        return
    where = device.describe(device.choose(settings.config.runtime.device))
    title = f"{out}: {settings.config.preset} on {where}, {settings.config.runtime.precision}"
    with _training_display(title) as (show_load, show_step):
        ended = loop.pretrain(
            settings.config,
            out=out,
            resume=options["resume"],
            force=options["force"],
            on_load=show_load,
            on_progress=show_step,
        )
    if ended.signal is not None:
        click.echo(
            f"stopped after epoch {ended.epoch}, step {ended.step}; everything is saved. "
            f"Continue with: trainer pretrain --out {out} --resume",
            err=True,
        )
        sys.exit(128 + ended.signal)
    click.echo(f"{out}: {ended.epoch} epochs done in {_duration(ended.seconds)}")
    click.echo(f"next: trainer evaluate {out} --protocol knn --protocol linear")


def _settings_to_resume(out: Path, options: dict[str, Any]) -> config.Settings:
    from trainer import checkpoint, config

    saved = checkpoint.load(out / checkpoint.LAST).config
    names = ("store", "method", "preset", "base", "file")
    given = {name: options[name] for name in names}
    return config.resume(saved, **given, overrides=_overrides(options))


def _settings(options: dict[str, Any]) -> config.Settings:
    from trainer import config
    from trainer.store import open_store

    store = options["store"]
    if store is None and options["file"] is not None:
        store = dict(config.read_file(options["file"]).get("data") or {}).get("store")
    if store is None:
        raise UsageError("no store given", remedy="Name one with --store PATH; `skeltools convert` makes it")
    return config.resolve(
        open_store(store),
        method=options["method"],
        preset=options["preset"],
        base=options["base"],
        file=options["file"],
        overrides=_overrides(options),
    )


_SHORTCUTS = {
    "protocol": "data.protocol",
    "stream": "data.stream",
    "conventions": "data.conventions",
    "epochs": "optimise.epochs",
    "seed": "runtime.seed",
    "device": "runtime.device",
    "precision": "runtime.precision",
}


_FLAGS = {"conventions": "--convention"}


def _overrides(options: dict[str, Any]) -> list[config.Override]:
    from trainer import config

    found = [config.parse_override(text) for text in options["assignments"]]
    for name, path in _SHORTCUTS.items():
        value = options[name]
        if value not in (None, ()):
            value = list(value) if isinstance(value, tuple) else value
            found.append(config.Override(path, value, _FLAGS.get(name, f"--{name}")))
    return found


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    default=("knn",),
    show_default=True,
    help="knn or linear; may be repeated.",
)
@click.option("--convention", help="Skeleton convention to evaluate on. Default: the run's first.")
@click.option("--store", type=click.Path(path_type=Path), help="Where the run's store is now.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="e.g. linear.standardise=true")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--untrained", is_flag=True, help="Random weights in place of the trained ones, for comparison."
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def evaluate(
    run: Path,
    protocols: tuple[str, ...],
    convention: str | None,
    store: Path | None,
    assignments: tuple[str, ...],
    device: str,
    untrained: bool,
    as_json: bool,
) -> None:
    """Measure a run's encoder on the test half of its protocol.

    \b
    Examples:
      trainer evaluate runs/ms-clr --protocol knn --protocol linear
      trainer evaluate runs/ms-clr --protocol linear --convention smplx_42 --json
    """
    from trainer import config
    from trainer.evaluate.run import evaluate_run

    options: dict[str, dict[str, Any]] = {}
    for text in assignments:
        override = config.parse_override(text)
        protocol, _, key = override.path.partition(".")
        options.setdefault(protocol, {})[key] = override.value
    with _bar("encoding") as show:
        results = evaluate_run(
            run,
            protocols=protocols,
            convention=convention,
            store=store,
            device=device,
            options=options,
            untrained=untrained,
            on_progress=show,
        )
    if as_json:
        click.echo("[\n" + ",\n".join(result.model_dump_json(indent=2) for result in results) + "\n]")
    else:
        _print_results(run, results)


def _print_results(run: Path, results: list[EvaluationResult]) -> None:
    first = results[0]
    click.echo(
        f"{run}: {first.method}, epoch {first.epoch}, {first.dataset} {first.split} "
        f"({first.train_samples} train, {first.test_samples} test), {first.convention}, {first.stream}"
    )
    table = Table(box=None, pad_edge=False)
    for name in ("protocol", "top-1 %", "top-5 %", "best epoch %", "random encoder kNN %"):
        table.add_column(name, justify="left" if name == "protocol" else "right", no_wrap=True)
    for result in results:
        figures = (result.top1, result.top5, result.best_top1, result.random_knn)
        table.add_row(result.protocol, *("-" if f is None else f"{100 * f:.1f}" for f in figures))
    _table_console().print(table)
    if first.synthetic:
        click.echo(_SYNTHETIC)


@cli.command()
@click.argument("name", required=False)
def methods(name: str | None) -> None:
    """List methods and presets, or one method's presets with the source of every value.

    \b
    Example:
      trainer methods aimclr
    """
    from trainer import config

    if name is None:
        table = Table(box=None, pad_edge=False)
        for title in ("method", "presets", "what it is"):
            table.add_column(title)
        for method in config.preset_methods():
            table.add_row(method, ", ".join(config.preset_names(method)), config.about(method)[0])
        _table_console().print(table)
        return
    summary, paper = config.about(name)
    click.echo(f"{name}: {summary}\n{paper}")
    for preset_name in config.preset_names(name):
        preset = config.find_preset(name, preset_name)
        click.echo(f"\n{name}-{preset_name}: {preset.summary}")
        for path, value in config.leaves(preset.tree):
            click.echo(
                f"  {path} = {value}" + (f"  # {preset.sources[path]}" if path in preset.sources else "")
            )


# --- display


def _table_console() -> Console:
    """Tables to stdout; wide when piped, so that no cell is cut."""
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on stderr while something long runs; nothing when stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def _training_display(title: str) -> Iterator[tuple[OnLoad | None, OnStep]]:
    """Bars over reading and over all steps on a terminal; one line an epoch elsewhere."""
    if not sys.stderr.isatty():
        yield None, _epoch_line(title)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=Console(stderr=True)) as progress:
        reading = progress.add_task("reading the store", text="")
        training = progress.add_task(title, text="", visible=False)

        def show_load(done: int, total: int) -> None:
            progress.update(reading, completed=done, total=total)

        def show_step(state: loop.Progress) -> None:
            progress.update(reading, visible=False)
            done, total = (state.epoch - 1) * state.steps + state.step, state.epochs * state.steps
            progress.update(training, completed=done, total=total, text=_state_text(state), visible=True)

        yield show_load, show_step


def _epoch_line(title: str) -> OnStep:
    untold = [title]

    def show(state: loop.Progress) -> None:
        while untold:
            click.echo(untold.pop(), err=True)
        if state.step == state.steps:
            click.echo(_state_text(state), err=True)

    return show


def _state_text(state: loop.Progress) -> str:
    loss = f"loss {state.loss:.4f}  " if state.loss == state.loss else ""
    return (
        f"epoch {state.epoch}/{state.epochs}  {loss}"
        f"{state.clips_per_second:.0f} clips/s  {_duration(state.eta)} left"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


# --- entry point


def main(arguments: list[str] | None = None) -> None:
    """Runs a command and exits: 0 done, 1 data or runtime error, 2 usage, 128 + n after a signal n."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = cli.main(args=arguments, prog_name="trainer", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted; nothing was left half-written", err=True)
        sys.exit(128 + signal.SIGINT)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code, arguments)
    except SkelError as error:
        _fail(str(error), error.exit_code, arguments)
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        _fail(f"internal error: {text[:300]}; run again with --debug", 1, arguments)


def _fail(message: str, code: int, arguments: list[str]) -> None:
    import os

    if "--debug" in arguments or os.environ.get("SKELTOOLS_DEBUG"):
        traceback.print_exc()
    click.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(code)
