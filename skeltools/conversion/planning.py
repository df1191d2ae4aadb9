"""Plan a conversion before any clip is opened: its options, then samples, their files, their conventions."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from schemas import Finding, RawDataError, SkeletonSpec, UsageError, escaped
from schemas.parsing import REPORT, cause, refusing
from skeltools import datasets, people, skeletons
from skeltools.conversion import beside, fingerprint
from skeltools.conversion.fingerprint import Stamps
from skeltools.conversion.progress import OnNote
from skeltools.conversion.sample import FAILED, MAX_TRACKS, Plan, Task, file_of
from skeltools.custom.rates import SEVERAL
from skeltools.custom.tables import NO_CLIP, NO_LABEL
from skeltools.custom.unseen import UNSEEN
from skeltools.datasets import CUSTOM, Dataset
from skeltools.datasets.pkummd_text import SWAPPED
from skeltools.formats import interchange
from skeltools.preprocess import check_depth, recipe_for
from skeltools.preprocess import load as load_recipe
from skeltools.raw_items import Listing, Raw, RawItem, roots_of, skipped
from skeltools.readers import READERS

OFFICIAL = "on the official missing list"
FOREIGN = "not part of this data set"

_EXPECTED = frozenset(
    {
        OFFICIAL,
        FOREIGN,
        SWAPPED,
        NO_LABEL,
        NO_CLIP,
        SEVERAL,
        beside.WITHOUT_CLIP,
        "more people than bodies",
        "frames without a body",
        "rows of other joints",
        "column of labels not used",
        UNSEEN,
        "more than 1 body",
        f"more than {MAX_TRACKS} bodies",
    }
)
"""Problems that intact raw data have as well."""

_MIRROR_CLIPS = 32
"""Clips per convention on which left and right are checked, spread over the set."""

_DEMO = "DEMO.json"
"""Marker that ``skeltools demo`` leaves in a folder of built-in raw data."""
_DEMO_FRAMES = (24, 50)
"""Lengths of the demo's joint streams: its own presets use the shorter one, the papers' the longer one."""


@dataclass(frozen=True)
class Request:
    """Options of ``convert`` on which the store depends, documented there."""

    dataset: str
    raw: tuple[Path, ...] | None = None
    source: str | None = None
    frames: tuple[int, ...] = ()
    recipe: str | None = None
    conventions: tuple[str, ...] = ()
    mirrored: bool | None = None
    strict: bool = False
    name: str | None = None
    classes: Path | str | tuple[str, ...] | None = None
    uncut: bool = False

    @classmethod
    def of(cls, dataset: str, **options: Any) -> Request:
        """Create the options from the arguments of ``convert``."""
        for name in ("frames", "conventions"):
            options[name] = tuple(options[name] or ())
        classes = options["classes"]
        options["classes"] = classes if classes is None or isinstance(classes, str | Path) else tuple(classes)
        return cls(dataset, **{**options, "raw": datasets.paths_of(options["raw"])})

    def anywhere(self) -> Request:
        """The same options with absolute paths, for other folders and machines."""
        classes = self.classes
        return replace(
            self,
            raw=datasets.absolute(self.raw),
            recipe=_whole(self.recipe) if self.recipe else None,
            conventions=tuple(map(_whole, self.conventions)),
            classes=Path(classes).absolute() if isinstance(classes, str | Path) else classes,
        )


@dataclass(frozen=True)
class PlannedConversion:
    """A conversion that is planned, before any clip is read."""

    dataset: Dataset
    plan: Plan
    tasks: list[Task]
    findings: list[Finding]
    listing: Listing
    roots: tuple[Path, ...]
    stamps: Stamps
    strict: bool
    digest: str
    """Hash of everything that the store depends on: see ``fingerprint``."""

    @property
    def synthetic(self) -> bool:
        """Whether the raw files are those of the built-in demo or were made from them."""
        return _synthetic(self.roots, self.listing)


def _whole(name: str) -> str:
    """The absolute path of a file; names that ship with the package stay as they are."""
    return str(Path(name).absolute()) if Path(name).suffix and Path(name).is_file() else name


def begin(request: Request, *, on_note: OnNote | None = None) -> PlannedConversion:
    """Find the raw files and plan the conversion; raises UsageError, ConfigError, RawDataError."""
    source = request.source
    interchange.check_source(source)
    interchange.check_options(request.dataset, source, name=request.name, classes=request.classes)
    made = None if request.recipe is None else load_recipe(request.recipe)
    known, listing, conventions, roots = _archive(request, source, on_note) if source else _raw_files(request)
    made = made or load_recipe(recipe_for(known.coordinates))
    check_depth(made, known.coordinates)
    check_found(listing, conventions, roots[0], source=source)
    tasks, findings = tasks_of(known, listing, conventions)
    if request.strict:
        refuse(findings)
    usual = _DEMO_FRAMES if _synthetic(roots, listing) else known.frames
    plan = Plan(
        reader=source or known.reader,
        native=known.convention,
        specs=specs_of(known, tasks, conventions),
        frames=tuple(sorted(set(request.frames or usual))),
        recipe=made,
        bodies=known.bodies,
        mirrored=known.mirrored if request.mirrored is None else request.mirrored,
        classes=len(listing.classes or known.classes) if source else None,
        native_spec=known.own_spec,
        own=known.reader == CUSTOM,
        rate=known.rate,
    )
    stamps = fingerprint.stamps_of(tasks)
    said = replace(listing, items=())
    digest = fingerprint.of(known, plan, said, findings, _named(roots), tasks=tasks, stamps=stamps)
    return PlannedConversion(known, plan, tasks, findings, listing, roots, stamps, request.strict, digest)


Found = tuple[Dataset, Listing, dict[str, SkeletonSpec], tuple[Path, ...]]
"""A data set: its description, its files, the requested conventions, and its locations."""


def _raw_files(request: Request) -> Found:
    """A data set in its own format."""
    known = datasets.choose(request.dataset, request.raw)
    known = datasets.uncut(known) if request.uncut else known
    conventions = load_asked(known, request.conventions)
    roots = datasets.find_roots(known, request.raw)
    return known, discover(known, roots, request.conventions), conventions, roots


def _archive(request: Request, source: str, on_note: OnNote | None) -> Found:
    """A data set in an archive in the format of other code."""
    if request.uncut:
        raise UsageError("an archive has no recordings that --uncut could keep whole")
    opened = interchange.open_archive(
        source,
        request.dataset,
        _only(request.raw, source),
        asked=skeletons.load_all(request.conventions),
        name=request.name,
        classes=request.classes,
        on_note=on_note,
    )
    return opened.dataset, opened.listing, opened.asked, (opened.archive,)


def _only(raw: tuple[Path, ...] | None, source: str) -> Path | None:
    """The single archive; raises UsageError for several."""
    if raw is not None and len(raw) > 1:
        raise UsageError(
            f"{len(raw)} places with --raw, but one archive of {source} is read at a time",
            remedy="Convert each archive, and merge the stores",
        )
    return None if raw is None else raw[0]


def _named(roots: tuple[Path, ...]) -> list[tuple[str, bool]]:
    """What the manifest records about the raw folders other than their files."""
    return [(folder.resolve().name, (folder / _DEMO).is_file()) for folder in roots]


def _synthetic(roots: tuple[Path, ...], listing: Listing) -> bool:
    return any((folder / _DEMO).is_file() for folder in roots) or listing.synthetic


# ---------------------------------------------------------------------------------- samples and conventions


def refuse(findings: Iterable[Finding]) -> None:
    """Raise RawDataError for the first finding that indicates a bad file."""
    for finding in findings:
        if finding.problem not in _EXPECTED:
            place = f", {finding.place}" if finding.place else ""
            detail = f" ({finding.detail})" if finding.detail else ""
            remedy = "Mend or remove the file, or convert without --strict to have it recorded"
            raise RawDataError(
                f"{finding.problem}{detail}",
                where=f"{finding.file}{place}",
                remedy=REPORT if finding.problem == FAILED else remedy,
            )


def discover(dataset: Dataset, roots: tuple[Path, ...], asked: tuple[str, ...]) -> Listing:
    """List items and findings of the native reader and, where the data set may have them, of MeTRAbs poses.

    ``asked`` may name files of conventions that do not ship with the package.
    """
    with refusing(
        lambda why: RawDataError(f"the raw files cannot be listed ({why})", where=roots[0]), describe=cause
    ):
        listing: Listing = READERS[dataset.reader].discover(roots[0] if len(roots) == 1 else roots)
        unaligned = beside.discover(dataset, roots, {*skeletons.names(), *estimated(dataset, asked)})
        poses = beside.align(dataset, roots, listing.items, unaligned)
    return replace(
        listing,
        items=(*listing.items, *poses.items),
        findings=(*listing.findings, *poses.findings),
    )


def estimated(dataset: Dataset, asked: tuple[str, ...]) -> tuple[str, ...]:
    """The requested conventions that estimated poses may have: all but the native one."""
    native = dataset.convention
    return tuple(name for name in asked if name != native and skeletons.load(name).name != native)


def load_asked(dataset: Dataset, names: Iterable[str]) -> dict[str, SkeletonSpec]:
    """Load conventions by name or file, as ``skeletons.load_all`` does.

    The native one is the data set's own, even where it is a file of the user's.
    """
    names = list(names)
    asked = skeletons.load_all(name for name in names if name != dataset.convention)
    native = dataset.convention in {*names, *asked}
    return asked | ({dataset.convention: dataset.spec} if native else {})


def tasks_of(dataset: Dataset, listing: Listing, asked: Collection[str]) -> tuple[list[Task], list[Finding]]:
    """One task per sample, sorted by id; native files are always read, because tracks are matched to them."""
    missing, findings = dataset.missing, list(listing.findings)
    by_id: dict[str, dict[str, RawItem]] = {}
    for item in listing.items:
        if asked and item.convention not in {dataset.convention, *asked}:
            continue
        if item.id in missing or not (listing.anonymous or dataset.accepts(item.id)):
            problem = OFFICIAL if item.id in missing else FOREIGN
            findings.append(skipped(file_of(item), problem))
        else:
            by_id.setdefault(item.id, {})[item.convention] = item
    tasks = [Task(id, by_id[id]) for id in sorted(by_id)]
    if asked and dataset.convention not in asked:
        tasks = [task for task in tasks if set(task.items) != {dataset.convention}]
    native = dataset.convention
    has_native, own = [native in task.items for task in tasks], dataset.reader == CUSTOM
    return mark_comparisons(tasks, native, has_native, own=own), findings


def mark_comparisons(
    tasks: list[Task], native: str, has_native: Sequence[bool], *, own: bool = False
) -> list[Task]:
    """Choose the clips on which left and right are checked, and those inspected for whether they show people.

    The former are spread evenly over the clips that have a native clip, the latter over all clips of a
    convention; of a user's ``own`` data, all native clips are inspected.
    """
    marks: dict[int, set[str]] = {}
    for convention in {name for task in tasks for name in task.items} - {native}:
        paired = [i for i, task in enumerate(tasks) if has_native[i] and convention in task.items]
        step = max(1, len(paired) // _MIRROR_CLIPS)
        for i in paired[::step][:_MIRROR_CLIPS]:
            marks.setdefault(i, set()).add(convention)
    looks: dict[int, set[str]] = {}
    for convention in {name for task in tasks for name in task.items}:
        there = [i for i, task in enumerate(tasks) if convention in task.items]
        every = own and convention == native
        for i in there if every else there[people.spread(len(there))]:
            looks.setdefault(i, set()).add(convention)
    return [
        replace(task, compare=frozenset(marks.get(i, ())), look=frozenset(looks.get(i, ())))
        for i, task in enumerate(tasks)
    ]


def check_found(listing: Listing, asked: Collection[str], folder: Path, *, source: str | None = None) -> None:
    """Raise UsageError for a convention without files.

    ``source``: the format of an archive, to which no poses can be added.
    """
    conventions = {item.convention for item in listing.items}
    for name in asked:
        if name not in conventions:
            has = f"It has: {', '.join(sorted(conventions)) or 'none'}"
            layout = "" if source else ". MeTRAbs poses belong in <raw>/metrabs/<convention>/"
            raise UsageError(f"no raw files of convention {name}", where=folder, remedy=f"{has}{layout}")


def specs_of(dataset: Dataset, tasks: list[Task], asked: dict[str, SkeletonSpec]) -> dict[str, SkeletonSpec]:
    """Conventions that have files, the native one first, then by name."""
    available = {name for task in tasks for name in task.items}
    names = available & asked.keys() if asked else available
    first = sorted(names, key=lambda name: (name != dataset.convention, name))
    return {
        name: asked.get(name) or (dataset.spec if name == dataset.convention else skeletons.load(name))
        for name in first
    }


def source_of(folder: Raw, tasks: list[Task]) -> dict[str, str | int]:
    """What the store was made from; a folder and a zip file of it differ only in the name."""
    items = [(name, item) for task in tasks for name, item in sorted(task.items.items())]
    lines = "".join(f"{name}/{item.id} {' '.join(map(str, _numbers_of(item)))}\n" for name, item in items)
    sizes = {(item.path, item.member): item.size for _, item in items}
    return {
        "name": " + ".join(escaped(root.resolve().name) for root in roots_of(folder)),
        "files": len(sizes),
        "bytes": sum(sizes.values()),
        "sha256": hashlib.sha256(lines.encode()).hexdigest(),
    }


def _numbers_of(item: RawItem) -> list[int]:
    return [item.size, *(value for _, value in item.details)]
