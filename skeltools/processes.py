"""Local worker processes of a conversion; one that dies is replaced, and its work is repeated.

Where the system supports it, they are forked from a server process that imports what they need while this
process does its own imports and discovers the raw files. A worker then starts within milliseconds; a new
Python that imports the readers takes a second.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, Generic, TypeVar

from schemas import SkelError

Job = TypeVar("Job")

DEATHS = 3
"""Deaths of worker processes, while waiting for one job, at which the job is given up."""

_PRELOADED = ["skeltools.conversion.workers", "skeltools.readers"]

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


def warm_up() -> None:
    """Start the server process's imports now, without waiting for them."""
    if _method() == "forkserver":
        from multiprocessing import forkserver

        with _one_thread():
            forkserver.set_forkserver_preload(_PRELOADED)
            forkserver.ensure_running()


@contextmanager
def processes(number: int, work: Callable[[Job], None]) -> Iterator[Processes[Job]]:
    """Run ``number`` processes that do ``work`` with one thread each; an error cancels pending jobs.

    Raises SkelError when workers die repeatedly.
    """
    warm_up()
    with _one_thread():
        made = Processes(number, work)
        try:
            yield made
        finally:
            made.pool.shutdown(wait=True, cancel_futures=True)


class Processes(Generic[Job]):
    """A pool of processes, replaced when it breaks."""

    def __init__(self, size: int, work: Callable[[Job], None]) -> None:
        self.size, self._work = size, work
        self._context: Any = multiprocessing.get_context(_method())
        self._started = self._context.Event()
        self._deaths = 0
        self.pool = self._new_pool()

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self.size, mp_context=self._context, initializer=_start, initargs=(self._started,)
        )

    def submit(self, job: Job) -> Pending[Job]:
        """Submit a job."""
        return Pending(self, job)

    def send(self, job: Job) -> tuple[ProcessPoolExecutor, Future[None]]:
        """Submit a job; returns the pool that runs it and its future."""
        try:
            return self.pool, self.pool.submit(self._work, job)
        except BrokenProcessPool as error:
            self.replace(self.pool, error)
            return self.pool, self.pool.submit(self._work, job)

    def replace(self, broken: ProcessPoolExecutor, error: BrokenProcessPool) -> None:
        """Replace a broken pool, unless already done; raises SkelError where a new one would not help."""
        if broken is not self.pool:
            return
        self._deaths += 1
        if self._deaths >= DEATHS or not self._started.is_set():
            raise SkelError(
                "a worker process died, most often because memory ran out",
                remedy="Use fewer --workers, or 0; a script of yours needs `if __name__ == '__main__':`",
            ) from error
        broken.shutdown(wait=True)
        self.pool = self._new_pool()

    def finished(self) -> None:
        """Note that the awaited job is done, which resets the count of deaths."""
        self._deaths = 0


class Pending(Generic[Job]):
    """A job in a worker process, resubmitted if the process dies."""

    def __init__(self, processes: Processes[Job], job: Job) -> None:
        self._processes, self._job = processes, job
        self._pool, self._answer = processes.send(job)

    def result(self) -> None:
        """Wait until the job is done; raises the job's own exception."""
        while True:
            try:
                self._answer.result()
                return self._processes.finished()
            except BrokenProcessPool as error:
                self._processes.replace(self._pool, error)
                self._pool, self._answer = self._processes.send(self._job)


def _method() -> str:
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limit new processes to one thread; numerical libraries read these variables when they are loaded."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _start(started: Any) -> None:
    """Leave Ctrl-C, which reaches every process of the terminal, to the writing process; exit if it dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    started.set()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
