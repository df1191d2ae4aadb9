"""All errors that the project raises on purpose.

    SkelError                 exit code 1; anything a user can act on
    ├── UsageError            exit code 2; the command was asked for something that does not exist
    │   ├── ConfigError       exit code 2; a settings file or override does not fit its model
    │   └── UnknownSampleError  exit code 2; a store has no such sample; also a KeyError and an IndexError
    ├── RawDataError          a raw file cannot be read; a row of the findings unless --strict
    ├── StoreError            a store is absent, of another format, damaged, or lacks what was requested
    └── CheckpointError       a checkpoint is absent, damaged, or does not fit the model

Each message is one line: where, what was expected and found, and what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice


class SkelError(Exception):
    """Base class of all: ``where: message. remedy`` on one line."""

    exit_code = 1

    def __init__(self, message: str, *, where: object = None, remedy: str | None = None) -> None:
        self.message = message
        self.where = None if where is None else str(where)
        self.remedy = remedy
        super().__init__(message)

    def __str__(self) -> str:
        message = _short(self.message)
        text = message if self.where is None else f"{_short(self.where)}: {message}"
        if self.remedy:
            end = "" if text.endswith("...") else "."
            text = f"{text if not end else text.rstrip('.')}{end} {_short(self.remedy)}"
        return " ".join(text.split())

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders when conversion runs in workers.
        return (_rebuild, (type(self), self.message, self.where, self.remedy))


_LONGEST = 2000
"""Characters of each part of a message: what a file holds and a message names may be a megabyte."""


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"


def _rebuild(kind: type[SkelError], message: str, where: str | None, remedy: str | None) -> SkelError:
    return kind(message, where=where, remedy=remedy)


class UsageError(SkelError):
    exit_code = 2


class ConfigError(UsageError):
    pass


class UnknownSampleError(UsageError, KeyError, IndexError):
    pass


class RawDataError(SkelError):
    pass


class StoreError(SkelError):
    pass


class CheckpointError(SkelError):
    pass


MOST_NAMES, LONGEST_NAME = 1000, 200
"""Most names that are compared with one, and most characters of each: a file may have a million names."""


def near(name: str, names: Iterable[str], *, cutoff: float = 0.6) -> list[str]:
    """The closest of the first ``MOST_NAMES`` names, as found by ``difflib``; empty if none is close.

    >>> near("aimcrl", ["aimclr", "ms-clr"])
    ['aimclr']
    """
    short = [each for each in islice(names, MOST_NAMES) if len(each) <= LONGEST_NAME]
    return difflib.get_close_matches(name, short, 1, cutoff) if len(name) <= LONGEST_NAME else []


def hint(name: str, known: Iterable[str]) -> str:
    """``Did you mean 'x'? `` with the closest of the known names; empty if none is close."""
    close = near(name, known)
    return f"Did you mean '{close[0]}'? " if close else ""


def unknown(kind: str, name: str, known: Iterable[str], *, where: object = None) -> UsageError:
    """The error for an unknown name, which lists all known names and suggests the closest one.

    >>> str(unknown("method", "aimcrl", ["aimclr", "ms-clr"]))
    "unknown method 'aimcrl'. Did you mean 'aimclr'? Known: aimclr, ms-clr"
    """
    names = sorted(known)
    remedy = f"{hint(name, names)}Known: {', '.join(names)}"
    return UsageError(f"unknown {kind} '{name}'", where=where, remedy=remedy)
