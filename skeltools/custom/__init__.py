"""A user's own data: arrays in ``.npy``, ``.npz``, ``.csv`` or HDF5 files, described by one ``dataset.yaml``.

The settings are explained in docs/guides/custom-data.md. ``discover`` reads the settings, names, the table of
labels and the names of arrays in files of many clips; ``read`` turns one clip into canonical axes.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from schemas import ConfigError, Finding, RawDataError, SkeletonSpec, escaped
from skeltools.custom import poses, tables
from skeltools.custom import settings as custom_settings
from skeltools.custom.poses import CLIP, HDF5, SUFFIXES
from skeltools.custom.settings import FILE, Settings
from skeltools.raw_items import METRABS, Listing, RawItem, all_finite, finding, first_of_each, visible_files
from skeltools.sequence import SkeletonSequence


def settings_file(raw: Path) -> Path:
    """``dataset.yaml`` of a folder, or the settings file itself."""
    return raw / FILE if raw.is_dir() else raw


# --- discovery ----------------------------------------------------------------------------------------------


def discover(raw: Path) -> Listing:
    """All clips below the folder of the settings. Raises ConfigError when these do not fit what is there."""
    path = settings_file(raw)
    settings = custom_settings.load(path)
    spec = custom_settings.spec_of(settings, path)
    findings: list[Finding] = []
    clips = _clips(path, settings, spec.name, findings)
    if not clips:
        suffixes = ", ".join(SUFFIXES)
        raise ConfigError(
            f"no clip: no file below {path.parent} with the suffix {suffixes} fits files: '{settings.files}'"
            + (f" and holds arrays like key: '{settings.key}'" if settings.key else ""),
            where=path,
            remedy="Put the files beside the settings, or mend `files` and `key`",
        )
    told = tables.fields_of(path, settings, {item.id: _below(item, path) for item in clips}, findings)
    items = tuple(
        replace(item, id=clip.id, details=(*clip.fields, *item.details))
        for item in clips
        if (clip := told.clips.get(item.id)) is not None
    )
    kept, twice = first_of_each(items)
    names = {clip.id: name for name, clip in told.clips.items()}
    halves, rules, problems = tables.halves_of(
        path, settings, {item.id: (names[item.id], dict(item.details)) for item in kept}
    )
    return Listing(kept, (*findings, *twice, *problems), halves=halves, rules=rules, classes=told.classes)


def _below(item: RawItem, path: Path) -> str:
    return Path(item.path).relative_to(path.parent).as_posix()


def _clips(path: Path, settings: Settings, convention: str, findings: list[Finding]) -> list[RawItem]:
    """Clips with their names as ids: the path below the folder without suffix, or what ``{clip}`` is."""
    described = {path, path.parent / (settings.labels or FILE)}
    described |= {path.parent / name for name in tables.list_files(settings)}
    mark = (("settings", custom_settings.checksum(path)),)
    clips = []
    for file in visible_files(path.parent, findings):
        place = file.relative_to(path.parent).as_posix()
        if place.startswith(f"{METRABS}/"):
            continue
        if file in described or file.suffix not in SUFFIXES or not fnmatch.fnmatchcase(place, settings.files):
            continue
        size = file.stat().st_size
        if settings.key is not None and CLIP in settings.key and file.suffix in (".npz", *HDF5):
            try:
                members = _members(file, settings.key)
            except RawDataError as error:
                findings.append(
                    Finding(file=place, problem="unreadable file", detail=error.message, action="skipped")
                )
                continue
            clips += [
                RawItem(name, convention, str(file), member, size, mark, str(path))
                for name, member in members
            ]
        else:
            name = escaped(place.removesuffix(file.suffix))
            clips.append(RawItem(name, convention, str(file), None, size, mark, str(path)))
    return clips


def _members(file: Path, key: str) -> list[tuple[str, str]]:
    """(clip, array) of a file of many clips."""
    names = poses.npz_names(file) if file.suffix == ".npz" else poses.h5_names(file)
    before, after = key.split(CLIP, 1)
    pattern = re.compile(f"{re.escape(before)}(.+){re.escape(after)}")
    return [(match[1], name) for name in names if (match := pattern.fullmatch(name))]


# --- reading ------------------------------------------------------------------------------------------------


def read(item: RawItem) -> SkeletonSequence:
    """One clip in canonical axes; a body keeps its place on axis M.

    A body is present in a frame where all of its joints are finite; one that is only partly is absent there
    (a finding), as is one that is ``missing`` as the settings say. Raises RawDataError.
    """
    known = dict(item.details)
    settings, spec, change = _prepared(item.settings, known.pop("settings"))
    raw = poses.poses(item, settings, spec)
    with np.errstate(over="ignore", invalid="ignore"):
        joints = (raw @ change).astype(np.float32)
    finite = all_finite(joints)
    zero = (raw == 0).all(axis=(2, 3))
    nothing = np.isnan(raw).all(axis=(2, 3))
    present = finite & ~zero
    if settings.missing == "nan" and (finite & zero).any():
        raise RawDataError(
            f"frame {_first(finite & zero)}: a body with all joints at zero, but missing is nan",
            where=item.where,
            remedy="Absent bodies are marked by zeros here, too: set missing to either",
        )
    if not present.any():
        raise RawDataError(f"no body in any frame ({len(joints)} frames)", where=item.where)
    findings = []
    partly = ~finite & ~nothing
    if partly.any() or (settings.missing == "0" and nothing.any()):
        odd = partly | (nothing & (settings.missing == "0"))
        findings.append(
            finding(
                item,
                "not a number",
                place=f"frame {_first(odd)}",
                detail=f"{odd.sum()} poses",
                action="treated as absent",
            )
        )
    return SkeletonSequence(
        item.id,
        spec.name,
        np.where(present[:, :, None, None], joints, np.float32(0)),
        present,
        np.where(present, np.arange(present.shape[1]), -1).astype(np.int8),
        tuple(range(present.shape[1])),
        findings=tuple(findings),
        **known,
    )


def _first(frames: np.ndarray) -> int:
    return int(np.flatnonzero(frames.any(axis=1))[0]) + 1


@lru_cache(maxsize=8)
def _prepared(path: str, _checksum: int) -> tuple[Settings, SkeletonSpec, np.ndarray]:
    settings = custom_settings.load(Path(path))
    spec = custom_settings.spec_of(settings, Path(path))
    return settings, spec, custom_settings.change(settings, spec)
