"""The note that an export carries about itself, so that it can be imported again unchanged."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas import RawDataError, SkeletonSpec, StoreManifest
from skeltools import __version__, datasets, skeletons, store
from skeltools.formats.selection import Selection

TOOL = "skeltools "
"""Prefix of ``tool`` in every note; the version follows."""

_MOST_CLASSES = 2**15
"""Labels are int16."""
_LONGEST = 200  # characters of a class name


@dataclass(frozen=True)
class Note:
    """An archive's note about itself; empty if it is not one of our exports."""

    ours: bool = False
    dataset: str | None = None
    classes: tuple[str, ...] | None = None
    bodies: int | None = None
    """Number of bodies in a stream."""
    spec: SkeletonSpec | None = None
    flat: bool = False
    """Whether poses are 2D, with z = 0."""


def stream_note(selection: Selection, path: str, protocol: str) -> str:
    """The JSON note of an exported stream. ``full_length``: zeros at a clip's end are frames, not padding."""
    _, convention, length, kind = path.split("/")
    manifest = selection.opened.manifest
    return json.dumps(
        {
            "tool": f"{TOOL}{__version__}",
            "dataset": manifest.dataset,
            "synthetic": manifest.synthetic,
            "store": manifest.hash,
            "convention": convention,
            "stream": kind,
            "frames": int(length.removeprefix("t")),
            "recipe": manifest.recipe.name,
            "protocol": protocol,
            "full_length": True,
            **own_keys(selection),
        },
        indent=1,
    )


def own_keys(selection: Selection) -> dict[str, Any]:
    """The name, classes, bodies and skeleton of a user's own data. Empty for built-in data sets."""
    manifest = selection.opened.manifest
    if manifest.dataset in datasets.NAMES:
        return {}
    spec = store.read_spec(selection.opened, selection.convention)
    return {
        "dataset": manifest.dataset,
        "classes": list(manifest.classes),
        "bodies": bodies_of(manifest),
        "coordinates": manifest.conventions[selection.convention].coordinates,
        "skeleton": spec.model_dump(mode="json"),
    }


def bodies_of(manifest: StoreManifest) -> int | None:
    """Number of bodies on axis M of a store's streams; None if it has no streams."""
    shapes = [info.shape for path, info in manifest.arrays.items() if path.startswith("streams/")]
    return int(shapes[0][-1]) if shapes else None


def parse(keys: Mapping[str, Any], where: Path | str) -> Note:
    """Parse a note of ``stream_note`` or ``own_keys``; empty for foreign notes. Raises RawDataError."""
    if not str(keys.get("tool", "")).startswith(TOOL):
        return Note()
    try:
        return Note(
            True, _dataset(keys.get("dataset")), _classes(keys.get("classes")), _bodies(keys.get("bodies")),
            _spec(keys.get("skeleton"), keys.get("convention")),
            keys.get("coordinates") == "xy",
        )  # fmt: skip
    except (ValueError, RecursionError) as error:
        raise RawDataError(
            f"its note is damaged ({str(error).splitlines()[0][:200]})", where=where, remedy="Export it again"
        ) from error


def _dataset(value: Any) -> str | None:
    if value is not None and (type(value) is not str or not re.fullmatch(r"[a-z0-9][a-z0-9_\-]*", value)):
        raise ValueError("dataset is no name")
    return value


def _classes(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not all(map(is_class, value)) or len(set(value)) != len(value):
        raise ValueError("classes are no list of names, each once")
    return tuple(value) if 0 < len(value) <= _MOST_CLASSES else None


def is_class(name: Any) -> bool:
    """Whether a class name can be stored: printable text of at most 200 characters."""
    return type(name) is str and 0 < len(name) <= _LONGEST and name.isprintable()


def _bodies(value: Any) -> int | None:
    if value is not None and (type(value) is not int or not 0 < value <= 8):
        raise ValueError("bodies is no number from 1 to 8")
    return value


def _spec(value: Any, name: Any) -> SkeletonSpec | None:
    """The convention described in the note, or a shipped one by name."""
    if value is None:
        return skeletons.load(name) if name in skeletons.names() else None
    return spec_from(value)


def spec_from(value: Any) -> SkeletonSpec:
    """Validate a convention described in a file. Raises ValueError, also for text that cannot be encoded as
    UTF-8, on which the validation itself would fail."""
    try:
        plain = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8").decode("utf-8"))
        return SkeletonSpec.model_validate(plain)
    except ValidationError as error:
        raise ValueError(f"skeleton: {error.errors(include_input=False)[0]['msg']}") from error
    except TypeError as error:
        raise ValueError(f"skeleton: {error}") from error
