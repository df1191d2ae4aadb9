"""A configuration as text that names the origin of every value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trainer.config.presets import below
from trainer.config.resolve import Settings


def render(settings: Settings) -> str:
    """The configuration as YAML that ``--config`` accepts, with the origin of every value as a comment."""
    lines: list[tuple[str, str]] = []
    _render(settings.config.model_dump(mode="json"), "", 0, settings.sources, lines)
    width = min(max(len(text) for text, _ in lines), 60)
    return "\n".join(f"{text:<{width}}  # {note}" if note else text for text, note in lines) + "\n"


def _render(
    node: Mapping[str, Any], path: str, depth: int, sources: Mapping[str, str], lines: list[tuple[str, str]]
) -> None:
    for key, value in node.items():
        here = f"{path}.{key}" if path else key
        indent = "  " * depth
        if isinstance(value, dict) and value:
            lines.append((f"{indent}{key}:", ""))
            _render(value, here, depth + 1, sources, lines)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines.append((f"{indent}{key}:", sources.get(here, "")))
            for index, item in enumerate(value):
                notes = dict.fromkeys(below(sources, f"{here}.{index}").values())
                lines.append((f"{indent}  - {json.dumps(item)}", "; ".join(notes)))
        else:
            lines.append((f"{indent}{key}: {json.dumps(value)}", sources.get(here, "default")))
