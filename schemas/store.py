"""A store's description of itself: the attributes of its root group."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from schemas._model import Stored
from schemas.run import Component
from schemas.skeleton import SkeletonSpec
from schemas.text import escaped

FORMAT = 1
"""The store format that this code writes and reads; see docs/reference/store-format.md."""


def stored_spec(attributes: Mapping[str, Any]) -> SkeletonSpec:
    """The convention that the attributes of ``skeletons/<convention>`` describe.

    Unknown keys are ignored, unlike those of users' own files, where they are slips. Raises pydantic's
    ValidationError.
    """
    return SkeletonSpec.model_validate(
        {name: value for name, value in attributes.items() if name in SkeletonSpec.model_fields}
    )


class Finding(Stored):
    """One problem of one raw file and what was done about it."""

    file: str
    place: str = ""
    """Position in the file: ``line 12``, ``frame 3``, a key."""
    problem: str
    """A short fixed phrase, so that findings can be counted, e.g. ``truncated``."""
    detail: str = ""
    action: str
    """What was done: ``skipped``, ``interpolated 3 frames``, ..."""

    @field_validator("file", "place", "problem", "detail", "action", mode="before")
    @classmethod
    def _writable(cls, value: object) -> object:
        return escaped(value) if isinstance(value, str) else value


class ArrayInfo(Stored):
    """One array; ``sha256`` is over its values in C order, independent of chunks and codec."""

    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    sha256: str


class ProtocolInfo(Stored):
    """A train/test split: how it was drawn and how large its halves are."""

    rule: str
    train: int = Field(ge=0)
    test: int = Field(ge=0)


class ConventionInfo(Stored):
    """One skeleton convention of a store and how its poses were converted to canonical axes."""

    reader: str
    axes: str
    """The change of axes and units that was applied, in words."""
    mirrored_video: bool | None = None
    """MeTRAbs only: whether the videos were read as mirrored (left and right labels exchanged)."""
    missing: tuple[str, ...] = ()
    """Ids of samples that this convention lacks (``offsets[i] == offsets[i + 1]``)."""
    coordinates: Literal["xyz", "xy"] = "xyz"
    """``xy``: 2D poses, whose z is 0."""

    @model_serializer(mode="wrap")
    def _as_before(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write ``coordinates`` for 2D poses only, so that stores of 3D poses stay as they are."""
        return {k: v for k, v in serialise(self).items() if (k, v) != ("coordinates", "xyz")}


_REPLACED = {
    "crossclr": ("turn_frames", {}),
    "default": ("turn_clip", {}),
    "denoised": ("turn_clip", {}),
    "isc": ("center_spine", {"origin": "first_frame"}),
}
"""Shipped recipe -> a step, with options, that only its earlier form has."""


class RecipeRecord(Stored):
    """The preprocessing that made the joint streams, with the counts of its steps."""

    name: str
    steps: tuple[Component, ...]
    counts: dict[str, int] = {}

    @property
    def label(self) -> str:
        """The name, with a remark if a shipped recipe was different when the store was made."""
        step, options = _REPLACED.get(self.name, ("", {}))
        replaced = any(each.name == step and options.items() <= each.options.items() for each in self.steps)
        return f"{self.name} (an earlier form)" if replaced else self.name


class PartInfo(Stored):
    """One of the stores that a store was merged from."""

    name: str
    """Prefix of its ids and its findings."""
    dataset: str
    hash: str
    samples: int = Field(ge=0)
    shifts: dict[str, int] = {}
    """Offsets added to its numbers of subjects, cameras and setups, so that no two parts share any."""
    synthetic: bool = False
    source: dict[str, str | int] = {}
    parts: tuple[PartInfo, ...] = ()
    """``synthetic``, ``source`` and ``parts`` are those of its own manifest."""

    @property
    def data_sets(self) -> tuple[tuple[str, bool], ...]:
        return _data_sets(self)


class StoreManifest(Stored):
    """Format 1. ``arrays`` maps a path in the store to its description and checksum."""

    format: int = Field(ge=1)
    dataset: str
    synthetic: bool = False
    """True if the raw data are the built-in demo: its numbers say nothing about the real data set."""
    tool: str
    samples: int = Field(ge=0)
    classes: tuple[str, ...]
    protocols: dict[str, ProtocolInfo]
    conventions: dict[str, ConventionInfo]
    recipe: RecipeRecord
    arrays: dict[str, ArrayInfo]
    findings: dict[str, int] = {}
    """Problem -> count; the rows themselves are attributes of the group ``findings``."""
    source: dict[str, str | int] = {}
    """Name of the raw folder, number of files and bytes read, hash of their names and sizes."""
    parts: tuple[PartInfo, ...] = ()
    """The stores that it was merged from; empty for most stores."""

    @model_serializer(mode="wrap")
    def _without_parts(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit ``parts`` from the manifest of a store that was not merged."""
        return {k: v for k, v in serialise(self).items() if k != "parts" or v}

    @property
    def data_sets(self) -> tuple[tuple[str, bool], ...]:
        """(name, whether it is the built-in demo) of all its data sets: one, or those that were merged."""
        return _data_sets(self)

    @property
    def hash(self) -> str:
        """Hex SHA-256 of the content: ids, labels, splits, sequences and the recipe of the streams.

        It is taken over ``{"arrays": {path: sha256}, "recipe": steps}`` as compact JSON, keys sorted, so that
        adding streams keeps it, and any other change of the data, or of what is made of them, does not.
        Options of steps that are null are left out: a step that gets a new option, off by default, keeps the
        hashes of older stores.
        """
        prefixes = ("splits/", "sequences/")
        sums = {
            path: info.sha256
            for path, info in self.arrays.items()
            if path in ("samples/id", "samples/label") or path.startswith(prefixes)
        }
        steps = [
            {"name": step.name, "options": {key: v for key, v in step.options.items() if v is not None}}
            for step in self.recipe.steps
        ]
        text = json.dumps({"arrays": sums, "recipe": steps}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _data_sets(store: StoreManifest | PartInfo) -> tuple[tuple[str, bool], ...]:
    if not store.parts:
        return ((store.dataset, store.synthetic),)
    return tuple(dict.fromkeys(each for part in store.parts for each in part.data_sets))
