"""The command line of skeltools: parse, call, print; errors become one line on stderr and an exit code.

There is one file per command; ``terminal`` has what they share.
"""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from types import FrameType

from schemas import commands

COMMANDS = (
    "card", "convert", "demo", "docs", "export", "inspect", "map", "merge", "recipes", "render", "schema",
    "skeletons", "streams", "validate", "view",
)  # fmt: skip
"""Modules of this package, each with a ``command``."""


@commands.program("skeltools", ("numpy", "zarr", "h5py", "opencv-python", "pydantic"))
def cli() -> None:
    """Raw 3D-skeleton data sets to one clean multi-skeleton store.

    \b
    Example, from an empty folder:
      skeltools demo raw/
      skeltools convert ntu60 --out store.zarr
      skeltools streams --bone --motion
      skeltools inspect
    """


for name in COMMANDS:
    cli.add_command(import_module(f"skeltools.cli.{name}").command)


def main(args: list[str] | None = None) -> None:
    """Entry point: run the command and exit as ``run`` says, or with 143 after SIGTERM."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:] if args is None else args))


def run(args: list[str]) -> int:
    """Run a command line and return its exit code; errors are printed, not raised."""
    return commands.run(cli, args)


def _terminate(number: int, frame: FrameType | None) -> None:
    """Unwind as after Ctrl-C, so that unfinished work is cleaned up."""
    sys.exit(128 + number)
