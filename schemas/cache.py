"""The folder for cached files of stores at addresses, and the space that it takes.

CACHE/stores/<name>-<hash>/      the files of one version of a store that were read
CACHE/stores/<name>-<hash>.lock  held, shared, by those that have it open
CACHE/work/                      what is on its way to an address
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from schemas.errors import ConfigError, StoreError

_GIGABYTES = 50
"""Size of the cache unless ``$SKELTOOLS_CACHE_GB`` overrides it: ten stores of NTU RGB+D 120."""
_SPARE = 64 * 2**20
"""Bytes that stay free on the cache's disk."""


def folder(part: str) -> Path:
    """A part of the cache: in ``$SKELTOOLS_CACHE``, else in ``skeltools`` in the user's cache folder."""
    setting = os.environ.get("SKELTOOLS_CACHE")
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skeltools"
    return (Path(setting).absolute() if setting else usual) / part


@contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turn errors of the cache's disk into a StoreError."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot keep what is read of a store ({error.strerror or error})",
            where=place,
            remedy="Make room there, or name another folder with SKELTOOLS_CACHE",
        ) from error


def check_room(place: Path, size: int) -> None:
    """Raise OSError if this many bytes do not fit on the disk of a folder."""
    if shutil.disk_usage(place).free < size + _SPARE:
        raise OSError(28, f"{size / 1e6:.0f} MB do not fit on its disk")


def hold(root: Path) -> int:
    """Prevent others from removing the folder of a store until the returned handle is closed."""
    handle = os.open(_lock_of(root), os.O_RDWR | os.O_CREAT, 0o644)
    _lock(handle, exclusive=False)
    return handle


def remove(root: Path, handle: int) -> None:
    """Remove the folder of a store, and close its handle."""
    shutil.rmtree(root, ignore_errors=True)
    _lock_of(root).unlink(missing_ok=True)
    os.close(handle)


def make_room(stores: Path) -> None:
    """Remove stores that nobody has open, the least recently opened first, until the cache has its size.

    Raises ConfigError if the configured size is not a number.
    """
    limit = _limit()
    sizes = {each: _size(each) for each in stores.iterdir() if each.is_dir()}
    for each in sorted(sizes, key=lambda root: root.stat().st_mtime):
        if sum(sizes.values()) <= limit:
            return
        if _try_to_remove(each):
            del sizes[each]


def _limit() -> float:
    setting = os.environ.get("SKELTOOLS_CACHE_GB") or str(_GIGABYTES)
    try:
        return float(setting) * 1e9
    except ValueError:
        raise ConfigError(
            f"expected a number, found '{setting}'", where="SKELTOOLS_CACHE_GB", remedy="Set it to gigabytes"
        ) from None


def _size(root: Path) -> int:
    return sum(file.stat().st_size for file in root.rglob("*") if file.is_file())


def _try_to_remove(root: Path) -> bool:
    handle = os.open(_lock_of(root), os.O_RDWR | os.O_CREAT, 0o644)
    if _lock(handle, exclusive=True):
        remove(root, handle)
        return True
    os.close(handle)
    return False


def _lock_of(root: Path) -> Path:
    return root.with_name(f"{root.name}.lock")


def _lock(handle: int, *, exclusive: bool) -> bool:
    """Whether the lock was acquired; also False on systems without such locks, where nothing is removed."""
    with suppress(ImportError, OSError):
        fcntl: Any = import_module("fcntl")
        fcntl.flock(handle, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        return True
    return False
