"""Discover the clips in a user's own data: files, arrays in multi-clip files, windows and segments."""

from __future__ import annotations

import fnmatch
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from schemas import ConfigError, Finding, RawDataError, SkelError, SkeletonSpec, escaped
from skeltools import framewise
from skeltools.custom import cuts, frame_files, poses, rates, splits, tables, text
from skeltools.custom import settings as custom_settings
from skeltools.custom.clip_files import Clip, ClipFormat, clip_of_file
from skeltools.custom.poses import CLIP, SUFFIXES
from skeltools.custom.reading import poses_of, read
from skeltools.custom.registry import CLIP_FORMATS, advice, format_of, rate_of
from skeltools.custom.settings import FILE, Settings
from skeltools.formats import pose_json
from skeltools.raw_items import (
    MAX_BYTES,
    METRABS,
    Listing,
    Raw,
    RawItem,
    first_of_each,
    roots_of,
    skipped,
    visible_files,
)

JSON = pose_json.SUFFIXES

_UNKNOWN = (
    "`skeltools docs your-data` shows the keys of every format: rename those of the file; or set `format` in "
    "dataset.yaml; or, in Python, numpy.save(clip + '.npy', array) writes a clip as an array"
)


def settings_file(raw: Path) -> Path:
    """The ``dataset.yaml`` in a folder, or ``raw`` itself if it is a settings file."""
    return raw / FILE if raw.is_dir() else raw


def discover(raw: Raw) -> Listing:
    """List all clips below the folder of the settings and below any further folders.

    ``raw`` is the folder with dataset.yaml or a settings file; if there are several paths, the first one is.
    Raises ConfigError when the settings do not match the files.
    """
    first, *others = roots_of(raw)
    path = settings_file(first)
    roots = (path.parent, *others)
    settings = custom_settings.load(path)
    spec = custom_settings.spec_of(settings, path)
    findings: list[Finding] = []
    labels: dict[str, str] = {}
    unknown: list[Path] = []
    stated: dict[str, float] = {}
    clips = [
        clip
        for root in roots
        for clip in _clips(path, root, settings, spec, findings, labels, stated, unknown)
    ]
    if not clips and unknown:
        more = f" ({len(unknown)} such files)" if unknown[1:] else ""
        raise ConfigError(
            f"no clip: {unknown[0].name} is JSON of no known format: {_of_no_format(unknown[0])[1]}{more}",
            where=unknown[0],
            remedy=_UNKNOWN,
        )
    if not clips:
        described = (suffix for known in CLIP_FORMATS.values() for suffix in known.suffixes)
        suffixes = ", ".join(dict.fromkeys((*SUFFIXES, *described)))
        raise ConfigError(
            f"no clip: no file below {path.parent} with the suffix {suffixes} fits files: '{settings.files}'"
            + (f" and holds arrays like key: '{settings.key}'" if settings.key else ""),
            where=path,
            remedy=advice(roots) or "Put the files beside the settings, or mend `files` and `key`",
        )
    _check_score(path, settings, clips)
    files = {item.id: _below(item, roots) for item in clips}
    findings += rates.findings(path, stated, settings)
    fields = tables.fields_of(path, settings, files, findings, labels, rates.used(stated, settings))
    known = [(item.id, made) for item in clips for made in _cut(item, fields, path, settings, findings)]
    items, twice = first_of_each([item for _, item in known], roots)
    if not items:
        return Listing((), (*findings, *twice), classes=fields.classes)
    names = {item.id: name for name, item in known}
    halves, rules, problems = splits.halves_of(
        path,
        settings,
        {item.id: (names[item.id], dict(item.details)) for item in items},
        {item.id: fields.ids[names[item.id]] for item in items},
    )
    return Listing(items, (*findings, *twice, *problems), halves=halves, rules=rules, classes=fields.classes)


def _check_score(path: Path, settings: Settings, clips: list[RawItem]) -> None:
    """Raise ConfigError for a ``min_score`` when no clip has scores: arrays and text without an s."""
    if not settings.min_score or settings.coordinates.endswith("s"):
        return
    if all(format_of(Path(item.path), settings) is None for item in clips):
        raise ConfigError(
            f"min_score: coordinates are {settings.coordinates}, which have no score",
            where=path,
            remedy=f"Say coordinates: {settings.coordinates}s if one stands behind them, or leave it out",
        )


def _cut(
    item: RawItem, fields: tables.Described, path: Path, settings: Settings, findings: list[Finding]
) -> list[RawItem]:
    """The clips of a file: the table's segments, or windows of whatever the table does not cut."""
    made = []
    for clip in fields.clips.get(item.id, ()):
        marks = (*cuts.details(clip.window), *framewise.details(clip.actions))
        one = replace(item, id=clip.id, details=(*clip.fields, *marks, *item.details))
        if settings.windows is None or clip.window is not None:
            made.append(one)
            continue
        try:
            windows = cuts.windows(_frames(one, path, settings), settings.windows)
        except (RawDataError, OSError) as error:
            detail = error.message if isinstance(error, RawDataError) else error.strerror or str(error)
            findings.append(skipped(item.file, "unreadable file", detail))
            continue
        made += [
            replace(one, id=f"{clip.id}_w{number:04}", details=(*cuts.details(window), *one.details))
            for number, window in enumerate(windows)
        ]
    return made


def _frames(item: RawItem, path: Path, settings: Settings) -> int:
    """Number of frames in a file, from the header of an array, else by reading it. Raises RawDataError."""
    if format_of(Path(item.path), settings) is None and cuts.is_array(item, settings):
        return poses.array_frames(item, settings)
    whole = replace(item, details=(*cuts.details((0, None)), *item.details))
    return len(poses_of(whole, settings, custom_settings.file_spec(settings, path)).values)


def _below(item: RawItem, roots: Sequence[Path]) -> str:
    path = Path(item.path)
    root = next(root for root in roots if path.is_relative_to(root))
    return path.relative_to(root).as_posix()


def _clips(
    path: Path,
    root: Path,
    settings: Settings,
    spec: SkeletonSpec,
    findings: list[Finding],
    labels: dict[str, str],
    stated: dict[str, float],
    unknown: list[Path],
) -> list[RawItem]:
    """Clips below a folder. Each id is the path without suffix, or the name that ``{clip}`` matches.

    Classes stored in the files themselves are added to ``labels``, and frames per second to ``stated``, by
    clip name, and JSON files of no known format to ``unknown``.
    """
    described = {
        path,
        root / FILE,
        path.parent / (settings.labels or FILE),
        path.parent / settings.convention,
    }
    described |= {path.parent / name for name in splits.list_files(settings)}
    described |= {path.parent / name for name in custom_settings.body_models(settings)}
    mark = (("settings", custom_settings.checksum(path) ^ zlib.crc32(spec.model_dump_json().encode())),)

    def item(name: str, file: Path, member: str | None, size: int) -> RawItem:
        return RawItem(name, spec.name, str(file), member, size, mark, str(path))

    clips: list[RawItem] = []
    of_format: dict[str, list[Path]] = {}
    frames: list[Path] = []
    strange: list[Path] = []
    for file in visible_files(root, findings):
        place = file.relative_to(root).as_posix()
        if place.startswith(f"{METRABS}/"):
            continue
        if file in described or not fnmatch.fnmatchcase(place, settings.files):
            continue
        known = format_of(file, settings)
        if known is not None:
            of_format.setdefault(known.name, []).append(file)
            continue
        if not poses.is_clip(file, settings):
            strange += [file] if file.suffix.lower() in JSON else []
            continue
        size = file.stat().st_size
        if settings.by_frame:
            frames.append(file)
        elif poses.has_many(file, settings):
            try:
                members = _members(file, settings)
            except RawDataError as error:
                findings.append(skipped(place, "unreadable file", error.message))
                continue
            clips += [item(name, file, member, size) for name, member in members]
        else:
            clips.append(item(escaped(place.removesuffix(file.suffix)), file, None, size))
    if frames:
        made = frame_files.clips(root, frames)
        clips += [item(escaped(clip.name), clip.path, clip.member, clip.size) for clip in made]
    elif settings.csv.form != "long":
        findings += frame_files.findings(root, clips, settings, custom_settings.file_spec(settings, path))
    unknown += strange
    beside = any(file.suffix.lower() in JSON for files in of_format.values() for file in files)
    for file in strange:
        broken, reason = _of_no_format(file)
        if broken or beside:
            place = file.relative_to(root).as_posix()
            findings.append(skipped(place, "JSON of no known format", reason))
    for name, files in of_format.items():
        for clip in _clips_of(CLIP_FORMATS[name], root, files, findings):
            id = escaped(clip.name)
            clips.append(item(id, clip.path, clip.member, clip.size))
            if clip.label is not None:
                labels.setdefault(id, clip.label)
            if (rate := rate_of(CLIP_FORMATS[name], clip.path)) is not None:
                stated.setdefault(id, rate)
    return _one_of_each(clips, root, findings)


def _of_no_format(file: Path) -> tuple[bool, str]:
    """Whether a file cannot be read as JSON, and why it is not a clip."""
    try:
        if file.stat().st_size > MAX_BYTES:
            return False, f"more than {MAX_BYTES} bytes"
        content = pose_json.content(RawItem("", "", str(file)))
    except OSError as error:
        return True, error.strerror or str(error)
    except RawDataError as error:
        return True, error.message.removeprefix("is ")
    return False, "; ".join(_shown(content))


_LEVELS = 4
"""How deep the keys of a file of no known format are shown."""


def _shown(value: Any) -> Iterator[str]:
    """What a JSON value is, and the keys of the first objects in it."""
    what = "it"
    for _ in range(_LEVELS):
        if isinstance(value, list):
            kind = "objects" if value and isinstance(value[0], dict) else "values"
            yield f"{what} is a list of {len(value)} {kind}"
            what, value = "the first", value[0] if kind == "objects" else None
        elif isinstance(value, dict):
            yield f"{what} has the keys {', '.join(value)[:100] or 'none'}"
            inside = [(key, each) for key, each in value.items() if isinstance(each, list | dict) and each]
            what, value = inside[0] if inside else ("", None)
            what = what[:40]
        elif what == "it":
            yield f"it is a {type(value).__name__}"
            return


def _one_of_each(clips: list[RawItem], root: Path, findings: list[Finding]) -> list[RawItem]:
    """Keep one of the files that differ only in suffix, such as ``x.npy`` and ``x.csv``: the first that can
    be read with the settings, arrays before others, then by path."""
    groups: dict[tuple[str, str | None], list[RawItem]] = {}
    for item in clips:
        groups.setdefault((item.id, None if item.member is None else item.path), []).append(item)
    items: list[RawItem] = []
    for group in groups.values():
        if len(group) == 1 or group[0].member is not None:
            items += group
            continue
        group.sort(key=lambda item: (Path(item.path).suffix.lower() not in cuts.ARRAYS, item.path))
        first = next((item for item in group if _is_readable(item)), group[0])
        items.append(first)
        detail = f"kept {Path(first.path).relative_to(root).as_posix()}, of the same name"
        findings += [
            skipped(Path(item.path).relative_to(root).as_posix(), "duplicate sample id", detail)
            for item in group
            if item is not first
        ]
    return items


def _is_readable(item: RawItem) -> bool:
    try:
        read(item)
    except (SkelError, OSError):
        return False
    return True


def _clips_of(known: ClipFormat, folder: Path, files: list[Path], findings: list[Finding]) -> list[Clip]:
    """Clips in the files of one format; a damaged file becomes a finding."""
    if known.clips is None:
        return [clip_of_file(folder, file) for file in files]
    try:
        return list(known.clips(folder, files))
    except RawDataError as error:
        findings.append(skipped(Path(str(error.where)).name, "unreadable file", error.message))
        return []


def _members(file: Path, settings: Settings) -> list[tuple[str, str]]:
    """(clip, array name) pairs in a multi-clip file; for text, both are the clip's name."""
    if file.suffix.lower() in text.SUFFIXES:
        return [(escaped(name), name) for name in text.clips(file, settings)]
    key = settings.key or ""
    names = poses.npz_names(file) if file.suffix.lower() == ".npz" else poses.h5_names(file)
    before, after = key.split(CLIP, 1)
    pattern = re.compile(f"{re.escape(before)}(.+){re.escape(after)}")
    return [(escaped(match[1]), name) for name in names if (match := pattern.fullmatch(name))]
