"""A store in a browser: parse the requests of the viewer's page and answer them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast, get_args

from schemas import UsageError, unknown
from skeltools import store
from skeltools.pictures.listing import Listing
from skeltools.pictures.scene import Kind
from skeltools.pictures.server import Answer, Query, StaleError

MOST_POSES = 256
"""Most poses in one answer."""

_LARGEST = 2**31 - 1
"""Largest number in a request."""


class Browsed:
    """A store open in the viewer. The answer ``store`` reopens it after a change; the others report one."""

    def __init__(self, path: str | Path) -> None:
        """Open the store. Raises StoreError if it is absent, not a store, or damaged."""
        self.path = Path(path)
        self._open()

    def _open(self) -> None:
        stamp = _stamp(self.path)
        self.listing = Listing(self.path)
        self._stamp = stamp  # last: pages of the old store still get StaleError if the new one fails to open

    def answers(self) -> dict[str, Answer]:
        """Name -> the function that answers such a request."""
        return {
            "store": lambda query: self.renewed().store(),
            "rows": lambda query: self.answer(lambda it: it.rows_json(*_window(query))),
            "sample": lambda query: self.answer(lambda it: _sample(it, query)),
            "poses": lambda query: self.answer(lambda it: it.poses(_rows(it, query))),
            "findings": lambda query: self.answer(lambda it: it.findings(one(query, "id"))),
        }

    def renewed(self) -> Listing:
        """The listing of the store in its current state."""
        if _stamp(self.path) != self._stamp:
            self._open()
        return self.listing

    def answer(self, ask: Callable[[Listing], Any]) -> Any:
        """An answer from the store as it was when the page was loaded.

        Raises StaleError if the store has changed since. This is checked after the answer is made, since
        arrays whose files were removed read as zeros.
        """
        try:
            return ask(self.listing)
        finally:
            if _stamp(self.path) != self._stamp:
                raise StaleError(
                    "the store was changed or removed", where=self.path.name, remedy="Load the page again"
                )


def _stamp(path: Path) -> tuple[int, ...] | None:
    """A stamp that changes with the store, which is always written elsewhere and then renamed."""
    try:
        status = os.stat(path / store.METADATA)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def one(query: Query, name: str) -> str | None:
    """The value of a parameter, or None. Raises UsageError if it is given more than once."""
    values = query.get(name, [])
    if len(values) > 1:
        raise UsageError(f"{name} is given {len(values)} times, but takes one value")
    return values[0] if values else None


def number(query: Query, name: str) -> int | None:
    """A parameter as a number from 0, or None. Raises UsageError for anything else."""
    given = one(query, name)
    if given is not None and not (given.isascii() and given.isdigit() and int(given[:12]) <= _LARGEST):
        raise UsageError(f"{name} is a whole number from 0, found '{given[:40]}'")
    return None if given is None else int(given[:12])


def _window(query: Query) -> tuple[int, int | None]:
    return number(query, "from") or 0, number(query, "count")


def _sample(listing: Listing, query: Query) -> dict[str, Any]:
    id, kind = one(query, "id"), one(query, "kind") or "joint"
    if id is None:
        raise UsageError("the id of a sample is missing")
    if kind not in get_args(Kind):
        raise unknown("kind", kind, get_args(Kind))
    return listing.sample(id, query.get("convention", ()), cast(Kind, kind), *_window(query))


def _rows(listing: Listing, query: Query) -> list[int]:
    """The named rows, or a window of all rows."""
    named = one(query, "rows")
    if named is None:
        first, count = _window(query)
        rows = list(range(first, min(first + (count or MOST_POSES), len(listing.opened))))
    else:
        given = [each for each in named.split(",") if each]
        rows = [number({"rows": [each]}, "rows") or 0 for each in given]
    if len(rows) > MOST_POSES:
        raise UsageError(f"{len(rows)} poses are asked for, {MOST_POSES} are told at once")
    return rows
