"""Ctrl-C and SIGTERM as a request to stop, which the loop honours after the current step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass
class Stop:
    """A stop request, set by the first Ctrl-C or SIGTERM; the loop checks it after every step."""

    signal: int | None = None


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Catch the first SIGINT or SIGTERM; a second has its usual effect. Does nothing off the main thread."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before: dict[int, Any] = {}

    def receive(number: int, frame: FrameType | None) -> None:
        stop.signal = number
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, receive)
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
