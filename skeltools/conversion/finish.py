"""Complete a store once its clips are written: columns, splits, graphs, findings and the manifest."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import (
    FORMAT,
    ArrayInfo,
    ConventionInfo,
    Finding,
    ProtocolInfo,
    RecipeRecord,
    StoreError,
    StoreManifest,
)
from schemas.arrays import SAMPLES as COLUMNS
from skeltools import __version__, datasets, framewise, store
from skeltools.conversion import planning
from skeltools.conversion.chunks import Ledger
from skeltools.conversion.planning import PlannedConversion
from skeltools.conversion.publish import Work
from skeltools.conversion.sample import Plan, Task
from skeltools.datasets import Dataset, splits
from skeltools.formats import FORMATS, interchange
from skeltools.raw_items import Listing

MIRRORED_AXES = "(x, -y, z) / 1000, left and right labels exchanged: the videos are mirror images"
STRAIGHT_AXES = "(-x, -y, z) / 1000: the videos are not mirrored"


@dataclass(frozen=True)
class Finished:
    """A complete store that is not yet under its name."""

    folder: Path
    manifest: StoreManifest
    warnings: tuple[str, ...] = ()


def new_store(
    planned: PlannedConversion, work: Work, ledger: Ledger, conventions: tuple[str, ...]
) -> Finished:
    """Write everything that is small, read everything back for its checksum, and write the manifest.

    ``conventions``: those that have at least one clip.
    """
    dataset, plan, listing, tasks = planned.dataset, planned.plan, planned.listing, planned.tasks
    for name in set(plan.specs) - set(conventions):
        for group in ("sequences", "streams"):
            shutil.rmtree(work.made / group / name)
    root = store.reopen(work.made)
    protocols = _write_rows(root, dataset, ledger, listing, conventions)
    if dataset.frame_labels and plan.native in conventions:
        labels = _frame_labels(plan.native, ledger, tasks)
        store.write_array(root, f"sequences/{plan.native}/frame_label", labels, ("F",))
    store.write_graphs(root, {name: plan.specs[name] for name in conventions})
    store.write_findings(root, ledger.findings)
    arrays = store.describe_all(root)
    _check(arrays, ledger, conventions)
    manifest = StoreManifest(
        format=FORMAT,
        dataset=dataset.name,
        synthetic=planned.synthetic,
        tool=f"skeltools {__version__}",
        samples=len(ledger.rows),
        classes=listing.classes or dataset.classes,
        protocols=protocols,
        conventions={name: _convention(name, dataset, plan, ledger) for name in conventions},
        recipe=RecipeRecord(
            name=plan.recipe.name, steps=plan.recipe.steps, counts=dict(sorted(ledger.counts.items()))
        ),
        arrays=arrays,
        findings=counted(ledger.findings),
        source=planning.source_of(planned.roots, tasks),
    )
    store.write_manifest(work.made, manifest)
    return Finished(work.made, manifest, _absent_archive(dataset, ledger))


def _write_rows(
    root: store.Group, dataset: Dataset, ledger: Ledger, listing: Listing, conventions: tuple[str, ...]
) -> dict[str, ProtocolInfo]:
    """Write ``samples``, ``splits`` and the offsets of ``sequences``; returns the protocols of the splits."""
    columns: dict[str, NDArray[Any]] = {
        name: np.array([row[name] for row in ledger.rows], dtype=dtype)
        for name, dtype in COLUMNS.items()
        if name != "id"
    }
    for name in conventions:
        store.write_offsets(root, name, ledger.frames[name])
    halves = splits.halves_of(dataset.rules, listing.halves, listing.rules, ids=ledger.ids, fields=columns)
    write_columns(root, ledger.ids, columns, {name: half for name, (half, _) in halves.items()})
    return {name: split_info(rule, half) for name, (half, rule) in halves.items()}


def _frame_labels(native: str, ledger: Ledger, tasks: list[Task]) -> NDArray[np.int16]:
    """[F] int16: the class of each frame of ``sequences``, -1 where there is none."""
    actions = {
        task.id: framewise.taken(task.items[native].details)[1] for task in tasks if native in task.items
    }
    rows = zip(ledger.rows, ledger.frames[native], strict=True)
    parts = [framewise.labels(actions.get(row["id"], ()), frames) for row, frames in rows]
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def _convention(name: str, dataset: Dataset, plan: Plan, ledger: Ledger) -> ConventionInfo:
    archive = plan.reader in FORMATS
    if not archive and name != dataset.convention:
        return estimated(name, plan, ledger)
    return ConventionInfo(
        reader=plan.reader,
        axes=interchange.AXES if archive and dataset.reader != datasets.CUSTOM else dataset.axes,
        missing=missing(ledger.ids, ledger.frames[name]),
        coordinates=dataset.coordinates,
    )


def estimated(name: str, plan: Plan, ledger: Ledger) -> ConventionInfo:
    """The manifest's entry for a convention of MeTRAbs poses."""
    axes = MIRRORED_AXES if plan.mirrored else STRAIGHT_AXES
    return ConventionInfo(
        reader="metrabs",
        axes=axes,
        mirrored_video=plan.mirrored,
        missing=missing(ledger.ids, ledger.frames[name]),
    )


def _check(arrays: dict[str, ArrayInfo], ledger: Ledger, conventions: tuple[str, ...]) -> None:
    """Check that as many rows and frames were read back as were written; a mismatch is a defect of ours."""
    expected = {
        path: len(ledger.rows) for path in arrays if path.startswith(("samples/", "splits/", "streams/"))
    }
    for name in conventions:
        expected |= {
            f"sequences/{name}/{part}": sum(ledger.frames[name]) for part in ("joints", "present", "order")
        }
        expected[f"sequences/{name}/offsets"] = len(ledger.rows) + 1
    for path, rows in expected.items():
        written = arrays[path].shape[0] if path in arrays else 0
        if written != rows:
            raise StoreError(
                f"{written} rows were written instead of {rows}", where=path, remedy="Report this"
            )


_FIRST_ARCHIVE = range(1, 18)
"""Setups of nturgbd_skeletons_s001_to_s017.zip; the second archive of NTU RGB+D 120 has the others."""


def _absent_archive(dataset: Dataset, ledger: Ledger) -> tuple[str, ...]:
    """A warning when only one of the two archives of NTU RGB+D 120 was found."""
    first = {row["setup"] in _FIRST_ARCHIVE for row in ledger.rows}
    if dataset.name != "ntu120" or len(first) > 1:
        return ()
    setups, other = ("1 to 17", "18 to 32") if first == {True} else ("18 to 32", "1 to 17")
    advice = f"put the archive of setups {other} into the same folder, or name both: --raw A --raw B"
    return (f"only setups {setups} were found: {advice}",)


# ---------------------------------------------------------------------------------- of any store's rows


def write_columns(
    root: store.Group,
    ids: Sequence[str],
    columns: Mapping[str, NDArray[Any]],
    halves: Mapping[str, NDArray[np.uint8]],
) -> None:
    """Write ``samples`` and ``splits``: for each id, a value of each column and the half of each split."""
    for name, values in {"id": np.array(ids, dtype=object), **columns}.items():
        store.write_array(root, f"samples/{name}", values, ("N",))
    for name, half in halves.items():
        store.write_array(root, f"splits/{name}", half, ("N",))


def split_info(rule: str, half: NDArray[np.uint8]) -> ProtocolInfo:
    """A manifest's entry for a split: its rule, and the number of samples in either half."""
    train, test = (int((half == value).sum()) for value in (splits.TRAIN, splits.TEST))
    return ProtocolInfo(rule=rule, train=train, test=test)


def missing(ids: Iterable[str], frames: Iterable[int]) -> tuple[str, ...]:
    """Ids of the rows that a convention lacks, from the frames of each row."""
    return tuple(id for id, count in zip(ids, frames, strict=True) if not count)


def counted(findings: Iterable[Finding]) -> dict[str, int]:
    """Problem -> number of findings, as in a manifest."""
    return dict(sorted(Counter(finding.problem for finding in findings).items()))
