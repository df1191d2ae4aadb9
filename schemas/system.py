"""Write files completely or not at all, and describe what the system refuses, such as a full disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import SkelError

_AGAIN = "then run the same command again"
_REMEDIES = {
    errno.ENOSPC: f"Make room on the disk, {_AGAIN}",
    errno.EDQUOT: f"Make room in your quota of the disk, {_AGAIN}",
    errno.EFBIG: f"The disk, or `ulimit -f`, allows no file as large: name another place, {_AGAIN}",
    errno.EIO: f"The disk may be damaged: name another place, {_AGAIN}",
    errno.EROFS: "It can only be read there: name another place",
    errno.EACCES: "Name another place, or change the rights of this one",
    errno.EPERM: "Name another place, or change the rights of this one",
    errno.ENOENT: "Look for a slip in the path; some places, such as /proc, take no files",
    errno.ENOTDIR: "A part of the path is a file: name another place",
    errno.EEXIST: "A part of the path is a file: name another place",
    errno.EISDIR: "It is a folder: name a file",
    errno.ENAMETOOLONG: "Choose a shorter name",
    errno.ELOOP: "Its links lead to themselves: name another place",
    errno.EMFILE: f"Allow more open files (`ulimit -n 4096`), {_AGAIN}",
    errno.ENFILE: f"Close other programs, {_AGAIN}",
    errno.ENOMEM: f"Close other programs, {_AGAIN}",
    errno.ESTALE: f"The network drive lost the file, {_AGAIN}",
}


def remedy(error: OSError) -> str:
    """What to do about an error."""
    return _REMEDIES.get(error.errno or 0, f"Look whether the disk is full, {_AGAIN}")


def refusal(error: OSError | MemoryError) -> SkelError:
    """The error of a command: the place, the reason, and a remedy.

    >>> str(refusal(OSError(errno.ENOSPC, "No space left on device", "s.zarr")))
    's.zarr: No space left on device. Make room on the disk, then run the same command again'
    """
    if isinstance(error, MemoryError):
        return SkelError("there is not enough memory for this", remedy=f"Close other programs, {_AGAIN}")
    why = error.strerror or f"cannot be read or written ({error or type(error).__name__})"
    return SkelError(why, where=error.filename2 or error.filename, remedy=remedy(error))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a file beside ``path`` to write to, which replaces ``path`` if the block succeeds.

    An OSError names ``path`` instead of the file beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        if error.errno is not None:  # else only its text is informative
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)
