"""``dataset.yaml``, the description of a user's own data. docs/guides/custom-data.md explains its keys."""

from __future__ import annotations

import fnmatch
import re
import zlib
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, field_validator, model_validator

from schemas import ConfigError, Naming, SkeletonSpec, config_error, regular
from schemas._model import Model
from schemas.parsing import refusing
from schemas.skeleton import Direction
from schemas.yaml_text import MOST_TEXT, load_yaml, read_text
from skeltools import skeletons
from skeltools.custom import patterns

FILE = "dataset.yaml"
OF_FILES = "file"
"""The ``convention`` of data whose files describe their own skeleton."""

FIELDS = ("subject", "camera", "setup", "repetition")
"""Integer fields of a clip that a file name or a table may contain, in addition to ``id`` and ``label``."""

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254}
"""Metres per unit; the inch by definition (international yard and pound agreement, 1959)."""

_SPELLED_OUT = {
    **dict.fromkeys(("metre", "metres", "meter", "meters"), "m"),
    **dict.fromkeys(("inch", "inches"), "in"),
    **dict.fromkeys(("centimetre", "centimetres", "centimeter", "centimeters"), "cm"),
    **dict.fromkeys(("millimetre", "millimetres", "millimeter", "millimeters"), "mm"),
}

COORDINATES = ("xyz", "xyzs", "xy", "xys")
"""Possible contents of axis C: x, y, z and s, the joint's score or tracking state."""

GENDERS = ("female", "male", "neutral")
"""As spelled in AMASS files and in the names of its body models."""

MAX_RATE = 100_000.0
"""Most frames per second."""

IMAGE_HEIGHT = 2.0
"""Metres that the height of an image corresponds to when ``image_size`` scales pixels: the height of a tall
person filling the image."""

Directions = tuple[Direction, Direction, Direction]
CANONICAL = ({"left": 1, "right": -1}, {"up": 1, "down": -1}, {"forward": 1, "backward": -1})
"""Direction -> its sign, for each canonical axis."""
_REMEDY = "`skeltools docs custom-data` lists all keys with a complete example"


Scale = Annotated[float, Field(ge=1e-9, le=1e6, allow_inf_nan=False)]
"""Metres per unit, from a nanometre to a thousand kilometres, so that coordinates stay finite in float32."""
Pixels = Annotated[int, Field(ge=1, le=10**6)]


class Axes(Model):
    """The directions of x, y and z, as seen from the sensor."""

    x: Direction
    y: Direction
    z: Direction

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(not signs.keys() & {self.x, self.y, self.z} for signs in CANONICAL):
            raise ValueError("one each must lie along left/right, up/down and forward/backward")
        return self


class Csv(Model):
    """The form of text files (``.csv``, ``.tsv``, ``.txt``)."""

    form: Literal["wide", "long"] = "wide"
    delimiter: str | None = None
    """One character, or ``whitespace`` for runs of blanks; None: detected."""
    skip_rows: int | None = Field(default=None, ge=0)
    """Number of lines above the header or the numbers; None: detected."""
    skip_columns: int = Field(default=0, ge=0)
    """Number of columns before those of the joints."""
    skip_last: int = Field(default=0, ge=0)
    """Number of columns after those of the joints."""
    by_order: bool = False
    """wide: take columns in file order, whatever the header calls them."""
    clip: tuple[str | int, ...] = ()
    """Columns, by name or number from 1, whose values together name the clip, in a multi-clip file."""
    joints: dict[str, str] = {}
    """Joint -> its name in the file, for joints that the file names differently."""
    columns: dict[Literal["frame", "body", "joint", "x", "y", "z", "score"], str | int | None] = {}
    """Columns, by name or number from 1, where they have other names than these; None: there is none. wide:
    ``frame`` and ``body``."""
    first_joint: Literal[0, 1] = 0
    """long: the number of the first joint, if joints are numbered."""

    @field_validator("clip", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | int) else value

    @field_validator("delimiter")
    @classmethod
    def _one(cls, value: str | None) -> str | None:
        if value is not None and len(value) != 1 and value != "whitespace":
            raise ValueError(f"'{value}' is not a delimiter: one character, or whitespace for runs of blanks")
        return value


class Selector(Model):
    """Selects the clips that meet all given conditions."""

    subject: tuple[int, ...] | None = None
    camera: tuple[int, ...] | None = None
    setup: tuple[int, ...] | None = None
    repetition: tuple[int, ...] | None = None
    pattern: str | None = None
    """Regular expression that must match the clip's whole name."""
    list: str | None = None
    """File of ids, one per line."""

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


class Segments(Model):
    """The meaning of the columns ``start`` and ``end`` in the table of labels."""

    unit: Literal["frames", "seconds", "frame_numbers"] = "frames"
    """``frame_numbers``: the file's own, in a column of its table."""
    first: Literal[0, 1] = 0
    """frames: the number of the first frame."""
    end: Literal["exclusive", "inclusive"] = "exclusive"
    """frames: whether the frame at ``end`` is part of the clip."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.unit == "seconds" and self.model_fields_set & {"first", "end"}:
            raise ValueError("first and end are about frames; seconds begin at 0")
        if self.unit == "frame_numbers" and "first" in self.model_fields_set:
            raise ValueError("first is about frames that are counted; frame_numbers are those of the file")
        return self


class Windows(Model):
    """Cut recordings into clips of equal length where no table cuts them."""

    length: int = Field(ge=1, le=1_000_000)
    """In frames."""
    stride: int | None = Field(default=None, ge=1)
    """Frames from the start of one window to the start of the next; default: the length."""


class Settings(Model):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_\-]*$", max_length=200)
    convention: str
    files: str = Field(default="*", max_length=1000)
    layout: str | None = None
    axes: Axes | None = None
    coordinates: Literal["xyz", "xyzs", "xy", "xys"] = "xyz"
    units: Literal["m", "cm", "mm", "in"] | Scale | tuple[Scale, Scale, Scale] | None = None
    """Name of a unit, or metres per unit: one number, or one each for x, y and z."""
    image_size: tuple[Pixels, Pixels] | None = None
    """Width and height in pixels; the centre of the image becomes the origin, its height IMAGE_HEIGHT."""
    min_score: float = Field(default=0.0, allow_inf_nan=False)
    """A joint with this score or a lower one counts as unseen."""
    leave_out: tuple[str, ...] = ()
    """Joints to leave out of the store."""
    never_seen: Literal["refuse", "keep"] = "refuse"
    """How to handle a clip with a joint that is seen in none of its frames."""
    format: str | None = None
    body_model: str | None = Field(default=None, pattern=r"\.(npz|pkl)$")
    """SMPL, SMPL+H or SMPL-X model file, for AMASS files; ``{gender}`` is replaced by the clip's gender."""
    missing: Literal["nan", "0", "either"] | Annotated[float, Field(allow_inf_nan=False)] = "either"
    """A number marks joints of which all coordinates have that value, besides NaN and zero."""
    bodies: int | None = Field(default=None, ge=1, le=8)
    key: str | None = None
    csv: Csv = Csv()
    pattern: str | None = None
    labels: str | None = None
    label_base: int | None = None
    unlabelled: Literal["keep", "skip"] = "keep"
    """How to handle clips without a label among labelled ones."""
    classes: tuple[str, ...] | None = Field(default=None, min_length=1)
    splits: dict[str, Split] = {}
    mirrored_video: bool = False
    """Whether the poses in the folder ``metrabs`` come from mirrored videos."""
    segments: Segments = Segments()
    windows: Windows | None = None
    fps: float | None = Field(default=None, gt=0, le=MAX_RATE, allow_inf_nan=False)
    """Frames per second of files that do not state it."""
    uncut: bool = False
    """Whether recordings stay whole, with one label per frame."""

    @model_validator(mode="after")
    def _one_way_to_cut(self) -> Self:
        if self.segments.unit == "frame_numbers" and (self.uncut or self.windows is not None):
            raise ValueError("uncut and windows count frames: segments cannot be in frame_numbers with them")
        if self.uncut and (self.windows is not None or self.labels is None):
            raise ValueError(
                "uncut keeps recordings whole: it needs labels with start and end, and no windows"
            )
        return self

    @model_validator(mode="after")
    def _one_scale(self) -> Self:
        if self.image_size is not None and self.units is not None:
            raise ValueError("units and image_size both say how large a unit is; give one of them")
        if self.flat and self.image_size is None and (self.units is None or isinstance(self.units, str)):
            raise ValueError(
                f"coordinates are {self.coordinates}: say how large a pixel is, by "
                "image_size: [width, height] or units: metres per pixel"
            )
        return self

    @model_validator(mode="after")
    def _known_bodies(self) -> Self:
        joined = next((axis for axis in (self.layout or "").split() if {"T", "M"} <= set(axis)), None)
        if joined and self.bodies is None:
            raise ValueError(f"layout has frames and bodies in one axis, {joined}: say how many `bodies`")
        return self

    @model_validator(mode="after")
    def _one_frame_in_a_file(self) -> Self:
        if self.by_frame and ("{clip}" in (self.key or "") or self.csv.clip or self.csv.form == "long"):
            raise ValueError("layout has no T, so a file is a frame: it cannot hold several clips or frames")
        return self

    @property
    def by_frame(self) -> bool:
        """Whether each file is one frame, and numbered files of a folder are a clip."""
        return self.layout is not None and "T" not in self.layout

    @property
    def marker(self) -> float | None:
        """The number that marks a joint that was not seen, besides NaN and zero."""
        return self.missing if isinstance(self.missing, float) else None

    @property
    def flat(self) -> bool:
        """Whether poses are 2D."""
        return "z" not in self.coordinates

    @field_validator("axes", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Accept a list as well, as conventions have it."""
        if not isinstance(value, list | tuple):
            return value
        if len(value) != 3:
            raise ValueError("expected three directions, those of x, y and z, such as [left, up, forward]")
        return dict(zip("xyz", value, strict=True))

    @field_validator("units", mode="before")
    @classmethod
    def _spelled_out(cls, value: Any) -> Any:
        return _SPELLED_OUT.get(value.lower(), value) if isinstance(value, str) else value

    @field_validator("missing", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return "nan" if np.isnan(value) else float(value) if value else "0"
        return value

    @field_validator("layout")
    @classmethod
    def _letters(cls, value: str | None) -> str | None:
        letters = "" if value is None else value.replace(" ", "")
        if sorted(letters) in (["C", "N", "T", "V"], ["C", "M", "N", "T", "V"]):
            raise ValueError(
                f"'{value}' has an axis of clips, N, and layout is of one clip; "
                "`skeltools convert custom --from crossclr` reads such arrays with their labels"
            )
        if value is not None and (
            len(set(letters)) < len(letters) or not {"C", "V"} <= set(letters) <= set("TMVC")
        ):
            raise ValueError(
                f"'{value}' is not a layout: letters T (frames), V (joints), C (x y z) and, for several "
                "bodies, M, each once; letters of one axis joined: 'T M V C', 'C T V M', 'T VC', 'TV C'. "
                "Without T, a file is a frame"
            )
        return value

    @field_validator("pattern")
    @classmethod
    def _groups(cls, value: str | None) -> str | None:
        known = {"id", "label", *FIELDS}
        odd = sorted(patterns.named(_regular(value)) - known)
        if odd:
            raise ValueError(f"group '{odd[0]}' is not known. Known: {', '.join(sorted(known))}")
        return value

    @field_validator("classes")
    @classmethod
    def _once(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = next((name for name, count in Counter(value or ()).items() if count > 1), None)
        if twice is not None:
            raise ValueError(f"'{twice}' is there twice")
        return value

    @field_validator("splits")
    @classmethod
    def _names(cls, value: dict[str, Split]) -> dict[str, Split]:
        for name in value:
            if not re.fullmatch(r"[a-z0-9][a-z0-9_\-]*", name):
                raise ValueError(f"'{name}' is not a name for a split: small letters, digits, - and _")
        return value


def _regular(value: str | None) -> str | None:
    patterns.check(value or "")
    return value


# --- the file -----------------------------------------------------------------------------------------------


def checksum(path: Path) -> int:
    """Checksum of the file, by which a reader in another process notices a change."""
    with refusing(lambda why: ConfigError(f"cannot be read ({why})", where=path, remedy=_REMEDY)):
        return zlib.crc32(regular.read(path, most=MOST_TEXT))


def load(path: Path) -> Settings:
    """Load the settings. Raises ConfigError with the position in the file."""
    return _load(path, checksum(path))


@lru_cache(maxsize=8)
def _load(path: Path, _checksum: int) -> Settings:
    with refusing(lambda why: ConfigError(f"not valid YAML: {why}", where=path, remedy=_REMEDY)):
        content = load_yaml(read_text(path))
    if content is None:
        message = "the file is empty; expected keys such as name and convention"
        raise ConfigError(message, where=path, remedy=_REMEDY)
    if not isinstance(content, dict):
        message = f"expected keys such as name and convention, found {type(content).__name__}"
        raise ConfigError(message, where=path, remedy=_REMEDY)
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        raise config_error(error, Settings, file=path, noun="key", remedy=_REMEDY) from error


# --- derived values -----------------------------------------------------------------------------------------


def convention_file(settings: Settings, path: Path) -> str:
    """Path of the user's own convention beside the settings; empty for one that ships with the package."""
    own = settings.convention.endswith((".json", ".yaml", ".yml"))
    return str(path.parent / settings.convention) if own else ""


def naming_of(settings: Settings, path: Path) -> Naming:
    """Other names of the joints of the files' convention. Raises the same errors as ``file_spec``."""
    if settings.convention == OF_FILES:
        return Naming()
    return skeletons.naming(convention_file(settings, path) or settings.convention)


def body_models(settings: Settings) -> tuple[str, ...]:
    """Files that ``body_model`` may refer to: one, or one for each of GENDERS."""
    name = settings.body_model
    return () if name is None else tuple(dict.fromkeys(name.replace("{gender}", g) for g in GENDERS))


def file_spec(settings: Settings, path: Path) -> SkeletonSpec:
    """The convention of the files, with all of its joints.

    Raises ConfigError or UsageError if it is invalid, or uses the name of one that ships with the package.
    """
    if settings.convention == OF_FILES:
        from skeltools.custom import registry  # its formats import this module

        return registry.spec_of_first(settings, path)
    own = convention_file(settings, path)
    spec = skeletons.load(own or settings.convention)
    if own and spec.name in skeletons.names() and spec != skeletons.load(spec.name):
        raise ConfigError(
            f"has the name {spec.name} of another convention that ships with the package",
            where=own,
            remedy="Give it a name of its own",
        )
    return spec


def spec_of(settings: Settings, path: Path) -> SkeletonSpec:
    """The convention of the store: that of the files without the joints of ``leave_out``.

    Raises the same errors as ``file_spec``, and ConfigError if ``leave_out`` names an unknown joint.
    """
    spec = file_spec(settings, path)
    try:
        return spec.without(_left_out(settings, spec)) if settings.leave_out else spec
    except ValueError as error:
        raise ConfigError(f"leave_out: {error}", where=path) from error


def _left_out(settings: Settings, spec: SkeletonSpec) -> list[str]:
    """Names of the joints to leave out; a pattern such as ``*_end`` stands for all that match it."""
    names = [(name, fnmatch.filter(spec.joints, name) if "*" in name else []) for name in settings.leave_out]
    return [joint for name, matches in names for joint in matches or (name,)]


def bodies(settings: Settings) -> int:
    """Number of bodies in a stream: the setting, else 2 if clips may have several, else 1."""
    csv = settings.csv
    several = "M" in (settings.layout or "") or csv.form == "long" or csv.columns.get("body") is not None
    return settings.bodies or (2 if several else 1)
