"""Discover the clips in a user's own data: files, arrays in multi-clip files, windows and segments."""

from __future__ import annotations

import fnmatch
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from schemas import ConfigError, Finding, RawDataError, SkelError, SkeletonSpec, escaped, regular
from skeltools import framewise
from skeltools.custom import cuts, frame_files, poses, rates, splits, tables, text
from skeltools.custom import settings as custom_settings
from skeltools.custom.clip_files import Clip, ClipFormat, clip_of_file
from skeltools.custom.poses import CLIP, SUFFIXES
from skeltools.custom.reading import poses_of, read
from skeltools.custom.registry import CLIP_FORMATS, advice, format_of, rate_of
from skeltools.custom.settings import FILE, Settings
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

JSON = ".json"


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
    stated: dict[str, float] = {}
    clips = [clip for root in roots for clip in _clips(path, root, settings, spec, findings, labels, stated)]
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
) -> list[RawItem]:
    """Clips below a folder. Each id is the path without suffix, or the name that ``{clip}`` matches.

    Classes stored in the files themselves are added to ``labels``, and frames per second to ``stated``, by
    clip name.
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
    unknown: list[str] = []
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
            unknown += [place] if file.suffix.lower() == JSON else []
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
    beside = any(file.suffix.lower() == JSON for files in of_format.values() for file in files)
    for place in unknown:
        broken, reason = _of_no_format(root / place)
        if broken or beside:
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
        content = json.loads(regular.read(file, most=MAX_BYTES, counted=True))
    except OSError as error:
        return True, error.strerror or str(error)
    except (ValueError, RecursionError) as error:
        return True, f"not valid JSON: {' '.join(str(error).split())[:200]}"
    if isinstance(content, dict):
        return False, f"no poses that are known; its keys are {', '.join(content)[:100] or 'none'}"
    return False, f"no poses that are known; it is a {type(content).__name__}"


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
