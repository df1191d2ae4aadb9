"""The page of the command line, written from the commands themselves while the site is built."""

from __future__ import annotations

from collections.abc import Iterator

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from skeltools.cli import cli as skeltools
from trainer.cli import cli as trainer

INTRODUCTION = """# Command line

`python -m skeltools` and `python -m trainer` are the same commands. Exit codes: 0, 1 for wrong data or a
failure, 2 for wrong usage, 130 after Ctrl-C. `--debug` before the command shows the traceback of an error.
[Commands](../guides/commands.md) goes through them task by task.
"""


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the page to those that are files."""
    files.append(File.generated(config, "reference/command-line.md", content="\n".join(page())))
    return files


def page() -> Iterator[str]:
    yield INTRODUCTION
    for name, group in (("skeltools", skeltools), ("trainer", trainer)):
        context = click.Context(group, info_name=name, max_content_width=100)
        yield f"## {name}\n\n```text\n{group.get_help(context)}\n```\n"
        for command_name in group.list_commands(context):
            command = group.get_command(context, command_name)
            assert command is not None
            inner = click.Context(command, info_name=command_name, parent=context, max_content_width=100)
            yield f"### {name} {command_name}\n\n```text\n{command.get_help(inner)}\n```\n"
            for step in getattr(command, "steps", {}).values():
                deep = click.Context(step, info_name=step.name, parent=inner, max_content_width=100)
                yield f"#### {name} {command_name} {step.name}\n\n```text\n{step.get_help(deep)}\n```\n"
