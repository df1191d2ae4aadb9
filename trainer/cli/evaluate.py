"""``trainer evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from schemas import EvaluationResult
from trainer.cli.display import bar, table_console

_SYNTHETIC = "built-in demo data: numbers say nothing about NTU RGB+D"


@click.command("evaluate")
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
def command(
    run: Path,
    protocols: tuple[str, ...],
    convention: str | None,
    store: Path | None,
    assignments: tuple[str, ...],
    device: str,
    untrained: bool,
    as_json: bool,
) -> None:
    """Measure a run's encoders on the test half of its protocol, each on its stored stream.

    Streams that a method trains together are also fused: --set fusion.scores=logits, --set fusion.motion=0.6.

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
    with bar("encoding") as show:
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
    from trainer.evaluate.fusion import best_encoders

    first, best = results[0], best_encoders(results)
    streams = "+".join(dict.fromkeys(part for result in results for part in result.stream.split("+")))
    click.echo(
        f"{run}: {first.method}, epoch {first.epoch}, {first.dataset} {first.split} "
        f"({first.train_samples} train, {first.test_samples} test), {first.convention}, {streams}"
    )
    table = Table(box=None, pad_edge=False)
    names = ("protocol", "encoder") if best else ("protocol",)
    for name in (*names, "top-1 %", "top-5 %", "best epoch %", "random encoder kNN %"):
        table.add_column(name, justify="left" if name in names else "right", no_wrap=True)
    for result in results:
        figures = (result.top1, result.top5, result.best_top1, result.random_knn)
        mark = " *" if (result.protocol, result.encoder) in best else ""
        named = (result.protocol, f"{result.encoder}{mark}") if best else (result.protocol,)
        table.add_row(*named, *("-" if f is None else f"{100 * f:.1f}" for f in figures))
    table_console().print(table)
    if best:
        click.echo("* the best single encoder of its protocol; those joined by + are evaluated together")
    if first.synthetic:
        click.echo(_SYNTHETIC)
