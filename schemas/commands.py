"""What the commands of both packages have in common, using click alone, and rich where a table is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from schemas import speaking, versions
from schemas.text import shown

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment
    from rich.table import Table


def echo(text: str | bytes, *, err: bool = False, nl: bool = True) -> None:
    """``click.echo`` with text that cannot control the terminal, whoever wrote the names in it."""
    if not err or isinstance(text, bytes) or speaking.is_said(text):
        click.echo(shown(text) if isinstance(text, str) else text, err=err, nl=nl)


class Plain:
    """A table drawn by rich, with texts that cannot control the terminal."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment

        for text, style, control in console.render(self.table, options):
            yield Segment(shown(text), style, control)


class Commands(click.Group):
    """A group of commands whose single-value options may be given only once.

    A command that has ``steps``, by name, is run as a whole or step by step: ``convert plan ...``.
    """

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Raise UsageError for a repeated option, of which click would silently take the last value."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            step = getattr(command, "steps", {}).get(rest[0]) if rest else None
            if step is not None:
                name, command, rest = f"{name} {step.name}", step, rest[1:]
            with command.context_class(command, parent=ctx, info_name=name) as inner:
                _, _, given = command.make_parser(inner).parse_args(list(rest))
                for option in given:
                    if _takes_one_value(option) and given.count(option) > 1:
                        names = " or ".join([option.opts[-1], *option.secondary_opts])
                        raise click.UsageError(f"{names} is given twice, but takes one value", inner)
        return name, command, rest


def _takes_one_value(parameter: click.Parameter) -> bool:
    """Whether repetition would lose a value; a repeated flag says the same, unless it has an opposite."""
    return isinstance(parameter, click.Option) and not (
        parameter.multiple or (parameter.is_flag and not parameter.secondary_opts)
    )


def program(
    package: str, libraries: Sequence[str], **settings: Any
) -> Callable[[Callable[[bool], None]], Commands]:
    """Make a program of a function that receives whether ``--debug`` was given; its docstring is the help.

    The program has ``--version``, which prints the versions of the package and of ``libraries``, ``--quiet``,
    ``--log-level`` and ``--debug``. ``settings`` are further context settings of click.
    """

    def version(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
        if wanted:
            echo(versions.text(package, import_module(package).__version__, libraries))
            ctx.exit()

    def made(function: Callable[[bool], None]) -> Commands:
        @click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], **settings})
        @click.option(
            "--version",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=version,
            help="Show the versions that matter and exit.",
        )
        @click.option(
            "--quiet", "-q", is_flag=True, help="Say nothing on stderr but errors: --log-level error."
        )
        @click.option(
            "--log-level",
            type=click.Choice(speaking.LEVELS),
            default="info",
            envvar="SKELTOOLS_LOG_LEVEL",
            help="What is said on stderr: everything (info, the default), warnings and errors, or errors.",
        )
        @click.option(
            "--debug", is_flag=True, envvar="SKELTOOLS_DEBUG", help="Show the traceback of an error."
        )
        @wraps(function)
        def group(debug: bool, quiet: bool, log_level: str) -> None:
            speaking.set_level("error" if quiet else log_level)
            function(debug)

        return group

    return made
