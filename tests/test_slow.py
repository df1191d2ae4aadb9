"""The list of tests that ``make test`` leaves to ``make slow`` names tests that are there."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
LISTED = (Path(__file__).parent / "slow.txt").read_text(encoding="utf-8").splitlines()


def test_every_listed_test_is_there() -> None:
    assert sorted(set(LISTED)) == LISTED
    there: set[str] = set()
    for file in {line.split("::")[0] for line in LISTED}:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        there |= {f"{file}::{node.name}" for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {line.split("[")[0] for line in LISTED} <= there


def test_each_kind_of_page_and_every_package_stays_in_the_short_run() -> None:
    """A list that takes too much would hide what a newcomer tries first."""
    assert not [line for line in LISTED if "[README.md]" in line or "[docs/getting-started.md]" in line]
