"""Evaluation protocols on frozen encoders.

    protocol   evaluate(train: Features, test: Features, *, classes, seed, options) -> list[Outcome]

A protocol is a module with this function, the model ``Options`` and ``FUSES``, and a line in ``PROTOCOLS``.
``FUSES`` says what of several streams goes together into one figure: their ``scores`` or their ``features``.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from schemas import unknown
from trainer.evaluate import fusion, knn, linear
from trainer.options import checked

PROTOCOLS = {"knn": knn, "linear": linear}

_SECTIONS = {**PROTOCOLS, "fusion": fusion}
"""What settings of an evaluation may be about."""


def protocol_options(names: Iterable[str], *layers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Options of the named protocols or of ``fusion``: defaults, each layer (name -> options) over them.

    Raises UsageError for a protocol that does not exist, in the layers too, and ConfigError for options.
    """
    for name in [*names, *(name for layer in layers for name in layer)]:
        if name not in _SECTIONS:
            raise unknown("protocol", name, PROTOCOLS)
    merged = {
        name: {key: value for layer in layers for key, value in layer.get(name, {}).items()} for name in names
    }
    return {name: checked(_SECTIONS[name].Options, given, where=name) for name, given in merged.items()}


__all__ = ["PROTOCOLS", "protocol_options"]
