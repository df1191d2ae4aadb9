"""``skeltools skeletons``."""

from __future__ import annotations

import json
from typing import Any

import click

from skeltools.cli.terminal import show, table_of


@click.command("skeletons")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the convention, or all names, as JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the skeleton conventions, or draw the tree of NAME (a name or your own JSON or YAML file).

    \b
    Example:
      skeltools skeletons
      skeltools skeletons smplx_42
    """
    from skeltools import skeletons
    from skeltools.skeletons import drawing

    if as_json:
        content: Any = skeletons.load(name).model_dump(mode="json") if name else skeletons.names()
        click.echo(json.dumps(content, indent=2))
    elif name:
        click.echo(drawing.tree(skeletons.load(name)))
    else:
        table = table_of("convention", "joints", "units", "centre", right=("joints",))
        for known in skeletons.names():
            spec = skeletons.load(known)
            table.add_row(known, str(spec.num_joints), spec.units, spec.joints[spec.center])
        show(table)
