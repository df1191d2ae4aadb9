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
from dataclasses import dataclass
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
    StoreError,
    StoreManifest,
    checks_arguments,
)
from schemas.places import Place
from skeltools import __version__, datasets, framewise, people, store
from skeltools.conversion import fingerprint, planning, publish
from skeltools.conversion.assemble import OnNote, OnProgress, assemble
from skeltools.conversion.begun import Asked, Begun, begin
from skeltools.conversion.chunks import Ledger
from skeltools.conversion.sample import FAILED, Plan, Task
from skeltools.conversion.workers import Hands
from skeltools.datasets import Dataset, splits
from skeltools.formats import FORMATS, interchange
from skeltools.processes import warm_up
from skeltools.raw_items import Listing

MIRROR = "left and right look exchanged"
MIRRORED_AXES = "(x, -y, z) / 1000, left and right labels exchanged: the videos are mirror images"
STRAIGHT_AXES = "(-x, -y, z) / 1000: the videos are not mirrored"


@dataclass(frozen=True)
class Summary:
    """What a conversion made and what a user should hear about it."""

    path: Path
    manifest: StoreManifest
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]

    @property
    def failed(self) -> tuple[Finding, ...]:
        """Raw files that are left out because their reader failed: a fault of the program."""
        return tuple(row for row in self.findings if row.problem == FAILED)


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
    dask: str | None = None,
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
    script that gives more needs ``if __name__ == "__main__":`` above its calls. ``dask``: address of a
    dask.distributed scheduler whose workers read instead; all see raw files and ``out`` under the same paths.
    ``strict``: the first bad file is an error. ``force`` replaces an existing store once the new one is
    complete. ``fresh``: do not go on from what an earlier, stopped run left. ``name`` and ``classes`` (a file
    of one class name a line, or the names): of your own data in an archive. ``uncut``: PKU-MMD's recordings
    stay whole, with a label for each frame. ``on_progress(done, total)`` counts samples; ``on_note`` is told
    when work goes on or starts over, and what was guessed of an archive.

    Raises UsageError (unknown names, no raw data), StoreError (``out`` is taken, or being written by another
    process, or the disk is full), SkelError (no file could be read, those who read die again and again),
    RawDataError (``strict``; a raw file was changed meanwhile). After an error, and after Ctrl-C, what is
    done is kept for the next run.
    """
    asked = Asked.of(
        dataset,
        raw=raw,
        source=source,
        frames=frames,
        recipe=recipe,
        conventions=conventions,
        mirrored=mirrored,
        strict=strict,
        name=name,
        classes=classes,
        uncut=uncut,
    )
    hands = Hands(workers, dask)
    if workers:
        warm_up()
    place = Place(out)
    publish.check_target(place, force=force)
    return carry_out(
        begin(asked.anywhere() if dask else asked, on_note=on_note),
        place,
        hands=hands,
        force=force,
        fresh=fresh,
        on_progress=on_progress,
        on_note=on_note,
    )


def carry_out(
    begun: Begun,
    out: Path,
    *,
    hands: Hands,
    force: bool,
    fresh: bool = False,
    on_progress: OnProgress | None = None,
    on_note: OnNote | None = None,
) -> Summary:
    """Read what is not read yet, and publish the store."""
    known, plan, tasks = begun.dataset, begun.plan, begun.tasks
    with publish.working(out, plan=begun.digest, fresh=fresh, on_note=on_note) as work:
        publish.check_target(out, force=force)
        ledger = assemble(
            work,
            plan,
            tasks,
            findings=begun.findings,
            hands=hands,
            stamps=begun.stamps,
            strict=begun.strict,
            on_progress=on_progress,
            on_note=on_note,
        )
        if not ledger.rows:
            publish.discard(work.folder)
            raise nothing_read(begun.roots[0], ledger)
        warnings = mirror_findings(plan, ledger) + people_findings(known, plan, ledger)
        manifest = _finish(work.made, begun, ledger)
        warnings += _absent_archive(known, ledger)
        fingerprint.check_unchanged(begun.stamps)
        publish.publish(work, out, force=force, on_note=on_note)
    return Summary(out, manifest, tuple(ledger.findings), warnings)


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


def _finish(partial: Path, begun: Begun, ledger: Ledger) -> StoreManifest:
    """Write all that is small, read everything back for its checksum, and write the manifest."""
    dataset, plan, listing, tasks = begun.dataset, begun.plan, begun.listing, begun.tasks
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
        synthetic=begun.synthetic,
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
        source=planning.source_of(begun.roots, tasks),
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
