"""YAML and JSON that users write: as the standard loaders read them, but a key may be there only once."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import yaml


class KeyTwiceError(yaml.YAMLError, ValueError):
    """A key of one mapping is given twice, so that one of its values would be lost."""


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                where = f"lines {lines[name]} and {line}" if lines[name] != line else f"line {line}"
                raise KeyTwiceError(f"'{key.value[:60]}' is there twice, in {where}")
            lines[name] = line
        return node


def load_yaml(text: str) -> Any:
    """The content of ``text``. Raises yaml.YAMLError; KeyTwiceError names the key and both lines."""
    return yaml.load(text, Loader=_Loader)  # a SafeLoader: plain values alone


def load_json(text: str) -> Any:
    """The content of ``text``. Raises ValueError; KeyTwiceError names the key."""
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = next((key for key, count in Counter(key for key, _ in pairs).items() if count > 1), None)
    if twice is not None:
        raise KeyTwiceError(f"'{twice[:60]}' is there twice")
    return dict(pairs)
