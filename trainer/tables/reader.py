"""Read the published tables: one YAML file per paper, beside this module.

A file has ``given``, the coordinates shared by all its numbers; tables, columns and rows may add more. The
value closest to the number wins, a row before its column; ``settings`` and ``flags`` accumulate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from schemas import RunConfig, unknown
from trainer.tables.model import PaperTable, Published, Row

_FOLDER = Path(__file__).parent
_PREFIX = "paper/"
_PRINTED = {
    "aimclr": "AimCLR",
    "csclr": "CSCLR",
    "isc": "ISC",
    "ms-clr": "MS-CLR",
    "pku-mmd": "Li et al. on PKU-MMD",
    "skelemixclr": "SkeleMixCLR",
}
"""Names of the papers as printed."""

Tree = dict[str, Any]


def names() -> tuple[str, ...]:
    """The names of all tables: ``aimclr-table2``, ... by paper and number."""
    return tuple(_tables())


def load(name: str) -> PaperTable:
    """A table by name, with or without the prefix ``paper/``; raises UsageError that names the closest."""
    short = name.removeprefix(_PREFIX)
    if short not in _tables():
        raise unknown("table", short, _tables())
    return _tables()[short]


def published(
    *,
    method: str | None = None,
    dataset: str | None = None,
    split: str | None = None,
    stream: str | None = None,
    protocol: str | None = None,
    convention: str | None = None,
    config: RunConfig | None = None,
) -> list[Published]:
    """The published numbers that a result of this project can be compared with; None matches any.

    ``stream`` and ``convention`` may be several joined by ``+``, in any order. ``config`` excludes the
    numbers of method variants with other settings than the run. Those that require most settings come first,
    then the methods' own papers before quotations and reproductions; a number printed by several papers is
    listed several times.
    """
    asked = {"method": method, "dataset": dataset, "split": split, "protocol": protocol}
    matching = [
        cell
        for cell in cells()
        if cell.method is not None
        and all(value in (None, getattr(cell, name)) for name, value in asked.items())
        and (stream is None or same_parts(stream, cell.stream or ""))
        and (convention is None or same_parts(convention, "+".join(cell.conventions)))
        and (config is None or not unmet(cell, config))
    ]
    order = ("own", "quoted", "reproduced")
    return sorted(matching, key=lambda cell: (-len(cell.settings), order.index(cell.origin)))


def cells() -> Iterable[Published]:
    """Every printed number of every table."""
    for table in _tables().values():
        for row in table.rows:
            yield from (cell for cell in row.cells if cell is not None)


def same_parts(one: str, other: str) -> bool:
    """Whether two names joined by ``+`` have the same parts, in any order."""
    return set(one.split("+")) == set(other.split("+"))


def unmet(cell: Published, config: RunConfig) -> list[str]:
    """The required settings of the number that the run does not have, as ``path value``."""
    tree = config.model_dump(mode="json")
    return [f"{path} {_shown(value)}" for path, value in cell.settings.items() if not _has(tree, path, value)]


def _has(tree: Tree, path: str, value: Any) -> bool:
    node: Any = tree
    for part in path.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return False
        node = node[part]
    if isinstance(value, list) and isinstance(node, Mapping):
        return set(node) == set(value)
    return bool(node == value)


def _shown(value: Any) -> str:
    return " and ".join(map(str, value)) if isinstance(value, list) else str(value)


@cache
def _tables() -> dict[str, PaperTable]:
    papers = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(_FOLDER.glob("*.yaml"))]
    tables = [_table(paper, number) for paper in papers for number in paper["tables"]]
    return {table.name: table for table in tables}


def _table(paper: Tree, number: int) -> PaperTable:
    content = paper["tables"][number]
    name = f"{paper['paper']}-table{number}"
    fixed = {"table": name, "source": f"{_PRINTED[paper['paper']]}, Table {number}"}
    given = _merged(paper["given"], content.get("given", {}))
    columns = content["columns"]
    return PaperTable(
        name=name,
        source=fixed["source"],
        title=paper["title"],
        caption=content["caption"],
        columns=tuple(column["label"] for column in columns),
        rows=tuple(_row(row, columns, given, fixed) for row in content["rows"]),
        notes=tuple(content.get("notes", ())),
        unit=content.get("unit", "Top-1 %"),
    )


def _row(row: Tree, columns: list[Tree], given: Tree, fixed: Tree) -> Row:
    own = {key: value for key, value in row.items() if key not in ("label", "cells")}
    if "method" not in {**given, **own}:
        own.setdefault("origin", "quoted")  # as are most rows that this project cannot produce
    printed = []
    for column, value in zip(columns, row["cells"], strict=True):
        at = _merged(given, {key: each for key, each in column.items() if key != "label"}, own)
        number, std = value if isinstance(value, list) else (value, None)
        printed.append(
            None
            if number is None
            else Published.model_validate(
                {**fixed, **at, "value": number, "std": std, "row": row["label"], "column": column["label"]}
            )
        )
    return Row(label=row["label"], stream=row.get("stream"), note=row.get("note", ""), cells=tuple(printed))


def _merged(*layers: Tree) -> Tree:
    merged: Tree = {}
    for layer in layers:
        settings = {**merged.get("settings", {}), **layer.get("settings", {})}
        flags = " ".join(filter(None, (merged.get("flags"), layer.get("flags"))))
        merged = {**merged, **layer, "settings": settings, "flags": flags}
    return merged
