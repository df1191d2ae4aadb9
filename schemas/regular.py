"""Read small files from elsewhere: only regular files are opened, and their content is bounded."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

from schemas.parsing import reason

DEEPEST = 64
"""Most levels of JSON: a manifest has seven, and Python's own parser gives up between 1,000 and 100,000."""


def read(path: Path, *, most: int, counted: bool = False) -> bytes:
    """Read a regular file.

    Raises ValueError for a pipe, a device and a file of more than ``most`` bytes, OSError when it cannot be
    read. ``counted``: it is JSON, and raises as ``check_values`` does, too.
    """
    with open_file(path) as file:
        content: bytes | None = file.read(most + 1)
    if content is None:  # nothing yet, and maybe never
        raise ValueError("is no regular file")
    if len(content) > most:
        raise ValueError(f"has more than {most} bytes")
    if counted:
        check_values(content)
    return content


def check(path: Path) -> int:
    """Bytes of a regular file; raises ValueError for a pipe, device or folder, OSError if absent."""
    return _size(path.stat())


def open_file(path: str | Path) -> BinaryIO:
    """Open a regular file for reading. Raises as ``check``.

    The open file is checked, so that no other file can take its place in between; it is opened without
    blocking, so that special files such as /proc/kmsg raise an error instead of waiting.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _size(os.fstat(handle))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _size(status: os.stat_result) -> int:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("is no regular file")
    return status.st_size


def inside(root: str, name: str) -> Path:
    """The file ``name`` (with ``/``) below a folder whose real path is ``root``.

    Raises ValueError if a part of the name is a link or goes up, so that only files inside the folder are
    read.
    """
    path = os.path.join(root, *name.split("/"))
    if os.path.realpath(path) != path:
        raise ValueError("is reached through a link; a copy with the files themselves can be read")
    return Path(path)


def is_plain(name: str) -> bool:
    """Whether a name with parts between ``/`` leads to a file in a folder, whoever chose it.

    What begins with a dot is not part of a store.

    >>> is_plain("samples/id/c/0"), is_plain("../id"), is_plain(".id"), is_plain("a//b")
    (True, False, False, False)
    """
    return all(part and not part.startswith(".") and not {"\\", "\0"} & {*part} for part in name.split("/"))


def read_json(path: Path, *, most: int, counted: bool = False) -> Any:
    """Read a JSON file; raises ValueError if it is no JSON or nested too deeply, and what ``read`` raises."""
    return parse_json(read(path, most=most, counted=counted))


def parse_json(content: bytes) -> Any:
    """Parse JSON; raises ValueError unless it is JSON in UTF-8 of at most ``DEEPEST`` levels."""
    try:
        value = json.loads(content.decode("utf-8"))
    except (RecursionError, MemoryError) as error:
        raise ValueError(reason(error)) from None
    except json.JSONDecodeError as error:
        raise ValueError("is empty" if not content.strip() else f"is no JSON ({error})") from error
    except UnicodeDecodeError as error:
        raise ValueError("is no text in UTF-8") from error
    level = [value]
    for _ in range(DEEPEST):
        level = [each for part in level for each in parts(part) if isinstance(each, dict | list)]
        if not level:
            return value
    raise ValueError("is nested too deeply")


_MOST_LISTS = 2_000_000
"""Most lists and objects in a file: an object takes about 200 bytes of memory."""
_MOST_QUOTES = 6_000_000
"""Most quotes in a file, two for every text and key: one that occurs once takes 150 bytes of memory."""
_MOST_NUMBERS = 10_000_000
"""Most commas in a file: numbers take 32 bytes of memory each."""


def check_values(content: bytes) -> None:
    """Raise ValueError for JSON whose values would take more than some hundred megabytes of memory.

    A file of 64 MB may hold 20 million lists.
    """
    lists, quotes = content.count(b"[") + content.count(b"{"), content.count(b'"')
    if lists > _MOST_LISTS or quotes > _MOST_QUOTES or content.count(b",") > _MOST_NUMBERS:
        raise ValueError("holds too many values for one file")


MOST_NODES = 50_000
"""Most values of a settings file, counting an alias each time it occurs.

PyYAML reads 20,000 in a second, and a model that refuses each of them takes 5 seconds, and a gigabyte, for a
million.
"""


def check_size(root: Any, inside: Callable[[Any], Iterable[Any]], *, most: int = MOST_NODES) -> None:
    """Raise ValueError for a tree of more than ``most`` nodes or ``DEEPEST`` levels.

    Shared nodes, such as aliases of YAML, count each time they occur, but are visited once.
    """
    sizes: dict[int, int] = {}

    def size(node: Any, depth: int) -> int:
        if depth > DEEPEST:
            raise ValueError("is nested too deeply")
        if id(node) not in sizes:
            sizes[id(node)] = 1 + sum(size(each, depth + 1) for each in inside(node))
        if sizes[id(node)] > most:
            raise ValueError(f"stands for more than {most} values")
        return sizes[id(node)]

    size(root, 0)


def parts(value: Any) -> Iterable[Any]:
    """The values inside a JSON value."""
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
