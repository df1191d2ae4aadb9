"""Read the parts of a conversion in this process, in several, or on a cluster; all of them run ``read``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, repeat
from pathlib import Path
from typing import Protocol

from schemas import StoreError, UsageError
from skeltools import processes, store
from skeltools.conversion import chunks, fingerprint, planning, sample
from skeltools.conversion.fingerprint import Stamps
from skeltools.conversion.sample import Plan, Sample, Task
from skeltools.sequence import SkeletonSequence

_LOOK_AHEAD = 3
"""Parts per worker that are queued, so that no worker waits for work."""


@dataclass(frozen=True)
class Workers:
    """Where parts are read: in a number of processes (0: this one), or on the cluster of a dask scheduler."""

    processes: int = 0
    dask: str | None = None

    def __post_init__(self) -> None:
        """Raise UsageError if both are given."""
        if self.processes and self.dask:
            raise UsageError(
                "--workers are processes of this machine, --dask reads on a cluster",
                remedy="Give one of both",
            )


@dataclass(frozen=True)
class Job:
    """One part to read."""

    number: int
    tasks: list[Task]
    plan: Plan
    folder: Path
    strict: bool
    program: str = ""
    """``fingerprint.program`` at planning time, where another machine may read the part."""
    stamps: Stamps | None = None
    """The part's raw files at planning time, where another machine may read it."""


class Pending(Protocol):
    """A part that is being read."""

    def result(self) -> None:
        """Wait until it is finished; raises the part's own exception."""


class Pool(Protocol):
    """A number of readers."""

    @property
    def size(self) -> int: ...

    def submit(self, job: Job) -> Pending: ...


def read_parts(
    jobs: list[Job], *, workers: Workers, on_sample: Callable[[int], None]
) -> Generator[int, None, None]:
    """Write the parts; yields their numbers in the order of the jobs, each once it is finished.

    ``on_sample(n)``: n more samples have been read.
    """
    if workers.dask and jobs:
        from skeltools.conversion.cluster import cluster

        with cluster(workers.dask) as pool:
            yield from _in_order(jobs, pool, on_sample)
    elif workers.processes and jobs:
        with processes.processes(min(workers.processes, len(jobs)), read) as pool:
            yield from _in_order(jobs, pool, on_sample)
    else:
        for job in jobs:
            read(job, on_sample)
            yield job.number


def _in_order(jobs: list[Job], pool: Pool, on_sample: Callable[[int], None]) -> Generator[int, None, None]:
    left = iter(jobs)
    waiting: deque[tuple[Job, Pending]] = deque()
    waiting.extend((job, pool.submit(job)) for job in islice(left, pool.size * _LOOK_AHEAD))
    while waiting:
        job, pending = waiting.popleft()
        pending.result()
        waiting.extend((job, pool.submit(job)) for job in islice(left, 1))
        on_sample(len(job.tasks))
        yield job.number


def read(job: Job, on_sample: Callable[[int], None] | None = None) -> None:
    """Write the two files of a part, unless both exist: their reader may have died after writing them.

    Raises RawDataError (strict; a raw file differs from the planned one), StoreError (the work folder cannot
    be seen here), SkelError (another version than planned).
    """
    if job.program:
        fingerprint.check_program(job.program)
    if not job.folder.is_dir():
        raise StoreError(
            "there is no such folder here",
            where=job.folder,
            remedy="All machines need the store's folder under one path, and a conversion that is not over",
        )
    if not chunks.is_whole(job.folder, job.number):
        chunks.write(job.folder, job.number, samples=_samples(job, on_sample), plan=job.plan)


def _samples(job: Job, on_sample: Callable[[int], None] | None) -> Iterator[Sample]:
    """Read the samples of a job; the raw files are checked before the first and after the last one."""
    fingerprint.check_same(job.stamps or {})
    for task, native in zip(job.tasks, _natives(job), strict=False):
        made = sample.read_sample(task, job.plan, native=native)
        if job.strict:
            planning.refuse(made.findings)
        yield made
        if on_sample:
            on_sample(1)
    fingerprint.check_same(job.stamps or {})


def _natives(job: Job) -> Iterator[SkeletonSequence | None]:
    """Native clips of a part's samples from the store that is added to; without one, None for each sample."""
    if job.plan.base is None:
        return repeat(None)
    opened = _opened(job.plan.base)
    if job.plan.native not in opened.manifest.conventions:
        return repeat(None)
    first = job.number * chunks.SAMPLES
    return store.read_sequences(opened, job.plan.native, first, first + len(job.tasks))


_opened = lru_cache(maxsize=1)(store.open_store)
