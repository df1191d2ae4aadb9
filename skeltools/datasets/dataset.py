"""A data set as ``convert`` sees it: names, classes, splits, and how its raw files are found."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from schemas import SkeletonSpec
from skeltools import skeletons
from skeltools.datasets import facts
from skeltools.datasets.splits import Rule


@dataclass(frozen=True)
class Dataset:
    """One data set; class names and missing lists are read from ``facts`` on first use."""

    name: str
    title: str
    reader: str
    """Key of ``readers.READERS`` for the native skeletons."""
    convention: str
    """Convention of the native skeletons."""
    published: str
    """Prefix of the names of its files in ``facts``; empty when there are none."""
    num_classes: int
    bodies: int
    """Bodies on axis M of its streams: the most people that one of its actions needs."""
    folder_names: tuple[str, ...]
    """Names, in any case, of its folder (or zip file) below a parent with several data sets."""
    file_pattern: str
    """Regular expression of a raw file's name."""
    example: str
    """A raw file's name, for messages."""
    hint: str
    """Where to get the raw files and how to lay them out."""
    class_names: tuple[str, ...] = ()
    """Action names, indexed by label, where no file in ``facts`` has them."""
    rules: Mapping[str, Rule] = field(default_factory=dict)
    """Name of a split -> its rule; a source may provide splits of its own."""
    id_pattern: str | None = None
    """Regular expression of the ids of its samples, where its reader also encounters those of others."""
    setups: int | None = None
    """NTU: the highest setup number that belongs to this part of the data set."""
    metrabs: bool = False
    """Whether ``<raw>/metrabs`` may hold poses estimated from its videos."""
    mirrored: bool = False
    """Whether its videos are mirror images, as Kinect v2 delivers them."""
    rate: float | None = 30.0
    """Frames per second of its native clips, as with Kinect; None if unknown."""
    axes: str = "Kinect camera space as recorded: x to the sensor's left, y up, z forward, metres"
    """How its native skeletons are converted to canonical axes, in words."""
    frames: tuple[int, ...] = (50,)
    """Default lengths T of its joint streams."""
    coordinates: Literal["xyz", "xy"] = "xyz"
    """``xy`` for native skeletons that are 2D poses."""
    own_spec: SkeletonSpec | None = None
    """A native convention that does not ship with the package."""

    uncut_reader: str = ""
    """Key of ``readers.READERS`` that keeps its recordings whole; empty where there is nothing to cut."""
    uncut_pattern: str = ""
    """Regular expression of the ids of recordings."""
    frame_labels: bool = False
    """Whether its samples are whole recordings, with a label for each frame."""

    @property
    def spec(self) -> SkeletonSpec:
        """The native convention."""
        return self.own_spec or skeletons.load(self.convention)

    @property
    def classes(self) -> tuple[str, ...]:
        """Action names, indexed by label."""
        published = facts.classes(self.published)[: self.num_classes] if self.published else ()
        return self.class_names or published

    @property
    def missing(self) -> frozenset[str]:
        """Ids that the authors ask to leave out, because their skeletons are missing or incomplete."""
        return frozenset(id for id in facts.missing(self.published) if self.accepts(id))

    def accepts(self, sample_id: str) -> bool:
        """Whether a sample id is part of this data set: NTU-60 is setups 1..17 and actions 1..60."""
        if self.id_pattern is not None:
            return re.fullmatch(self.id_pattern, sample_id, re.ASCII) is not None
        if self.setups is None:
            return True
        fields = re.fullmatch(r"S(\d{3})C\d{3}P\d{3}R\d{3}A(\d{3})", sample_id)
        return bool(fields and 1 <= int(fields[1]) <= self.setups and 1 <= int(fields[2]) <= self.num_classes)
