"""A process that is gone at a chosen moment: the work runs in a fork, which ends before its n-th change of
a name on disk, without cleaning up, as after ``kill -9``."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from typing import Any

CHANGES = ("replace", "rename", "unlink", "rmdir", "mkdir", "fsync")
"""Functions of ``os`` before which it may end."""
_KILLED, _FAILED = 9, 1


def killed_before(number: int, work: Callable[[], object]) -> bool:
    """Run ``work`` in a fork that ends before its ``number``-th change; False when it came to its end."""
    pid = os.fork()
    if not pid:
        try:
            _arm(number)
            work()
            os._exit(0)
        except BaseException:
            os._exit(_FAILED)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code != _FAILED
    return code == _KILLED


def _arm(number: int) -> None:
    numbers = count(1)

    def armed(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            if next(numbers) == number:
                os._exit(_KILLED)
            return change(*given, **named)

        return call

    for name in CHANGES:
        setattr(os, name, armed(getattr(os, name)))
