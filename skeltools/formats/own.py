"""Read a user's own data from an archive of another code base, or from one of our exports.

A ``dataset.yaml`` beside the archive, or in its folder, may add what the archive lacks: name, convention,
classes, bodies, and how to read coordinates. Options take precedence over it, and the note of our own exports
over guesses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from schemas import ConfigError, SkeletonSpec, UsageError, regular
from schemas.yaml_text import MOST_TEXT
from skeltools import datasets, skeletons
from skeltools.custom import settings as custom_settings
from skeltools.custom import splits
from skeltools.custom.canonical import in_words
from skeltools.custom.settings import FILE, Settings
from skeltools.datasets import Dataset
from skeltools.formats import FORMATS, own_clips
from skeltools.formats.archives import About, fields
from skeltools.formats.note import is_class
from skeltools.raw_items import Listing, RawItem

USUAL = {25: "kinectv2_25", 17: "coco_17", 18: "openpose_18", 20: "kinectv1_20"}
"""Number of joints -> the usual convention: the layouts of the graphs in pyskl, CTR-GCN and ST-GCN."""

AXES = "as the archive holds them, taken as x left, y up, z forward, metres"
_FLAT = "2D poses: x and y in pixels of the image, turned to x left, y up; z is 0"
_MOST_BODIES = 2
"""Default limit of bodies in a stream, as for ``custom``."""

OnNote = Callable[[str], None]


@dataclass(frozen=True)
class Own:
    """An opened archive as a data set."""

    dataset: Dataset
    archive: Path
    listing: Listing
    asked: dict[str, SkeletonSpec]
    """Conventions to convert, by name."""


def place(raw: Path) -> tuple[Path, Path | None]:
    """Locate the archive and its settings file, if there is one.

    ``raw`` is the archive, its folder, or a settings file beside it.
    """
    if raw.is_file() and raw.suffix in (".yaml", ".yml"):
        return raw.parent, raw
    for folder in (raw, raw / datasets.CUSTOM) if raw.is_dir() else (raw.parent,):
        if (folder / FILE).is_file():
            return (folder if raw.is_dir() else raw), folder / FILE
    return raw, None


def open_archive(
    source: str,
    raw: Path,
    *,
    asked: Mapping[str, SkeletonSpec],
    name: str | None = None,
    classes: Path | str | Sequence[str] | None = None,
    on_note: OnNote | None = None,
) -> Own:
    """Open an archive of a user's own data.

    ``asked``: the conventions that the user names. ``name``, ``classes``: override those of the settings or
    the archive; ``classes`` is a file with one name per line, or the names.

    Raises ConfigError for settings that do not fit, UsageError if the convention is unknown, and RawDataError
    for an archive that is not in the format ``source``.
    """
    archive, path = place(raw)
    settings = None if path is None else custom_settings.load(path)
    about = FORMATS[source].about(archive)
    notes: list[str] = []
    specs = _specs(about, archive, settings, path, asked, notes)
    spec = next(iter(specs.values()))
    names = _classes(about, settings, classes)
    title = _name(about, settings, name, archive)
    stored = {name: _stored(each, settings, about) for name, each in specs.items()}
    listing = _listing(source, archive, about, settings, path, specs, stored)
    dataset = Dataset(
        name=title,
        title=title,
        reader=datasets.CUSTOM,
        published="",
        convention=stored[spec.name].name,
        num_classes=len(names),
        class_names=names,
        bodies=_bodies(about, settings, spec),
        folder_names=(),
        file_pattern="",
        example="",
        hint="",
        axes=_axes(about, settings, spec),
        coordinates="xy" if _is_flat(about, settings) else "xyz",
        own_spec=stored[spec.name],
    )
    if not about.note.ours:
        notes.append(
            f"coordinates are taken so: {dataset.axes}; axes and units in dataset.yaml say otherwise"
        )
    for message in notes:
        if on_note is not None:
            on_note(message)
    conventions = {each.name: each for each in stored.values()}
    return Own(dataset, archive, replace(listing, classes=names), conventions)


# --- name, classes and bodies -------------------------------------------------------------------------------


def _name(about: About, settings: Settings | None, given: str | None, archive: Path) -> str:
    if given is not None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_\-]*", given):
            raise UsageError(f"--name: '{given}' is no name: small letters, digits, - and _")
        if given in datasets.NAMES:
            raise UsageError(f"--name: {given} is the name of a built-in data set", remedy="Choose another")
        return given
    own_name = settings.name if settings is not None else about.note.dataset
    if settings is not None and own_name in datasets.NAMES:
        raise ConfigError(
            f"name: {own_name} is the name of a built-in data set", where=FILE, remedy="Choose another"
        )
    stem = archive.resolve().stem if archive.is_file() else archive.resolve().name
    made = re.sub(r"[^a-z0-9_\-]+", "-", stem.lower()).strip("-_")[:100] or "own"
    if own_name is not None and own_name not in datasets.NAMES:
        return own_name
    return f"own-{made}" if made in datasets.NAMES else made


def _classes(
    about: About, settings: Settings | None, given: Path | str | Sequence[str] | None
) -> tuple[str, ...]:
    """Class names: those given, else from the settings, from the archive, or the numbers of its labels."""
    if given is not None:
        return _class_file(Path(given)) if isinstance(given, str | Path) else _checked(given, "classes")
    if settings is not None and settings.classes:
        return settings.classes
    base = (settings.label_base or 0) if settings is not None else 0
    return about.note.classes or tuple(str(number) for number in range(base, about.labels))


def _class_file(path: Path) -> tuple[str, ...]:
    try:
        lines = regular.read(path, most=MOST_TEXT).decode("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"cannot read the class names ({reason})", where=path, remedy="Give a text file, one name a line"
        ) from error
    return _checked([line.strip() for line in lines if line.strip()], path)


def _checked(names: Sequence[str], where: object) -> tuple[str, ...]:
    if not names:
        raise UsageError("there is no class name", where=where, remedy="Write one name a line")
    for name in names:
        if not is_class(name) or list(names).count(name) > 1:
            what = "is there twice" if is_class(name) else "is no printable text of at most 200 characters"
            raise UsageError(f"class name {ascii(name)[:60]} {what}", where=where)
    return tuple(names)


def _bodies(about: About, settings: Settings | None, spec: SkeletonSpec) -> int:
    if settings is not None and settings.bodies:
        return settings.bodies
    slots = about.width // (spec.num_joints * _channels(settings)) if about.width else about.bodies
    return about.note.bodies or max(1, min(slots, _MOST_BODIES))


# --- conventions --------------------------------------------------------------------------------------------


def _specs(
    about: About,
    archive: Path,
    settings: Settings | None,
    path: Path | None,
    asked: Mapping[str, SkeletonSpec],
    notes: list[str],
) -> dict[str, SkeletonSpec]:
    """Conventions of the archive's arrays, the native one first."""
    if about.specs:  # an export of several conventions, each with its description
        return _of_export(about, archive, asked)
    if asked:
        spec = next(iter(asked.values()))
    elif about.note.spec is not None:
        spec = about.note.spec
    elif settings is not None and path is not None:
        spec = custom_settings.file_spec(settings, path)
    else:
        spec = _by_joints(about, archive, notes)
    return {spec.name: spec}


def _of_export(about: About, archive: Path, asked: Mapping[str, SkeletonSpec]) -> dict[str, SkeletonSpec]:
    for name in asked:
        if name not in about.specs:
            raise UsageError(
                f"holds no convention {name}", where=archive, remedy=f"It has: {', '.join(about.specs)}"
            )
    return {name: asked.get(name, spec) for name, spec in about.specs.items() if not asked or name in asked}


def _by_joints(about: About, archive: Path, notes: list[str]) -> SkeletonSpec:
    """The usual convention for this number of joints, or the only one that has it."""
    shipped = {count: _with_joints(count) for count in about.joints}
    usual = next((USUAL[count] for count in about.joints if count in USUAL), None)
    only = [names[0] for names in shipped.values() if len(names) == 1]
    if usual is None and len(only) != 1:
        counts = " or ".join(map(str, about.joints))
        candidates = ", ".join(name for names in shipped.values() for name in names)
        raise UsageError(
            f"nothing says which joints its {counts} joints are"
            if counts
            else "none of its samples can be used as it is, so its number of joints is unknown",
            where=archive,
            remedy="Name the convention with --convention, a name or your own JSON or YAML file"
            + (f"; of so many joints there are {candidates}" if candidates else ""),
        )
    name = usual or only[0]
    spec = skeletons.load(name)
    others = [other for other in _with_joints(spec.num_joints) if other != name]
    also = f" (others of so many joints: {', '.join(others)})" if others else ""
    notes.append(f"{spec.num_joints} joints are taken as {name}{also}; --convention names another")
    return spec


def _with_joints(count: int) -> list[str]:
    return [name for name in skeletons.names() if skeletons.load(name).num_joints == count]


def _stored(spec: SkeletonSpec, settings: Settings | None, about: About) -> SkeletonSpec:
    """The convention of the store: for foreign archives, without the joints of ``leave_out``."""
    if settings is None or about.note.ours or not settings.leave_out:
        return spec
    try:
        return spec.without(settings.leave_out)
    except ValueError as error:
        raise ConfigError(f"leave_out: {error}", where=FILE) from error


# --- clips --------------------------------------------------------------------------------------------------


def _listing(
    source: str,
    archive: Path,
    about: About,
    settings: Settings | None,
    path: Path | None,
    specs: dict[str, SkeletonSpec],
    stored: dict[str, SkeletonSpec],
) -> Listing:
    """List the archive's clips, marked to be read as a user's own data."""
    made = FORMATS[source]
    if not made.ONE_CONVENTION:
        listing = made.discover(archive, specs={**about.specs, **specs})
    else:
        (spec,) = specs.values()
        options: dict[str, Any] = {} if made.ONLY_SEQUENCES else {"channels": _channels(settings)}
        listing = made.discover(archive, spec=spec, own=True, **options)
    items = tuple(
        _marked(item, about, settings, path, stored) for item in listing.items if item.convention in specs
    )
    if listing.halves:
        return replace(listing, items=items)
    clips = {item.id: (item.id, fields(item.id)) for item in items}
    none = Settings(name="own", convention="own")
    halves, rules, problems = splits.halves_of(path or archive, (settings if clips else None) or none, clips)
    return replace(listing, items=items, halves=halves, rules=rules, findings=(*listing.findings, *problems))


def _marked(
    item: RawItem,
    about: About,
    settings: Settings | None,
    path: Path | None,
    stored: Mapping[str, SkeletonSpec],
) -> RawItem:
    ours = about.note.ours
    details = [("own", own_clips.EXPORTED if ours else own_clips.FOREIGN)]
    if settings is None or path is None or ours:
        return replace(item, details=(*item.details, *details))
    details += [("channels", _channels(settings)), ("settings", custom_settings.checksum(path))]
    details += [("label_base", settings.label_base)] if settings.label_base else []
    convention = stored[item.convention].name
    return replace(item, convention=convention, settings=str(path), details=(*item.details, *details))


def _channels(settings: Settings | None) -> int:
    return 3 if settings is None else len(settings.coordinates)


def _is_flat(about: About, settings: Settings | None) -> bool:
    return about.flat or about.note.flat or (settings is not None and settings.flat and not about.note.ours)


def _axes(about: About, settings: Settings | None, spec: SkeletonSpec) -> str:
    if settings is None or about.note.ours:
        return _FLAT if _is_flat(about, settings) else AXES
    given = settings.axes or settings.units or settings.image_size
    if given and not settings.flat:  # as in own_clips: the convention's axes and units do not apply
        settings = settings.model_copy(
            update={
                "axes": settings.axes or own_clips.CANONICAL,
                "units": settings.units or (None if settings.image_size else "m"),
            }
        )
    return in_words(settings, spec) if given else (_FLAT if about.flat else AXES)
