"""Turn pydantic's errors into ours: the path, what is allowed, what was found."""

from __future__ import annotations

import json
import re
import reprlib
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ByteSize, ValidationError

from schemas.errors import ConfigError, hint

_LONGEST = 60
"""Most characters of a value that are shown."""

_WIDEST = 8
"""Most items of a list or mapping that are shown, at every level."""


@dataclass(frozen=True)
class Problem:
    """The first problem of a validation."""

    path: str
    """Dotted path such as ``crop.train``; empty if the whole is concerned."""
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def problem(error: ValidationError, model: type[BaseModel], *, noun: str = "option") -> Problem:
    """The first problem in ``error``, raised by validating ``model``; ``noun``: the word for a field."""
    details = _first(error)
    location, kind = details["loc"], details["type"]
    owners = _models(_followed(model, location[:-1])[1])
    if kind == "extra_forbidden":
        return _unknown(location, owners, noun)
    if kind == "missing" and owners:
        return Problem(".".join(map(str, location)), "is missing")
    if kind == "missing":  # an item of a list of fixed length: what is wrong is the list
        location = location[:-1]
    is_key = location[-1:] == ("[key]",)  # before it, the key itself
    path, annotation = _followed(model, location[:-2] if is_key else location)
    message = "expected text as the key" if is_key else _message(details, annotation)
    remedy = _QUOTES if kind == "string_type" and isinstance(details["input"], bool) else ""
    return Problem(path, message + _input_text(details), remedy)


_QUOTES = "YAML takes yes, no, on and off for true and false: write the word in quotes"


def _first(error: ValidationError) -> Any:
    """The first error, or an unknown key beside a missing one, which is probably a misspelling of it."""
    first, *others = error.errors()
    beside = (other for other in others if other["loc"][:-1] == first["loc"][:-1])
    unknown = next((other for other in beside if other["type"] == "extra_forbidden"), first)
    return unknown if first["type"] == "missing" else first


def config_error(
    error: ValidationError,
    model: type[BaseModel],
    *,
    section: str = "",
    file: object = None,
    noun: str = "option",
    remedy: str = "",
) -> ConfigError:
    """The first problem as a ConfigError.

    ``section``: the dotted path of ``model`` in the settings; ``file``: the file of the settings; ``remedy``
    is added to the problem's own advice.
    """
    first = problem(error, model, noun=noun)
    path = ".".join(filter(None, (section, first.path)))
    where = ": ".join(str(part) for part in (file, path) if part)
    return ConfigError(
        first.message, where=where or None, remedy=". ".join(filter(None, (first.remedy, remedy)))
    )


def _unknown(location: tuple[int | str, ...], owners: list[type[BaseModel]], noun: str) -> Problem:
    known = [name for kind in owners for name in kind.model_fields]
    listed = f"Known: {', '.join(known)}" if known else "It takes none"
    remedy = f"{hint(str(location[-1]), known)}{listed}"
    return Problem(".".join(map(str, location)), f"unknown {noun}", remedy)


_OWN = ("value_error", "assertion_error")
"""Types of errors that our validators raise, whose text states what is allowed."""

_BOUNDS = ("greater_than", "less_than", "finite_number", "too_short", "too_long", "string_", "multiple_of")
"""Prefixes of error types for which pydantic's text is more precise than the annotation."""


_PATTERNS = {
    r"^[a-z0-9][a-z0-9_\-]*$": "a name of small letters, digits, - and _, a letter or digit first",
    r"^[A-Za-z0-9_+\-]+$": "a name of letters, digits, _, + and -",
    r"\.(npz|pkl)$": "the name of a file that ends in .npz or .pkl",
}
"""Regular expressions of fields, in words."""


def _message(details: Any, annotation: Any) -> str:
    kind, text = details["type"], details["msg"]
    if kind == "string_pattern_mismatch" and details["ctx"]["pattern"] in _PATTERNS:
        return f"expected {_PATTERNS[details['ctx']['pattern']]}"
    if kind in _OWN:
        return text.partition(", ")[2]
    described = _described(annotation)
    fixed = any(get_origin(each) is tuple and ... not in get_args(each) for each in alternatives(annotation))
    bound = kind.startswith(_BOUNDS) and not kind.startswith(("string_type", "string_unicode")) and not fixed
    if described and not bound:
        return f"expected {described}"
    what = "expected a number" if "than" in kind else "expected"
    return re.sub("^Input should be", what, text)


def _input_text(details: Any) -> str:
    """``, found 3``, or empty for a mapping or model, since the message names what is wrong in it."""
    value = details["input"]
    if isinstance(value, BaseModel) or (isinstance(value, Mapping) and details["type"] in _OWN):
        return ""
    if details["type"] in _OWN and isinstance(value, str) and value in details["msg"]:
        return ""
    return f", found {_shown(value)}"


def _shown(value: Any) -> str:
    """A value as written in a settings file (``true``, ``null``, ``[1, 2]``), shortened if it is long."""
    text = _part(value, depth=3)
    return text if len(text) <= _LONGEST + 2 else f"{text[:_LONGEST]}..."


def _part(value: Any, *, depth: int) -> str:
    """Bounded in width and depth, because YAML aliases can make a value of a few lines endless."""
    if isinstance(value, str):
        return repr(value[: _LONGEST + 1])
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, Mapping):
        pairs = islice(value.items(), _WIDEST if depth else 0)
        texts = [f"{key}: {_part(each, depth=depth - 1)}" for key, each in pairs]
        return "{" + ", ".join(texts + ["..."] * (len(value) > len(texts))) + "}"
    if isinstance(value, list | tuple):
        texts = [_part(each, depth=depth - 1) for each in value[: _WIDEST if depth else 0]]
        return "[" + ", ".join(texts + ["..."] * (len(value) > len(texts))) + "]"
    return reprlib.repr(value)


# --- types --------------------------------------------------------------------------------------------------


def alternatives(annotation: Any) -> Iterator[Any]:
    """The members of a union; ``None`` is ``NoneType``."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from alternatives(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for each in get_args(annotation):
            yield from alternatives(each)
    else:
        yield annotation


def _models(annotation: Any) -> list[type[BaseModel]]:
    return [
        each for each in alternatives(annotation) if isinstance(each, type) and issubclass(each, BaseModel)
    ]


def _followed(annotation: Any, location: tuple[int | str, ...]) -> tuple[str, Any]:
    """The dotted path of an error's ``loc`` in a model, and the annotation there.

    The names that pydantic gives to members of a union are left out.
    """
    names = []
    for part in location:
        inner = next(filter(None, (_inside(each, part) for each in alternatives(annotation))), None)
        if inner is not None:
            annotation = inner
            names.append(str(part))
    return ".".join(names), annotation


def _inside(kind: Any, part: int | str) -> Any:
    """The annotation of a field or item; None where ``part`` names a member of a union."""
    arguments = get_args(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.model_fields[part].annotation if part in kind.model_fields else None
    if get_origin(kind) in (tuple, list) and isinstance(part, int):
        variadic = get_origin(kind) is list or arguments[-1] is ...
        return arguments[0] if variadic else arguments[min(part, len(arguments) - 1)]
    if get_origin(kind) is dict:
        return arguments[1]
    return None


_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}
_PLURALS = {int: "whole numbers", float: "numbers", str: "names"}


def _described(annotation: Any) -> str:
    """What is allowed, in words; empty for types that are not described here."""
    each = [_name(kind) for kind in alternatives(annotation)]
    if not all(each):
        return ""
    return " or ".join(sorted(each, key=lambda name: name == "null"))


def _name(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _listed(arguments)
    if origin in (tuple, list):
        return _list_name(origin, arguments)
    if kind is ByteSize:
        return "a number of bytes, such as 8GB"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"options ({', '.join(kind.model_fields)})"
    if origin is dict:
        return "a mapping"
    return _NAMES.get(kind, "")


def _list_name(origin: Any, arguments: tuple[Any, ...]) -> str:
    """``a list of 2 numbers``, ``a list of names out of 'joint', 'bone' or 'motion'``."""
    variadic = origin is list or arguments[-1] is ...
    inner = next(alternatives(arguments[0]))
    items = (
        f"names out of {_listed(get_args(inner))}"
        if get_origin(inner) is Literal
        else _PLURALS.get(inner, "")
    )
    count = "" if variadic else f"{len(arguments)} "
    return f"a list of {count}{items or 'values'}" if count or items else "a list"


def _listed(names: tuple[Any, ...]) -> str:
    *most, last = (repr(name) for name in names)
    return f"{', '.join(most)} or {last}" if most else last
