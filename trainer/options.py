"""Checking the options of named components against a pydantic model; errors name the dotted config path."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_type_hints

from pydantic import ValidationError, create_model

from schemas import config_error
from schemas._model import Model

M = TypeVar("M", bound=Model)


def checked(model: type[M], options: Mapping[str, Any], *, where: str) -> M:
    """``options`` as an instance of ``model``.

    Raises ConfigError that names the path, e.g. ``encoder.options.channels``, for an unknown key (suggesting
    the closest known one), a wrong type or a value out of range.
    """
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        raise config_error(error, model, section=where) from None


def signature_model(function: Callable[..., Any]) -> type[Model]:
    """A model of a function's keyword-only parameters: their annotations and defaults are the schema."""
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters.values()
    fields: dict[str, Any] = {
        p.name: (hints[p.name], p.default) for p in parameters if p.kind is p.KEYWORD_ONLY
    }
    return create_model(function.__name__, __base__=Model, **fields)
