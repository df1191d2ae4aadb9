"""Hash of everything that a store depends on; work resumes only where it would end in the same store."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from schemas import RawDataError, SkelError
from skeltools import __version__
from skeltools.conversion.sample import Task
from skeltools.raw_items import RawItem

_LIBRARIES = ("numpy", "numcodecs", "zarr")
"""Libraries whose version may change a byte of a store."""

_SOURCES = (".py", ".json", ".yaml", ".csv", ".txt")
"""Suffixes of the files that a conversion depends on: code, conventions, recipes, facts."""

Stamps = dict[str, tuple[int, int] | None]
"""Raw file -> size in bytes and modification time in nanoseconds; None where there is no such file."""


def of(*inputs: object, tasks: Iterable[Task], stamps: Stamps) -> str:
    """Hex SHA-256 over this program, ``inputs`` (plan, data set, options), and names and stamps of raw files.

    The location of the raw files is not part of it.
    """
    digest = hashlib.sha256()
    digest.update(program().encode())
    digest.update(json.dumps([_plain(value) for value in inputs]).encode())
    for task in tasks:
        items = [[_entry(item), stamps[item.path]] for _, item in sorted(task.items.items())]
        digest.update(json.dumps([task.id, sorted(task.compare), items]).encode())
    return digest.hexdigest()


def stamps_of(tasks: Iterable[Task]) -> Stamps:
    """Stamps of the raw files as they are now."""
    return {path: _stamp(path) for path in paths_of(tasks)}


def paths_of(tasks: Iterable[Task]) -> Iterable[str]:
    """Raw files, and the files that describe how to read them, each once."""
    items = [item for task in tasks for item in task.items.values()]
    return dict.fromkeys(path for item in items for path in (item.path, item.settings) if path)


def check_same(stamps: Stamps) -> None:
    """Raise RawDataError if a raw file differs from the one that was planned with, or cannot be seen.

    A file that one machine does not see must not become a finding.
    """
    for path, before in stamps.items():
        now = _stamp(path)
        if now != before:
            what = "is not to be seen here" if now is None else "was changed since the conversion was planned"
            raise RawDataError(
                what,
                where=path,
                remedy="All machines need the raw files under one path, as they were; then plan again",
            )


def check_program(expected: str) -> None:
    """Raise SkelError if the work was planned by another version of skeltools, or with other libraries."""
    if program() != expected:
        raise SkelError(
            f"this is skeltools {__version__} with {_libraries()}, and the conversion was planned by another "
            "version, or beside other versions of these",
            where=sys.prefix,
            remedy="Use one environment on all machines, or plan again",
        )


def check_unchanged(stamps: Stamps) -> None:
    """Raise RawDataError if a raw file has changed since the work began.

    Missing files are ignored: whether a file could be read is among the findings.
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
def program() -> str:
    """Hash of this program and the libraries that may change a byte of a store.

    It covers the source files and not only the version, which stays the same during development.
    """
    digest = hashlib.sha256(json.dumps([__version__, _libraries()]).encode())
    folder = Path(__file__).parents[1]
    for path in sorted(path for path in folder.rglob("*") if path.suffix in _SOURCES):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _libraries() -> str:
    return ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)


def _entry(item: RawItem) -> list[Any]:
    """The content of a raw item without its location."""
    name, settings = os.path.basename(item.path), os.path.basename(item.settings)
    return [item.id, item.convention, name, item.member, item.size, item.details, settings]


def _plain(value: Any) -> Any:
    """Convert a value to JSON types, with the same result in every process."""
    if isinstance(value, BaseModel):
        return _plain(value.model_dump())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return [[_plain(key), _plain(item)] for key, item in value.items()]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)
