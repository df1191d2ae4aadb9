"""``skeltools skeletons``."""

from __future__ import annotations

import json
from typing import Any

import click

from schemas.commands import echo, show
from skeltools.cli.terminal import table_of

_WORDS = {"shoulders": "shoulders", "left_right_swap": "sides", "body_parts": "body parts"}


@click.command("skeletons")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the convention, or all names, as JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the skeleton conventions by group, or draw the tree of NAME and state its source.

    NAME is a convention's name or your own JSON or YAML file.

    \b
    Example:
      skeltools skeletons
      skeltools skeletons smplx_42
    """
    from skeltools import skeletons
    from skeltools.skeletons import drawing

    if as_json:
        content: Any = skeletons.describe(name) if name else skeletons.names()
        echo(json.dumps(content, indent=2))
    elif name:
        echo(drawing.tree(skeletons.load(name)))
    else:
        table = table_of("convention", "joints", "centre", "without", right=("joints",))
        for group, heading in skeletons.GROUPS.items():
            table.add_section()
            table.add_row(heading, style="bold")
            for known in skeletons.names(group):
                spec = skeletons.load(known)
                absent = [word for key, word in _WORDS.items() if getattr(spec, key) is None]
                table.add_row(f"  {known}", str(spec.num_joints), spec.joints[spec.center], ", ".join(absent))
        show(table)
