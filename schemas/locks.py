"""Allow one writer at a time, by a lock that the system releases when its process ends, however it ends."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from schemas.errors import StoreError

_UNKNOWN = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL)
"""Errors of file systems without locks, where nothing keeps two writers apart."""

_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
"""Errors of a system when another process holds the lock."""

_FAR = 2**30
"""Byte to lock on Windows, where locked bytes cannot be read by others: far beyond the process id."""


@contextmanager
def locked(path: Path, *, what: Path) -> Iterator[None]:
    """Hold the lock file ``path``, which is created with its folder and removed at the end.

    A lock that a dead process left is taken over: the file alone means nothing. Raises StoreError, which
    names the other process, when that one is writing ``what``.
    """
    handle = _acquire(path, what)
    try:
        yield
    finally:
        _release(handle, path)


def _acquire(path: Path, what: Path) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            continue  # its folder was just removed by a process that had finished
        try:
            _lock(handle, what)
            if _is_at(handle, path):
                os.truncate(handle, 0)
                os.lseek(handle, 0, os.SEEK_SET)
                os.write(handle, f"{os.getpid()}\n".encode())
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def is_taken(handle: int) -> bool:
    """Lock an open file until it is closed; True, without a lock, if another process holds it.

    On systems without locks it is never taken.
    """
    try:
        _TRY(handle)
    except OSError as error:
        if error.errno not in (*_UNKNOWN, *_HELD):
            raise
        return error.errno in _HELD
    return False


def _lock(handle: int, what: Path) -> None:
    if is_taken(handle):
        os.lseek(handle, 0, os.SEEK_SET)
        holder = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
        raise StoreError(
            f"is being written by another process (process id {holder})",
            where=what,
            remedy="Wait until it is done, or stop it; --out names another place",
        )


def _release(handle: int, path: Path) -> None:
    """Remove the file while it is locked, so that nobody takes it over in between.

    Windows removes no open file. There the name is tried again after closing, with its folder if that is
    empty.
    """
    with suppress(PermissionError):
        path.unlink(missing_ok=True)
        os.close(handle)
        return
    os.close(handle)
    with suppress(OSError):  # somebody may hold it already
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def _is_at(handle: int, path: Path) -> bool:
    """Whether the opened file still has its name."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


# --- systems ------------------------------------------------------------------------------------------------


def _try_flock(handle: int) -> None:
    fcntl: Any = import_module("fcntl")
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _try_windows(handle: int) -> None:
    msvcrt: Any = import_module("msvcrt")
    os.lseek(handle, _FAR, os.SEEK_SET)
    msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)


def _try_nothing(handle: int) -> None:
    """For systems with neither kind of lock, where nothing keeps two writers apart."""


def _kind() -> Callable[[int], None]:
    for name, kind in (("fcntl", _try_flock), ("msvcrt", _try_windows)):
        with suppress(ImportError):
            import_module(name)
            return kind
    return _try_nothing


_TRY = _kind()
"""The locking function of this system."""
