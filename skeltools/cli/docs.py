"""``skeltools docs``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from schemas import UsageError, unknown
from schemas.commands import echo


@click.command("docs")
@click.argument("topic", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the list of pages as JSON.")
def command(topic: str | None, as_json: bool) -> None:
    """List the pages of the documentation, or print TOPIC as Markdown.

    \b
    Example:
      skeltools docs
      skeltools docs findings
    """
    known = pages()
    if topic is None and as_json:
        echo(json.dumps({name: _title(path) for name, path in known.items()}, indent=2))
    elif topic is None:
        for name, path in known.items():
            echo(f"{name:<18}{_title(path)}")
    elif topic in known:
        echo(known[topic].read_text(encoding="utf-8"), nl=False)
    else:
        raise unknown("topic", topic, known)


def pages() -> dict[str, Path]:
    """Name -> page, from the package, or else from the source tree that it runs from."""
    package = Path(__file__).parents[1]
    folder = next((each for each in (package / "docs", package.parent / "docs") if each.is_dir()), None)
    if folder is None:
        raise UsageError("the pages were not installed", remedy="Read them in the folder docs of the sources")
    return {path.stem: path for path in sorted(folder.rglob("*.md"))}


def _title(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((line.removeprefix("# ") for line in lines if line.startswith("# ")), "")
