"""Evaluation protocols on a frozen encoder.

    protocol   evaluate(train: Features, test: Features, *, classes, seed, options) -> list[Outcome]

A protocol is a module with this function and the model ``Options``, and a line in ``PROTOCOLS``.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from schemas import unknown
from trainer.evaluate import knn, linear
from trainer.options import checked

PROTOCOLS = {"knn": knn, "linear": linear}


def protocol_options(
    names: Iterable[str], *layers: Mapping[str, Mapping[str, Any]]
) -> dict[str, knn.Options | linear.Options]:
    """Options of the named protocols: their own defaults, each layer (protocol -> options) over them.

    Raises UsageError for a protocol that does not exist, in the layers too, and ConfigError for options.
    """
    for name in [*names, *(name for layer in layers for name in layer)]:
        if name not in PROTOCOLS:
            raise unknown("protocol", name, PROTOCOLS)
    merged = {
        name: {key: value for layer in layers for key, value in layer.get(name, {}).items()} for name in names
    }
    return {name: checked(PROTOCOLS[name].Options, given, where=name) for name, given in merged.items()}


__all__ = ["PROTOCOLS", "protocol_options"]
