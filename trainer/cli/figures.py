"""Results as a table or as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from schemas.commands import echo, show

if TYPE_CHECKING:
    from schemas import EvaluationResult

SYNTHETIC = "built-in demo data: numbers say nothing about NTU RGB+D"


def table_of(text: Sequence[str], numbers: Sequence[str], *, no_wrap: bool = True) -> Table:
    """A table without lines, with columns of text before those of numbers."""
    table = Table(box=None, pad_edge=False)
    for name in text:
        table.add_column(name, no_wrap=no_wrap)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=no_wrap)
    return table


def print_json(results: Sequence[EvaluationResult]) -> None:
    echo("[\n" + ",\n".join(result.model_dump_json(indent=2) for result in results) + "\n]")


def print_results(results: Sequence[EvaluationResult], names: Sequence[str] = ()) -> None:
    """Print results as a table without uninformative columns, followed by notes for the reader.

    ``names``: names of the rows if they are of several runs; empty for one run, whose best encoder is marked.
    """
    from trainer.evaluate.ensemble import best_encoders

    best = set() if names else best_encoders(results)

    def marked(result: EvaluationResult) -> str:
        return result.encoder + (" *" if (result.figure, result.convention, result.encoder) in best else "")

    columns: dict[str, Callable[[EvaluationResult], str]] = {"protocol": lambda r: r.figure}
    if len({result.convention for result in results}) > 1:
        columns["convention"] = lambda r: r.convention
    if len({result.encoder for result in results}) > 1:
        columns["encoder"] = marked
    text = [*(["result"] if names else []), *columns]
    columns |= {"top-1 %": _top1, "95 % interval": _interval, "top-5 %": lambda r: _percent(r.top5)}
    columns |= {"class mean %": lambda r: _percent(r.macro), "best epoch %": lambda r: _percent(r.best_top1)}
    columns["random encoder kNN %"] = lambda r: _percent(r.random_knn)
    table = table_of(text, [name for name in columns if name not in text])
    for row, result in enumerate(results):
        table.add_row(*names[row : row + 1], *(shown(result) for shown in columns.values()))
    show(table)
    if best:
        echo("* the best single encoder of its protocol; those joined by + are evaluated together")
    for note in dict.fromkeys(note for result in results for note in result.notes):
        echo(f"note: {note}")
    if results[0].synthetic:
        echo(SYNTHETIC)


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.1f}"


def _top1(result: EvaluationResult) -> str:
    return _percent(result.top1) + ("" if result.std is None else f" ± {100 * result.std:.1f}")


def _interval(result: EvaluationResult) -> str:
    return "-" if result.interval is None else " - ".join(map(_percent, result.interval))
