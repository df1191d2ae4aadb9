"""Streams made from what a store already holds: other lengths from ``sequences``, bone and motion from joint.

New arrays are written beside their final names, in hidden groups, and renamed when all of them are complete;
then the manifest lists them, in one step. A reader never sees half an array.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas import RecipeRecord, SkeletonSpec, StoreError, StoreManifest, UsageError, unknown
from skeltools import store, streams
from skeltools.preprocess import Prepared, prepare, resolve
from skeltools.store import Store

OnProgress = Callable[[int, int], None]
Joint = NDArray[np.float32]

_HIDDEN = ".tmp-"

DERIVED: dict[str, Callable[[Joint, SkeletonSpec], Joint]] = {
    "bone": streams.bone,
    "motion": lambda joint, spec: streams.motion(joint),
}
"""Kinds of stream besides joint: (joint [N, 3, T, V, M], spec) -> the same shape."""


@dataclass(frozen=True)
class Added:
    """Paths of arrays: written now, and already there."""

    written: tuple[str, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class _Job:
    """One array to be made."""

    convention: str
    frames: int
    kind: str

    @property
    def path(self) -> str:
        return store.stream_path(self.convention, self.frames, self.kind)


def add_streams(
    path: Path,
    *,
    kinds: tuple[str, ...] = (),
    frames: tuple[int, ...] | None = None,
    conventions: tuple[str, ...] | None = None,
    recipe: str | None = None,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> Added:
    """Add streams to a store, without its raw files.

    ``kinds``: bone, motion. ``frames``: lengths T; a length that the store does not have gets its joint
    stream first (default: the lengths that it has). ``conventions``: only these. ``recipe``: preprocessing of
    new joint streams; a store holds one recipe, so another than the recorded one remakes all of its streams
    and needs ``force``. ``force`` also rewrites what is there. ``on_progress(done, total)`` counts rows.

    Raises UsageError for what the store or we do not know, StoreError for a store that cannot be used.
    """
    opened = store.open_store(path)
    _check_names(opened.manifest, kinds, conventions)
    jobs = _jobs(opened.manifest, kinds, frames, conventions, remake=_another_recipe(opened, recipe, force))
    todo = [job for job in jobs if force or job.path not in opened.manifest.arrays]
    skipped = tuple(job.path for job in jobs if job not in todo)
    if not todo:
        return Added((), skipped)
    with _staged(path) as stage:
        counts = _write_all(opened, stage, todo, recipe or opened.manifest.recipe.name, on_progress)
        _publish(opened, stage, todo, recipe, counts)
    return Added(tuple(job.path for job in todo), skipped)


def _check_names(
    manifest: StoreManifest, kinds: tuple[str, ...], conventions: tuple[str, ...] | None
) -> None:
    for kind in kinds:
        if kind not in DERIVED:
            raise unknown("stream", kind, DERIVED)
    for name in conventions or ():
        if name not in manifest.conventions:
            raise unknown("convention of this store", name, manifest.conventions)


def _another_recipe(opened: Store, recipe: str | None, force: bool) -> bool:
    recorded = opened.manifest.recipe.name
    if recipe is None or recipe == recorded:
        return False
    resolve(recipe)
    if not force:
        raise UsageError(
            f"its streams are made with recipe {recorded}, and a store holds one recipe",
            where=opened.path,
            remedy=f"--force remakes all of them with {recipe}",
        )
    return True


def _jobs(
    manifest: StoreManifest,
    kinds: tuple[str, ...],
    frames: tuple[int, ...] | None,
    conventions: tuple[str, ...] | None,
    *,
    remake: bool,
) -> list[_Job]:
    """The arrays that were asked for, joint before those made from it; with ``remake`` all there are, too."""
    present = [_job(path) for path in manifest.arrays if path.startswith("streams/")]
    names = conventions or tuple(manifest.conventions)
    lengths = frames or tuple(sorted({job.frames for job in present}))
    wanted = {_Job(name, length, kind) for name in names for length in lengths for kind in kinds}
    if frames:
        wanted |= {_Job(name, length, "joint") for name in names for length in lengths}
    if remake:
        wanted |= set(present)
    for job in wanted.copy():
        joint = _Job(job.convention, job.frames, "joint")
        if joint not in present:
            wanted.add(joint)
    return sorted(wanted, key=lambda job: (job.convention, job.frames, job.kind != "joint", job.kind))


def _job(path: str) -> _Job:
    _, convention, length, kind = path.split("/")
    return _Job(convention, int(length.removeprefix("t")), kind)


# ------------------------------------------------------------------------------------------------ write


@contextmanager
def _staged(path: Path) -> Iterator[Path]:
    """A hidden folder in the store for arrays in the making; what an earlier, killed run left is removed."""
    for left in path.glob(f"{_HIDDEN}*"):
        shutil.rmtree(left, ignore_errors=True)
    stage = path / f"{_HIDDEN}{os.getpid()}"
    try:
        yield stage
    except OSError as error:
        why = error.strerror or str(error)
        raise StoreError(f"cannot write the streams ({why})", where=path) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _write_all(
    opened: Store, stage: Path, todo: list[_Job], recipe: str, on_progress: OnProgress | None
) -> dict[str, int]:
    """Write every array below ``stage``; returns what the recipe met, at one length of each convention."""
    root = store.create(stage)
    total, done = len(todo) * opened.manifest.samples, 0
    counts: dict[str, Counter[str]] = {}
    for job in todo:
        if job.kind == "joint":
            met = Counter[str]()
            blocks = _prepared(opened, job, recipe, met)
            counts.setdefault(job.convention, met)
        else:
            blocks = _derived(opened, root, job)
        writer = _writer(opened, root, job)
        for block in blocks:
            writer.append(block)
            done += len(block)
            if on_progress:
                on_progress(done, total)
        writer.close()
    return dict(sum(counts.values(), Counter()))


def _writer(opened: Store, root: store.Group, job: _Job) -> store.ArrayWriter:
    joints = store.read_spec(opened, job.convention).num_joints
    return store.stream_writer(root, job.path, frames=job.frames, joints=joints, bodies=_bodies(opened))


def _bodies(opened: Store) -> int:
    """Bodies of a stream, the same for all of a store."""
    return next(
        info.shape[-1] for path, info in opened.manifest.arrays.items() if path.startswith("streams/")
    )


def _prepared(opened: Store, job: _Job, recipe: str, counts: Counter[str]) -> Iterator[Joint]:
    """Rows [1, 3, T, V, M] of a joint stream; zero where the convention lacks the sample."""
    spec, bodies = store.read_spec(opened, job.convention), _bodies(opened)
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


def _derived(opened: Store, root: store.Group, job: _Job) -> Iterator[Joint]:
    """Blocks of rows of a bone or motion stream, from the joint stream that is or will be beside it."""
    spec = store.read_spec(opened, job.convention)
    joint = store.stream_path(job.convention, job.frames, "joint")
    fresh = root.get(joint)
    for block in store.blocks(fresh if isinstance(fresh, store.Array) else store.array(opened, joint)):
        yield DERIVED[job.kind](block, spec)


def _publish(
    opened: Store, stage: Path, todo: list[_Job], recipe: str | None, counts: dict[str, int]
) -> None:
    """Rename the new arrays into place, then list them in the manifest."""
    described = store.describe_all(store.reopen(stage))
    for job in todo:
        store.move_array(stage, opened.path, job.path)
    changed: dict[str, object] = {"arrays": dict(sorted({**opened.manifest.arrays, **described}.items()))}
    if recipe and recipe != opened.manifest.recipe.name:
        changed["recipe"] = RecipeRecord(
            name=recipe, steps=resolve(recipe), counts=dict(sorted(counts.items()))
        )
    store.write_manifest(opened.path, opened.manifest.model_copy(update=changed))
