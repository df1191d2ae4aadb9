"""``skeltools card``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from schemas import StoreError, shown
from schemas.commands import echo
from schemas.system import remedy
from skeltools.cli.terminal import PATH, STORE, note


@click.command("card")
@STORE
@click.option("--out", type=PATH, help="Write the card there  [standard output].")
@click.option("--croissant", type=PATH, help="Also write Croissant JSON-LD there.")
def command(store_path: Path, out: Path | None, croissant: Path | None) -> None:
    """Describe STORE for others: a data card in Markdown, and machine-readable metadata.

    The card has counts, splits, conventions, preprocessing, findings, provenance, and the terms of the source
    data set. STORE is $SKELTOOLS_STORE or ./store.zarr when not given.

    \b
    Example:
      skeltools card store.zarr --out card.md --croissant card.json
    """
    from skeltools.inspect.card import card
    from skeltools.inspect.croissant import croissant as describe

    text = shown(card(store_path))
    if croissant:
        described = json.dumps(describe(store_path), indent=2, ensure_ascii=False)
        _write(croissant, shown(described) + "\n")
    if out:
        _write(out, text)
    else:
        echo(text, nl=False)


def _write(path: Path, text: str) -> None:
    from skeltools.files import durable

    try:
        durable.write_text(path, text)
    except OSError as error:
        why = f"cannot be written ({error.strerror or error})"
        raise StoreError(why, where=path, remedy=remedy(error)) from error
    note(f"written to {path}")
