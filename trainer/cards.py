"""What the cards of encoders and classifiers share: a kind, a format, and how both are checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from schemas import CheckpointError, problem, regular
from schemas._model import Model
from schemas.refused import refusing

_Card = TypeVar("_Card", bound=Model)
_MOST = 64 * 2**20
"""Bytes of a card: that of an encoder of many conventions has 100 kB."""


def read(path: Path, refuse: Callable[[Path, str], CheckpointError]) -> object:
    """The content of a JSON file. Raises ``refuse(path, reason)`` when it is absent or none."""
    with refusing(lambda why: refuse(path, why)):
        return regular.read_json(path, most=_MOST, counted=True)


def checked(
    content: object,
    path: Path,
    *,
    kind: str,
    newest: int,
    model: type[_Card],
    refuse: Callable[[Path, str], CheckpointError],
) -> _Card:
    """The content of a card of one kind and of a format up to ``newest``. Raises CheckpointError, that of
    ``refuse(path, reason)`` for what is no such card."""
    if not isinstance(content, dict) or content.get("kind") != kind:
        raise refuse(path, f"its kind is not '{kind}'")
    version = content.get("format")
    if isinstance(version, int) and version > newest:
        raise CheckpointError(
            f"written by a newer version: format {version}, this one reads up to {newest}",
            where=path,
            remedy="Update this package",
        )
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise refuse(path, str(problem(error, model))) from error
