"""The command line of the trainer: parse, call, print. Errors become one line and an exit code here.

One file per command; ``display`` has what they show while they work.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback

import click

from schemas import SkelError
from trainer import __version__, malloc
from trainer.cli import compare, ensemble, evaluate, export, methods, pretrain, released, report, table


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="trainer")
@click.option("--debug", is_flag=True, envvar="SKELTOOLS_DEBUG", help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Contrastive pre-training on skeleton stores, and its evaluation.

    \b
    Example:
      trainer pretrain --store store.zarr --method ms-clr
      trainer evaluate runs/ms-clr --protocol knn --protocol linear
    """


for module in (compare, ensemble, evaluate, export, methods, pretrain, released, report, table):
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
        click.echo("interrupted; nothing was left half-written", err=True)
        sys.exit(128 + signal.SIGINT)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code, arguments)
    except SkelError as error:
        _fail(str(error), error.exit_code, arguments)
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        _fail(f"internal error: {text[:300]}; run again with --debug", 1, arguments)


def _fail(message: str, code: int, arguments: list[str]) -> None:
    if "--debug" in arguments or os.environ.get("SKELTOOLS_DEBUG"):
        traceback.print_exc()
    click.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(code)
