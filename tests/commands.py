"""The commands as processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def in_the_foreground(package: str) -> list[str]:
    """A package's command that heeds Ctrl-C: what a script starts in the background ignores it, and so do its
    children."""
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    return [sys.executable, "-c", f"{heed}; from {package}.cli import main; main()"]


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """Ends the process after the block, also when the block fails; ``Popen`` by itself would wait for it."""
    try:
        yield
    finally:
        process.kill()
