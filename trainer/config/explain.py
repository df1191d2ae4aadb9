"""The meaning of a method's options, read from their declarations."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from dataclasses import dataclass
from typing import Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python


@dataclass(frozen=True)
class Option:
    """A setting of a component."""

    name: str
    default: str
    """The default in YAML; empty if a value must be given."""
    choices: tuple[str, ...]
    """The allowed values of a choice, else empty."""
    text: str
    """The declaration's docstring as one line."""


def options(model: type[BaseModel]) -> list[Option]:
    """Every option of a component in order of declaration, with inherited options first."""
    texts = _docstrings(model)
    return [
        Option(name, _default(field), _choices(field), texts.get(name, ""))
        for name, field in model.model_fields.items()
    ]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return ""
    return value if isinstance(value, str) else json.dumps(to_jsonable_python(value))


def _choices(field: FieldInfo) -> tuple[str, ...]:
    return get_args(field.annotation) if get_origin(field.annotation) is Literal else ()


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Field -> the string after its declaration, in the class or in one of its bases."""
    docstrings: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if issubclass(kind, BaseModel) and kind is not BaseModel:
            tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
            assert isinstance(tree, ast.ClassDef)
            for place, after in zip(tree.body, tree.body[1:], strict=False):
                if (
                    isinstance(place, ast.AnnAssign)
                    and isinstance(place.target, ast.Name)
                    and isinstance(after, ast.Expr)
                    and isinstance(after.value, ast.Constant)
                ):
                    docstrings[place.target.id] = _plain(str(after.value.value))
    return docstrings


def _plain(docstring: str) -> str:
    """The docstring on one line, without literal marks and with ``null`` for None, as in a settings file."""
    text = " ".join(docstring.split()).replace("``", "")
    return re.sub(r"\bNone(?=[:;,])", "null", text)
