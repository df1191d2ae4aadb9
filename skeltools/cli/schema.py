"""``skeltools schema``."""

from __future__ import annotations

import json
from importlib import import_module

import click

from schemas import unknown
from schemas.commands import echo, show
from skeltools.cli.terminal import table_of

SCHEMAS = {
    "manifest": ("schemas.store", "StoreManifest", "the attributes of a store's root group"),
    "skeleton": ("schemas.skeleton", "SkeletonSpec", "the attributes of skeletons/<convention> of a store"),
    "finding": ("schemas.store", "Finding", "a row of a store's findings"),
    "dataset": ("skeltools.custom.settings", "Settings", "dataset.yaml, which describes your own data"),
    "run": ("schemas.run", "RunConfig", "config.yaml of a run"),
    "result": ("schemas.results", "EvaluationResult", "a file in results/ of a run"),
    "sweep": ("schemas.sweep", "SweepConfig", "the file of `trainer sweep`"),
}
"""Name -> module, model in it, and what the model describes."""


@click.command("schema")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON; a schema is JSON anyway.")
def command(name: str | None, as_json: bool) -> None:
    """List the files that have a JSON Schema (draft 2020-12), or print the schema NAME.

    Editors use the schemas to check and complete YAML and JSON; other programs use them to check their
    output.

    \b
    Example:
      skeltools schema
      skeltools schema manifest
      skeltools schema sweep > sweep.schema.json
    """
    if name is None:
        _list(as_json=as_json)
        return
    if name not in SCHEMAS:
        raise unknown("schema", name, SCHEMAS)
    module, model, _ = SCHEMAS[name]
    schema = getattr(import_module(module), model).model_json_schema()
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    echo(json.dumps(head | schema, indent=2))


def _list(*, as_json: bool) -> None:
    if as_json:
        echo(json.dumps({name: what for name, (_, _, what) in SCHEMAS.items()}, indent=2))
        return
    table = table_of("schema", "is of")
    for name, (_, _, what) in SCHEMAS.items():
        table.add_row(name, what)
    show(table)
