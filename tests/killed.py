"""A process that is gone at a chosen moment: the work runs in a fork, which ends before its n-th change of
a name on disk, or after some time, without cleaning up, as after ``kill -9``."""

from __future__ import annotations

import os
import select
import signal
import traceback
from collections.abc import Callable, Iterator
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


def killed_after(seconds: float, work: Callable[[], object]) -> bool:
    """Run ``work`` in a fork that is killed after ``seconds``; False when it came to its end before."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        code = _FAILED
        try:
            os.close(reading)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    select.select([reading], [], [], seconds)  # the system closes the other end when the process is gone
    os.close(reading)
    os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code != _FAILED
    return code == -signal.SIGKILL


def changes_of(work: Callable[[], object]) -> int:
    """How often ``work`` changes names on disk; it is done in a fork."""
    reading, writing = os.pipe()

    def counted() -> None:
        numbers = _arm(0)
        work()
        os.write(writing, str(next(numbers) - 1).encode())

    assert not killed_after(3600, counted)
    os.close(writing)
    with os.fdopen(reading) as told:
        return int(told.read())


def _arm(number: int) -> Iterator[int]:
    numbers = count(1)

    def armed(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            if next(numbers) == number:
                os._exit(_KILLED)
            return change(*given, **named)

        return call

    for name in CHANGES:
        setattr(os, name, armed(getattr(os, name)))
    return numbers
