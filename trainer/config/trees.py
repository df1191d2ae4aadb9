"""Settings as plain nested mappings: reading, merging and setting single values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from schemas import ConfigError, RunConfig, UsageError
from schemas.parsing import refusing
from schemas.yaml_text import load_yaml, read_text

Tree = dict[str, Any]


@dataclass(frozen=True)
class Override:
    """One value at a dotted path; ``origin`` is the flag that it came from."""

    path: str
    value: Any
    origin: str = "--set"


def read_file(path: Path, *, known: Iterable[str] = RunConfig.model_fields) -> Tree:
    """Read a YAML settings file. Raises ConfigError if it is unreadable, invalid YAML or not a mapping."""
    with refusing(lambda why: ConfigError(f"cannot read the settings ({why})", where=path)):
        text = read_text(path)
    with refusing(lambda why: ConfigError(f"not valid YAML: {why}", where=path)):
        tree = load_yaml(text)
    if not isinstance(tree, dict):
        raise ConfigError("expected a mapping of settings", where=path, remedy=f"Known: {', '.join(known)}")
    data = tree.get("data")
    if isinstance(data, dict) and "protocol" in data and "split" not in data:
        data["split"] = data.pop("protocol")  # its name in the settings of earlier versions
    return tree


def merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> Tree:
    """Merge ``upper`` over ``lower``: mappings key by key; anything else, including lists, is replaced whole.

    A component with another name replaces the lower one together with its options, which would not apply.
    """
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping) and _same_name(below, value):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged


def _same_name(below: Mapping[str, Any], above: Mapping[str, Any]) -> bool:
    return "name" not in below or above.get("name", below["name"]) == below["name"]


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, value) of everything that is not a mapping; items of lists of mappings by index."""
    if isinstance(tree, Mapping) and (tree or not path):
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(tree, list | tuple) and any(isinstance(item, Mapping) for item in tree):
        for index, item in enumerate(tree):
            yield from leaves(item, f"{path}.{index}")
    else:
        yield path, tree


def is_within(path: str, branch: str) -> bool:
    """Whether a dotted path is ``branch`` or lies in it."""
    return f"{path}.".startswith(f"{branch}.")


def parse_override(text: str) -> Override:
    """Parse ``optimise.lr=0.05``; the value is read as YAML, so ``[1, 2]`` and ``true`` work."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise UsageError(f"--set {text}: expected KEY=VALUE", remedy="For example --set optimise.lr=0.05")
    path = path.strip()
    if path == "data.protocol":
        path = "data.split"  # as in ``read_file``
    try:
        return Override(path, load_yaml(value))
    except yaml.YAMLError as error:
        raise UsageError(f"--set {path}: '{value}' is not a valid YAML value") from error


def set_value(tree: Tree, path: str, value: Any) -> None:
    """Set one value in place, creating mappings along the path; a number is an index into a list.

    A new ``name`` of a component drops the options of the old one.
    """
    *way, last = path.split(".")
    node: Any = tree
    for index, key in enumerate(way):
        here = ".".join(way[: index + 1])
        node = _enter(node, key, where=here)
        if not isinstance(node, dict | list):
            raise ConfigError(f"is a value ({node!r}), nothing can be set inside it", where=here)
    if isinstance(node, list):
        _enter(node, last, where=path)
        node[int(last)] = value
        return
    if last == "name" and "options" in node and node.get("name") != value:
        node["options"] = {}
    node[last] = value


def _enter(node: Any, key: str, *, where: str) -> Any:
    """The child, copied into its parent: presets are shared and must not change in place."""
    place: Any = key
    if isinstance(node, list):
        if not key.isdigit() or int(key) >= len(node):
            raise ConfigError(f"expected a number from 0 to {len(node) - 1}, found '{key}'", where=where)
        place = int(key)
    child = node[place] if isinstance(node, list) else node.get(key)
    node[place] = {} if child is None else child.copy() if isinstance(child, dict | list) else child
    return node[place]
