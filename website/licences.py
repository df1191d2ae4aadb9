"""The page of licences, from what the installed packages say of themselves.

    python website/licences.py > docs/licences.md

Direct dependencies only: those that pyproject.toml names. Versions are those of constraints.txt.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import metadata, version
from pathlib import Path

ROOT = Path(__file__).parents[1]

INTRODUCTION = """# Licences

skeltools is under the MIT licence (`LICENSE`). Nothing of other packages is part of it; they are installed
beside it. This page lists the packages that it names as dependencies, with the versions that the tests run
with and the licence that each package's own metadata state. What these depend on in turn has licences of its
own.

Data sets, and weights that were trained on them, have terms of their own: NTU RGB+D, PKU-MMD and NW-UCLA are
not part of this project. The card of an exported encoder has a field `licence` for them.
"""


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    print(INTRODUCTION)
    print("\n".join(table("Needed", project["dependencies"])))
    for name, packages in project["optional-dependencies"].items():
        print("\n".join(table(f"Extra `{name}`", packages)))


def table(title: str, requirements: Iterable[str]) -> Iterator[str]:
    yield f"## {title}\n\n| package | version | licence |\n|---|---|---|"
    for requirement in requirements:
        match = re.match(r"[\w.-]+", requirement)
        assert match is not None
        yield f"| {match[0]} | {version(match[0]).partition('+')[0]} | {licence(match[0])} |"
    yield ""


def licence(package: str) -> str:
    """The licence expression, else the classifiers, else the first line of the licence field."""
    told = metadata(package)
    expression = told["License-Expression"]
    kinds = [
        line.split(" :: ")[-1] for line in told.get_all("Classifier") or () if line.startswith("License")
    ]
    field = (told["License"] or "").strip().splitlines()
    return expression or ", ".join(kinds) or (field[0] if field else "see the package")


if __name__ == "__main__":
    main()
