"""Findings as a table: the file ``findings.csv`` of a store, and a summary by problem."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from schemas import Finding, regular
from schemas.guarded import MOST_ATTRIBUTES, TABLE, damaged
from skeltools.files import durable

FILE = TABLE
COLUMNS = tuple(Finding.model_fields)

EXAMPLES = 3
"""Rows of one problem that a summary shows."""

_FORMULA = ("=", "+", "-", "@")
"""Characters that make a spreadsheet treat a cell as a formula; file names come from strangers."""


def to_csv(rows: Iterable[Finding]) -> str:
    """A header and a line per row, as in RFC 4180; a cell that a spreadsheet would run begins with ``'``."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow(COLUMNS)
    table.writerows([_cell(getattr(row, name)) for name in COLUMNS] for row in rows)
    return text.getvalue()


def _cell(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value


def write(store: Path, rows: Iterable[Finding]) -> None:
    """Write ``findings.csv`` to the folder of a store, completely or not at all."""
    durable.write_text(store / FILE, to_csv(rows))


def is_equal(store: Path, rows: Iterable[Finding]) -> bool | None:
    """Whether ``findings.csv`` has the same content as ``rows``; None if there is no such file.

    Raises StoreError when it cannot be read.
    """
    stored = content(store)
    return None if stored is None else stored == to_csv(rows).encode()


def content(store: Path) -> bytes | None:
    """Content of ``findings.csv``; None if it does not exist; raises StoreError if it cannot be read."""
    try:
        return regular.read(regular.inside(os.path.realpath(store), FILE), most=MOST_ATTRIBUTES)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise damaged(store, FILE, error) from error


def summary(rows: Iterable[Finding]) -> list[dict[str, Any]]:
    """For each problem, the most frequent first: its count, what was done, and its first rows as examples."""
    groups: dict[str, list[Finding]] = {}
    for row in rows:
        groups.setdefault(row.problem, []).append(row)
    return [
        {
            "problem": problem,
            "count": len(members),
            "actions": sorted({row.action for row in members})[:EXAMPLES],
            "examples": [row.model_dump(mode="json") for row in members[:EXAMPLES]],
        }
        for problem, members in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    ]
