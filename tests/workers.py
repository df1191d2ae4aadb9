"""A process of its own, forked or spawned, that answers once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

WAIT = 120
"""Seconds after which a worker that was forked with a lock in somebody's hand is given up."""


def _answer(read: Callable[[Any], Any], given: Any, answers: Any) -> None:
    answers.send(read(given))


def in_worker(method: str, read: Callable[[Any], Any], given: Any) -> Any:
    """What ``read(given)`` is in a process that was started by ``method``: fork, spawn."""
    context: Any = multiprocessing.get_context(method)
    here, there = context.Pipe(duplex=False)
    worker = context.Process(target=_answer, args=(read, given, there), daemon=True)
    worker.start()
    there.close()
    try:
        assert here.poll(WAIT), "it hangs"
        found = here.recv()
    finally:
        worker.kill()
        worker.join()
    return found
