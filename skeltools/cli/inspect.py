"""``skeltools inspect``: the store's statistics as tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from skeltools.cli.terminal import STORE, SYNTHETIC, show, table_of


@click.command("inspect")
@STORE
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(store_path: Path, as_json: bool) -> None:
    """Show what is in STORE: samples, conventions, splits, classes, streams, findings.

    STORE is $SKELTOOLS_STORE or ./store.zarr when not given.

    \b
    Example:
      skeltools inspect store.zarr
      skeltools inspect store.zarr --json > store.json
    """
    from skeltools.inspect import statistics

    found = statistics(store_path)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        show(*_report(found))


def _report(found: dict[str, Any]) -> Iterator[Table | str]:
    """The tables of ``inspect``."""
    yield f"{found['store']}: {found['samples']} samples of {found['dataset']}, {_megabytes(found['bytes'])}"
    if found["synthetic"]:
        yield SYNTHETIC
    recipe = found["recipe"]["name"]
    yield f"hash {found['hash'][:16]}, format {found['format']}, recipe {recipe}, made by {found['tool']}"
    yield _conventions(found)
    yield _protocols(found)
    yield _streams(found)
    yield _classes(found)
    frames = found["frames"]
    if frames:
        shortest, median, longest = (frames[key] for key in ("shortest", "median", "longest"))
        yield f"frames per sample: {shortest:g} to {longest:g}, median {median:g}"
    for name, counts in {"bodies": found["bodies"], **found["fields"]}.items():
        yield f"samples by {name}: " + ", ".join(f"{value}: {count}" for value, count in counts.items())
    yield from _findings(found["findings"])


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _conventions(found: dict[str, Any]) -> Table:
    numbers = ("joints", "samples", "missing", "frames")
    table = table_of("convention", *numbers, "size", "reader", right=(*numbers, "size"))
    for name, row in found["conventions"].items():
        mirrored = {True: ", mirrored", False: ", not mirrored", None: ""}[row["mirrored_video"]]
        counts = (str(row[key]) for key in numbers)
        table.add_row(name, *counts, _megabytes(row["bytes"]), row["reader"] + mirrored)
    return table


def _protocols(found: dict[str, Any]) -> Table:
    table = table_of("split", "train", "test", "unused", "rule", right=("train", "test", "unused"))
    for name, row in found["protocols"].items():
        table.add_row(name, str(row["train"]), str(row["test"]), str(row["unused"]), row["rule"])
    return table


def _streams(found: dict[str, Any]) -> Table:
    table = table_of("stream", "N x C x T x V x M", "size", right=("size",))
    for name, row in found["streams"].items():
        shape = " x ".join(map(str, row["shape"]))
        table.add_row(name.removeprefix("streams/"), shape, _megabytes(row["bytes"]))
    return table


def _classes(found: dict[str, Any]) -> Table:
    table = table_of("label", "class", "samples", right=("label", "samples"))
    for row in found["classes"]:
        table.add_row(str(row["label"]), row["name"], str(row["samples"]))
    return table


_SHOWN = 20  # findings that the table lists; --json has all


def _findings(findings: dict[str, Any]) -> Iterator[Table | str]:
    if not findings["rows"]:
        yield "findings: none"
        return
    table = table_of("file", "place", "problem", "detail", "action")
    for row in findings["rows"][:_SHOWN]:
        table.add_row(row["file"], row["place"], row["problem"], row["detail"], row["action"])
    yield "findings: " + ", ".join(f"{count} x {problem}" for problem, count in findings["counts"].items())
    yield table
    if len(findings["rows"]) > _SHOWN:
        yield f"and {len(findings['rows']) - _SHOWN} more (--json lists all)"
