"""Add conventions to an existing store: MeTRAbs poses of the samples that it holds.

Of the store, only graphs, findings and manifest, which are small, are rewritten. New data are read in parts
and assembled as in a conversion, so the work resumes after a stop; the result then takes its place in one
step. The native clips that tracks are matched to come from the store: the raw skeletons are not needed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from schemas import (
    ArrayInfo,
    Finding,
    SkelError,
    SkeletonSpec,
    StoreManifest,
    UsageError,
    checks_arguments,
)
from schemas.places import Place
from skeltools import datasets, skeletons, store
from skeltools.conversion import Summary, beside, carry_out, fingerprint, planning, publish
from skeltools.conversion.chunks import Ledger
from skeltools.conversion.derive import bodies_of
from skeltools.conversion.finish import Finished, counted, estimated
from skeltools.conversion.planning import PlannedConversion
from skeltools.conversion.progress import OnNote, OnProgress
from skeltools.conversion.publish import Work
from skeltools.conversion.sample import Plan, Task, file_of
from skeltools.conversion.workers import Workers
from skeltools.datasets import Dataset
from skeltools.files import durable
from skeltools.preprocess import recorded
from skeltools.raw_items import Listing, RawItem, skipped
from skeltools.readers import READERS
from skeltools.store import Store

NO_SAMPLE = "not a sample of this store"


@checks_arguments
def add_metrabs(
    dataset: str,
    *,
    out: Path | str,
    raw: Path | str | Sequence[Path | str] | None = None,
    conventions: Sequence[str] | None = None,
    mirrored: bool | None = None,
    workers: Annotated[int, Field(ge=0)] = 0,
    dask: str | None = None,
    strict: bool = False,
    fresh: bool = False,
    on_progress: OnProgress | None = None,
    on_note: OnNote | None = None,
) -> Summary:
    """Add the conventions of MeTRAbs poses in ``raw`` that the store at ``out`` lacks, and only these.

    Rows stay as they are: a sample without poses lacks the convention, and poses of other samples are
    findings. New joint streams have the store's recipe and lengths. The other options are those of
    ``conversion.convert``; ``findings`` of the summary are the new ones.

    Raises UsageError (a store of another data set, nothing to add, a convention that the store already has),
    and whatever ``convert`` raises.
    """
    places, out, reading = datasets.paths_of(raw), Place(out), Workers(workers, dask)
    if out.is_address:
        raise UsageError(
            "poses are added to a store in a folder",
            where=out,
            remedy="Convert all raw data again with --out and --force, or to a folder first",
        )
    opened = store.open_store(out)
    places = datasets.absolute(places) if dask else places
    known = _dataset(opened, dataset, places)
    named = tuple(conventions or ())
    asked = planning.load_asked(known, named)
    roots = datasets.find_roots(known, places)
    folder = roots[0]
    listing = _listing(opened, known, roots, {*skeletons.names(), *planning.estimated(known, named)})
    items = _new_items(opened, listing, asked, folder)
    tasks, strange = _tasks(opened, items, known.convention)
    findings = [*listing.findings, *strange]
    if strict:
        planning.refuse(findings)
    plan = _plan(opened, known, _specs(tasks, asked), mirrored)
    stamps = fingerprint.stamps_of(tasks)
    digest = fingerprint.of(
        opened.manifest.hash, replace(plan, base=None), findings, tasks=tasks, stamps=stamps
    )
    return carry_out(
        PlannedConversion(known, plan, tasks, findings, listing, roots, stamps, strict, digest),
        out,
        workers=reading,
        force=True,
        finish=partial(_finish, opened),
        fresh=fresh,
        on_progress=on_progress,
        on_note=on_note,
    )


# ------------------------------------------------------------------------------------------------- plan


def _dataset(opened: Store, name: str, raw: tuple[Path, ...] | None) -> Dataset:
    known = datasets.choose(name, raw)
    if opened.manifest.dataset != known.name:
        raise UsageError(
            f"is a store of {opened.manifest.dataset}, not of {known.name}",
            where=opened.path,
            remedy=f"Name {opened.manifest.dataset}, or another store with --out",
        )
    return known


def _listing(opened: Store, known: Dataset, roots: tuple[Path, ...], names: set[str]) -> Listing:
    """List the poses beside the raw data under the ids of the store.

    Raw files are inspected only if some name is not one of these ids: it may be that of a recording, or of a
    user's own file.
    """
    listing = beside.discover(known, roots, names)
    ids = set(store.read(opened, "samples/id").tolist())
    if known.reader == "ntu" or all(item.id in ids for item in listing.items):
        return listing
    try:
        native = READERS[known.reader].discover(roots[0] if len(roots) == 1 else roots).items
    except SkelError:  # there are no raw files, and poses do not need them
        native = ()
    return beside.align(known, roots, native, listing, ids=ids)


def _new_items(
    opened: Store, listing: Listing, asked: dict[str, SkeletonSpec], folder: Path
) -> list[RawItem]:
    """Files of conventions that the store lacks, limited to the requested ones (``asked``) if any."""
    there = opened.manifest.conventions
    for name in asked:
        if name in there:
            raise UsageError(f"has {name} already", where=opened.path, remedy="Nothing was changed")
    planning.check_found(listing, asked, folder)
    items = [
        item
        for item in listing.items
        if item.convention not in there and (not asked or item.convention in asked)
    ]
    if not items:
        conventions = sorted({item.convention for item in listing.items})
        raise UsageError(
            "holds no MeTRAbs poses of a convention that the store lacks",
            where=folder,
            remedy=f"It has: {', '.join(conventions) or 'none'}. They belong in <raw>/metrabs/<convention>/",
        )
    return items


def _tasks(opened: Store, items: list[RawItem], native: str) -> tuple[list[Task], list[Finding]]:
    """One task per row of the store, in its order, with or without files; findings for files of no row."""
    ids = store.read(opened, "samples/id").tolist()
    by_id: dict[str, dict[str, RawItem]] = {id: {} for id in ids}
    findings = []
    for item in items:
        if item.id in by_id:
            by_id[item.id][item.convention] = item
        else:
            findings.append(skipped(file_of(item), NO_SAMPLE))
    tasks = [Task(id, by_id[id]) for id in ids]
    if native not in opened.manifest.conventions:
        return tasks, findings
    has_native = np.diff(store.read(opened, f"sequences/{native}/offsets")) > 0
    return planning.mark_comparisons(tasks, native, has_native.tolist()), findings


def _specs(tasks: list[Task], asked: dict[str, SkeletonSpec]) -> dict[str, SkeletonSpec]:
    names = sorted({name for task in tasks for name in task.items})
    return {name: asked.get(name) or skeletons.load(name) for name in names}


def _plan(opened: Store, known: Dataset, specs: dict[str, SkeletonSpec], mirrored: bool | None) -> Plan:
    return Plan(
        reader=known.reader,
        native=known.convention,
        specs=specs,
        frames=tuple(sorted({stream.frames for stream in store.streams_of(opened.manifest)})),
        recipe=recorded(opened.manifest.recipe),
        bodies=bodies_of(opened),
        mirrored=known.mirrored if mirrored is None else mirrored,
        base=opened.path.resolve(),
        native_spec=known.own_spec,
        own=known.reader == datasets.CUSTOM,
        rate=known.rate,
    )


# ----------------------------------------------------------------------------------------------- finish


def _finish(
    opened: Store, planned: PlannedConversion, work: Work, ledger: Ledger, conventions: tuple[str, ...]
) -> Finished:
    """Write offsets, all graphs, findings and the manifest; new arrays are read back for their checksums."""
    plan, old, revised = planned.plan, opened.manifest, _revise(opened, work, conventions)
    root = store.reopen(revised)
    for name in conventions:
        store.write_offsets(root, name, ledger.frames[name])
    specs = {name: store.read_spec(opened, name) for name in old.conventions}
    specs |= {name: plan.specs[name] for name in conventions}
    store.remove(root, "skeletons")
    store.write_graphs(root, specs)
    findings = (*store.read_findings(opened), *ledger.findings)
    store.write_findings(root, findings)
    added = {name: estimated(name, plan, ledger) for name in conventions}
    counts = Counter(old.recipe.counts) + ledger.counts
    manifest = old.model_copy(
        update={
            "conventions": {**old.conventions, **added},
            "recipe": old.recipe.model_copy(update={"counts": dict(sorted(counts.items()))}),
            "arrays": _arrays(old, root, conventions),
            "findings": counted(findings),
            "source": _source(old, planning.source_of(opened.path, planned.tasks)),
        }
    )
    store.write_manifest(revised, manifest)
    return Finished(revised, manifest)


def _revise(opened: Store, work: Work, conventions: tuple[str, ...]) -> Path:
    """Combine the store and the new arrays into one folder of links to the files of both."""
    made = store.reopen(work.made)
    for path in (f"sequences/{name}/{part}" for name in conventions for part in store.OF_JOINTS):
        store.remove_empty(made, path)
    revised = publish.link_store(opened.path, work.folder)
    for name in conventions:
        for group in ("sequences", "streams"):
            durable.link_tree(work.made / group / name, revised / group / name)
    return revised


def _arrays(old: StoreManifest, root: store.Group, conventions: tuple[str, ...]) -> dict[str, ArrayInfo]:
    new = tuple(f"{group}/{name}" for group in ("sequences", "streams") for name in conventions)
    return dict(sorted({**old.arrays, **store.describe_below(root, ("skeletons", *new))}.items()))


def _source(old: StoreManifest, added: dict[str, str | int]) -> dict[str, str | int]:
    """Add up files and bytes of both; the hash is that of the old and the new hash, one per line."""
    both = f"{old.source.get('sha256', '')}\n{added['sha256']}\n"
    sums = {name: int(old.source.get(name, 0)) + int(added[name]) for name in ("files", "bytes")}
    return {**old.source, **sums, "sha256": hashlib.sha256(both.encode()).hexdigest()}
