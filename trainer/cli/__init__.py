"""The command line of the trainer: parse, call, print. Errors become one line and an exit code here.

One file per command; ``display`` has what they show while they work.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback

import click

from schemas import SkelError, speaking, versions
from schemas.system import refusal
from trainer.cli import (
    compare,
    embed,
    ensemble,
    evaluate,
    export,
    methods,
    predict,
    pretrain,
    publish,
    released,
    report,
    search,
    segment,
    sweep,
    table,
    verify,
    view,
)
from trainer.cli.display import echo
from trainer.kernels import malloc


class Commands(click.Group):
    """Commands of which an option that takes one value may be given once."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Raises UsageError for an option that is repeated: click would silently take its last value."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
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
        from trainer import __version__

        echo(versions.text("trainer", __version__, ("torch", "numpy", "zarr", "pydantic")))
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
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
def cli(debug: bool, quiet: bool, log_level: str) -> None:
    """Pre-train skeleton encoders without labels, and evaluate them.

    \b
    Example:
      trainer pretrain --store store.zarr --method ms-clr
      trainer evaluate runs/ms-clr --protocol knn --protocol linear
      trainer --quiet evaluate runs/ms-clr --protocol knn --json
    """
    speaking.set_level("error" if quiet else log_level)


for module in (
    compare,
    embed,
    ensemble,
    evaluate,
    export,
    methods,
    predict,
    pretrain,
    publish,
    released,
    report,
    search,
    segment,
    sweep,
    table,
    verify,
    view,
):
    cli.add_command(module.command)


def main(arguments: list[str] | None = None) -> None:
    """Runs a command and exits: 0 done, 1 data or runtime error, 2 usage, 128 + n after a signal n."""
    arguments = sys.argv[1:] if arguments is None else arguments
    malloc.keep_freed()
    try:
        code = cli.main(args=arguments, prog_name="trainer", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        echo("interrupted; nothing was left half-written", err=True)
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:  # `trainer predict ... | head`
        sys.stdout = None  # so that Python does not flush into the closed pipe
        sys.exit(1)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code, arguments)
    except SkelError as error:
        _fail(str(error), error.exit_code, arguments)
    except (OSError, MemoryError) as error:
        _fail(str(refusal(error)), 1, arguments)
    except ModuleNotFoundError as error:
        _fail(_missing(error), 1, arguments)
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        _fail(f"internal error: {text[:300]}; run again with --debug", 1, arguments)


def _missing(error: ModuleNotFoundError) -> str:
    package = (error.name or "").partition(".")[0]
    if package == "torch":
        return "PyTorch is not installed, and this command needs it: pip install torch, version 2.11 or later"
    return f"{error}: this command needs it; install skeltools again with all that it depends on"


def _fail(message: str, code: int, arguments: list[str]) -> None:
    if "--debug" in arguments or os.environ.get("SKELTOOLS_DEBUG"):
        traceback.print_exc()
    echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(code)
