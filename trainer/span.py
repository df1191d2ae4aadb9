"""Named parts of a training step in a profile; without a profiler each costs one flag check."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch.profiler import record_function

DATA = "data"
FORWARD = "forward"
"""Encloses augmentation, both networks and the loss."""
AUGMENTATION = "augmentation"
QUERY = "query forward"
KEY = "key forward"
MOMENTUM = "momentum"
BACKWARD = "backward"
QUEUE = "queue"
OPTIMISER = "optimiser"
ALL = (DATA, FORWARD, AUGMENTATION, QUERY, KEY, MOMENTUM, BACKWARD, QUEUE, OPTIMISER)


def span(name: str) -> AbstractContextManager[None]:
    """A context whose duration appears under ``name`` in the profile."""
    return _recorded(name) if torch.autograd._profiler_enabled() else nullcontext()


@contextmanager
def _recorded(name: str) -> Iterator[None]:
    """Record a span, synchronising a GPU before and after: its asynchronous work would count elsewhere."""
    _wait()
    with record_function(name):
        yield
        _wait()


def _wait() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
