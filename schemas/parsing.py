"""Parse content from elsewhere: whatever a parser raises on it becomes one of our errors.

Parsers of text, JSON, YAML, zip, HDF5 and tensors raise errors of every kind on garbage: RecursionError,
MemoryError, numbers of 5,000 digits, text that is none. A reader inside ``refusing`` raises one kind.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from schemas.errors import SkelError

_PACKAGES = Path(__file__).parents[1]
_LONGEST = 200
"""Most characters of a reason."""


LIMITS = (OSError, MemoryError, RecursionError)
"""What Python raises when the system, or its own limits, refuse a file."""

REPORT = "This is a fault of the program: please report it with the file and `skeltools --version`"


@contextmanager
def refusing(
    refuse: Callable[[str], SkelError], *, describe: Callable[[Exception], str] | None = None
) -> Iterator[None]:
    """Turn every exception into ``refuse(reason)``, except our own errors.

    ``describe``: another function to state the reason.
    """
    try:
        yield
    except SkelError:
        raise
    except Exception as error:
        raise refuse((describe or reason)(error)) from error


def cause(error: Exception) -> str:
    """The ``reason`` if the system refuses a file, otherwise the ``failure``.

    Readers raise other kinds of error because of a fault of their own, whatever the file.
    """
    return reason(error) if isinstance(error, LIMITS) else failure(error)


def failure(error: Exception) -> str:
    """The type of an error, its text, and the innermost line of this program that it passed through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGES)] or frames
    place = f", in {Path(ours[-1].filename).name}, line {ours[-1].lineno}" if ours else ""
    text = " ".join(str(error).split())[:_LONGEST]
    return ": ".join(filter(None, (type(error).__name__, text))) + place


def reason(error: Exception) -> str:
    """The reason of an error in a few words, on one line.

    >>> reason(RecursionError("maximum recursion depth exceeded")), reason(KeyError("x")), reason(EOFError())
    ('is nested too deeply', "KeyError: 'x'", 'EOFError')
    """
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if isinstance(error, MemoryError):
        return "needs more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))[:_LONGEST]
    text = " ".join(str(error).split())[:_LONGEST]
    name = type(error).__name__
    return f"{name}: {text}" if isinstance(error, LookupError) and text else text or name
