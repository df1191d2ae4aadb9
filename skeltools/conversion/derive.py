"""Make streams from what a store holds: other lengths from ``sequences``, bone and motion from joint.

New arrays are written into a second folder of links to the store's files, which replaces the store once all
of them are complete. A reader sees the old store or the new one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas import (
    Length,
    RecipeRecord,
    StoreError,
    StoreManifest,
    UsageError,
    checks_arguments,
    unknown,
)
from schemas.places import is_address
from skeltools import store
from skeltools.conversion import publish
from skeltools.conversion.progress import OnProgress, Progress
from skeltools.preprocess import Prepared, Recipe, check_depth, check_fits, prepare, recorded
from skeltools.preprocess import load as load_recipe
from skeltools.store import Store, StreamName
from skeltools.streams import DERIVED

Joint = NDArray[np.float32]


@dataclass(frozen=True)
class Added:
    """Paths of the arrays that were written, and of those that existed already."""

    written: tuple[str, ...]
    skipped: tuple[str, ...]


@checks_arguments
def add_streams(
    path: Path | str,
    *,
    kinds: Sequence[str] = (),
    frames: Sequence[Length] | None = None,
    conventions: Sequence[str] | None = None,
    recipe: str | None = None,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> Added:
    """Add streams to a store, without its raw files.

    ``kinds``: bone, motion. ``frames``: lengths T; a new length gets its joint stream first (default: the
    lengths that the store has). ``conventions``: only these. ``recipe``: preprocessing of new joint streams;
    a store holds one recipe, so any other than the recorded one remakes all of its streams and needs
    ``force``. ``force`` also rewrites existing streams. ``on_progress(done, total)`` counts rows.

    Raises UsageError for unknown names, StoreError for a store that cannot be used.
    """
    opened = store.open_store(path)
    _check_names(opened.manifest, kinds, conventions)
    made = load_recipe(recipe) if recipe else None
    if made:
        for info in opened.manifest.conventions.values():
            check_depth(made, info.coordinates)
    remake = _another_recipe(opened, made, force)
    jobs = _jobs(opened.manifest, kinds, frames, conventions, remake=remake)
    todo = [job for job in jobs if force or job.path not in opened.manifest.arrays]
    skipped = tuple(job.path for job in jobs if job not in todo)
    if not todo:
        return Added((), skipped)
    names = {job.convention for job in todo if job.kind == "joint"}
    check_fits(
        made or recorded(opened.manifest.recipe), (store.read_spec(opened, name) for name in sorted(names))
    )
    with publish.revising(opened.path) as revised:
        progress = Progress(len(todo) * opened.manifest.samples, on_progress)
        counts = _write_all(opened, revised, todo, made, progress, bodies=bodies_of(opened))
        _list(revised, opened.manifest, todo, made if remake else None, counts)
    return Added(tuple(job.path for job in todo), skipped)


def _check_names(manifest: StoreManifest, kinds: Sequence[str], conventions: Sequence[str] | None) -> None:
    for kind in kinds:
        if kind not in DERIVED:
            raise unknown("stream", kind, DERIVED)
    for name in conventions or ():
        if name not in manifest.conventions:
            raise unknown("convention of this store", name, manifest.conventions)


def _another_recipe(opened: Store, recipe: Recipe | None, force: bool) -> bool:
    if recipe is None or recipe == (stored := recorded(opened.manifest.recipe)):
        return False
    if not force:
        differs = ", of which these steps differ" if recipe.name == stored.name else ""
        raise UsageError(
            f"its streams are made with recipe {stored.name}{differs}, and a store holds one recipe",
            where=opened.path,
            remedy=f"--force remakes all of them with {recipe.name}",
        )
    if is_address(opened.path):
        raise UsageError(
            "another recipe remakes all streams, which is done in a folder",
            where=opened.path,
            remedy="Convert again with --recipe and --force",
        )
    return True


def _jobs(
    manifest: StoreManifest,
    kinds: Sequence[str],
    frames: Sequence[int] | None,
    conventions: Sequence[str] | None,
    *,
    remake: bool,
) -> list[StreamName]:
    """The requested streams, joint before those made from it; with ``remake``, all existing ones as well."""
    present = store.streams_of(manifest)
    names = conventions or tuple(manifest.conventions)
    lengths = frames or tuple(sorted({job.frames for job in present}))
    wanted = {StreamName(name, length, kind) for name in names for length in lengths for kind in kinds}
    if frames:
        wanted |= {StreamName(name, length, "joint") for name in names for length in lengths}
    if remake:
        wanted |= set(present)
    for job in wanted.copy():
        joint = StreamName(job.convention, job.frames, "joint")
        if joint not in present:
            wanted.add(joint)
    return sorted(wanted, key=_order)


def _order(job: StreamName) -> tuple[str, int, bool, str]:
    """Sort key that puts joint streams before those made from them."""
    return job.convention, job.frames, job.kind != "joint", job.kind


def make_streams(
    folder: Path,
    manifest: StoreManifest,
    *,
    conventions: Sequence[str],
    frames: Sequence[int],
    kinds: Sequence[str],
    recipe: Recipe,
    bodies: int,
    progress: Progress,
) -> StoreManifest:
    """Write a manifest, joint streams and those of ``kinds`` of conventions that have none, and list them.

    Returns the manifest with the new arrays and the recipe, whose counts are those at the smallest length.
    """
    store.write_manifest(folder, manifest)
    made = product(conventions, frames, ("joint", *kinds))
    jobs = sorted({StreamName(*each) for each in made}, key=_order)
    counts = _write_all(store.open_store(folder), folder, jobs, recipe, progress, bodies=bodies)
    return _list(folder, manifest, jobs, recipe, Counter(manifest.recipe.counts) + Counter(counts))


# ------------------------------------------------------------------------------------------------ write


def _write_all(
    opened: Store,
    revised: Path,
    todo: list[StreamName],
    recipe: Recipe | None,
    progress: Progress,
    *,
    bodies: int,
) -> dict[str, int]:
    """Write all arrays, replacing older ones; returns the recipe's counts, at one length per convention."""
    root = store.reopen(revised)
    counts: dict[str, Counter[str]] = {}
    for job in todo:
        if job.kind == "joint":
            counter = Counter[str]()
            blocks = _prepared(opened, job, recipe, counter, bodies)
            counts.setdefault(job.convention, counter)
        else:
            blocks = _derived(opened, root, job, made={each.path for each in todo})
        store.remove(root, job.path)
        joints = store.read_spec(opened, job.convention).num_joints
        writer = store.stream_writer(root, job.path, frames=job.frames, joints=joints, bodies=bodies)
        for block in blocks:
            writer.append(block)
            progress.add(len(block))
        writer.close()
    return dict(sum(counts.values(), Counter()))


def bodies_of(opened: Store) -> int:
    """Bodies of a stream, the same for all streams of a store; raises StoreError when there is none."""
    for path, info in opened.manifest.arrays.items():
        if path.startswith("streams/") and len(info.shape) == len(store.STREAM_DIMENSIONS):
            return info.shape[-1]
    raise StoreError("holds no stream", where=opened.path, remedy="Convert the raw data again")


def _prepared(
    opened: Store, job: StreamName, recipe: Recipe | None, counts: Counter[str], bodies: int
) -> Iterator[Joint]:
    """Rows [1, 3, T, V, M] of a joint stream; zero where the sample is absent or nothing of it is left."""
    spec = store.read_spec(opened, job.convention)
    recipe = recipe or recorded(opened.manifest.recipe)
    empty = np.zeros((1, 3, job.frames, spec.num_joints, bodies), np.float32)
    for clip in store.read_sequences(opened, job.convention):
        if clip is None:
            yield empty
            continue
        made = prepare(clip, recipe=recipe, spec=spec, frames=job.frames, bodies=bodies)
        if isinstance(made, Prepared):
            counts.update(made.counts)
            yield made.joint[None]
        else:
            counts["clips of which nothing is left"] += 1
            yield empty


def _derived(opened: Store, root: store.Group, job: StreamName, *, made: Collection[str]) -> Iterator[Joint]:
    """Blocks of rows of a bone or motion stream, from the corresponding joint stream.

    That one was just ``made``, or else is the store's, whose files are checked before they are read.
    """
    spec = store.read_spec(opened, job.convention)
    path = store.stream_path(job.convention, job.frames, "joint")
    joint = root[path] if path in made else store.array(opened, path)
    assert isinstance(joint, store.Array)
    for block in store.blocks(joint):
        yield DERIVED[job.kind](block, spec)


def _list(
    folder: Path,
    manifest: StoreManifest,
    made: list[StreamName],
    recipe: Recipe | None,
    counts: Mapping[str, int],
) -> StoreManifest:
    """Enter the new arrays in the manifest, and the recipe and its counts if there is a new one."""
    root = store.reopen(folder)
    described = {stream.path: store.describe_at(root, stream.path) for stream in made}
    changed: dict[str, object] = {"arrays": dict(sorted({**manifest.arrays, **described}.items()))}
    if recipe:
        changed["recipe"] = RecipeRecord(
            name=recipe.name, steps=recipe.steps, counts=dict(sorted(counts.items()))
        )
    finished = manifest.model_copy(update=changed)
    store.write_manifest(folder, finished)
    return finished
