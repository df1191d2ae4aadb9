"""``trainer table``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from schemas.commands import echo, show
from trainer.cli.figures import table_of
from trainer.cli.options import PATH

if TYPE_CHECKING:
    from trainer.tables import Cell, FilledTable, Ours


@dataclass(frozen=True)
class Remarks:
    heading: str
    entries: list[tuple[str, list[str]]]
    """Pairs of a line and the lines under it."""
    commands: bool = False
    """Whether the lines under it are shell commands."""


@click.command("table")
@click.argument("name", required=False)
@click.argument("runs", nargs=-1, type=PATH)
@click.option("--markdown", is_flag=True, help="Print Markdown.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--latex", is_flag=True, help="Print a LaTeX tabular (booktabs).")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, a line for each printed number.")
def command(
    name: str | None, runs: tuple[Path, ...], markdown: bool, as_json: bool, latex: bool, as_csv: bool
) -> None:
    """List the result tables of the papers, or show one with results of RUNS beside the published numbers.

    RUNS are run folders that have been evaluated, and results that `trainer ensemble` wrote. For each result
    the table says whether its data and its schedule can be compared with the paper's. Runs that differ only
    in their seed are combined into mean and standard deviation. For each missing result it prints the
    commands that make it, from the raw data or from RUNS.

    \b
    Examples:
      trainer table
      trainer table paper/ms-clr-table1
      trainer table ms-clr-table1 runs/ms-clr runs/aimclr runs/ensemble
      trainer table isc-table2 runs/isc --markdown
      trainer table aimclr-table2 runs/seed-0 runs/seed-1 runs/seed-2 --latex
    """
    from trainer import tables

    if sum((markdown, as_json, latex, as_csv)) > 1:
        raise click.UsageError("give one of --markdown, --json, --latex and --csv")
    if name is None:
        _print_names(as_json=as_json)
        return
    filled = tables.fill(tables.load(name), tables.read_sources(runs))
    if as_json:
        echo(json.dumps(_as_json(filled), indent=2))
    elif markdown:
        echo("\n".join(_markdown(filled)))
    elif latex:
        echo("\n".join(_latex(filled)))
    elif as_csv:
        echo(_csv(filled), nl=False)
    else:
        _print_table(filled)


def _print_names(*, as_json: bool) -> None:
    from trainer import tables

    if as_json:
        known = [tables.load(name) for name in tables.names()]
        echo(json.dumps([{"name": each.name, "caption": each.caption} for each in known], indent=2))
        return
    listed = Table(box=None, pad_edge=False)
    for heading in ("name", "table", "what it shows"):
        listed.add_column(heading, no_wrap=heading == "name")
    for name in tables.names():
        table = tables.load(name)
        listed.add_row(name, table.source, table.caption)
    show(listed)


def _print_table(filled: FilledTable) -> None:
    table = filled.table
    echo(f"{table.source}: {table.caption}")
    echo(f"{table.title}. {table.unit}: published | ours (difference)")
    grid = table_of(["", "stream"], table.columns, no_wrap=False)
    for row, cells in zip(table.rows, filled.rows, strict=True):
        grid.add_row(row.label, row.stream or "", *(_shown(cell) for cell in cells))
    show(grid)
    for remarks in _remarks(filled):
        echo(f"\n{remarks.heading}")
        for line, under in remarks.entries:
            echo("\n".join([f"  {line}", *(f"      {each}" for each in under)]))


def _shown(cell: Cell | None) -> str:
    """A cell such as ``79.7 | 58.3 (-21.4) *``; the star marks figures that are not comparable."""
    if cell is None:
        return "-"
    printed = f"{cell.published.value:.1f}"
    printed += f" ± {cell.published.std:.1f}" if cell.published.std is not None else ""
    ours = ", ".join(f"{_figure(each)}{'' if each.comparable else ' *'}" for each in cell.ours)
    return f"{printed} | {ours}" if ours else printed


def _figure(ours: Ours) -> str:
    spread = "" if ours.std is None else f" ± {ours.std:.1f}"
    gap = "" if ours.difference is None else f" ({ours.difference:+.1f})"
    return f"{ours.value:.1f}{spread}{gap}"


def _files(ours: Ours) -> str:
    return f"{len(ours.files)} seeds: {', '.join(map(str, ours.files))}" if ours.files else str(ours.file)


def _title(cell: Cell) -> str:
    published = cell.published
    stream = f" {published.stream}" if published.stream else ""
    return f"{published.row}{stream}, {published.column}"


def _remarks(filled: FilledTable) -> Iterator[Remarks]:
    """Yield the remarks under the table."""
    table = filled.table
    notes = [*table.notes, *(f"{row.label}: {row.note}" for row in table.rows if row.note)]
    if notes:
        yield Remarks("Notes:", [(note, []) for note in notes])
    filled_cells = [
        (f"{_title(cell)}: {_figure(each)}, {_files(each)}", _judged(each))
        for cell in filled.cells()
        for each in cell.ours
    ]
    if filled_cells:
        yield Remarks("Filled (* not comparable):", filled_cells)
    if filled.unfit:
        unfit = [(f"{each.file}: {each.reason}", list[str]()) for each in filled.unfit]
        yield Remarks("Results that belong to no cell of this table:", unfit)
    empty = [
        (f"{_title(cell)}: {cell.missing.what}", list(cell.missing.commands))
        for cell in filled.cells()
        if cell.missing is not None
    ]
    if empty:
        yield Remarks("Missing, and the commands that make it:", empty, commands=True)


def _judged(ours: Ours) -> list[str]:
    """Whether data and schedule are comparable."""
    parts = (("data", ours.verdict.data), ("schedule", ours.verdict.schedule))
    return [
        f"{what} {'not comparable: ' + '; '.join(differs) if differs else 'comparable'}"
        for what, differs in parts
    ]


def _markdown(filled: FilledTable) -> Iterator[str]:
    table = filled.table
    yield f"## {table.source}: {table.caption}\n"
    yield f"{table.title}. {table.unit}: published \\| ours (difference); \\* not comparable.\n"
    yield f"| | stream | {' | '.join(map(_piped, table.columns))} |"
    yield "|---|---|" + "---:|" * len(table.columns)
    for row, cells in zip(table.rows, filled.rows, strict=True):
        shown = (_starred(_piped(_shown(cell))) for cell in cells)
        yield f"| {_piped(row.label)} | {row.stream or ''} | {' | '.join(shown)} |"
    for remarks in _remarks(filled):
        yield f"\n{_starred(remarks.heading)}\n"
        for line, under in remarks.entries:
            yield f"- {_starred(line)}"
            if remarks.commands:
                yield "\n".join(f"  {each}" for each in ("```sh", *under, "```"))
            else:
                yield from (f"  - {each}" for each in under)


def _latex(filled: FilledTable) -> Iterator[str]:
    """A tabular with booktabs rules, followed by comments on what makes figures not comparable."""
    table = filled.table
    yield f"% {table.source}: {table.caption}"
    yield f"% {table.title}. {table.unit}: published | ours (difference); * not comparable."
    yield f"\\begin{{tabular}}{{ll{'r' * len(table.columns)}}}"
    yield "\\toprule"
    yield " & ".join(["", "stream", *map(_tex, table.columns)]) + " \\\\"
    yield "\\midrule"
    for row, cells in zip(table.rows, filled.rows, strict=True):
        shown = [_tex(_shown(cell)) for cell in cells]
        yield " & ".join([_tex(row.label), _tex(row.stream or ""), *shown]) + " \\\\"
    yield "\\bottomrule"
    yield "\\end{tabular}"
    for cell in filled.cells():
        for each in cell.ours:
            yield f"% {_title(cell)}: {'; '.join(_judged(each))} ({_files(each)})"


_TEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "±": "$\\pm$",
    "|": "\\textbar{}",
    "<": "$<$",
    ">": "$>$",
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)


_CSV = (
    "table", "row", "column", "stream", "protocol", "dataset", "split", "published", "published_std",
    "ours", "std", "seeds", "difference", "comparable", "differs", "files",
)  # fmt: skip


def _csv(filled: FilledTable) -> str:
    """A line for each printed number and figure of ours; the fields of a missing figure are empty."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(_CSV)
    for cell in filled.cells():
        printed = cell.published
        known: list[object] = [
            filled.table.name,
            printed.row,
            printed.column,
            printed.stream,
            printed.protocol,
        ]
        known += [printed.dataset, printed.split, printed.value, printed.std]
        for each in cell.ours or (None,):
            lines.writerow([*known, *(_csv_of(each) if each else [""] * (len(_CSV) - len(known)))])
    return text.getvalue()


def _csv_of(ours: Ours) -> list[object]:
    differs = "; ".join((*ours.verdict.data, *ours.verdict.schedule))
    files = ours.files or (ours.file,)
    gap = "" if ours.difference is None else f"{ours.difference:.2f}"
    spread = "" if ours.std is None else f"{ours.std:.2f}"
    seeds = " ".join(map(str, files))
    return [f"{ours.value:.2f}", spread, len(files), gap, "no" if differs else "yes", differs, seeds]


def _starred(text: str) -> str:
    return text.replace("*", "\\*")


def _piped(text: str) -> str:
    return text.replace("|", "\\|")


def _as_json(filled: FilledTable) -> dict[str, Any]:
    return {
        "table": filled.table.name,
        "paper": filled.table.title,
        "caption": filled.table.caption,
        "notes": list(filled.table.notes),
        "cells": [_cell_json(cell) for cell in filled.cells()],
        "unfit": [{"file": str(each.file), "reason": each.reason} for each in filled.unfit],
    }


def _cell_json(cell: Cell) -> dict[str, Any]:
    ours = [
        {
            "file": str(each.file),
            "files": [str(file) for file in each.files or (each.file,)],
            "value": each.value,
            "std": each.std,
            "difference": each.difference,
            "data": _verdict_json(each.verdict.data),
            "schedule": _verdict_json(each.verdict.schedule),
        }
        for each in cell.ours
    ]
    missing = asdict(cell.missing) if cell.missing is not None else None
    return {"published": cell.published.model_dump(mode="json"), "ours": ours, "missing": missing}


def _verdict_json(differs: tuple[str, ...]) -> dict[str, Any]:
    return {"comparable": not differs, "differs": list(differs)}
