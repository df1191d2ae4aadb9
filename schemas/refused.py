"""Content from elsewhere: whatever a parser raises on it comes out as one of our errors.

Parsers of text, JSON, YAML, zip, HDF5 and tensors meet garbage with errors of every kind: RecursionError,
MemoryError, numbers of 5,000 digits, text that is none. A reader that stands in ``refusing`` names one error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from schemas.errors import SkelError

_LONGEST = 200
"""Characters of a reason."""


@contextmanager
def refusing(refuse: Callable[[str], SkelError]) -> Iterator[None]:
    """Every exception inside becomes ``refuse(reason)``; errors of ours stay as they are."""
    try:
        yield
    except SkelError:
        raise
    except Exception as error:
        raise refuse(reason(error)) from error


def reason(error: Exception) -> str:
    """In a few words, on one line.

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
