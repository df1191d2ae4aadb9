"""Check the arguments of public functions by their annotations: a sentence instead of a traceback."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, get_args, get_origin, get_type_hints

from pydantic import ByteSize, ConfigDict, Field, ValidationError, validate_call

from schemas.errors import UsageError, hint
from schemas.problems import alternatives

P = ParamSpec("P")
R = TypeVar("R")

Count = Annotated[int, Field(ge=1)]
Length = Annotated[int, Field(ge=1, le=10_000)]
"""Frames of a stream; larger numbers are typing errors."""


def checks_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap a function so that it raises UsageError for arguments that do not fit its annotations.

    The error names the argument, what was expected and what was found. What can be interpreted as the
    expected type is converted: a list where a tuple is annotated, a NumPy integer where an int is.
    """
    checked = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(function)
    title = function.__name__

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return checked(*args, **kwargs)
        except ValidationError as error:
            if error.title not in (title, function.__qualname__):
                raise  # from a model inside the function
            raise _usage_error(error, function) from None

    return call


def _usage_error(error: ValidationError, function: Callable[..., Any]) -> UsageError:
    name, details = function.__name__, _first(error)
    parameters = list(inspect.signature(function).parameters)
    place = details["loc"][0]
    if details["type"] in ("unexpected_keyword_argument", "unexpected_positional_argument"):
        known = ", ".join(each for each in parameters if each != "self")
        what = f"'{place}'" if isinstance(place, str) else f"at place {place + 1}"
        return UsageError(
            f"{name}() takes no argument {what}", remedy=f"{hint(str(place), parameters)}Known: {known}"
        )
    argument = parameters[place] if isinstance(place, int) else place
    if details["type"].startswith("missing_"):
        return UsageError(f"{name}() needs the argument '{argument}'")
    expected = _words(get_type_hints(function, include_extras=True)[argument])
    bound = details["msg"] if details["type"].startswith(("greater_than", "less_than", "too_")) else ""
    inside = f" ({bound.removeprefix('Input ')})" if bound else ""
    return UsageError(
        f"expected {expected}{inside}, found {reprlib.repr(details['input'])}",
        where=f"{name}({argument}=...)",
    )


def _first(error: ValidationError) -> Any:
    """The most informative error: a misspelt keyword rather than the argument that is then missing."""
    every = error.errors()
    return next((each for each in every if each["type"] == "unexpected_keyword_argument"), every[0])


_WORDS: dict[Any, str] = {
    Path: "a path",
    bool: "True or False",
    float: "a number",
    int: "a whole number",
    str: "text",
    type(None): "None",
    ByteSize: "bytes or a size such as '8GB'",
}
_ITEMS = {int: "whole numbers", float: "numbers", str: "names", Path: "paths"}


def _words(annotation: Any) -> str:
    """What an annotation allows, in words: ``a path or None``."""
    members = list(dict.fromkeys(alternatives(annotation)))
    if Path in members and str in members:
        members.remove(str)
    return " or ".join(_word(each) for each in sorted(members, key=lambda each: each is type(None)))


def _word(kind: Any) -> str:
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(map(repr, inside))
    if origin is not None and issubclass(origin, Mapping):
        return "a mapping"
    if origin is not None and issubclass(origin, Sequence):
        count = f"{len(inside)} " if origin is tuple and ... not in inside else ""
        return f"a list of {count}{_ITEMS.get(next(alternatives(inside[0])), 'values')}"
    if origin is not None:
        return "a function"
    return _WORDS.get(kind) or f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"
