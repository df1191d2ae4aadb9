"""The words of the house, read from the source with ast: a name says what it holds, not what was done."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ["schemas", "skeltools", "trainer"]
WORDS = {"found", "kept", "told", "met", "occasion", "affair", "intake", "moves"}
"""They say what was done, or nothing."""


def _flagged(text: str) -> list[str]:
    """``line: name`` of variables, arguments and functions. Fields of classes are keys of files, too."""
    tree = ast.parse(text)
    bodies = [line for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for line in node.body]
    fields = [line.target for line in bodies if isinstance(line, ast.AnnAssign)]
    names: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) if node not in fields:
                names.append((node.lineno, name))
            case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.append((node.lineno, name))
            case ast.ExceptHandler(name=str(name)) | ast.alias(asname=str(name)):
                names.append((node.lineno, name))
    return [f"{line}: {name}" for line, name in sorted(names) if name.strip("_") in WORDS]


@pytest.mark.parametrize("package", PACKAGES)
def test_names_say_what_they_hold(package: str) -> None:
    sources = sorted((ROOT / package).rglob("*.py"))
    assert sources
    flagged = [
        f"{path.relative_to(ROOT)}:{each}" for path in sources for each in _flagged(path.read_text("utf-8"))
    ]
    assert not flagged, "\n".join(flagged)


@pytest.mark.parametrize(
    "text",
    [
        "found = 1",
        "first, (kept, *rest) = row",
        "for told in rows: pass",
        "with lock as met: pass",
        "rows = [moves for moves in pairs]",
        "def read(*, found): pass",
        "read = lambda kept: kept",
        "async def _told(): pass",
        "class Reader:\n    def met(self): pass",
        "if (intake := read()): pass",
        "import affairs as affair",
        "try: pass\nexcept ValueError as occasion: pass",
    ],
)
def test_every_kind_of_name_is_seen(text: str) -> None:
    assert len(_flagged(text)) == 1


def test_fields_keywords_and_longer_names_are_let_be() -> None:
    assert not _flagged("class Check:\n    found: float")
    assert not _flagged("check(found=1); kept_epochs = record['told']; finding = check.found")
