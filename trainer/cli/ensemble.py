"""``trainer ensemble``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from schemas import UsageError
from schemas.commands import echo
from trainer.cli.figures import print_json, print_results
from trainer.cli.options import PATH, STREAM_WEIGHTS, stream_weights

if TYPE_CHECKING:
    from schemas import EvaluationResult


@click.command("ensemble")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=PATH)
@click.option("--protocol", default="linear", show_default=True, help="Protocol whose scores are averaged.")
@click.option("--convention", "conventions", multiple=True, help="Only these conventions. Default: all.")
@click.option(
    "--encoder", "encoders", multiple=True, help="Only these encoders, such as joint. Default: all."
)
@STREAM_WEIGHTS
@click.option(
    "--scores",
    type=click.Choice(["softmax", "logits"]),
    default="softmax",
    show_default=True,
    help="What is averaged; the released code of the papers averages logits.",
)
@click.option(
    "--common",
    is_flag=True,
    help="Use the samples that all of them have, instead of refusing when they differ.",
)
@click.option("--out", type=PATH, help="Result file to write (.json); the scores are written beside it.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    runs: tuple[Path, ...],
    protocol: str,
    conventions: tuple[str, ...],
    encoders: tuple[str, ...],
    weights: str,
    scores: str,
    common: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Average the scores of several evaluations: streams first, then skeleton conventions.

    RUN is a run folder or one result file in it. Only saved scores are read: no store, no GPU.

    \b
    Examples:
      trainer ensemble runs/joint runs/bone runs/motion
      trainer ensemble runs/ms-clr --scores logits --out results/ms-clr.json
      trainer ensemble runs/a runs/b --weights joint=1,bone=0.5 --convention kinectv2_25
    """
    from trainer.evaluate.ensemble import ensemble_of
    from trainer.evaluate.results import write_result
    from trainer.run import find_results

    if out is not None and out.suffix != ".json":
        raise UsageError(f"expected a .json file, found '{out}'", where="--out", remedy=f"Write {out}.json")
    asked = {"protocol": protocol, "conventions": conventions, "encoders": encoders, "joined": False}
    saved = [each for run in runs for each in find_results(run, **asked)]  # type: ignore[arg-type]
    chosen = stream_weights(weights)
    result, together = ensemble_of(saved, weights=chosen, scores=scores, common=common)  # type: ignore[arg-type]
    if out is not None:
        result = result.model_copy(update={"scores": f"{out.stem}.npz"})
        write_result(result, together, out)
    if as_json:
        print_json([result])
    else:
        _print(result, [each.result for each in saved])


def _print(result: EvaluationResult, members: list[EvaluationResult]) -> None:
    echo(f"{len(members)} results, {result.dataset} {result.split}, {result.test_samples} test samples")
    names = [each["file"] for each in result.settings["members"]]
    print_results([*members, result], [*names, "all together"])
    weights = ", ".join(f"{stream} {weight:g}" for stream, weight in result.settings["weights"].items())
    echo(f"{result.settings['scores']} scores; weights: {weights}")
