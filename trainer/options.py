"""Options of named parts: checked against a pydantic model, with errors that name the dotted config path."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_type_hints

from pydantic import ValidationError, create_model
from pydantic_core import ErrorDetails

from schemas import ConfigError
from schemas._model import Model

M = TypeVar("M", bound=Model)


def checked(model: type[M], options: Mapping[str, Any], *, where: str) -> M:
    """``options`` as an instance of ``model``.

    Raises ConfigError that names the path, e.g. ``encoder.options.channels``, for an unknown key (with the
    closest known one), a wrong type or a value out of range.
    """
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        raise _config_error(error.errors()[0], tuple(model.model_fields), where) from None


def signature_model(function: Callable[..., Any]) -> type[Model]:
    """A model of a function's keyword-only parameters: their annotations and defaults are the schema."""
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters.values()
    fields: dict[str, Any] = {
        p.name: (hints[p.name], p.default) for p in parameters if p.kind is p.KEYWORD_ONLY
    }
    return create_model(function.__name__, __base__=Model, **fields)


def _config_error(problem: ErrorDetails, known: tuple[str, ...], where: str) -> ConfigError:
    path = ".".join([where, *(str(part) for part in problem["loc"])])
    if problem["type"] != "extra_forbidden":
        message = problem["msg"].removeprefix("Value error, ")
        found = "" if isinstance(problem["input"], Mapping) else f", found {problem['input']!r}"
        return ConfigError(f"{message}{found}", where=path)
    close = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    listed = ", ".join(known) or "none"
    return ConfigError("unknown option", where=path, remedy=f"{hint}Known: {listed}")
