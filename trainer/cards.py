"""Common to the cards of encoders and classifiers: reading them and checking their kind and format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from schemas import CheckpointError, problem, regular
from schemas._model import Model
from schemas.parsing import refusing

_Card = TypeVar("_Card", bound=Model)
_MOST = 64 * 2**20
"""Maximum size of a card in bytes; the card of an encoder of many conventions has 100 kB."""


def read(path: Path, refuse: Callable[[Path, str], CheckpointError]) -> object:
    """Read a JSON file. Raises ``refuse(path, reason)`` when it is absent or not JSON."""
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
    """Validate the content of a card of one kind, with a format up to ``newest``.

    Raises CheckpointError: the one of ``refuse(path, reason)`` for content that is not such a card.
    """
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
