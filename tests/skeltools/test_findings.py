from __future__ import annotations

import ast
import csv
import io
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from schemas import Finding
from skeltools.store import findings

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "reference" / "findings.md"

PLACES = {
    "finding": 1,
    "_finding": 1,
    "note": 1,
    "skipped": 1,
    "skipped_sample": 2,
    "_skip": 2,
    "_about": 2,
    "Problem": 1,
}
"""Function that makes a finding -> place of the problem among its arguments."""

RETURNED = {"_problem_of", "_problem"}
"""Functions that return problems."""

TABLES = {"_of_set", "_of_clips", "odd"}
"""Functions with pairs of a problem and what is told of it."""


def _text(node: ast.AST | None, names: dict[str, str]) -> Iterator[str]:
    """The texts that an expression may be; what is put into an f-string is ``...``."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
        yield node.value
    elif isinstance(node, ast.Constant) and node.value in ("encrypted",):
        yield str(node.value)
    elif isinstance(node, ast.JoinedStr):
        parts = (str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values)
        yield "".join(parts)
    elif isinstance(node, ast.IfExp):
        yield from (*_text(node.body, names), *_text(node.orelse, names))
    elif isinstance(node, ast.Tuple):
        yield from (text for element in node.elts[1:2] for text in _text(element, names))
    elif isinstance(node, ast.Name) and node.id in names:
        yield names[node.id]


def problems_in(path: Path) -> set[str]:
    """Problems that a module names, found without running it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: dict[str, str] = {}
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = node.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                names[node.targets[0].id] = value.value
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "problem":
            found |= set(_text(node.value, names))
        if isinstance(node, ast.FunctionDef) and node.name in RETURNED:
            returned = (inner.value for inner in ast.walk(node) if isinstance(inner, ast.Return))
            found |= {text for value in returned for text in _text(value, names)}
        if isinstance(node, ast.FunctionDef) and node.name in TABLES:
            pairs = (
                inner for inner in ast.walk(node) if isinstance(inner, ast.Tuple) and len(inner.elts) == 2
            )
            found |= {text for pair in pairs for text in _text(pair.elts[0], names)}
        if isinstance(node, ast.Call):
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            place = PLACES.get(called)
            if place is not None and len(node.args) > place:
                found |= set(_text(node.args[place], names))
            if called in ("Finding", "finding"):
                problem = next((word.value for word in node.keywords if word.arg == "problem"), None)
                found |= set(_text(problem, names))
    return found


@cache
def in_the_code() -> set[str]:
    paths = (ROOT / "skeltools").rglob("*.py")
    return {problem for path in paths for problem in problems_in(path) if problem}


def _documented() -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)


def test_problems_are_found_in_the_code() -> None:
    assert {
        "unreadable file",
        "duplicate sample id",
        "names differ only in case",
        "start after end",
    } < in_the_code()
    assert len(in_the_code()) > 40


def test_every_problem_is_documented() -> None:
    missing = in_the_code() - set(_documented())
    assert not missing, f"docs/reference/findings.md has no rows for {sorted(missing)}"


def test_every_documented_problem_exists_once() -> None:
    documented = _documented()
    assert len(documented) == len(set(documented))
    assert set(documented) <= in_the_code()


HOSTILE = (
    Finding(file="=cmd|' /C calc'!A0", place="-1", problem="@x", detail='+ "quoted", and', action="x"),
    Finding(file="caf\udce9\n.skeleton", problem="unreadable file", detail="\x1b[2Jgone", action="skipped"),
)


def test_a_table_reads_back_without_formulas(tmp_path: Path) -> None:
    findings.write(tmp_path, HOSTILE)
    content = (tmp_path / findings.FILE).read_bytes()
    assert content == findings.to_csv(HOSTILE).encode()
    assert content.count(b"\r\n") == content.count(b"\n") == 3
    header, *rows = csv.reader(io.StringIO(content.decode(), newline=""))
    assert header == ["file", "place", "problem", "detail", "action"]
    assert not [cell for row in rows for cell in row if cell[:1] in ("=", "+", "-", "@")]
    assert [[cell.removeprefix("'") for cell in row] for row in rows] == [
        [getattr(row, name) for name in header] for row in HOSTILE
    ]
    assert findings.is_equal(tmp_path, HOSTILE) is True
    assert findings.is_equal(tmp_path, HOSTILE[:1]) is False
    assert findings.is_equal(tmp_path / "elsewhere", HOSTILE) is None
    assert [path.name for path in tmp_path.iterdir()] == [findings.FILE]


def test_what_is_no_text_is_escaped() -> None:
    assert HOSTILE[1].file == "caf\\udce9\\n.skeleton"
    assert HOSTILE[1].detail == "\\x1b[2Jgone"
    assert Finding(file="Größe 人.npy", problem="x", action="y").file == "Größe 人.npy"


def test_summary_counts_by_problem() -> None:
    rows = [Finding(file=f"{n}", problem="a" if n else "b", action="skipped") for n in range(6)]
    first, second = findings.summary(rows)
    assert (first["problem"], first["count"], first["actions"]) == ("a", 5, ["skipped"])
    assert [row["file"] for row in first["examples"]] == ["1", "2", "3"]
    assert (second["problem"], second["count"]) == ("b", 1)
    assert findings.summary([]) == []
