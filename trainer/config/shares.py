"""Stage boundaries given as a share of the epochs, so that they scale with ``--epochs``.

Every option of a method whose name ends in ``_from`` is a stage boundary: an integer is an epoch, counted
from 0; a float between 0 and 1 is that share of ``optimise.epochs``.
"""

from __future__ import annotations

from typing import Any

from schemas import Component, ConfigError


def whole_epochs(method: Component, epochs: int) -> tuple[Component, dict[str, str]]:
    """The method with whole epochs in place of shares, and dotted path -> note on the share for each.

    Rounds to the nearest epoch. Raises ConfigError for a float that is not a share.
    """
    notes: dict[str, str] = {}
    options = _replaced(method.options, "method.options", epochs, notes)
    return Component(name=method.name, options=options), notes


def _replaced(node: Any, path: str, epochs: int, notes: dict[str, str]) -> Any:
    if not isinstance(node, dict):
        return node
    return {key: _value(key, value, f"{path}.{key}", epochs, notes) for key, value in node.items()}


def _value(key: str, value: Any, path: str, epochs: int, notes: dict[str, str]) -> Any:
    if not (key.endswith("_from") and isinstance(value, float)):
        return _replaced(value, path, epochs, notes)
    if not 0 < value < 1:
        raise ConfigError(
            f"expected an epoch (whole number) or a share of the epochs between 0 and 1, found {value!r}",
            where=path,
        )
    notes[path] = f"{value:g} of {epochs} epochs"
    return round(value * epochs)
