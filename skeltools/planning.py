"""What a conversion has to do, before any clip is opened: samples, their files, their conventions."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from schemas import Finding, SkeletonSpec, UsageError
from skeltools import skeletons
from skeltools.datasets import Dataset
from skeltools.intake import Task, file_of
from skeltools.readers import READERS, Listing, RawItem

OFFICIAL = "on the official missing list"
FOREIGN = "not part of this data set"

_MIRROR_CLIPS = 32
"""Clips per convention on which the left/right reading is checked, spread over the set."""


def discover(dataset: Dataset, folder: Path, asked: tuple[str, ...]) -> Listing:
    """Items and findings of the native reader and, where the data set may have them, of MeTRAbs poses.

    ``asked`` may name files of conventions that do not ship with the package.
    """
    listing = READERS[dataset.reader].discover(folder)
    if not (dataset.metrabs and folder.is_dir()):
        return listing
    estimated = READERS["metrabs"].discover(folder, conventions={*skeletons.names(), *asked})
    return Listing((*listing.items, *estimated.items), (*listing.findings, *estimated.findings))


def tasks_of(dataset: Dataset, listing: Listing, asked: Collection[str]) -> tuple[list[Task], list[Finding]]:
    """One task a sample, sorted by id; native files are always read, for the tracks to be matched to."""
    missing, findings = dataset.missing, list(listing.findings)
    by_id: dict[str, dict[str, RawItem]] = {}
    for item in listing.items:
        if asked and item.convention not in {dataset.convention, *asked}:
            continue
        if item.id in missing or not dataset.accepts(item.id):
            problem = OFFICIAL if item.id in missing else FOREIGN
            findings.append(Finding(file=file_of(item), problem=problem, action="skipped"))
        else:
            by_id.setdefault(item.id, {})[item.convention] = item
    tasks = [Task(id, by_id[id]) for id in sorted(by_id)]
    if asked and dataset.convention not in asked:
        tasks = [task for task in tasks if set(task.items) != {dataset.convention}]
    return _mark_comparisons(tasks, dataset.convention), findings


def _mark_comparisons(tasks: list[Task], native: str) -> list[Task]:
    """Choose the clips on which the left/right reading is checked, evenly over those with a native file."""
    marks: dict[int, set[str]] = {}
    for convention in {name for task in tasks for name in task.items} - {native}:
        paired = [i for i, task in enumerate(tasks) if {native, convention} <= task.items.keys()]
        step = max(1, len(paired) // _MIRROR_CLIPS)
        for i in paired[::step][:_MIRROR_CLIPS]:
            marks.setdefault(i, set()).add(convention)
    return [replace(task, compare=frozenset(marks.get(i, ()))) for i, task in enumerate(tasks)]


def check_found(listing: Listing, asked: Collection[str], folder: Path) -> None:
    found = {item.convention for item in listing.items}
    for name in asked:
        if name not in found:
            has = f"It has: {', '.join(sorted(found)) or 'none'}"
            layout = "MeTRAbs poses belong in <raw>/metrabs/<convention>/"
            raise UsageError(f"no raw files of convention {name}", where=folder, remedy=f"{has}. {layout}")


def specs_of(dataset: Dataset, tasks: list[Task], asked: dict[str, SkeletonSpec]) -> dict[str, SkeletonSpec]:
    """Conventions that have files, the native one first, then by name."""
    found = {name for task in tasks for name in task.items}
    kept = found & asked.keys() if asked else found
    first = sorted(kept, key=lambda name: (name != dataset.convention, name))
    return {name: asked.get(name) or skeletons.load(name) for name in first}


def source_of(folder: Path, tasks: list[Task]) -> dict[str, str | int]:
    """What the store was made from, the same for a folder and a zip file of it."""
    items = [(name, item) for task in tasks for name, item in sorted(task.items.items())]
    lines = "".join(f"{name}/{item.id} {item.size}\n" for name, item in items)
    return {
        "name": folder.resolve().name,
        "files": len(items),
        "bytes": sum(item.size for _, item in items),
        "sha256": hashlib.sha256(lines.encode()).hexdigest(),
    }
