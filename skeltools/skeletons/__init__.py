"""Skeleton conventions: one JSON file each, named after the convention; users' files work everywhere.

The conventions that ship with the package are in a folder for each group: sensors, hands, ... A file has the
keys of ``SkeletonSpec`` and, optionally, those of ``Naming``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas import ConfigError, Naming, SkeletonSpec, UsageError, checks_arguments, problem, unknown
from schemas.parsing import reason
from schemas.yaml_text import load_json, load_yaml, read_text

_FOLDER = Path(__file__).parent
SUFFIXES = (".json", ".yaml", ".yml")


GROUPS = {
    "sensors": "sensors",
    "estimators": "estimators from video",
    "metrabs": "as MeTRAbs estimates",
    "body_models": "body models",
    "motion_capture": "motion capture",
    "data_sets": "data sets",
    "hands": "hands",
    "animals": "animals",
}
"""Folder -> heading, in the order of the list of conventions."""


@cache
def _files() -> dict[str, Path]:
    return {path.stem: path for path in sorted(_FOLDER.rglob("*.json"), key=lambda path: path.stem)}


def names(group: str | None = None) -> tuple[str, ...]:
    """Names of the conventions that ship with the package, or of one group of them, sorted."""
    return tuple(name for name in _files() if group in (None, group_of(name)))


def group_of(name: str) -> str:
    """The folder of a convention that ships with the package: a key of ``GROUPS``."""
    return _files()[name].parent.name


def load(name: str) -> SkeletonSpec:
    """Load a convention by name, or from a user's own ``.json`` / ``.yaml`` file.

    Raises UsageError for an unknown name, ConfigError for a file that is absent or describes no skeleton.
    """
    return _find(name)[0]


@checks_arguments
def skeleton(convention: str | Path | SkeletonSpec) -> SkeletonSpec:
    """Load a skeleton convention by name, such as ``coco_17``, or from a ``.json`` or ``.yaml`` file.

    A SkeletonSpec is returned as it is. Raises UsageError, with the closest name, for an unknown one;
    ConfigError for a file that is absent or describes no skeleton.

        >>> skeleton("coco_17").joints[:3]
        ('nose', 'left_eye', 'right_eye')
    """
    return convention if isinstance(convention, SkeletonSpec) else load(str(convention))


def naming(name: str) -> Naming:
    """Synonyms and midpoints of a convention, by name or file; both are empty where it declares none.

    Raises what ``load`` raises.
    """
    return _find(name)[1]


def describe(name: str) -> dict[str, Any]:
    """The content of a convention's file: the keys of ``SkeletonSpec``, and those of ``Naming`` that it has.

    Raises what ``load`` raises.
    """
    spec, naming = _find(name)
    return spec.model_dump(mode="json") | naming.model_dump(mode="json", exclude_defaults=True)


def _find(name: str) -> tuple[SkeletonSpec, Naming]:
    if name in _files():
        return _shipped(name)
    if name.endswith(SUFFIXES):
        return _read(Path(name))
    raise unknown("skeleton convention", name, names())


def load_all(names_or_files: Iterable[str]) -> dict[str, SkeletonSpec]:
    """Load conventions from names and users' files; returns them by their own names.

    Raises what ``load`` raises, and UsageError when two different conventions have the same name: two files,
    or a file and a convention that ships with the package.
    """
    specs: dict[str, SkeletonSpec] = {}
    origin: dict[str, str] = {}
    for given in names_or_files:
        spec = load(given)
        shipped = spec.name in _files()
        first = "the package's" if shipped else origin.setdefault(spec.name, given)
        if spec != (load(spec.name) if shipped else specs.setdefault(spec.name, spec)):
            raise UsageError(
                f"two different conventions are named {spec.name}: {first} and {given}",
                remedy="Give the field name of yours another value",
            )
        specs[spec.name] = spec
    return specs


@cache
def _shipped(name: str) -> tuple[SkeletonSpec, Naming]:
    return _read(_files()[name])


def _read(path: Path) -> tuple[SkeletonSpec, Naming]:
    try:
        text = read_text(path)
        data = load_json(text) if path.suffix == ".json" else load_yaml(text)
        rest = (
            {key: data.pop(key) for key in Naming.model_fields.keys() & data}
            if isinstance(data, dict)
            else {}
        )
        spec, naming = SkeletonSpec.model_validate(data), Naming.model_validate(rest)
        naming.check(spec.joints)
        return spec, naming
    except OSError as error:
        raise ConfigError(f"cannot read the skeleton convention ({error.strerror})", where=path) from error
    except Exception as error:  # parsers raise errors of every kind for garbage
        raise ConfigError(
            f"not a valid skeleton convention: {_first_problem(error)}",
            where=path,
            remedy="`skeltools skeletons kinectv2_25 --json` prints a complete example",
        ) from error


def _first_problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return str(problem(error, SkeletonSpec, noun="key"))
    return reason(error)
