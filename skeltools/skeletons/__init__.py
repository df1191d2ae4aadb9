"""Skeleton conventions: one JSON file each; the file name is the name. Users' own files work everywhere."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import yaml
from pydantic import ValidationError

from schemas import ConfigError, SkeletonSpec, UsageError, unknown

_FOLDER = Path(__file__).parent
_SUFFIXES = (".json", ".yaml", ".yml")


@cache
def names() -> tuple[str, ...]:
    """The conventions that ship with the package, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


def load(name: str) -> SkeletonSpec:
    """A convention by name, or from a user's own ``.json`` / ``.yaml`` file.

    Raises UsageError for an unknown name, ConfigError for a file that is absent or describes no skeleton.
    """
    if name in names():
        return _shipped(name)
    if name.endswith(_SUFFIXES):
        return _read(Path(name))
    raise unknown("skeleton convention", name, names())


def load_all(names_or_files: Iterable[str]) -> dict[str, SkeletonSpec]:
    """Conventions by their own names, from names and users' files.

    Raises what ``load`` does, and UsageError when two different conventions have one name: two files, or a
    file and one that ships with the package.
    """
    found: dict[str, SkeletonSpec] = {}
    origin: dict[str, str] = {}
    for given in names_or_files:
        spec = load(given)
        first = "the package's" if spec.name in names() else origin.setdefault(spec.name, given)
        if spec != (_shipped(spec.name) if spec.name in names() else found.setdefault(spec.name, spec)):
            raise UsageError(
                f"two different conventions are named {spec.name}: {first} and {given}",
                remedy="Give the field name of yours another value",
            )
        found[spec.name] = spec
    return found


@cache
def _shipped(name: str) -> SkeletonSpec:
    return _read(_FOLDER / f"{name}.json")


def _read(path: Path) -> SkeletonSpec:
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        return SkeletonSpec.model_validate(data)
    except OSError as error:
        raise ConfigError(f"cannot read the skeleton convention ({error.strerror})", where=path) from error
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError(
            f"not a valid skeleton convention: {_first_problem(error)}",
            where=path,
            remedy="`skeltools skeletons kinectv2_25 --json` prints a complete example",
        ) from error


def _first_problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}" if place else first["msg"]
    return str(error).splitlines()[0]
