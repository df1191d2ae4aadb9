"""The command line of skeltools: parse, call, print. Errors become one line on stderr and an exit code.

One file per command; ``terminal`` has what they share.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from schemas import SkelError
from skeltools import __version__
from skeltools.cli import card, convert, demo, export, inspect, recipes, skeletons, streams, validate

_INTERRUPTED = 130  # 128 + SIGINT, the shells' convention
_TERMINATED = 143  # 128 + SIGTERM


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="skeltools", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, envvar="SKELTOOLS_DEBUG", help="Show a traceback on errors.")
@click.pass_obj
def cli(settings: dict[str, bool], debug: bool) -> None:
    """Raw 3D-skeleton data sets to one clean multi-skeleton store.

    \b
    Example, from an empty folder:
      skeltools demo raw/
      skeltools convert ntu60 --out store.zarr
      skeltools streams --bone --motion
      skeltools inspect
    """
    settings["debug"] = debug


for module in (card, convert, demo, export, inspect, recipes, skeletons, streams, validate):
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
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except (click.ClickException, SkelError) as error:
        if settings["debug"]:
            raise
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"error: {' '.join(message.split())}", err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("error: interrupted", err=True)
        return _INTERRUPTED
    except BrokenPipeError:  # `skeltools inspect | head`
        sys.stdout = None  # so that Python does not flush into the closed pipe
        return 1
    except Exception as error:
        if settings["debug"]:
            raise
        what = " ".join(f"{type(error).__name__}: {error}".split())
        click.echo(f"error: internal error ({what}); run again with --debug to see where", err=True)
        return 1


def _terminate(number: int, frame: FrameType | None) -> None:
    """Unwind as after Ctrl-C, so that what is unfinished is put in order."""
    sys.exit(_TERMINATED)
