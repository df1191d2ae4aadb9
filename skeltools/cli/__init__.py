"""The command line of skeltools: parse, call, print; errors become one line on stderr and an exit code.

There is one file per command; ``terminal`` has what they share.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from schemas import SkelError
from schemas.commands import echo, program
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

_INTERRUPTED = 130  # 128 + SIGINT, the shells' convention
_TERMINATED = 143  # 128 + SIGTERM


@program("skeltools", ("numpy", "zarr", "h5py", "opencv-python", "pydantic"))
def cli(debug: bool) -> None:
    """Raw 3D-skeleton data sets to one clean multi-skeleton store.

    \b
    Example, from an empty folder:
      skeltools demo raw/
      skeltools convert ntu60 --out store.zarr
      skeltools streams --bone --motion
      skeltools inspect
    """
    click.get_current_context().obj["debug"] = debug


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
    """Entry point: run the command and exit with 0, 1 (data or runtime), 2 (usage) or 130 (interrupted)."""
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
    """Unwind as after Ctrl-C, so that unfinished work is cleaned up."""
    sys.exit(_TERMINATED)
