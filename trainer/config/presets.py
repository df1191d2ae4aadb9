"""Presets: published or tuned settings of the methods, in one YAML file per method, with the values' sources.

A preset is a partial ``RunConfig``. With ``extends:`` it builds on another preset of its method (or on
``method/preset``), of which ``without:`` lists dotted paths of branches to leave out; with ``base:`` it names
the preset of its base method. ``sources:`` maps dotted paths, of values or whole branches, to the place in a
paper or released code that gives the value; a value without a source is tuned. Options named ``*_from`` may
be shares of the epochs (see ``shares``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, reduce
from operator import getitem
from pathlib import Path
from typing import Any

import yaml

from schemas import UsageError, unknown
from trainer.config.trees import Tree, is_within, leaves, merge

FOLDER = Path(__file__).parents[1] / "presets"
"""One file per method; its first preset substitutes for presets that only other methods have."""


@dataclass(frozen=True)
class Preset:
    """One preset with everything it extends merged in."""

    method: str
    name: str
    summary: str
    tree: Tree
    sources: dict[str, str]
    """Dotted path -> source of the value, e.g. a section of the paper."""


@cache
def _files(folder: Path) -> dict[str, Tree]:
    paths = sorted(folder.glob("*.yaml"))
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths}


def _file(method: str) -> Tree:
    if method not in _files(FOLDER):
        raise unknown("method", method, _files(FOLDER))
    return _files(FOLDER)[method]


def preset_methods() -> tuple[str, ...]:
    """The methods that have presets, sorted."""
    return tuple(_files(FOLDER))


def about(method: str) -> tuple[str, str]:
    """(summary, paper) of a method; the paper is empty if there is none."""
    return _file(method)["summary"], _file(method).get("paper", "")


def preset_names(method: str) -> tuple[str, ...]:
    """The names of a method's presets, the usual one first: ``paper``, or ``default`` without a paper."""
    return tuple(_file(method)["presets"])


def find_preset(method: str, name: str, *, base: str | None = None) -> Preset:
    """A preset by name, with the preset that it ``extends`` and its ``base`` method merged in.

    ``base`` replaces the usual base by another method, with its preset of the same name or else its first.
    Raises UsageError for unknown names and when the method has no base.
    """
    known = _file(method)["presets"]
    if name not in known:
        raise unknown(f"preset of {method}", name, known)
    own = dict(known[name])
    summary, written = own.pop("summary"), own.pop("sources", {})
    extends, wraps = own.pop("extends", None), own.pop("base", None)
    if base is not None and wraps is None:
        raise UsageError(f"{method}/{name} has no base method", remedy="--base is for --method ms-clr")
    start: Tree = {}
    sources: dict[str, str] = {}
    if wraps is not None:
        start, sources = _wrapped(wraps if base is None else _counterpart(base, wraps))
    elif extends is not None:
        parent = find_preset(*(extends if "/" in extends else f"{method}/{extends}").split("/"))
        start, sources = _without(own.pop("without", ()), parent)
    tree = merge(start, merge(own, {"method": {"name": method}}))
    if base is not None:
        # Sources given for the usual base's values hold for another base where its values are the same.
        mine, usual = dict(leaves(tree)), dict(leaves(find_preset(method, name).tree))
        written = {path: said for path, said in written.items() if below(mine, path) == below(usual, path)}
    sources = origins(tree, start, sources, fallback=f"tuned: preset {method}/{name}")
    sources |= {"method.name": "the method itself"} | _spread(written, tree) | written
    if base is not None:
        sources["method.options.base.name"] = "--base"
    return Preset(method, name, summary, tree, sources)


def _without(branches: Iterable[str], parent: Preset) -> tuple[Tree, dict[str, str]]:
    """The settings and sources of a preset without some branches."""
    tree, sources = deepcopy(parent.tree), parent.sources
    for branch in branches:
        *way, last = branch.split(".")
        del reduce(getitem, way, tree)[last]
        sources = {path: said for path, said in sources.items() if not is_within(path, branch)}
    return tree, sources


def _wrapped(title: str) -> tuple[Tree, dict[str, str]]:
    """The preset of a base method as part of another preset: its method becomes ``method.options.base``."""
    inner = find_preset(*title.split("/"))
    tree = inner.tree | {"method": {"options": {"base": inner.tree["method"]}}}
    sources = {
        path.replace("method.", "method.options.base.", 1) if path.startswith("method.") else path: source
        for path, source in inner.sources.items()
    }
    return tree, sources


def _counterpart(method: str, title: str) -> str:
    name, names = title.split("/")[1], preset_names(method)
    return f"{method}/{name if name in names else names[0]}"


def origins(tree: Tree, before: Tree, sources: Mapping[str, str], *, fallback: str) -> dict[str, str]:
    """The sources of values that are as they were ``before``, and ``fallback`` for all others."""
    new, old = dict(leaves(tree)), dict(leaves(before))
    unchanged = {path: source for path, source in sources.items() if below(new, path) == below(old, path)}
    changed = {path: fallback for path, value in new.items() if path not in old or old[path] != value}
    return changed | unchanged


def _spread(written: Mapping[str, str], tree: Tree) -> dict[str, str]:
    """Assign sources of whole branches to every value in them; the innermost branch wins."""
    sources: dict[str, str] = {}
    for branch in sorted(written, key=len):
        sources |= {path: written[branch] for path, _ in leaves(tree) if is_within(path, branch)}
    return sources


def below(values: Mapping[str, Any], path: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if is_within(name, path)}
