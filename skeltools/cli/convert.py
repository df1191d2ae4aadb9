"""``skeltools convert``."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from schemas import SkelError
from schemas.commands import progress, show, stack
from schemas.parsing import REPORT
from schemas.places import Place
from skeltools.cli.terminal import LENGTH, PATH, PLACE, note, show_written, splits_of, unfinished

if TYPE_CHECKING:
    from skeltools.conversion import Summary


_WHAT = stack(
    click.argument("dataset", metavar="DATASET"),
    click.option(
        "--raw",
        multiple=True,
        type=PATH,
        help="Raw folder or zip; repeat for several  [$SKELTOOLS_RAW, ./raw].",
    ),
    click.option(
        "--out",
        default=Place("store.zarr"),
        show_default=True,
        type=PLACE,
        help="The store to write: a folder, or an address such as s3://bucket/store.zarr.",
    ),
    click.option(
        "--from",
        "source",
        help="Format of RAW, if it is an archive of other code: crossclr, ctrgcn, hdf5, pyskl.",
    ),
    click.option(
        "--name", help="With custom --from: name of the data set  [as settings or archive say, else RAW's]."
    ),
    click.option(
        "--classes",
        type=PATH,
        help="With custom --from: file of class names, one a line  [of settings or archive, else numbers].",
    ),
    click.option(
        "--frames",
        multiple=True,
        type=LENGTH,
        help="Length T of a joint stream; repeat for several  [50; nw-ucla and demo data: 24 and 50].",
    ),
    click.option("--recipe", help="Preprocessing; see `skeltools recipes`  [default; 2D poses: centered]."),
    click.option(
        "--convention", "conventions", multiple=True, help="Only this convention; repeat for several."
    ),
    click.option("--uncut", is_flag=True, help="Whole recordings of PKU-MMD, with a label for each frame."),
    click.option(
        "--mirrored-video/--no-mirrored-video",
        "mirrored",
        default=None,
        help="Whether the videos that MeTRAbs read were mirrored  [as DATASET, or its dataset.yaml, has it].",
    ),
    click.option("--strict", is_flag=True, help="Stop at the first bad raw file."),
    click.option("--force", is_flag=True, help="Replace an existing store once the new one is complete."),
    click.option("--fresh", is_flag=True, help="Start again, and discard what a stopped conversion left."),
)
"""Arguments and options that define a conversion, for ``convert`` and ``convert plan``."""

_STORE = click.argument("store_path", metavar="STORE", type=PLACE)

_WORKERS = click.option(
    "--workers", default=0, show_default=True, type=click.IntRange(0), help="Number of reading processes."
)


class WithSteps(click.Command):
    """A command whose steps can be run one by one: ``convert plan ...`` in place of ``convert DATASET``."""

    steps: dict[str, click.Command] = {}

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the steps and their descriptions."""
        with formatter.section("In steps, on a cluster (`skeltools docs clusters`)"):
            formatter.write_dl([(name, step.get_short_help_str(80)) for name, step in self.steps.items()])


@click.command("convert", cls=WithSteps)
@_WHAT
@_WORKERS
@click.option(
    "--dask", metavar="ADDRESS", help="Read on the cluster of this dask scheduler: tcp://HOST:8786."
)
@click.option("--add-metrabs", is_flag=True, help="Add MeTRAbs conventions to the store that is at --out.")
def convert(dataset: str, add_metrabs: bool, **options: Any) -> None:
    """Convert the raw files of DATASET to a store.

    DATASET is ntu60, ntu120, nw-ucla, pku-mmd-1, pku-mmd-2, or custom: your own recordings, arrays, text,
    JSON of estimators or motion capture, described by a dataset.yaml in RAW (`skeltools docs your-data`). A
    bad raw file becomes a row of the findings (see inspect).

    custom --from reads your own data in an archive of other code. Name, convention, classes and bodies come
    from a dataset.yaml beside the archive, if any, else from --name, --classes and --convention or the
    archive itself.

    A conversion that is stopped by Ctrl-C, a kill or a full disk keeps its finished work in OUT.partial, and
    the same command resumes it. It starts over when raw files or options have changed, or with --fresh.

    --add-metrabs adds the MeTRAbs conventions in RAW that the store at OUT lacks, with the store's own recipe
    and lengths; its samples stay as they are, and the raw skeletons are not needed.

    \b
    Example:
      skeltools convert ntu60 --out store.zarr --workers 4
      skeltools convert nw-ucla --raw nw-ucla.zip --out ucla.zarr
      skeltools convert ntu60 --out s3://bucket/lab/ntu60.zarr
      skeltools convert ntu120 --raw s001_to_s017.zip --raw s018_to_s032.zip
      skeltools convert custom --raw FOLDER --out my-lab.zarr
      skeltools convert ntu60 --recipe crossclr --frames 50 --frames 64
      skeltools convert ntu60 --add-metrabs --raw RAW --out store.zarr
      skeltools convert ntu60 --from pyskl --raw ntu60_3danno.pkl
      skeltools convert custom --from pyskl --raw own.pkl --classes names.txt
      skeltools convert ntu60 --out store.zarr --dask tcp://HOST:8786
    """
    if options["workers"]:
        from skeltools.processes import warm_up

        warm_up()  # in parallel with this process's own imports
    options["conventions"] = options["conventions"] or None
    options["raw"] = options["raw"] or None
    from skeltools import conversion

    run: Callable[..., Summary] = _adding(options) if add_metrabs else conversion.convert
    with unfinished(options["out"]), progress("reading samples") as on_progress:
        summary = run(dataset, **options, on_progress=on_progress, on_note=note)
    _report(summary)


def _report(summary: Summary) -> None:
    """Print the summary; raises SkelError for raw files whose reader failed.

    The store is written nevertheless, and the exit code is 1.
    """
    manifest = summary.manifest
    conventions = ", ".join(manifest.conventions)
    lines = [
        f"{summary.path}: {manifest.samples} sample{'s' * (manifest.samples != 1)} of {manifest.dataset} "
        f"in {conventions}",
        f"splits: {splits_of(manifest)}",
    ]
    if manifest.findings:
        problems = ", ".join(f"{count} x {problem}" for problem, count in manifest.findings.items())
        lines.append(f"findings: {problems} (skeltools inspect lists them)")
    show_written(lines, manifest, summary.warnings)
    if summary.failed:
        first, many = summary.failed[0], len(summary.failed)
        raise SkelError(
            f"the store lacks {many} raw file{'s' * (many > 1)} whose reader failed, e.g. {first.file}: "
            f"{first.detail}",
            remedy=REPORT,
        )


def _adding(options: dict[str, Any]) -> Callable[..., Summary]:
    """Return ``add_metrabs`` after refusing the options that it does not have.

    They are determined by the store, and nothing is ever replaced.
    """
    from skeltools.conversion.append import add_metrabs

    given = click.get_current_context().get_parameter_source
    for name in ("frames", "recipe", "force", "source", "name", "classes", "uncut"):
        if given(name) is not ParameterSource.DEFAULT:
            option = "from" if name == "source" else name
            raise click.UsageError(f"--{option} does not go with --add-metrabs: the store stays as it is")
        del options[name]
    return add_metrabs


# ------------------------------------------------------------------------------------------------- steps


@click.command("plan")
@_WHAT
@click.option("--shards", type=click.IntRange(1), required=True, help="Number of shards.")
def plan(dataset: str, **options: Any) -> None:
    """Divide a conversion into shards, numbered from 0.

    The options are those of `skeltools convert`, and apply to all three steps. The plan is stored in
    OUT.partial with what shards have read: planning the same again keeps it, planning anything else discards
    it.

    \b
    Example:
      skeltools convert plan ntu60 --out store.zarr --shards 64
    """
    from skeltools.conversion.shards import plan_shards

    options["conventions"] = options["conventions"] or None
    options["raw"] = options["raw"] or None
    planned = plan_shards(dataset, **options, on_note=note)
    last, out = planned.shards - 1, shlex.quote(str(planned.out))
    shards = "shard" if planned.shards == 1 else "shards"
    few = f", of which {planned.filled} have something to read" if planned.filled < planned.shards else ""
    show(
        f"{planned.samples} samples in {planned.shards} {shards}, 0 to {last}{few}. Next, on any machines:",
        f"  for n in $(seq 0 {last}); do skeltools convert shard {out} $n; done",
        "and when all of them are read:",
        f"  skeltools convert publish {out}",
    )


@click.command("shard")
@_STORE
@click.argument("number", metavar="N", type=click.IntRange(0))
@_WORKERS
def shard(store_path: Path, number: int, workers: int) -> None:
    """Read shard N of the planned conversion to STORE.

    Shards may be read in any order, concurrently and repeatedly: what was already read is not read again. The
    machine must see the raw files and STORE under the paths of the plan, and have the same version of
    skeltools. A raw file that has changed since planning is an error.

    \b
    Example:
      skeltools convert shard store.zarr 0
      skeltools convert shard store.zarr $SLURM_ARRAY_TASK_ID --workers $SLURM_CPUS_PER_TASK
    """
    if workers:
        from skeltools.processes import warm_up

        warm_up()
    from skeltools.conversion.shards import read_shard

    with progress("reading samples") as on_progress:
        counts = read_shard(store_path, number, workers=workers, on_progress=on_progress)
    if counts is None:
        show(f"{store_path}: is published, there is nothing to do")
    else:
        before = f", {counts.samples - counts.read} had been" if counts.read < counts.samples else ""
        show(f"shard {number}: {counts.read} sample{'s' * (counts.read != 1)} read{before}")


@click.command("publish")
@_STORE
def publish(store_path: Path) -> None:
    """Assemble STORE from the shards that were read.

    It lists missing shards. The store is that of `skeltools convert`, byte for byte.

    \b
    Example:
      skeltools convert publish store.zarr
    """
    from skeltools.conversion.shards import publish_shards

    with unfinished(store_path):
        _report(publish_shards(store_path))


command = convert
command.steps = {"plan": plan, "shard": shard, "publish": publish}
