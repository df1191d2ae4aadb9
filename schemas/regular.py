"""Small files from elsewhere: nothing but regular files is opened, and what is in them is bounded."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

from schemas.refused import reason

DEEPEST = 64
"""Levels of JSON: a manifest has seven. Python's own parser gives up between 1,000 and 100,000."""


def read(path: Path, *, most: int) -> bytes:
    """The content of a regular file.

    Raises ValueError for a pipe, a device and a file of more than ``most`` bytes, OSError when it cannot be
    read.
    """
    with open_file(path) as file:
        content: bytes | None = file.read(most + 1)
    if content is None:  # nothing yet, and maybe never
        raise ValueError("is no regular file")
    if len(content) > most:
        raise ValueError(f"has more than {most} bytes")
    return content


def check(path: Path) -> int:
    """Bytes of a regular file. Raises ValueError for a pipe, a device, a folder; OSError when absent."""
    return _size(path.stat())


def open_file(path: str | Path) -> BinaryIO:
    """A regular file to read, looked at once it is open: another one cannot take its place meanwhile, and
    reading what the system makes up, such as /proc/kmsg, is an error where it would wait. Raises as
    ``check``."""
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

    Raises ValueError where a part of the name is a link or goes up: what is read of a folder lies in it.
    """
    path = os.path.join(root, *name.split("/"))
    if os.path.realpath(path) != path:
        raise ValueError("is reached through a link; a copy with the files themselves can be read")
    return Path(path)


def is_plain(name: str) -> bool:
    """Whether a name, of parts between ``/``, leads to a file in a folder, whoever made it up; what begins
    with a dot is no part of a store.

    >>> is_plain("samples/id/c/0"), is_plain("../id"), is_plain(".id"), is_plain("a//b")
    (True, False, False, False)
    """
    return all(part and not part.startswith(".") and not {"\\", "\0"} & {*part} for part in name.split("/"))


def read_json(path: Path, *, most: int, counted: bool = False) -> Any:
    """The content of a JSON file. Raises ValueError: no JSON, nested too deeply, or as ``read``; ``counted``:
    also as ``check_values``."""
    content = read(path, most=most)
    if counted:
        check_values(content)
    return parse_json(content)


def parse_json(content: bytes) -> Any:
    """Raises ValueError for what is no JSON in UTF-8, and for more than ``DEEPEST`` levels of it."""
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
        level = [each for part in level for each in _parts(part) if isinstance(each, dict | list)]
        if not level:
            return value
    raise ValueError("is nested too deeply")


_MOST_LISTS = 2_000_000
"""Lists and objects of a file: an object takes some 200 bytes of memory."""
_MOST_QUOTES = 6_000_000
"""Two for every text and key: one that occurs once takes 150 bytes of memory."""
_MOST_NUMBERS = 10_000_000
"""Commas of a file: numbers take 32 bytes of memory each."""


def check_values(content: bytes) -> None:
    """Raises ValueError for JSON whose values would take more than some hundred megabytes: a file of 64 MB
    may hold 20 million lists."""
    lists, quotes = content.count(b"[") + content.count(b"{"), content.count(b'"')
    if lists > _MOST_LISTS or quotes > _MOST_QUOTES or content.count(b",") > _MOST_NUMBERS:
        raise ValueError("holds too many values for one file")


MOST_NODES = 50_000
"""Values of a settings file, those of an alias as often as it is there. PyYAML reads 20,000 in a second, and
a model that refuses each of them takes 5 seconds, and a gigabyte, for a million."""


def check_size(root: Any, inside: Callable[[Any], Iterable[Any]], *, most: int = MOST_NODES) -> None:
    """Raises ValueError for a tree of more than ``most`` nodes or ``DEEPEST`` levels.

    Nodes may be shared, as aliases of YAML are, and count as often as they are met, but are visited once.
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


def _parts(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
