"""One writer at a time, told by a lock that the system gives back when its process ends, however it ends."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas import StoreError

_UNKNOWN = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL)
"""What file systems without locks answer. There, nothing keeps two writers apart."""


@contextmanager
def locked(path: Path, *, what: Path) -> Iterator[None]:
    """Hold the lock file ``path``, made with its folder; it is removed at the end.

    A lock that a dead process left is taken over: the file alone means nothing. Raises StoreError, which
    names the other process, when ``what`` is being written by it.
    """
    handle = _acquire(path, what)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _acquire(path: Path, what: Path) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            continue  # its folder was removed by who had finished just now
        try:
            _lock(handle, path, what)
            if _is_at(handle, path):
                os.truncate(handle, 0)
                os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int, path: Path, what: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
        raise StoreError(
            f"is being written by another process (process id {holder})",
            where=what,
            remedy="Wait until it is done, or stop it; --out names another place",
        ) from error
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise


def _is_at(handle: int, path: Path) -> bool:
    """Whether the file that was opened still has its name."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
