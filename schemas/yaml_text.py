"""Load YAML and JSON written by users as the standard loaders do, but with each key only once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from schemas import regular
from schemas.parsing import reason

MOST_TEXT = 2**20
"""Most bytes of a settings or convention file: forty times the largest one that ships.

PyYAML reads half a megabyte of text in a second.
"""


class KeyTwiceError(yaml.YAMLError, ValueError):
    """A key occurs twice in a mapping, so that one of its values would be lost."""


class _Loader(yaml.SafeLoader):
    """A loader that counts levels and values while it reads.

    The scanner's time for a bracket grows with the number of open ones, and all of it is slow.
    """

    values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.values += 1
        if self.values > regular.MOST_NODES:
            raise yaml.YAMLError(f"has more than {regular.MOST_NODES} values")
        return super().compose_node(parent, index)

    def fetch_flow_collection_start(self, token: Any) -> None:
        self._check_depth(self.flow_level)
        super().fetch_flow_collection_start(token)

    def add_indent(self, column: int) -> bool:
        self._check_depth(len(self.indents))
        return bool(super().add_indent(column))

    def _check_depth(self, levels: int) -> None:
        if levels > regular.DEEPEST:
            raise yaml.YAMLError("is nested too deeply")

    def construct_yaml_int(self, node: Any) -> Any:
        """Raise ValueError for a number with more digits than Python writes, also for one in another base."""
        number = super().construct_yaml_int(node)
        str(number)
        return number

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


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def load_yaml(text: str) -> Any:
    """Parse YAML, raising only yaml.YAMLError; KeyTwiceError names key and lines.

    That includes impossible values, such as a 13th month, and text that is nested too deeply or grows by its
    aliases.
    """
    try:
        loader = _Loader(text)  # a SafeLoader: only plain values
        loader.name = "the file"  # for the locations in its errors
        node = loader.get_single_node()
        regular.check_size(node, _inside)
        return None if node is None else loader.construct_document(node)
    except yaml.YAMLError:
        raise
    except Exception as error:
        raise yaml.YAMLError(reason(error)) from error


def _inside(node: Any) -> Iterable[Any]:
    """The nodes that a YAML node contains."""
    if isinstance(node, yaml.MappingNode):
        return (each for pair in node.value for each in pair)
    return node.value if isinstance(node, yaml.SequenceNode) else ()


def load_json(text: str) -> Any:
    """Parse JSON, raising only ValueError; KeyTwiceError names the key.

    That includes text that is nested too deeply or has more than ``regular.MOST_NODES`` values.
    """
    try:
        content = json.loads(text, object_pairs_hook=_once)
        regular.check_size(content, regular.parts)
        return content
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(reason(error)) from error


def read_text(path: Path) -> str:
    """Read a settings file: regular, in UTF-8, at most ``MOST_TEXT`` bytes; raises OSError, ValueError."""
    return regular.read(path, most=MOST_TEXT).decode("utf-8")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = next((key for key, count in Counter(key for key, _ in pairs).items() if count > 1), None)
    if twice is not None:
        raise KeyTwiceError(f"'{twice[:60]}' is there twice")
    return dict(pairs)
