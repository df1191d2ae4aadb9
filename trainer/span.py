"""Names for the parts of a training step in a profile. When nobody profiles they cost a look at a flag."""

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
    """A context whose time the profile shows under ``name``."""
    return _recorded(name) if torch.autograd._profiler_enabled() else nullcontext()


@contextmanager
def _recorded(name: str) -> Iterator[None]:
    """A GPU works behind the program: without waiting its time would count where somebody waits for it."""
    _wait()
    with record_function(name):
        yield
        _wait()


def _wait() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
