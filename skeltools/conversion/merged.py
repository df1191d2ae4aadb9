"""Merge several stores into one: the rows of all, conventions side by side, classes and splits by name.

Rows are merged in the order of their ids, and each store is read once from front to back for every array. No
joint is made up: a row has the conventions that its store has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas import (
    FORMAT,
    ConventionInfo,
    Finding,
    Length,
    PartInfo,
    RecipeRecord,
    StoreManifest,
    checks_arguments,
)
from schemas.places import Place
from skeltools import __version__, store
from skeltools.conversion import Summary, derive, finish, from_stores, publish
from skeltools.conversion.from_stores import Rows
from skeltools.conversion.merge_plan import MergePlan, Source, open_sources, plan_merge, warnings_of
from skeltools.conversion.progress import OnProgress, Progress
from skeltools.sequence import UNKNOWN, SkeletonSequence
from skeltools.store import Store

_Value = TypeVar("_Value")


@checks_arguments
def merge(
    stores: Sequence[str | Path],
    *,
    out: str | Path,
    name: str | None = None,
    prefixes: Sequence[str] | None = None,
    classes: Literal["by-name", "apart"] | None = None,
    split_missing: Literal["neither", "train"] = "neither",
    recipe: str | Path | None = None,
    frames: Sequence[Length] | None = None,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Merge two or more stores into one at ``out``.

    ``name``: name of the new data set (default: those of the stores, joined by ``+``). ``prefixes``: one per
    store, put before its ids and its findings (default: the name of its data set). Stores with one prefix are
    parts of one data set and share its subjects, cameras and setups; those of other stores get other numbers.
    ``classes``: ``by-name`` unites classes of the same name, ignoring case, and ``apart`` keeps them apart
    (default: by name; names that are mere numbers are then refused). ``split_missing``: where the rows go
    whose store does not have a split. ``recipe``: recipe of the streams (default: the one that all have).
    ``frames``: their lengths (default: the lengths that all have). ``force`` replaces a store at ``out`` once
    the new one is complete.

    Streams are made again from the sequences, with as many bodies as the store with the most. Raises
    UsageError for stores that do not fit together: duplicate ids, two conventions with one name, 2D and 3D
    poses, different recipes, no common length; StoreError for stores that cannot be used and if ``out`` is
    taken.

        >>> import skeltools
        >>> both = skeltools.merge(["store.zarr", "store.zarr"], out="both.zarr", prefixes=["a", "b"])
        >>> skeltools.open("both.zarr").ids[0]
        'a-S002C001P002R001A001'
    """
    out = Place(out)
    sources = open_sources(stores, prefixes)
    plan = plan_merge(sources, name, classes, split_missing, recipe, frames)
    publish.check_target(out, force=force)
    with publish.publishing(out, force=force) as folder:
        manifest, findings = _write(plan, folder, on_progress)
    return Summary(out, manifest, findings, tuple(warnings_of(plan)))


def _write(
    plan: MergePlan, folder: Path, on_progress: OnProgress | None
) -> tuple[StoreManifest, tuple[Finding, ...]]:
    arrays = len(plan.specs) * (1 + len(plan.frames) * (1 + len(plan.kinds)))
    progress = Progress(len(plan.ids) * arrays, on_progress)
    root = store.create(folder)
    rows: dict[str, Rows] = {}
    for name, spec in plan.specs.items():
        having = [source.opened for source in plan.sources if name in source.manifest.conventions]
        tracks = [from_stores.tracks_of(opened, name) for opened in having]
        rows[name] = from_stores.write_sequences(
            root, name, _clips(plan, name), joints=spec.num_joints, bodies=max(tracks), progress=progress
        )
        from_stores.write_frame_labels(root, name, rows[name], _frame_labels(plan, name))
    halves = {name: _half(plan, name) for name in plan.splits}
    from_stores.write_columns(root, plan.ids, _columns(plan), halves, rows.values())
    store.write_graphs(root, plan.specs)
    findings = tuple(_findings(plan))
    store.write_findings(root, findings)
    manifest = _manifest(plan, root, rows, halves, findings)
    finished = derive.make_streams(
        folder,
        manifest,
        conventions=tuple(plan.specs),
        frames=plan.frames,
        kinds=plan.kinds,
        recipe=plan.recipe,
        bodies=plan.bodies,
        progress=progress,
    )
    return finished, findings


def _clips(plan: MergePlan, convention: str) -> Iterator[SkeletonSequence | None]:
    """One clip per row, None where its store lacks the convention or the sample in it."""
    return (clip for _, clip in _of_rows(plan, convention, store.read_sequences))


def _frame_labels(plan: MergePlan, convention: str) -> Iterator[NDArray[Any] | None]:
    """The frame labels of each row, in the new classes; None where its store has none."""
    for number, labels in _of_rows(plan, convention, from_stores.frame_labels):
        yield None if labels is None else plan.relabelled(number, labels)


def _of_rows(
    plan: MergePlan, convention: str, read: Callable[[Store, str], Iterator[_Value | None]]
) -> Iterator[tuple[int, _Value | None]]:
    """Each row's source and its value from ``read``, None where the source lacks the convention."""
    values = [
        read(source.opened, convention) if convention in source.manifest.conventions else repeat(None)
        for source in plan.sources
    ]
    return ((number, next(values[number])) for number in plan.order)


def _columns(plan: MergePlan) -> dict[str, NDArray[np.int16]]:
    """``label`` and the number columns of all rows."""

    columns = {name: _gathered(plan, partial(_shifted, plan, name)) for name in from_stores.NUMBERS}
    label = _gathered(plan, lambda number: plan.relabelled(number, plan.sources[number].column("label")))
    return {"label": label, **columns}


def _shifted(plan: MergePlan, column: str, number: int) -> NDArray[Any]:
    values = plan.sources[number].column(column).astype(np.int64)
    return np.where(values == UNKNOWN, UNKNOWN, values + plan.shifts[number].get(column, 0))


def _gathered(plan: MergePlan, of: Callable[[int], NDArray[Any]]) -> NDArray[np.int16]:
    """Build a column of the new store from those of the sources."""
    made = np.zeros(len(plan.ids), np.int16)
    for number in range(len(plan.sources)):
        made[plan.places(number)] = of(number)
    return made


def _half(plan: MergePlan, split: str) -> NDArray[np.uint8]:
    made = np.full(len(plan.ids), plan.split_missing, np.uint8)
    for number, source in enumerate(plan.sources):
        if split in source.manifest.protocols:
            made[plan.places(number)] = store.read(source.opened, f"splits/{split}")
    return made


def _findings(plan: MergePlan) -> Iterator[Finding]:
    for source in plan.sources:
        for row in store.read_findings(source.opened):
            yield row.model_copy(update={"file": f"{source.name}/{row.file}"})


def _manifest(
    plan: MergePlan,
    root: store.Group,
    rows: dict[str, Rows],
    halves: dict[str, NDArray[np.uint8]],
    findings: tuple[Finding, ...],
) -> StoreManifest:
    manifests = [source.manifest for source in plan.sources]
    parts = tuple(_part(source, shifts) for source, shifts in zip(plan.sources, plan.shifts, strict=True))
    protocols = {split: finish.split_info(_rule(plan, split), half) for split, half in halves.items()}
    return StoreManifest(
        format=FORMAT,
        dataset=plan.name,
        synthetic=any(manifest.synthetic for manifest in manifests),
        tool=f"skeltools {__version__}",
        samples=len(plan.ids),
        classes=plan.classes,
        protocols=protocols,
        conventions={name: _info(plan, name, rows[name]) for name in plan.specs},
        recipe=RecipeRecord(name=plan.recipe.name, steps=plan.recipe.steps),
        arrays=store.describe_all(root),
        findings=finish.counted(findings),
        source=_provenance(plan, parts),
        parts=parts,
    )


def _part(source: Source, shifts: dict[str, int]) -> PartInfo:
    manifest = source.manifest
    return PartInfo(
        name=source.name,
        dataset=manifest.dataset,
        hash=manifest.hash,
        samples=manifest.samples,
        shifts=shifts,
        synthetic=manifest.synthetic,
        source=manifest.source,
        parts=manifest.parts,
    )


def _provenance(plan: MergePlan, parts: tuple[PartInfo, ...]) -> dict[str, str | int]:
    """Files and bytes of all; the hash is over the hashes of the stores, each followed by a newline."""
    hashes = "".join(f"{part.hash}\n" for part in parts)
    sums = {name: sum(int(part.source.get(name, 0)) for part in parts) for name in ("files", "bytes")}
    return {"name": plan.name, **sums, "sha256": hashlib.sha256(hashes.encode()).hexdigest()}


def _rule(plan: MergePlan, split: str) -> str:
    """The rule in the words of each store, since it refers to that store's numbers."""
    infos = [source.manifest.protocols.get(split) for source in plan.sources]
    rules = [None if info is None else info.rule for info in infos]
    return _joined(plan, rules, alike=len({source.name for source in plan.sources}) == 1)


def _joined(plan: MergePlan, said: list[str | None], *, alike: bool = True) -> str:
    """Join what the stores say of something, each preceded by its store's name; None is left out.

    If all say the same, and ``alike`` (it means the same in all), it is said once.
    """
    if alike and len(set(said)) == 1:
        return str(said[0])
    pairs = zip(plan.sources, said, strict=True)
    return "; ".join(dict.fromkeys(f"{source.name}: {text}" for source, text in pairs if text is not None))


def _info(plan: MergePlan, convention: str, rows: Rows) -> ConventionInfo:
    of_sources = [source.manifest.conventions.get(convention) for source in plan.sources]
    infos = [info for info in of_sources if info is not None]
    readers = dict.fromkeys(info.reader for info in infos)
    mirrored = {info.mirrored_video for info in infos}
    return ConventionInfo(
        reader=", ".join(readers),
        axes=_joined(plan, [None if info is None else info.axes for info in of_sources]),
        mirrored_video=mirrored.pop() if len(mirrored) == 1 else None,
        missing=finish.missing(plan.ids, rows.frames),
        coordinates=infos[0].coordinates,
    )
