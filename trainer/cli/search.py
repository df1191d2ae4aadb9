"""``trainer search``."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from schemas.commands import echo, progress, show
from trainer.cli.display import left_out
from trainer.cli.options import (
    CLIP_CONVENTION,
    CLIP_ENCODER,
    CLIPS,
    DEVICE,
    PATH,
    PLACE,
    UNFINISHED,
    device_name,
)

if TYPE_CHECKING:
    from trainer.use.search import Bank

_CHECKS = ("duplicates", "outliers", "suspicious_labels")


@click.command("search")
@click.argument("run", type=PATH)
@click.option(
    "--query",
    "queries",
    multiple=True,
    metavar="ID|FILE",
    help="A clip of the store, a raw file, or a folder of these; may be repeated.",
)
@click.option("--duplicates", is_flag=True, help="Pairs of clips that are nearly the same.")
@click.option("--outliers", is_flag=True, help="Clips that are far from all others.")
@click.option("--suspicious-labels", is_flag=True, help="Clips whose neighbours have another label.")
@click.option("--store", type=PLACE, help="Store to search. Default: the one the run was trained on.")
@click.option(
    "-k",
    type=click.IntRange(1),
    help="Neighbours. Default: 5 of a query, 10 for copies and outliers, 20 for labels.",
)
@click.option(
    "--threshold",
    type=float,
    help="Least cosine of --duplicates; default: the data's own. Least score of --outliers; default: 3.5.",
)
@click.option(
    "--top", type=click.IntRange(1), default=20, show_default=True, help="Rows that the table shows."
)
@CLIP_ENCODER
@CLIP_CONVENTION
@CLIPS
@DEVICE
@UNFINISHED
@click.option("--json", "as_json", is_flag=True, help="Print all rows as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print all rows as CSV.")
def command(
    run: Path,
    queries: tuple[str, ...],
    store: Path | None,
    k: int | None,
    threshold: float | None,
    top: int,
    device: str,
    as_json: bool,
    as_csv: bool,
    duplicates: bool,
    outliers: bool,
    suspicious_labels: bool,
    **given: Any,
) -> None:
    """Find clips in a store by the features of an encoder: the nearest to a clip, and clips to look at.

    RUN is a run or an export. Similarity is the cosine that kNN uses, computed exactly over all clips of the
    store. The clips found are candidates to inspect, not proven errors.

    \b
    Examples:
      trainer search runs/skeletonclr --query S004C001P001R001A024
      trainer search runs/skeletonclr --query clip.skeleton --store store.zarr -k 10
      trainer search runs/skeletonclr --duplicates
      trainer search runs/skeletonclr --outliers --csv
      trainer search runs/skeletonclr --suspicious-labels --json
    """
    asked = [
        name for name, flag in zip(_CHECKS, (duplicates, outliers, suspicious_labels), strict=True) if flag
    ]
    _check(queries, asked, threshold, as_json=as_json, as_csv=as_csv)
    from trainer.use import search

    with progress("encoding") as on_progress:
        bank = search.bank(
            run,
            store,
            device=device_name(device),
            on_problem=left_out,
            on_progress=None if on_progress is None else lambda done: on_progress(done, None),
            **given,
        )
    rows, notes = _rows(bank, queries, asked, k, threshold)
    if as_json:
        echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif as_csv:
        _print_csv(rows)
    else:
        _print(rows, top)
    for note in notes:
        echo(note, err=True)


def _check(
    queries: Sequence[str], asked: Sequence[str], threshold: float | None, *, as_json: bool, as_csv: bool
) -> None:
    if len(asked) + bool(queries) != 1:
        raise click.UsageError("give one of --query, --duplicates, --outliers and --suspicious-labels")
    if threshold is not None and asked not in (["duplicates"], ["outliers"]):
        raise click.UsageError("--threshold is for --duplicates and --outliers")
    if threshold is not None and math.isnan(threshold):
        raise click.UsageError("--threshold is nan, expected a number")
    if "" in queries:
        raise click.UsageError("--query is empty: name a clip of the store, a raw file or a folder")
    if as_json and as_csv:
        raise click.UsageError("give one of --json and --csv")


def _rows(
    bank: Bank, queries: Sequence[str], asked: Sequence[str], k: int | None, threshold: float | None
) -> tuple[list[dict[str, Any]], list[str]]:
    """The findings, a mapping per row, and notes for the reader."""
    near = {} if k is None else {"k": k}
    limit = near if threshold is None else near | {"threshold": threshold}
    if queries:
        return _nearest(bank, queries, near), []
    if asked == ["duplicates"]:
        pairs = bank.duplicates(**limit)
        return [asdict(each) for each in pairs], _of_pairs(bank, pairs)
    if asked == ["outliers"]:
        outliers = bank.outliers(**limit)
        return [asdict(each) for each in outliers], [f"{len(outliers)} of {len(bank)} clips"]
    labels, right = bank.suspicious_labels(**near)
    note = (
        f"{len(labels)} of {len(bank)} clips; the neighbours of {right:.1%} vote for the label that there is"
    )
    return [asdict(each) for each in labels], [note]


def _nearest(bank: Bank, queries: Sequence[str], near: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"query": each.query, "query_label": each.label, "rank": place, "id": id, "label": label}
        | {"similarity": float(similarity)}
        for each in bank.neighbours(*queries, on_problem=left_out, **near)
        for place, (id, label, similarity) in enumerate(
            zip(each.ids, each.labels, each.similarities, strict=True), start=1
        )
    ]


def _of_pairs(bank: Bank, pairs: Sequence[Any]) -> list[str]:
    from trainer.use import search

    clips = {id for each in pairs for id in (each.first, each.second)}
    notes = [f"{len(pairs)} pairs of {len(clips)} clips, of {len(bank)}"]
    for split, count in search.across(bank.store, pairs).items() if pairs else ():
        if count:
            notes.append(
                f"split {split}: {count} pairs have one clip in the training half, one in the test half"
            )
    return notes


def _print(rows: list[dict[str, Any]], top: int) -> None:
    if not rows:
        echo("nothing was found")
        return
    table = Table(box=None, pad_edge=False)
    numbers = {name for name, value in rows[0].items() if isinstance(value, int | float)}
    for name in rows[0]:
        table.add_column(name.replace("_", " "), justify="right" if name in numbers else "left", no_wrap=True)
    shown = rows if "rank" in rows[0] else rows[:top]
    for row in shown:
        table.add_row(*(_shown(value) for value in row.values()))
    show(table)
    if len(shown) < len(rows):
        echo(f"... and {len(rows) - len(shown)} more: --top {len(rows)}, --json or --csv", err=True)


def _shown(value: Any) -> str:
    """Numbers with six decimals, for a cosine may be near one, or two significant digits if they are tiny."""
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2g}" if 0 < abs(value) < 1e-4 else f"{value:.6f}"


def _print_csv(rows: list[dict[str, Any]]) -> None:
    if rows:
        lines = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        lines.writeheader()
        lines.writerows(rows)
