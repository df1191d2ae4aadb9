"""The command line of skeltools: parse, call, print. Errors become one line on stderr and an exit code.

One file per command; ``terminal`` has what they share.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from schemas import SkelError, speaking, versions
from schemas.system import refusal
from skeltools.cli import (
    card,
    convert,
    demo,
    docs,
    export,
    inspect,
    map,
    merge,
    recipes,
    render,
    schema,
    skeletons,
    streams,
    validate,
    view,
)
from skeltools.cli.terminal import echo

_INTERRUPTED = 130  # 128 + SIGINT, the shells' convention
_TERMINATED = 143  # 128 + SIGTERM


class Commands(click.Group):
    """Commands of which an option that takes one value may be given once."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Raises UsageError for an option that is repeated: click would silently take its last value."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            if isinstance(command, convert.WithSteps):
                command, rest = command.chosen(rest)
                name = name if command.name == name else f"{name} {command.name}"
            with command.context_class(command, parent=ctx, info_name=name) as inner:
                _, _, given = command.make_parser(inner).parse_args(list(rest))
                for option in given:
                    if _takes_one_value(option) and given.count(option) > 1:
                        names = " or ".join([option.opts[-1], *option.secondary_opts])
                        raise click.UsageError(f"{names} is given twice, but takes one value", inner)
        return name, command, rest


def _takes_one_value(parameter: click.Parameter) -> bool:
    """Whether a repetition would lose something. A flag says the same twice, unless it has an opposite."""
    return isinstance(parameter, click.Option) and not (
        parameter.multiple or (parameter.is_flag and not parameter.secondary_opts)
    )


def _version(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted:
        from skeltools import __version__

        echo(versions.text("skeltools", __version__, ("numpy", "zarr", "h5py", "opencv-python", "pydantic")))
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the versions that matter and exit.",
)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing on stderr but errors: --log-level error.")
@click.option(
    "--log-level",
    type=click.Choice(speaking.LEVELS),
    default="info",
    envvar="SKELTOOLS_LOG_LEVEL",
    help="What is said on stderr: everything (info, the default), warnings and errors, or errors.",
)
@click.option("--debug", is_flag=True, envvar="SKELTOOLS_DEBUG", help="Show the traceback of an error.")
@click.pass_obj
def cli(settings: dict[str, bool], debug: bool, quiet: bool, log_level: str) -> None:
    """Raw 3D-skeleton data sets to one clean multi-skeleton store.

    \b
    Example, from an empty folder:
      skeltools demo raw/
      skeltools convert ntu60 --out store.zarr
      skeltools streams --bone --motion
      skeltools inspect
    """
    settings["debug"] = debug
    speaking.set_level("error" if quiet else log_level)


for module in (
    card,
    convert,
    demo,
    docs,
    export,
    inspect,
    map,
    merge,
    recipes,
    render,
    schema,
    skeletons,
    streams,
    validate,
    view,
):
    cli.add_command(module.command)


def main(args: list[str] | None = None) -> None:
    """Entry point: run the command and exit. Exit codes: 0, 1 data or runtime, 2 usage, 130 interrupted."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:] if args is None else args))


def run(args: list[str]) -> int:
    """Run a command line and return its exit code; errors are printed, not raised, unless ``--debug``."""
    settings = {"debug": False}
    try:
        code = cli.main(args, prog_name="skeltools", standalone_mode=False, obj=settings)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        echo(error.format_message(), err=True)
        return error.exit_code
    except (click.ClickException, SkelError) as error:
        if settings["debug"]:
            raise
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        echo(f"error: {' '.join(message.split())}", err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        echo("error: interrupted", err=True)
        return _INTERRUPTED
    except BrokenPipeError:  # `skeltools inspect | head`
        sys.stdout = None  # so that Python does not flush into the closed pipe
        return 1
    except (OSError, MemoryError) as error:
        if settings["debug"]:
            raise
        echo(f"error: {refusal(error)}", err=True)
        return 1
    except Exception as error:
        if settings["debug"]:
            raise
        what = " ".join(f"{type(error).__name__}: {error}".split())
        echo(f"error: internal error ({what}); run again with --debug to see where", err=True)
        return 1


def _terminate(number: int, frame: FrameType | None) -> None:
    """Unwind as after Ctrl-C, so that what is unfinished is put in order."""
    sys.exit(_TERMINATED)
