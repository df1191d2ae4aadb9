"""Ctrl-C and SIGTERM as a wish that the loop grants after the step it is in."""

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
    """Set by the first Ctrl-C or SIGTERM; the loop looks at it after every step."""

    signal: int | None = None


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Catches SIGINT and SIGTERM once; a second one takes its usual course. Nothing off the main thread."""
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
