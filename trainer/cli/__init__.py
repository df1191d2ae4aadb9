"""The command line of the trainer: parse, call, print. Errors become one line and an exit code here.

There is one file per command; ``display`` has their progress bars.
"""

from __future__ import annotations

import sys
from importlib import import_module

from schemas import commands
from trainer.kernels import malloc

COMMANDS = (
    "compare", "embed", "ensemble", "evaluate", "export", "methods", "predict", "pretrain", "publish",
    "released", "report", "search", "segment", "sweep", "table", "verify", "view",
)  # fmt: skip
"""Modules of this package, each with a ``command``."""


@commands.program("trainer", ("torch", "numpy", "zarr", "pydantic"), max_content_width=110)
def cli() -> None:
    """Pre-train skeleton encoders without labels, and evaluate them.

    \b
    Example:
      trainer pretrain --store store.zarr --method ms-clr
      trainer evaluate runs/ms-clr --protocol knn --protocol linear
      trainer --quiet evaluate runs/ms-clr --protocol knn --json
    """


for name in COMMANDS:
    cli.add_command(import_module(f"trainer.cli.{name}").command)


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit as ``commands.run`` says, or with 128 + n after signal n."""
    malloc.keep_freed()
    sys.exit(commands.run(cli, sys.argv[1:] if arguments is None else arguments))
