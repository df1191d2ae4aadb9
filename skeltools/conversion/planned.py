"""A conversion before it starts: its options, and the plan that follows once the raw files are found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from schemas import Finding, SkeletonSpec, UsageError
from skeltools import datasets, skeletons
from skeltools.conversion import fingerprint, planning
from skeltools.conversion.fingerprint import Stamps
from skeltools.conversion.progress import OnNote
from skeltools.conversion.sample import Plan, Task
from skeltools.datasets import Dataset
from skeltools.formats import interchange
from skeltools.preprocess import check_depth, recipe_for
from skeltools.preprocess import load as load_recipe
from skeltools.raw_items import Listing

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
    planning.check_found(listing, conventions, roots[0], source=source)
    tasks, findings = planning.tasks_of(known, listing, conventions)
    if request.strict:
        planning.refuse(findings)
    usual = _DEMO_FRAMES if _synthetic(roots, listing) else known.frames
    plan = Plan(
        reader=source or known.reader,
        native=known.convention,
        specs=planning.specs_of(known, tasks, conventions),
        frames=tuple(sorted(set(request.frames or usual))),
        recipe=made,
        bodies=known.bodies,
        mirrored=known.mirrored if request.mirrored is None else request.mirrored,
        classes=len(listing.classes or known.classes) if source else None,
        native_spec=known.own_spec,
        own=known.reader == datasets.CUSTOM,
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
    conventions = planning.load_asked(known, request.conventions)
    roots = datasets.find_roots(known, request.raw)
    return known, planning.discover(known, roots, request.conventions), conventions, roots


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
