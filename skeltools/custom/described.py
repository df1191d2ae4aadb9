"""``convention: file``: the skeleton is read from the clips themselves."""

from __future__ import annotations

import fnmatch
import zlib
from functools import lru_cache
from pathlib import Path

from schemas import ConfigError, RawDataError, SkeletonSpec, regular
from skeltools.custom import advice
from skeltools.custom.registry import CLIP_FORMATS, format_of
from skeltools.custom.settings import Settings
from skeltools.raw_items import MAX_BYTES, visible_files


def spec_of_first(settings: Settings, path: Path) -> SkeletonSpec:
    """The skeleton of the first readable clip, by path, whose format describes one.

    Raises ConfigError if there is none.
    """
    problem: RawDataError | None = None
    for file in visible_files(path.parent, []):
        if not fnmatch.fnmatchcase(file.relative_to(path.parent).as_posix(), settings.files):
            continue
        known = format_of(file, settings)
        if known is None or known.convention is None or file.stat().st_size > MAX_BYTES:
            continue
        try:
            return _described(known.name, file, zlib.crc32(regular.read(file, most=MAX_BYTES)))
        except RawDataError as error:
            problem = problem or error
        except (OSError, ValueError):
            continue
    if problem is not None:
        raise ConfigError(
            f"convention is file, but no skeleton can be read: {problem.message}", where=problem.where
        )
    able = ", ".join(name for name, known in CLIP_FORMATS.items() if known.convention is not None)
    raise ConfigError(
        f"convention is file, but no file below its folder describes a skeleton; these formats do: {able}",
        where=path,
        remedy=advice.advice([path.parent])
        or "Name the convention of the joints; `skeltools skeletons` lists those that there are",
    )


@lru_cache(maxsize=32)
def _described(name: str, file: Path, _checksum: int) -> SkeletonSpec:
    convention = CLIP_FORMATS[name].convention
    assert convention is not None
    return convention(file)
