"""The command line of skeltools: parse, call, print. Errors become one line on stderr and an exit code."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from schemas import SkelError
from skeltools import __version__, drawing, skeletons
from skeltools.derive import DERIVED
from skeltools.preprocess import RECIPES

SYNTHETIC = "built-in demo data: numbers say nothing about NTU RGB+D"

_INTERRUPTED = 130  # 128 + SIGINT, the shells' convention
_TERMINATED = 143  # 128 + SIGTERM
_PIPED_WIDTH = 160  # columns for tables that no terminal shows


def main(args: list[str] | None = None) -> None:
    """Entry point: run the command and exit. Exit codes: 0, 1 data or runtime, 2 usage, 130 interrupted."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:] if args is None else args))


def run(args: list[str]) -> int:
    """Run a command line and return its exit code; errors are printed, not raised, unless ``--debug``."""
    settings = {"debug": False}
    try:
        code = cli.main(args, prog_name="skeltools", standalone_mode=False, obj=settings)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except (click.ClickException, SkelError) as error:
        if settings["debug"]:
            raise
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"error: {' '.join(message.split())}", err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("error: interrupted; nothing half-written is left", err=True)
        return _INTERRUPTED
    except BrokenPipeError:  # `skeltools inspect | head`
        sys.stdout = None  # so that Python does not flush into the closed pipe
        return 1
    except Exception as error:
        if settings["debug"]:
            raise
        what = " ".join(f"{type(error).__name__}: {error}".split())
        click.echo(f"error: internal error ({what}); run again with --debug to see where", err=True)
        return 1


def _terminate(number: int, frame: FrameType | None) -> None:
    """Unwind as after Ctrl-C, so that unfinished files are removed."""
    sys.exit(_TERMINATED)


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on stderr while it is a terminal; yields the ``on_progress`` callback, or None."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print(*lines: Table | str) -> None:
    """To stdout: as wide as the terminal, or wide enough for every column when it is none."""
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    for line in lines:
        console.print(line, soft_wrap=isinstance(line, str))


def _table(*columns: str, right: tuple[str, ...] = (), title: str | None = None) -> Table:
    table = Table(box=SIMPLE, title=title, title_justify="left", pad_edge=False, collapse_padding=True)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        first = column == columns[0]  # names stay whole; what gives way on a narrow terminal is behind them
        table.add_column(column, justify=justify, no_wrap=first or column in right, overflow="fold")
    return table


def _note(text: str) -> None:
    click.echo(text, err=True)


_LENGTH = click.IntRange(1, 10_000)  # frames of a stream; beyond it is a slip of the finger
_STORE = click.argument(
    "store_path",
    metavar="[STORE]",
    type=click.Path(path_type=Path),
    envvar="SKELTOOLS_STORE",
    default=Path("store.zarr"),
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="skeltools", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, envvar="SKELTOOLS_DEBUG", help="Show a traceback on errors.")
@click.pass_obj
def cli(settings: dict[str, bool], debug: bool) -> None:
    """Raw 3D-skeleton data sets to one clean multi-skeleton store.

    \b
    Example, from an empty folder:
      skeltools demo raw/
      skeltools convert ntu60 --out store.zarr
      skeltools streams --bone --motion
      skeltools inspect
    """
    settings["debug"] = debug


@cli.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Draws of the data.")
@click.option("--subjects", default=10, show_default=True, type=click.IntRange(1), help="People who perform.")
@click.option(
    "--repetitions", default=1, show_default=True, type=click.IntRange(1), help="Takes of an action."
)
def demo(out: Path, seed: int, subjects: int, repetitions: int) -> None:
    """Write the built-in raw data to OUT, in the formats of NTU RGB+D and MeTRAbs.

    It needs no download; its numbers say nothing about NTU RGB+D.

    \b
    Example:
      skeltools demo raw/
      skeltools demo raw/ --subjects 20 --seed 1
    """
    from skeltools.demo import write_demo

    with _progress("writing clips") as on_progress:
        write_demo(out, seed=seed, subjects=subjects, repetitions=repetitions, on_progress=on_progress)
    _print(f"{out}: {SYNTHETIC}", f"next: skeltools convert ntu60 --raw {out} --out store.zarr")


@cli.command()
@click.argument("dataset", metavar="DATASET")
@click.option("--raw", type=click.Path(path_type=Path), help="Raw folder or zip  [$SKELTOOLS_RAW, ./raw].")
@click.option(
    "--out", default=Path("store.zarr"), show_default=True, type=click.Path(path_type=Path), help="The store."
)
@click.option(
    "--frames",
    multiple=True,
    default=(50,),
    show_default=True,
    type=_LENGTH,
    help="Length T of a joint stream; repeat for several.",
)
@click.option("--recipe", default="default", show_default=True, help=f"Preprocessing: {', '.join(RECIPES)}.")
@click.option("--convention", "conventions", multiple=True, help="Only this convention; repeat for several.")
@click.option(
    "--mirrored-video/--no-mirrored-video",
    "mirrored",
    default=None,
    help="Whether MeTRAbs saw mirror images  [as the data set is known to be].",
)
@click.option("--workers", default=0, show_default=True, type=click.IntRange(0), help="Reading processes.")
@click.option("--strict", is_flag=True, help="Stop at the first bad raw file.")
@click.option("--force", is_flag=True, help="Replace an existing store once the new one is complete.")
def convert(dataset: str, **options: Any) -> None:
    """Convert the raw files of DATASET to a store.

    DATASET is ntu60, ntu120 or nw-ucla. A bad raw file becomes a row of the findings (see inspect).

    \b
    Example:
      skeltools convert ntu60 --out store.zarr --workers 4
      skeltools convert nw-ucla --raw nw-ucla.zip --out ucla.zarr
      skeltools convert ntu60 --recipe crossclr --frames 50 --frames 64
    """
    from skeltools.convert import convert as run_conversion

    with _progress("reading samples") as on_progress:
        summary = run_conversion(
            dataset,
            **{**options, "conventions": options["conventions"] or None},
            on_progress=on_progress,
        )
    manifest = summary.manifest
    for warning in summary.warnings:
        _note(f"warning: {warning}")
    splits = "; ".join(
        f"{name} {info.train} train, {info.test} test" for name, info in manifest.protocols.items()
    )
    conventions = ", ".join(manifest.conventions)
    lines = [
        f"{summary.path}: {manifest.samples} samples of {manifest.dataset} in {conventions}",
        f"splits: {splits}",
    ]
    if manifest.findings:
        found = ", ".join(f"{count} x {problem}" for problem, count in manifest.findings.items())
        lines.append(f"findings: {found} (skeltools inspect lists them)")
    _print(*lines, *([SYNTHETIC] if manifest.synthetic else []))


@cli.command()
@_STORE
@click.option("--bone", is_flag=True, help="Add bones: joint minus its parent.")
@click.option("--motion", is_flag=True, help="Add motion: next frame minus this one.")
@click.option("--frames", multiple=True, type=_LENGTH, help="Length T; new ones get a joint stream.")
@click.option("--convention", "conventions", multiple=True, help="Only this convention; repeat for several.")
@click.option("--recipe", help="Preprocessing of new joint streams  [the store's].")
@click.option("--force", is_flag=True, help="Rewrite streams that are there.")
def streams(
    store_path: Path,
    frames: tuple[int, ...],
    conventions: tuple[str, ...],
    recipe: str | None,
    force: bool,
    **kinds: bool,
) -> None:
    """Add streams to STORE, made from what it holds; the raw files are not needed.

    STORE is $SKELTOOLS_STORE or ./store.zarr when not given.

    \b
    Example:
      skeltools streams --bone --motion
      skeltools streams store.zarr --frames 64 --bone
    """
    from skeltools.derive import add_streams

    chosen = tuple(kind for kind in DERIVED if kinds[kind])
    if not (chosen or frames or recipe):
        raise click.UsageError("nothing to add: give --bone, --motion or --frames T")
    with _progress("writing rows") as on_progress:
        added = add_streams(
            store_path,
            kinds=chosen,
            frames=frames or None,
            conventions=conventions or None,
            recipe=recipe,
            force=force,
            on_progress=on_progress,
        )
    _print(*(f"added {path}" for path in added.written))
    _print(*(f"already there: {path} (--force rewrites it)" for path in added.skipped))


@cli.command()
@_STORE
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def inspect(store_path: Path, as_json: bool) -> None:
    """Show what is in STORE: samples, conventions, splits, classes, streams, findings.

    STORE is $SKELTOOLS_STORE or ./store.zarr when not given.

    \b
    Example:
      skeltools inspect store.zarr
      skeltools inspect store.zarr --json > store.json
    """
    from skeltools.inspect import statistics

    found = statistics(store_path)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print(*_report(found))


@cli.command()
@_STORE
def validate(store_path: Path) -> None:
    """Check STORE: layout, checksums, splits, graphs, poses. Exit code 1 when there is a fault.

    STORE is $SKELTOOLS_STORE or ./store.zarr when not given.

    \b
    Example:
      skeltools validate store.zarr
    """
    from skeltools.validate import validate as find_faults

    with _progress("reading arrays") as on_progress:
        faults = find_faults(store_path, on_progress=on_progress)
    _print(*(f"{fault.place}: {fault.problem}" for fault in faults))
    if faults:
        number = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise SkelError(number, where=store_path, remedy="Convert the raw data again")
    _print(f"{store_path}: sound")


@cli.command("skeletons")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the convention, or all names, as JSON.")
def show_skeletons(name: str | None, as_json: bool) -> None:
    """List the skeleton conventions, or draw the tree of NAME (a name or your own JSON or YAML file).

    \b
    Example:
      skeltools skeletons
      skeltools skeletons smplx_42
    """
    if as_json:
        content: Any = skeletons.load(name).model_dump(mode="json") if name else skeletons.names()
        click.echo(json.dumps(content, indent=2))
    elif name:
        click.echo(drawing.tree(skeletons.load(name)))
    else:
        table = _table("convention", "joints", "units", "centre", right=("joints",))
        for known in skeletons.names():
            spec = skeletons.load(known)
            table.add_row(known, str(spec.num_joints), spec.units, spec.joints[spec.center])
        _print(table)


# ----------------------------------------------------------------------------------------------- report


def _report(found: dict[str, Any]) -> Iterator[Table | str]:
    """The tables of ``inspect``."""
    yield f"{found['store']}: {found['samples']} samples of {found['dataset']}, {_megabytes(found['bytes'])}"
    if found["synthetic"]:
        yield SYNTHETIC
    recipe = found["recipe"]["name"]
    yield f"hash {found['hash'][:16]}, format {found['format']}, recipe {recipe}, made by {found['tool']}"
    yield _conventions(found)
    yield _protocols(found)
    yield _streams(found)
    yield _classes(found)
    frames = found["frames"]
    if frames:
        shortest, median, longest = (frames[key] for key in ("shortest", "median", "longest"))
        yield f"frames per sample: {shortest:g} to {longest:g}, median {median:g}"
    for name, counts in {"bodies": found["bodies"], **found["fields"]}.items():
        yield f"samples by {name}: " + ", ".join(f"{value}: {count}" for value, count in counts.items())
    yield from _findings(found["findings"])


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _conventions(found: dict[str, Any]) -> Table:
    numbers = ("joints", "samples", "missing", "frames")
    table = _table("convention", *numbers, "size", "reader", right=(*numbers, "size"))
    for name, row in found["conventions"].items():
        mirrored = {True: ", mirrored", False: ", not mirrored", None: ""}[row["mirrored_video"]]
        counts = (str(row[key]) for key in numbers)
        table.add_row(name, *counts, _megabytes(row["bytes"]), row["reader"] + mirrored)
    return table


def _protocols(found: dict[str, Any]) -> Table:
    table = _table("split", "train", "test", "unused", "rule", right=("train", "test", "unused"))
    for name, row in found["protocols"].items():
        table.add_row(name, str(row["train"]), str(row["test"]), str(row["unused"]), row["rule"])
    return table


def _streams(found: dict[str, Any]) -> Table:
    table = _table("stream", "N x C x T x V x M", "size", right=("size",))
    for name, row in found["streams"].items():
        shape = " x ".join(map(str, row["shape"]))
        table.add_row(name.removeprefix("streams/"), shape, _megabytes(row["bytes"]))
    return table


def _classes(found: dict[str, Any]) -> Table:
    table = _table("label", "class", "samples", right=("label", "samples"))
    for row in found["classes"]:
        table.add_row(str(row["label"]), row["name"], str(row["samples"]))
    return table


_SHOWN = 20  # findings that the table lists; --json has all


def _findings(findings: dict[str, Any]) -> Iterator[Table | str]:
    if not findings["rows"]:
        yield "findings: none"
        return
    table = _table("file", "place", "problem", "detail", "action")
    for row in findings["rows"][:_SHOWN]:
        table.add_row(row["file"], row["place"], row["problem"], row["detail"], row["action"])
    yield "findings: " + ", ".join(f"{count} x {problem}" for problem, count in findings["counts"].items())
    yield table
    if len(findings["rows"]) > _SHOWN:
        yield f"and {len(findings['rows']) - _SHOWN} more (--json lists all)"


if __name__ == "__main__":
    main()
