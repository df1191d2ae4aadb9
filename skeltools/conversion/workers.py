"""Reading the parts of a conversion, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, repeat
from multiprocessing.connection import wait
from pathlib import Path

from schemas import SkelError
from skeltools import store
from skeltools.conversion import chunks, planning, sample
from skeltools.conversion.sample import Plan, Sample, Task
from skeltools.sequence import SkeletonSequence

_LOOK_AHEAD = 3
"""Parts per worker that wait for their turn, so that no worker waits for work."""

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


@dataclass(frozen=True)
class Job:
    """One part to read."""

    number: int
    tasks: list[Task]
    plan: Plan
    folder: Path
    strict: bool


def read_parts(
    jobs: list[Job], *, workers: int, on_sample: Callable[[int], None]
) -> Generator[int, None, None]:
    """Write the parts; yields their numbers in the order of the jobs, each once it is finished.

    ``workers``: processes that read; 0 reads in this one. ``on_sample(n)``: n more samples are read.
    """
    if workers < 1 or not jobs:
        for job in jobs:
            _read(job, on_sample)
            yield job.number
        return
    left = iter(jobs)
    waiting: deque[tuple[Job, Future[None]]] = deque()
    with _pool(min(workers, len(jobs))) as pool:
        waiting.extend((job, pool.submit(_read, job)) for job in islice(left, workers * _LOOK_AHEAD))
        while waiting:
            job, done = waiting.popleft()
            done.result()
            waiting.extend((job, pool.submit(_read, job)) for job in islice(left, 1))
            on_sample(len(job.tasks))
            yield job.number


def _read(job: Job, on_sample: Callable[[int], None] | None = None) -> None:
    def check(sample: Sample) -> None:
        if job.strict:
            planning.refuse(sample.findings)

    def samples() -> Iterator[Sample]:
        for task, native in zip(job.tasks, _natives(job), strict=False):
            yield sample.read_sample(task, job.plan, native=native)
            if on_sample:
                on_sample(1)

    chunks.write(job.folder, job.number, samples=samples(), plan=job.plan, check=check)


def _natives(job: Job) -> Iterator[SkeletonSequence | None]:
    """The native clips of a part's samples that a store holds; without a store they come from raw files."""
    if job.plan.base is None:
        return repeat(None)
    opened = _opened(job.plan.base)
    if job.plan.native not in opened.manifest.conventions:
        return repeat(None)
    first = job.number * chunks.SAMPLES
    return store.read_sequences(opened, job.plan.native, first, first + len(job.tasks))


@lru_cache(maxsize=1)
def _opened(path: Path) -> store.Store:
    return store.open_store(path)


# --------------------------------------------------------------------------------------------- processes


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes that compute with one thread each; on an error the waiting work is given up."""
    context = multiprocessing.get_context("spawn")
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    # Numerical libraries look at these when they are loaded, that is when the new process starts.
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise SkelError(
            "a worker process died, most often because memory ran out",
            remedy="Use fewer --workers, or 0; a script of yours needs `if __name__ == '__main__':`",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _start() -> None:
    """Ctrl-C reaches every process of the terminal; only the writing one answers it. Its death ends all."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
