"""``dataset.yaml``: what a user says about their own data. docs/guides/custom-data.md explains its keys."""

from __future__ import annotations

import re
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from schemas import ConfigError, SkeletonSpec, config_error
from schemas._model import Model
from schemas.skeleton import Direction
from skeltools import skeletons

FILE = "dataset.yaml"
FIELDS = ("subject", "camera", "setup", "repetition")
"""Whole numbers that a file name or a table may tell of a clip, beside ``id`` and ``label``."""

_UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
_OF_SPEC = {"metres": "m", "millimetres": "mm"}
_CANONICAL = ({"left": 1, "right": -1}, {"up": 1, "down": -1}, {"forward": 1, "backward": -1})
_REMEDY = "`skeltools docs custom-data` lists all keys with a complete example"


class Axes(Model):
    """Where x, y and z point, seen from the sensor."""

    x: Direction
    y: Direction
    z: Direction

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(not signs.keys() & {self.x, self.y, self.z} for signs in _CANONICAL):
            raise ValueError("one each must lie along left/right, up/down and forward/backward")
        return self


class Csv(Model):
    """How ``.csv`` files are written."""

    form: Literal["wide", "long"] = "wide"
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    columns: dict[Literal["frame", "body", "joint", "x", "y", "z"], str] = {}
    """long: the names of the columns where they are others than these."""
    first_joint: Literal[0, 1] = 0
    """long: the number of the first joint, where joints are numbers."""


class Selector(Model):
    """Clips of which all that is given holds."""

    subject: tuple[int, ...] | None = None
    camera: tuple[int, ...] | None = None
    setup: tuple[int, ...] | None = None
    repetition: tuple[int, ...] | None = None
    pattern: str | None = None
    """Regular expression that the clip's whole name fits."""
    list: str | None = None
    """File of ids, one a line."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        return _regular(value)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"selects nothing; give one of {', '.join(type(self).model_fields)}")
        return self


class Split(Model):
    train: Selector
    test: Selector | None = None
    """Default: the rest."""


class Settings(Model):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_\-]*$")
    convention: str
    files: str = "*"
    layout: str | None = None
    axes: Axes | None = None
    units: Literal["m", "cm", "mm"] | None = None
    missing: Literal["nan", "0", "either"] = "either"
    bodies: int | None = Field(default=None, ge=1, le=8)
    key: str | None = None
    csv: Csv = Csv()
    pattern: str | None = None
    labels: str | None = None
    label_base: int | None = None
    classes: tuple[str, ...] | None = Field(default=None, min_length=1)
    splits: dict[str, Split] = {}
    mirrored_video: bool = False
    """Whether the videos behind the poses in the folder ``metrabs`` are mirror images."""

    @field_validator("missing", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return "nan" if np.isnan(value) else f"{value:g}"
        return value

    @field_validator("layout")
    @classmethod
    def _letters(cls, value: str | None) -> str | None:
        letters = "" if value is None else value.replace(" ", "")
        if value is not None and (
            sorted(letters) not in (["C", "T", "V"], ["C", "M", "T", "V"]) or "T" not in value.split()
        ):
            raise ValueError(
                f"'{value}' is not a layout: letters T (frames), V (joints), C (x y z) and, for several "
                "bodies, M, each once, T on its own; letters of one axis joined: 'T M V C', 'C T V M', 'T VC'"
            )
        return value

    @field_validator("pattern")
    @classmethod
    def _groups(cls, value: str | None) -> str | None:
        known = {"id", "label", *FIELDS}
        odd = sorted(set(re.compile(_regular(value) or "").groupindex) - known)
        if odd:
            raise ValueError(f"group '{odd[0]}' is not known. Known: {', '.join(sorted(known))}")
        return value

    @field_validator("classes")
    @classmethod
    def _once(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and len(set(value)) != len(value):
            raise ValueError(f"'{next(name for name in value if value.count(name) > 1)}' is there twice")
        return value

    @field_validator("splits")
    @classmethod
    def _names(cls, value: dict[str, Split]) -> dict[str, Split]:
        for name in value:
            if not re.fullmatch(r"[a-z0-9][a-z0-9_\-]*", name):
                raise ValueError(f"'{name}' is not a name for a split: small letters, digits, - and _")
        return value


def _regular(value: str | None) -> str | None:
    try:
        re.compile(value or "")
    except re.error as error:
        raise ValueError(f"'{value}' is not a regular expression ({error})") from error
    return value


# --- the file -----------------------------------------------------------------------------------------------


def checksum(path: Path) -> int:
    """Of the file, so that a reader in another process notices another content."""
    try:
        return zlib.crc32(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=path, remedy=_REMEDY) from error


def load(path: Path) -> Settings:
    """Raises ConfigError with the place in the file."""
    return _load(path, checksum(path))


@lru_cache(maxsize=8)
def _load(path: Path, _checksum: int) -> Settings:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"not valid YAML: {error}", where=path, remedy=_REMEDY) from error
    if not isinstance(content, dict):
        found = f"expected keys such as name and convention, found {type(content).__name__}"
        raise ConfigError(found, where=path, remedy=_REMEDY)
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        raise config_error(error, Settings, file=path, noun="key", remedy=_REMEDY) from error


# --- what follows from it -----------------------------------------------------------------------------------


def convention_file(settings: Settings, path: Path) -> str:
    """The user's own convention beside the settings; empty for one that ships with the package."""
    own = settings.convention.endswith((".json", ".yaml", ".yml"))
    return str(path.parent / settings.convention) if own else ""


def spec_of(settings: Settings, path: Path) -> SkeletonSpec:
    """Raises ConfigError or UsageError for a convention that is none, or takes a shipped one's name."""
    own = convention_file(settings, path)
    spec = skeletons.load(own or settings.convention)
    if own and spec.name in skeletons.names() and spec != skeletons.load(spec.name):
        raise ConfigError(
            f"has the name {spec.name} of another convention that ships with the package",
            where=own,
            remedy="Give it a name of its own",
        )
    return spec


def change(settings: Settings, spec: SkeletonSpec) -> np.ndarray:
    """[3, 3] float64: coordinates @ change are canonical, in metres."""
    axes = settings.axes
    directions = spec.axes if axes is None else (axes.x, axes.y, axes.z)
    scale = _UNITS[settings.units or _OF_SPEC[spec.units]]
    return np.array([[signs.get(direction, 0) * scale for signs in _CANONICAL] for direction in directions])


def in_words(settings: Settings, spec: SkeletonSpec) -> str:
    axes = settings.axes
    directions = spec.axes if axes is None else (axes.x, axes.y, axes.z)
    units = settings.units or _OF_SPEC[spec.units]
    named = ", ".join(f"{axis} {direction}" for axis, direction in zip("xyz", directions, strict=True))
    return f"{named}, in {units}, turned to x left, y up, z forward, metres"


def bodies(settings: Settings) -> int:
    """Bodies of a stream: as told, else 2 where clips may have several, else 1."""
    several = "M" in (settings.layout or "") or settings.csv.form == "long"
    return settings.bodies or (2 if several else 1)
