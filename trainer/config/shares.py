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
    options = _whole(method.options, "method.options", epochs, notes)
    return Component(name=method.name, options=options), notes


def _whole(node: Any, path: str, epochs: int, notes: dict[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _whole(value, f"{path}.{key}", epochs, notes) for key, value in node.items()}
    if not (path.endswith("_from") and isinstance(node, float)):
        return node
    if not 0 < node < 1:
        raise ConfigError(
            f"expected an epoch (whole number) or a share of the epochs between 0 and 1, found {node!r}",
            where=path,
        )
    notes[path] = f"{node:g} of {epochs} epochs"
    return round(node * epochs)
