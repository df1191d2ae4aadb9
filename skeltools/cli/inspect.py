"""``skeltools inspect``: the store's statistics as tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from schemas.commands import echo, show
from skeltools.cli.terminal import PATH, STORE, SYNTHETIC, table_of


@click.command("inspect")
@STORE
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--findings", "only_findings", is_flag=True, help="List every finding, and nothing else.")
@click.option("--csv", "as_csv", is_flag=True, help="With --findings: as CSV, the content of findings.csv.")
@click.option("--plots", type=PATH, help="Draw the store into this new folder.")
@click.option("--force", is_flag=True, help="With --plots: write over pictures that are there.")
def command(
    store_path: Path, as_json: bool, only_findings: bool, as_csv: bool, plots: Path | None, force: bool
) -> None:
    """Show what is in STORE: samples, conventions, splits, classes, streams, findings.

    STORE is $SKELTOOLS_STORE or ./store.zarr when not given.

    \b
    Example:
      skeltools inspect store.zarr
      skeltools inspect store.zarr --json > store.json
      skeltools inspect store.zarr --findings --csv > findings.csv
      skeltools inspect store.zarr --plots pictures/

    --plots draws classes, lengths, people, cameras, missing joints, bones, mean poses and findings as PNG and
    SVG, with an overview page: pictures/index.html. It needs the extra plots.

    Run `skeltools docs findings` for what each problem means and what to do about it.
    """
    if as_csv and not only_findings:
        raise click.UsageError("--csv needs --findings")
    if as_csv and as_json:
        raise click.UsageError("give --csv or --json, not both")
    if force and plots is None:
        raise click.UsageError("--force needs --plots")
    if plots is not None:
        _draw(store_path, plots, force=force)
        return
    if only_findings:
        _list_findings(store_path, as_json=as_json, as_csv=as_csv)
        return
    from skeltools.inspect import statistics

    stats = statistics(store_path)
    if as_json:
        echo(json.dumps(stats, indent=2))
    else:
        show(*_report(stats))


def _draw(path: Path, out: Path, *, force: bool) -> None:
    from skeltools.pictures import require_plots

    require_plots()
    from skeltools.pictures import gallery

    show(*map(str, gallery.write(path, out, force=force)))


def _report(stats: dict[str, Any]) -> Iterator[Table | str]:
    """The tables of ``inspect``."""
    yield f"{stats['store']}: {stats['samples']} samples of {stats['dataset']}, {_megabytes(stats['bytes'])}"
    if stats["synthetic"]:
        yield SYNTHETIC
    recipe = stats["recipe"]["label"]
    yield f"hash {stats['hash'][:16]}, format {stats['format']}, recipe {recipe}, made by {stats['tool']}"
    for part in stats["parts"]:
        yield f"of {part['name']}: {part['samples']} samples, hash {part['hash'][:16]}"
    yield _conventions(stats)
    yield _protocols(stats)
    yield _streams(stats)
    yield _classes(stats)
    frames = stats["frames"]
    if frames:
        shortest, median, longest = (frames[key] for key in ("shortest", "median", "longest"))
        yield f"frames per sample: {shortest:g} to {longest:g}, median {median:g}"
    for name, counts in {"bodies": stats["bodies"], **stats["fields"]}.items():
        yield f"samples by {name}: " + ", ".join(f"{value}: {count}" for value, count in counts.items())
    yield from _findings(stats["findings"])


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _conventions(stats: dict[str, Any]) -> Table:
    numbers = ("joints", "samples", "missing", "frames")
    table = table_of("convention", *numbers, "size", "reader", right=(*numbers, "size"))
    for name, row in stats["conventions"].items():
        mirrored = {True: ", mirrored", False: ", not mirrored", None: ""}[row["mirrored_video"]]
        counts = (str(row[key]) for key in numbers)
        flat = ", 2D" if row["coordinates"] == "xy" else ""
        table.add_row(name, *counts, _megabytes(row["bytes"]), row["reader"] + mirrored + flat)
    return table


def _protocols(stats: dict[str, Any]) -> Table:
    table = table_of("split", "train", "test", "unused", "rule", right=("train", "test", "unused"))
    for name, row in stats["protocols"].items():
        table.add_row(name, str(row["train"]), str(row["test"]), str(row["unused"]), row["rule"])
    return table


def _streams(stats: dict[str, Any]) -> Table:
    table = table_of("stream", "N x C x T x V x M", "size", right=("size",))
    for name, row in stats["streams"].items():
        shape = " x ".join(map(str, row["shape"]))
        table.add_row(name.removeprefix("streams/"), shape, _megabytes(row["bytes"]))
    return table


def _classes(stats: dict[str, Any]) -> Table:
    table = table_of("label", "class", "samples", right=("label", "samples"))
    for row in stats["classes"]:
        table.add_row(str(row["label"]), row["name"], str(row["samples"]))
    return table


def _findings(problems: dict[str, Any]) -> Iterator[Table | str]:
    """One row per problem, with the first files that have it."""
    if not problems["rows"]:
        yield "findings: none"
        return
    table = table_of("problem", "count", "done", "for example", right=("count",))
    for row in problems["summary"]:
        examples = "; ".join(_shown(example) for example in row["examples"])
        table.add_row(row["problem"], str(row["count"]), ", ".join(row["actions"]), examples)
    number = len(problems["rows"])
    yield f"findings: {number} (--findings lists {'it' if number == 1 else 'all'})"
    yield table


def _shown(row: dict[str, str]) -> str:
    place = f", {row['place']}" if row["place"] else ""
    detail = row["detail"] if len(row["detail"]) <= _DETAIL else f"{row['detail'][:_DETAIL]}..."
    return f"{row['file']}{place}" + (f" ({detail})" if detail else "")


_DETAIL = 80  # characters of a detail in a summary


def _list_findings(path: Path, *, as_json: bool, as_csv: bool) -> None:
    from skeltools import store
    from skeltools.store import findings

    rows = store.read_findings(store.open_store(path))
    if as_csv:
        echo(findings.to_csv(rows).encode(), nl=False)
    elif as_json:
        echo(json.dumps([row.model_dump(mode="json") for row in rows], indent=2))
    elif rows:
        table = table_of("file", "place", "problem", "detail", "action")
        for row in rows:
            table.add_row(row.file, row.place, row.problem, row.detail, row.action)
        show(table)
    else:
        show("findings: none")
