"""``trainer evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from schemas import EvaluationResult
from trainer.cli.display import bar
from trainer.cli.figures import print_json, print_results


@click.command("evaluate")
@click.argument("run", type=click.Path(path_type=Path))
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
    help="Skeleton convention; several, or all: each, and their ensemble. Default: the run's first.",
)
@click.option("--store", type=click.Path(path_type=Path), help="Where the run's store is now.")
@click.option("--target", type=click.Path(path_type=Path), help="Store that transfer learns on.")
@click.option("--target-split", help="Its split. Default: the one named as the run's, else its first.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="e.g. linear.standardise=true")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--untrained", is_flag=True, help="Random weights in place of the trained ones, for comparison."
)
@click.option("--unfinished", is_flag=True, help="Take a run that has not reached its last epoch.")
@click.option(
    "--init-from",
    type=click.Path(path_type=Path),
    help="finetune, semi and supervised start from the weights of this run or export.",
)
@click.option(
    "--init-skip",
    multiple=True,
    metavar="PATTERN",
    help="Weights of --init-from that start at random, as '*.data_bn.*'; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def command(
    run: Path,
    protocols: tuple[str, ...],
    conventions: tuple[str, ...],
    assignments: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Measure a run's encoders on the test half of its split, each on its stored stream.

    Results and the scores of every test sample go to RUN/results/. Streams that a method trains together are
    also fused: --set fusion.scores=logits, --set fusion.motion=0.6.

    \b
    Examples:
      trainer evaluate runs/ms-clr --protocol knn --protocol linear
      trainer evaluate runs/ms-clr --protocol linear --convention all
      trainer evaluate runs/aimclr --protocol semi --set semi.shares=[1,10]
      trainer evaluate runs/isc --protocol transfer --target pku2.zarr --json
      trainer evaluate runs/aimclr --protocol finetune --init-from encoders/aimclr
    """
    from trainer.evaluate.run import evaluate_run

    options = _options(assignments)
    with bar("evaluating") as show:
        results = evaluate_run(
            run, protocols=protocols, conventions=conventions, options=options, on_progress=show, **given
        )
    if as_json:
        print_json(results)
    else:
        click.echo(_title(run, results))
        print_results(results)


def _options(assignments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``linear.lr=0.1`` -> {"linear": {"lr": 0.1}}. Raises ConfigError for text that is no assignment."""
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
