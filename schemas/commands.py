"""What the commands of both packages have in common, using click alone, and rich where a table is drawn."""

from __future__ import annotations

import platform
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from schemas import verbosity
from schemas.errors import SkelError
from schemas.system import refusal
from schemas.text import shown

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment
    from rich.table import Table

_PIPED_WIDTH = 200
"""Columns for tables that no terminal shows, so that no cell is cut."""


def echo(text: str | bytes, *, err: bool = False, nl: bool = True) -> None:
    """``click.echo`` with text that cannot control the terminal, whoever wrote the names in it."""
    if not err or isinstance(text, bytes) or verbosity.is_said(text):
        click.echo(shown(text) if isinstance(text, str) else text, err=err, nl=nl)


def show(*lines: Table | str) -> None:
    """Print to stdout, as wide as the terminal, or wide enough for every column if there is none.

    Texts are shown as they are, also in cells: brackets are not markup.
    """
    from rich.console import Console

    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    for line in lines:
        console.print(shown(line) if isinstance(line, str) else _Plain(line), soft_wrap=isinstance(line, str))


class _Plain:
    """A table drawn by rich, with texts that cannot control the terminal."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment

        for text, style, control in console.render(self.table, options):
            yield Segment(shown(text), style, control)


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int | None], None] | None]:
    """Show a progress bar on stderr; yields the callback ``(done, total)``, or None if stderr is no terminal.

    ``total`` is None where it is not known.
    """
    if not (sys.stderr.isatty() and verbosity.shows_progress()):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


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


def stack(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several options and arguments as one decorator, in the order of the help."""

    def made(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return made


def _takes_one_value(parameter: click.Parameter) -> bool:
    """Whether repetition would lose a value; a repeated flag says the same, unless it has an opposite."""
    return isinstance(parameter, click.Option) and not (
        parameter.multiple or (parameter.is_flag and not parameter.secondary_opts)
    )


def program(
    package: str, libraries: Sequence[str], **settings: Any
) -> Callable[[Callable[[], None]], Commands]:
    """Make a program of an empty function, whose docstring is the help.

    The program has ``--version``, which prints the versions of the package and of ``libraries``, ``--quiet``,
    ``--log-level`` and ``--debug``. ``settings`` are further context settings of click.
    """

    def version(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
        if wanted:
            echo(_versions(package, libraries))
            ctx.exit()

    def made(function: Callable[[], None]) -> Commands:
        @click.group(
            package, cls=Commands, context_settings={"help_option_names": ["-h", "--help"], **settings}
        )
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
            type=click.Choice(verbosity.LEVELS),
            default="info",
            envvar="SKELTOOLS_LOG_LEVEL",
            help="What is said on stderr: everything (info, the default), warnings and errors, or errors.",
        )
        @click.option(
            "--debug", is_flag=True, envvar="SKELTOOLS_DEBUG", help="Show the traceback of an error."
        )
        @click.pass_context
        @wraps(function)
        def group(ctx: click.Context, debug: bool, quiet: bool, log_level: str) -> None:
            verbosity.set_level("error" if quiet else log_level)
            ctx.ensure_object(dict)["debug"] = debug

        return group

    return made


def _versions(package: str, libraries: Sequence[str]) -> str:
    """``trainer 0.1.0``, and a line with the versions that a fault report needs."""
    from schemas import FORMAT

    own = import_module(package).__version__
    others = ", ".join(f"{name} {_version(name)}" for name in libraries)
    return f"{package} {own}\nstore format {FORMAT}, Python {platform.python_version()}, {others}"


def _version(library: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # slow to import

    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def run(program: Commands, arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code: 0 done, 1 data or runtime error, 2 usage, 130 interrupted.

    An error is one line on stderr; with ``--debug`` its traceback stands above.
    """
    settings: dict[str, Any] = {}
    try:
        code = program.main([*arguments], prog_name=program.name, standalone_mode=False, obj=settings)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        echo(error.format_message(), err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        echo("error: interrupted; nothing was left half-written", err=True)
        return 128 + signal.SIGINT
    except Exception as error:
        if settings.get("debug"):
            traceback.print_exc()
        message, code = _message(error)
        echo(f"error: {' '.join(message.split())}", err=True)
        return code


def _message(error: Exception) -> tuple[str, int]:
    """What is said of an error, and the exit code."""
    if isinstance(error, click.ClickException):
        return error.format_message(), error.exit_code
    if isinstance(error, SkelError):
        return str(error), error.exit_code
    if isinstance(error, OSError | MemoryError):
        return str(refusal(error)), 1
    if isinstance(error, ModuleNotFoundError):
        return _missing(error), 1
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return f"internal error ({text[:300]}); run again with --debug to see where", 1


def _missing(error: ModuleNotFoundError) -> str:
    if (error.name or "").partition(".")[0] == "torch":
        return "PyTorch is not installed, and this command needs it: pip install torch, version 2.11 or later"
    return f"{error}: this command needs it; install skeltools again with all that it depends on"
