"""Raw data that come as an archive of another code base, not in the format of their data set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from schemas import SkeletonSpec, UsageError, unknown
from skeltools import skeletons
from skeltools.datasets import DEFAULT_RAW, RAW_VARIABLE
from skeltools.formats import FORMATS
from skeltools.raw_items import Listing
from skeltools.readers import READERS

AXES = "as the archive holds them, taken as Kinect camera space in metres"


def check_source(source: str | None) -> None:
    """Raises UsageError that names the formats when ``source`` is none of them."""
    if source is not None and source not in FORMATS:
        raise unknown("archive format", source, FORMATS)


def locate(raw: Path | None) -> Path:
    """The archive: ``raw``, else $SKELTOOLS_RAW, else ``./raw``. Raises UsageError when it is not there."""
    variable = os.environ.get(RAW_VARIABLE)
    archive = raw or (Path(variable) if variable else DEFAULT_RAW)
    if not archive.exists():
        raise UsageError(
            "no such file or folder",
            where=archive,
            remedy="Name the archive with --raw; see `skeltools docs interchange`",
        )
    return archive


def discover(source: str, archive: Path, *, native: str, asked: Mapping[str, SkeletonSpec]) -> Listing:
    """What an archive holds. Formats of one convention are read as the one that is ``asked`` for, else
    ``native``.

    Raises UsageError for several conventions asked of a format that holds one, RawDataError for an archive
    that is not what ``source`` says.
    """
    if source == "hdf5":
        return READERS[source].discover(archive, specs=asked)
    if len(asked) > 1:
        raise UsageError(
            f"a {source} archive holds one convention, but {len(asked)} are asked for",
            where=archive,
            remedy="Give --convention once",
        )
    spec = next(iter(asked.values()), None) or skeletons.load(native)
    return READERS[source].discover(archive, spec=spec)
