"""Read parts on a cluster: workers of a dask scheduler that see the raw files and the store's folder.

When a worker dies, dask passes its work to another one. Needs the optional extra ``dask``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from schemas import SkelError, UsageError

if TYPE_CHECKING:
    from skeltools.conversion.workers import Job

PATIENCE = 60
"""Seconds for the scheduler to answer, and then for a first worker to be available."""

_ADDRESS = re.compile(r"\w+://\S+|[^\s/]+:\d+")
"""Addresses with a protocol or a port; for others dask waits, and prints more than an error."""

_LEAST = 8
"""Fewest readers that a cluster is assumed to have, since it may grow."""


@contextmanager
def cluster(address: str) -> Iterator[Pool]:
    """Use the workers of the scheduler at ``address``, such as ``tcp://HOST:8786``.

    On an error pending work is dropped; the cluster itself stays. Raises UsageError (dask is not installed,
    not an address, no answer), SkelError (no worker, the scheduler is lost, one part killed its worker
    repeatedly).
    """
    client = _connect(address)
    try:
        yield Pool(client, address)
    finally:
        client.close()


class Pool:
    def __init__(self, client: Any, address: str) -> None:
        self.client, self._address = client, address
        self.size = max(_LEAST, sum(client.nthreads().values()))

    def submit(self, job: Job) -> Pending:
        from skeltools.conversion.workers import read

        key = f"skeltools-{job.folder.parent.name}-{job.number}-{uuid4().hex}"
        return Pending(self.client.submit(read, job, pure=False, key=key), self._address)


class Pending:
    def __init__(self, future: Any, address: str) -> None:
        self._future, self._address = future, address

    def result(self) -> None:
        with _cluster_errors(self._address):
            self._future.result()


def _connect(address: str) -> Any:
    """A client of the scheduler, once it has at least one worker."""
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError(
            "distributed is not installed, and --dask needs it",
            remedy="Install skeltools with its extra dask",
        ) from error
    nobody = UsageError(
        f"no dask scheduler answers at {address}",
        remedy="`dask scheduler` prints its address when it starts: tcp://HOST:8786",
    )
    if not _ADDRESS.fullmatch(address):
        raise nobody
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # failures are reported in one sentence
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (TimeoutError, OSError, ValueError, TypeError) as error:
        raise nobody from error
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except BaseException as error:
        client.close()
        if isinstance(error, TimeoutError):
            remedy = f"Start some: dask worker {address} --nthreads 1"
            raise SkelError("the scheduler has no worker", where=address, remedy=remedy) from error
        raise
    return client


@contextmanager
def _cluster_errors(address: str) -> Iterator[None]:
    """Report what goes wrong in the cluster, rather than in a part, in one sentence."""
    from distributed import CancelledError, KilledWorker
    from distributed.comm import CommClosedError

    again = "What is done is kept: the same command goes on from there"
    try:
        yield
    except KilledWorker as error:
        raise SkelError(
            "one part killed several workers, most often because memory ran out",
            where=address,
            remedy=f"Start workers with more memory, or a thread each. {again}",
        ) from error
    except (CancelledError, CommClosedError) as error:
        raise SkelError("the scheduler is gone", where=address, remedy=again) from error
    except ImportError as error:
        raise SkelError(
            f"a worker cannot import what it needs ({error})",
            where=address,
            remedy="Install the same skeltools on all workers",
        ) from error
