"""Delay Ctrl-C until it does no harm."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncut() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back until a write is done.

    zarr works in a thread of its own, which would continue after an interrupted call and write into a folder
    that is being removed. Writes are short: one file of an array.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals do not arrive here
        return
    held: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda sent, _: held.append(sent)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if held:
            signal.raise_signal(held[0])
