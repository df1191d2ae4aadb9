"""``trainer evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schemas.commands import echo, progress
from trainer.cli.figures import print_json, print_results
from trainer.cli.options import DEVICE, INIT_FROM, INIT_SKIP, PATH, PLACE, STORES_OF_RUN, UNFINISHED, Size

if TYPE_CHECKING:
    from schemas import EvaluationResult


@click.command("evaluate")
@click.argument("run", type=PATH)
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    default=("knn",),
    show_default=True,
    help="knn, linear, retrieval, finetune, semi, supervised or transfer; may be repeated.",
)
@click.option(
    "--convention",
    "conventions",
    multiple=True,
    help="Skeleton convention; may be repeated. all: each, and their ensemble. Default: the run's first.",
)
@STORES_OF_RUN
@click.option(
    "--target",
    type=PLACE,
    help="Store that transfer trains and tests on, and knn, linear and retrieval of the frozen encoder, too.",
)
@click.option(
    "--target-split", help="Split of --target. Default: the split of the run, else the first of the target."
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="One option of a protocol, such as linear.standardise=true; may be repeated.",
)
@DEVICE
@click.option(
    "--untrained",
    is_flag=True,
    help="Evaluate random weights instead of the trained ones, into RUN/untrained/results/.",
)
@click.option(
    "--epoch",
    type=int,
    metavar="E",
    help="Evaluate the checkpoint behind epoch E, which runtime.keep_every kept.",
)
@click.option(
    "--memory-limit",
    type=Size(),
    help="Memory that the clips may take here, such as 8GB (default: the run's data.memory_limit).",
)
@UNFINISHED
@INIT_FROM
@INIT_SKIP
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def command(
    run: Path,
    protocols: tuple[str, ...],
    conventions: tuple[str, ...],
    assignments: tuple[str, ...],
    store: tuple[Path, ...],
    device: str,
    unfinished: bool,
    epoch: int | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Measure the encoders of a run on the test half of its split, each on its stored stream.

    Results and the scores of every test sample are written to RUN/results/, those of --untrained to
    RUN/untrained/results/. Streams that a method trains
    together are also fused: --set fusion.scores=logits, --set fusion.motion=0.6. With --init-from, the
    protocols finetune, semi and supervised start from those weights.

    \b
    Examples:
      trainer evaluate runs/ms-clr --protocol knn --protocol linear
      trainer evaluate runs/ms-clr --protocol linear --convention all
      trainer evaluate runs/aimclr --protocol semi --set semi.shares=[1,10]
      trainer evaluate runs/isc --protocol transfer --target pku2.zarr --json
      trainer evaluate runs/isc --protocol knn --protocol linear --target pku2.zarr
      trainer evaluate runs/aimclr --protocol finetune --init-from encoders/aimclr
    """
    from trainer.run import open_run

    options = options_of(assignments)
    opened = open_run(run, store=store, device=device, unfinished=unfinished, epoch=epoch)
    with progress("evaluating") as on_progress:
        results = opened.evaluate(
            *protocols, conventions=conventions, options=options, on_progress=on_progress, **given
        )
    if as_json:
        print_json(results)
    else:
        echo(_title(run, results))
        print_results(results)


def options_of(assignments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``linear.lr=0.1`` -> {"linear": {"lr": 0.1}}. Raises UsageError for text that is not an assignment."""
    from trainer import config

    options: dict[str, dict[str, Any]] = {}
    for text in assignments:
        override = config.parse_override(text)
        protocol, _, key = override.path.partition(".")
        options.setdefault(protocol, {})[key] = override.value
    return options


def _title(run: Path, results: Sequence[EvaluationResult]) -> str:
    first = results[0]
    streams = "+".join(dict.fromkeys(part for result in results for part in result.stream.split("+")))
    conventions = ", ".join(dict.fromkeys(r.convention for r in results if "+" not in r.convention))
    return (
        f"{run}: {first.method}, epoch {first.epoch}, {first.dataset} {first.split} "
        f"({first.train_samples} train, {first.test_samples} test), {conventions}, {streams}"
    )
