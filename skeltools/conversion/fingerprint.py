"""A hash of all that a store depends on, so that work goes on only where it would end in the same store."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from schemas import RawDataError
from skeltools import __version__
from skeltools.conversion.sample import Task
from skeltools.raw_items import RawItem

_LIBRARIES = ("numpy", "numcodecs", "zarr")
"""Those whose version may change a byte of a store."""

Stamps = dict[str, tuple[int, int] | None]
"""Raw file -> size in bytes and time of the last change in nanoseconds; None where there is no such file."""


def of(*inputs: object, tasks: Iterable[Task], stamps: Stamps) -> str:
    """Hex sha256 over this program, ``inputs`` (plan, data set, options), and names and stamps of raw files.

    Where the raw files lie is not part of it.
    """
    digest = hashlib.sha256()
    digest.update(json.dumps([__version__, _program(), [version(name) for name in _LIBRARIES]]).encode())
    digest.update(json.dumps([_plain(value) for value in inputs]).encode())
    for task in tasks:
        items = [[_plain(item), stamps[item.path]] for _, item in sorted(task.items.items())]
        digest.update(json.dumps([task.id, sorted(task.compare), items]).encode())
    return digest.hexdigest()


def stamps_of(tasks: Iterable[Task]) -> Stamps:
    """The raw files as they are now."""
    paths = dict.fromkeys(item.path for task in tasks for item in task.items.values())
    return {path: _stamp(path) for path in paths}


def check_unchanged(stamps: Stamps) -> None:
    """Raises RawDataError when a raw file is another one than when the work began.

    One that is gone is none: whether it could be read is among the findings.
    """
    for path, before in stamps.items():
        now = _stamp(path)
        if now is not None and now != before:
            raise RawDataError(
                "was changed while it was being converted",
                where=path,
                remedy="The same command starts over with the raw files as they are then",
            )


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=1)
def _program() -> str:
    """Hash of this package's own files: while it is being worked on its version stays the same."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """What JSON knows, the same for the same value in every process."""
    if isinstance(value, BaseModel):
        return _plain(value.model_dump())
    if isinstance(value, RawItem):
        value = dataclasses.replace(value, path=Path(value.path).name)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return [[_plain(key), _plain(item)] for key, item in value.items()]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)
