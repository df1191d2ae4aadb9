"""docs/results/published.md names a test for every claim, and claims in other texts point at it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results" / "published.md"
TEXTS = [*sorted(ROOT.glob("*.md")), *sorted(set((ROOT / "docs").rglob("*.md")) - {PAGE})]
CLAIM = re.compile(
    r"as published|published preprocessing|released code|bit for bit|\bto 1e-\d|\b(?:is|are) exact\b",
    re.IGNORECASE,
)
HELD = re.compile(r"published\.md|\btest_\w+\.py")


def rows() -> list[list[str]]:
    """The cells of every row of the page's tables, headings left out."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if "held by" not in line
    ]


@cache
def functions_of(path: str) -> dict[str, ast.FunctionDef]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_a_claim_has_tests_that_exist_and_their_bound(row: list[str]) -> None:
    _, compared, held_by, bound = row
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", held_by)
    assert compared
    assert named
    assert held_by == ", ".join(f"`{path}::{name}`" for path, name in named)
    found = [functions_of(path)[name] for path, name in named]
    constants = {node.value for test in found for node in ast.walk(test) if isinstance(node, ast.Constant)}
    # `pytest.approx` alone has 1e-6.
    constants |= {1e-6} if any("approx(" in ast.unparse(test) for test in found) else set()
    for number in re.findall(r"\d+(?:\.\d+)?(?:e-\d+)?", bound):
        assert float(number) in constants, f"{held_by} does not have the bound {number}"


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_a_text_says_what_holds_its_claims(path: Path) -> None:
    """A paragraph, list or table that claims an equality links to the page or names a test."""
    for block in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
        claimed = CLAIM.search(block)
        assert claimed is None or HELD.search(block), (
            f"{path.name}: '{claimed.group()}' without a link to published.md or a test: {block[:200]}"
        )
