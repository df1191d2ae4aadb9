"""``skeltools recipes``."""

from __future__ import annotations

import json

import click

from schemas.commands import echo, show
from skeltools.cli.terminal import table_of


@click.command("recipes")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the steps, or all names, as JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the preprocessing recipes, or print NAME (a name or your own YAML file) with all of its options.

    The output is itself a recipe file: edit it and pass it to convert or streams as --recipe.

    \b
    Example:
      skeltools recipes
      skeltools recipes default > mine.yaml
      skeltools convert ntu60 --recipe mine.yaml
    """
    from skeltools.preprocess import RECIPES, load
    from skeltools.preprocess.recipes import to_yaml

    if as_json:
        content = [step.model_dump(mode="json") for step in load(name).steps] if name else list(RECIPES)
        echo(json.dumps(content, indent=2))
    elif name:
        echo(to_yaml(load(name).steps), nl=False)
    else:
        table = table_of("recipe", "steps")
        for known, steps in RECIPES.items():
            table.add_row(known, ", ".join(step.name for step in steps))
        show(table)
