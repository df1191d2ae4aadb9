"""The command line of the trainer: parse, call, print. Errors become one line and an exit code here.

There is one file per command; ``display`` has their progress bars.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback

import click

from schemas import SkelError
from schemas.commands import echo, program
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
from trainer.kernels import malloc


@program("trainer", ("torch", "numpy", "zarr", "pydantic"), max_content_width=110)
def cli(debug: bool) -> None:
    """Pre-train skeleton encoders without labels, and evaluate them.

    \b
    Example:
      trainer pretrain --store store.zarr --method ms-clr
      trainer evaluate runs/ms-clr --protocol knn --protocol linear
      trainer --quiet evaluate runs/ms-clr --protocol knn --json
    """


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
    """Run a command and exit: 0 done, 1 data or runtime error, 2 usage error, 128 + n after signal n."""
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
