"""``skeltools convert``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from schemas.places import Place
from skeltools.cli.terminal import LENGTH, SYNTHETIC, note, progress, show, unfinished

if TYPE_CHECKING:
    from skeltools.conversion import Summary


@click.command("convert")
@click.argument("dataset", metavar="DATASET")
@click.option(
    "--raw",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Raw folder or zip; repeat for several  [$SKELTOOLS_RAW, ./raw].",
)
@click.option(
    "--out",
    default=Place("store.zarr"),
    show_default=True,
    type=click.Path(path_type=Place),
    help="The store to write: a folder, or an address such as s3://bucket/store.zarr.",
)
@click.option(
    "--from",
    "source",
    help="Format of RAW, if it is an archive of other code: crossclr, ctrgcn, hdf5, pyskl.",
)
@click.option(
    "--name", help="With custom --from: name of the data set  [as settings or archive say, else RAW's]."
)
@click.option(
    "--classes",
    type=click.Path(path_type=Path),
    help="With custom --from: file of class names, one a line  [of settings or archive, else numbers].",
)
@click.option(
    "--frames",
    multiple=True,
    type=LENGTH,
    help="Length T of a joint stream; repeat for several  [50; nw-ucla and demo data: 24 and 50].",
)
@click.option("--recipe", help="Preprocessing; see `skeltools recipes`  [default; 2D poses: centered].")
@click.option("--convention", "conventions", multiple=True, help="Only this convention; repeat for several.")
@click.option("--uncut", is_flag=True, help="Whole recordings of PKU-MMD, with a label for each frame.")
@click.option(
    "--mirrored-video/--no-mirrored-video",
    "mirrored",
    default=None,
    help="Whether the videos that MeTRAbs read were mirrored  [as DATASET, or its dataset.yaml, has it].",
)
@click.option(
    "--workers", default=0, show_default=True, type=click.IntRange(0), help="Number of reading processes."
)
@click.option("--strict", is_flag=True, help="Stop at the first bad raw file.")
@click.option("--force", is_flag=True, help="Replace an existing store once the new one is complete.")
@click.option("--add-metrabs", is_flag=True, help="Add MeTRAbs conventions to the store that is at --out.")
@click.option("--fresh", is_flag=True, help="Start again, and discard what a stopped conversion left.")
def command(dataset: str, add_metrabs: bool, **options: Any) -> None:
    """Convert the raw files of DATASET to a store.

    DATASET is ntu60, ntu120, nw-ucla, pku-mmd-1, pku-mmd-2, or custom: your own recordings, arrays, text,
    JSON of estimators or motion capture, which a dataset.yaml in RAW describes (`skeltools docs your-data`).
    A bad raw file becomes a row of the findings (see inspect).

    custom --from reads your own data in an archive of other code. A dataset.yaml beside the archive may say
    name, convention, classes and bodies; else --name, --classes and --convention do, or the archive itself.

    A conversion that is stopped, by Ctrl-C, a kill or a full disk, keeps what is done in OUT.partial: the
    same command goes on from there. It starts over when raw files or options have changed, or with --fresh.

    --add-metrabs adds the MeTRAbs conventions in RAW that the store at OUT lacks, with the store's own recipe
    and lengths; its samples stay as they are, and the raw skeletons are not needed.

    \b
    Example:
      skeltools convert ntu60 --out store.zarr --workers 4
      skeltools convert nw-ucla --raw nw-ucla.zip --out ucla.zarr
      skeltools convert ntu120 --raw s001_to_s017.zip --raw s018_to_s032.zip
      skeltools convert custom --raw FOLDER --out my-lab.zarr
      skeltools convert ntu60 --recipe crossclr --frames 50 --frames 64
      skeltools convert ntu60 --add-metrabs --raw RAW --out store.zarr
      skeltools convert ntu60 --from pyskl --raw ntu60_3danno.pkl
      skeltools convert custom --from pyskl --raw own.pkl --classes names.txt
    """
    options["conventions"] = options["conventions"] or None
    options["raw"] = options["raw"] or None
    run = _adding(options) if add_metrabs else _converting()
    with unfinished(options["out"]), progress("reading samples") as on_progress:
        summary = run(dataset, **options, on_progress=on_progress, on_note=note)
    manifest = summary.manifest
    for warning in summary.warnings:
        note(f"warning: {warning}")
    splits = "; ".join(
        f"{name} {info.train} train, {info.test} test" for name, info in manifest.protocols.items()
    )
    conventions = ", ".join(manifest.conventions)
    lines = [
        f"{summary.path}: {manifest.samples} sample{'s' * (manifest.samples != 1)} of {manifest.dataset} "
        f"in {conventions}",
        f"splits: {splits}",
    ]
    if manifest.findings:
        found = ", ".join(f"{count} x {problem}" for problem, count in manifest.findings.items())
        lines.append(f"findings: {found} (skeltools inspect lists them)")
    show(*lines, *([SYNTHETIC] if manifest.synthetic else []))


def _converting() -> Callable[..., Summary]:
    from skeltools.conversion import convert

    return convert


def _adding(options: dict[str, Any]) -> Callable[..., Summary]:
    """Adding takes fewer options: the others are those of the store, and it never replaces anything."""
    from skeltools.conversion.append import add_metrabs

    given = click.get_current_context().get_parameter_source
    for name in ("frames", "recipe", "force", "source", "name", "classes", "uncut"):
        if given(name) is not ParameterSource.DEFAULT:
            option = "from" if name == "source" else name
            raise click.UsageError(f"--{option} does not go with --add-metrabs: the store stays as it is")
        del options[name]
    return add_metrabs
