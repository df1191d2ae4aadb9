"""Raw files to a store: plan, read in parts, assemble, check, publish.

Reading and preparing may run in worker processes; parts are assembled in the order of the ids by one process,
so the store is the same byte for byte whatever the number of workers. A conversion that is stopped, however
that happens, goes on where it was when it is started again; nothing exists under the store's name until all
of it is written and read back.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from schemas import (
    FORMAT,
    ArrayInfo,
    ConventionInfo,
    Finding,
    Length,
    ProtocolInfo,
    RecipeRecord,
    SkelError,
    SkeletonSpec,
    StoreError,
    StoreManifest,
    UsageError,
    checks_arguments,
)
from schemas.places import Place
from skeltools import __version__, datasets, framewise, people, skeletons, store
from skeltools.conversion import fingerprint, planning, publish
from skeltools.conversion.assemble import OnNote, OnProgress, assemble
from skeltools.conversion.chunks import Ledger
from skeltools.conversion.sample import Plan, Task
from skeltools.datasets import Dataset, splits
from skeltools.formats import FORMATS, interchange
from skeltools.preprocess import check_depth, recipe_for
from skeltools.preprocess import load as load_recipe
from skeltools.raw_items import Listing

MIRROR = "left and right look exchanged"
MIRRORED_AXES = "(x, -y, z) / 1000, left and right labels exchanged: the videos are mirror images"
STRAIGHT_AXES = "(-x, -y, z) / 1000: the videos are not mirrored"

_DEMO = "DEMO.json"
"""Marker that ``skeltools demo`` leaves in a folder of built-in raw data."""
_DEMO_FRAMES = (24, 50)
"""Lengths of the demo's joint streams: its own presets take the shorter one, the papers' the longer one."""


@dataclass(frozen=True)
class Summary:
    """What a conversion made and what a user should hear about it."""

    path: Path
    manifest: StoreManifest
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]


@checks_arguments
def convert(
    dataset: str,
    *,
    raw: Path | str | Sequence[Path | str] | None = None,
    out: Path | str,
    source: str | None = None,
    frames: Sequence[Length] | None = None,
    recipe: str | None = None,
    conventions: Sequence[str] | None = None,
    mirrored: bool | None = None,
    workers: Annotated[int, Field(ge=0)] = 0,
    strict: bool = False,
    force: bool = False,
    fresh: bool = False,
    name: str | None = None,
    classes: Path | str | Sequence[str] | None = None,
    uncut: bool = False,
    on_progress: OnProgress | None = None,
    on_note: OnNote | None = None,
) -> Summary:
    """Convert a data set's raw files to a store at ``out``, a folder or an address.

    ``raw`` is found as ``datasets.find_raw`` says, and may be a list: NTU RGB+D 120 lies in two archives. A
    sample that is in two of them is a finding. ``source`` names an archive format of
    ``FORMATS`` that it is in instead of the data set's own. ``recipe``: preprocessing, by name or file
    (default: ``default``, for 2D poses ``centered``). ``frames``: lengths T of the joint
    streams (default: the data set's, for demo data the demo's). ``conventions``: only these, by name or file
    (default: all that have files). ``mirrored``: whether the videos behind MeTRAbs poses are mirror images
    (default: what the data set is known to be). ``workers``: processes that read; 0 reads in this one, and a
    script that gives more needs ``if __name__ == "__main__":`` above its calls.
    ``strict``: the first bad file is an error. ``force`` replaces an existing store once the new one is
    complete. ``fresh``: do not go on from what an earlier, stopped run left. ``name`` and ``classes`` (a file
    of one class name a line, or the names): of your own data in an archive. ``uncut``: PKU-MMD's recordings
    stay whole, with a label for each frame. ``on_progress(done, total)`` counts samples; ``on_note`` is told
    when work goes on or starts over, and what was guessed of an archive.

    Raises UsageError (unknown names, no raw data), StoreError (``out`` is taken, or being written by another
    process, or the disk is full), SkelError (no file could be read), RawDataError (``strict``; a raw file was
    changed meanwhile). After an error, and after Ctrl-C, what is done is kept for the next run.
    """
    places, out = datasets.paths_of(raw), Place(out)
    named = tuple(conventions or ())
    interchange.check_source(source)
    interchange.check_options(dataset, source, name=name, classes=classes)
    made = None if recipe is None else load_recipe(recipe)
    publish.check_target(out, force=force)
    if source is None:
        known, listing, asked, roots = _raw_files(dataset, places, named, uncut=uncut)
    elif uncut:
        raise UsageError("an archive has no recordings that --uncut could keep whole")
    else:
        opened = interchange.open_archive(
            source,
            dataset,
            _only(places, source),
            asked=skeletons.load_all(named),
            name=name,
            classes=classes,
            on_note=on_note,
        )
        known, listing, asked, roots = opened.dataset, opened.listing, opened.asked, (opened.archive,)
    folder = roots[0]
    made = made or load_recipe(recipe_for(known.coordinates))
    check_depth(made, known.coordinates)
    planning.check_found(listing, asked, folder, source=source)
    tasks, findings = planning.tasks_of(known, listing, asked)
    if strict:
        planning.refuse(findings)
    plan = Plan(
        reader=source or known.reader,
        native=known.convention,
        specs=planning.specs_of(known, tasks, asked),
        frames=tuple(sorted(set(frames or (_DEMO_FRAMES if _synthetic(roots, listing) else known.frames)))),
        recipe=made,
        bodies=known.bodies,
        mirrored=known.mirrored if mirrored is None else mirrored,
        classes=len(listing.classes or known.classes) if source else None,
        native_spec=known.own_spec,
        own=known.reader == datasets.CUSTOM,
        rate=known.rate,
    )
    stamps = fingerprint.stamps_of(tasks)
    digest = fingerprint.of(known, plan, _said(listing), findings, _named(roots), tasks=tasks, stamps=stamps)
    with publish.working(out, plan=digest, fresh=fresh, on_note=on_note) as work:
        publish.check_target(out, force=force)
        ledger = assemble(
            work,
            plan,
            tasks,
            findings=findings,
            workers=workers,
            strict=strict,
            on_progress=on_progress,
            on_note=on_note,
        )
        if not ledger.rows:
            publish.discard(work.folder)
            raise nothing_read(folder, ledger)
        warnings = mirror_findings(plan, ledger) + people_findings(known, plan, ledger)
        manifest = _finish(work.made, known, plan, ledger, listing, roots, tasks)
        warnings += _absent_archive(known, ledger)
        fingerprint.check_unchanged(stamps)
        publish.publish(work, out, force=force, on_note=on_note)
    return Summary(out, manifest, tuple(ledger.findings), warnings)


def _raw_files(
    dataset: str, places: tuple[Path, ...] | None, named: tuple[str, ...], *, uncut: bool
) -> tuple[Dataset, Listing, dict[str, SkeletonSpec], tuple[Path, ...]]:
    """A data set in its own format: what it is, its files, the conventions asked for, and where they lie."""
    known = datasets.choose(dataset, places)
    known = datasets.uncut(known) if uncut else known
    asked = planning.load_asked(known, named)
    roots = datasets.find_roots(known, places)
    return known, planning.discover(known, roots, named), asked, roots


def _said(listing: Listing) -> Listing:
    """What a listing says besides its items."""
    return replace(listing, items=())


def _only(raw: tuple[Path, ...] | None, source: str) -> Path | None:
    """The one archive. Raises UsageError for several."""
    if raw is not None and len(raw) > 1:
        raise UsageError(
            f"{len(raw)} places with --raw, but one archive of {source} is read at a time",
            remedy="Convert each archive, and merge the stores",
        )
    return None if raw is None else raw[0]


def _named(roots: tuple[Path, ...]) -> list[tuple[str, bool]]:
    """What of the raw folders, besides their files, is in the manifest."""
    return [(folder.resolve().name, (folder / _DEMO).is_file()) for folder in roots]


def _synthetic(roots: tuple[Path, ...], listing: Listing) -> bool:
    """Whether raw files are, or were made from, those of the built-in demo."""
    return any((folder / _DEMO).is_file() for folder in roots) or listing.synthetic


_SHOWN = 3
"""Problems that the error for raw files of which none is any good shows: the most frequent ones."""


def nothing_read(folder: Path, ledger: Ledger) -> SkelError:
    """The error for raw files of which none is any good: each problem with a file and its reason."""
    bad = Counter(finding.problem for finding in ledger.findings)
    reasons = "; ".join(
        f"{n} x {name}{_example(name, ledger.findings)}" for name, n in bad.most_common(_SHOWN)
    )
    return SkelError(
        f"no sample could be read ({reasons or 'no raw file'})",
        where=folder,
        remedy="Check that the raw files are those of this data set",
    )


def _example(problem: str, findings: Sequence[Finding]) -> str:
    """A file with this problem, for the reason that most have; reasons that differ in numbers are one."""
    found = [finding for finding in findings if finding.problem == problem]
    kinds = [re.sub(r"\d+", "0", finding.detail) for finding in found]
    usual = Counter(kind for kind in kinds if kind).most_common(1)
    shown = found[kinds.index(usual[0][0])] if usual else found[0]
    place = f", {shown.place}" if shown.place else ""
    return f", e.g. {shown.file}{place}" + (f": {shown.detail}" if shown.detail else "")


# ----------------------------------------------------------------------------------------------- finish


def _finish(
    partial: Path,
    dataset: Dataset,
    plan: Plan,
    ledger: Ledger,
    listing: Listing,
    roots: tuple[Path, ...],
    tasks: list[Task],
) -> StoreManifest:
    """Write all that is small, read everything back for its checksum, and write the manifest."""
    kept = tuple(name for name in plan.specs if any(ledger.frames[name]))
    for name in set(plan.specs) - set(kept):
        for group in ("sequences", "streams"):
            shutil.rmtree(partial / group / name)
    root = store.reopen(partial)
    protocols = _write_columns(root, dataset, ledger, listing, kept)
    if dataset.frame_labels and plan.native in kept:
        labels = _frame_labels(plan.native, ledger, tasks)
        store.write_array(root, f"sequences/{plan.native}/frame_label", labels, ("F",))
    store.write_graphs(root, {name: plan.specs[name] for name in kept})
    store.write_findings(root, ledger.findings)
    arrays = store.describe_all(root)
    _check(arrays, ledger, kept)
    manifest = StoreManifest(
        format=FORMAT,
        dataset=dataset.name,
        synthetic=_synthetic(roots, listing),
        tool=f"skeltools {__version__}",
        samples=len(ledger.rows),
        classes=listing.classes or dataset.classes,
        protocols=protocols,
        conventions={name: _convention(name, dataset, plan, ledger) for name in kept},
        recipe=RecipeRecord(
            name=plan.recipe.name, steps=plan.recipe.steps, counts=dict(sorted(ledger.counts.items()))
        ),
        arrays=arrays,
        findings=dict(sorted(Counter(finding.problem for finding in ledger.findings).items())),
        source=planning.source_of(roots, tasks),
    )
    store.write_manifest(partial, manifest)
    return manifest


_COLUMNS = {
    "label": np.int16,
    "subject": np.int16,
    "camera": np.int16,
    "setup": np.int16,
    "repetition": np.int16,
    "frames": np.int32,
    "bodies": np.int8,
}


def _write_columns(
    root: store.Group, dataset: Dataset, ledger: Ledger, listing: Listing, kept: tuple[str, ...]
) -> dict[str, ProtocolInfo]:
    """``samples``, ``splits`` and the offsets of ``sequences``; returns what was split how."""
    columns: dict[str, NDArray[Any]] = {
        name: np.array([row[name] for row in ledger.rows], dtype=dtype) for name, dtype in _COLUMNS.items()
    }
    ids = np.array([row["id"] for row in ledger.rows], dtype=object)
    for name, values in {"id": ids, **columns}.items():
        store.write_array(root, f"samples/{name}", values, ("N",))
    for name in kept:
        store.write_array(root, f"sequences/{name}/offsets", ledger.offsets(name), ("N+1",))
    halves = splits.halves_of(dataset.rules, listing.halves, listing.rules, ids=ids.tolist(), fields=columns)
    for name, (half, _) in halves.items():
        store.write_array(root, f"splits/{name}", half, ("N",))
    return {
        name: ProtocolInfo(
            rule=rule,
            train=int((half == splits.TRAIN).sum()),
            test=int((half == splits.TEST).sum()),
        )
        for name, (half, rule) in halves.items()
    }


def _frame_labels(native: str, ledger: Ledger, tasks: list[Task]) -> NDArray[np.int16]:
    """[F] int16: the class of each frame of ``sequences``, -1 where there is none."""
    actions = {
        task.id: framewise.taken(task.items[native].details)[1] for task in tasks if native in task.items
    }
    rows = zip(ledger.rows, ledger.frames[native], strict=True)
    parts = [framewise.labels(actions.get(row["id"], ()), frames) for row, frames in rows]
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def missing(convention: str, ledger: Ledger) -> tuple[str, ...]:
    """Ids of the rows that a convention lacks."""
    rows = zip(ledger.rows, ledger.frames[convention], strict=True)
    return tuple(row["id"] for row, frames in rows if not frames)


def _convention(name: str, dataset: Dataset, plan: Plan, ledger: Ledger) -> ConventionInfo:
    lacking = missing(name, ledger)
    if plan.reader in FORMATS:
        axes = dataset.axes if dataset.reader == datasets.CUSTOM else interchange.AXES
        return ConventionInfo(reader=plan.reader, axes=axes, missing=lacking, coordinates=dataset.coordinates)
    if name == dataset.convention:
        return ConventionInfo(
            reader=dataset.reader, axes=dataset.axes, missing=lacking, coordinates=dataset.coordinates
        )
    axes = MIRRORED_AXES if plan.mirrored else STRAIGHT_AXES
    return ConventionInfo(reader="metrabs", axes=axes, mirrored_video=plan.mirrored, missing=lacking)


def _check(arrays: dict[str, ArrayInfo], ledger: Ledger, kept: tuple[str, ...]) -> None:
    """What was read back has as many rows and frames as were put in. Anything else is a defect of ours."""
    expected = {
        path: len(ledger.rows) for path in arrays if path.startswith(("samples/", "splits/", "streams/"))
    }
    for name in kept:
        expected |= {
            f"sequences/{name}/{part}": sum(ledger.frames[name]) for part in ("joints", "present", "order")
        }
        expected[f"sequences/{name}/offsets"] = len(ledger.rows) + 1
    for path, rows in expected.items():
        found = arrays[path].shape[0] if path in arrays else 0
        if found != rows:
            raise StoreError(f"{found} rows were written instead of {rows}", where=path, remedy="Report this")


_FIRST_ARCHIVE = range(1, 18)
"""Setups of nturgbd_skeletons_s001_to_s017.zip; NTU RGB+D 120 has a second archive with the others."""


def _absent_archive(dataset: Dataset, ledger: Ledger) -> tuple[str, ...]:
    """A warning when only one of the two archives of NTU RGB+D 120 was found."""
    first = {row["setup"] in _FIRST_ARCHIVE for row in ledger.rows}
    if dataset.name != "ntu120" or len(first) > 1:
        return ()
    found, other = ("1 to 17", "18 to 32") if first == {True} else ("18 to 32", "1 to 17")
    advice = f"put the archive of setups {other} into the same folder, or name both: --raw A --raw B"
    return (f"only setups {found} were found: {advice}",)


def people_findings(dataset: Dataset, plan: Plan, ledger: Ledger) -> tuple[str, ...]:
    """Warnings, also kept as findings, for conventions whose poses are no person's: see ``people``."""
    warnings = []
    for name, looks in sorted(ledger.looks.items()):
        estimated = name != plan.native and plan.reader not in FORMATS
        told = dataset.axes if dataset.reader == datasets.CUSTOM and not estimated else ""
        rows = people.judge(
            looks,
            place=f"metrabs/{name}" if estimated else name,
            axes=told,
            flat=not estimated and dataset.coordinates == "xy",
            each=plan.own and not estimated,
        )
        for row in rows:
            ledger.findings.append(row)
            warnings.append(f"{name}: {row.problem}: {row.detail}")
    return tuple(warnings)


def mirror_findings(plan: Plan, ledger: Ledger) -> tuple[str, ...]:
    """A warning, also kept as a finding, for each convention that fits better when read the other way."""
    warnings = []
    for name, agrees in sorted(ledger.mirror.items()):
        against = agrees.count(False)
        if against * 2 <= len(agrees):
            continue
        option = "--no-mirrored-video" if plan.mirrored else "--mirrored-video"
        read_as = "mirrored" if plan.mirrored else "not mirrored"
        detail = (
            f"read as {read_as} video, but the other reading fits the native skeletons better "
            f"in {against} of {len(agrees)} clips; convert with {option}"
        )
        ledger.findings.append(
            Finding(file=f"metrabs/{name}", problem=MIRROR, detail=detail, action="kept as it was asked for")
        )
        warnings.append(f"{name}: {detail}")
    return tuple(warnings)
