"""Convert raw files to a store: plan, read in parts, assemble, check, publish.

Reading and preparing may run in worker processes; one process assembles the parts in the order of the ids, so
the store is the same byte for byte whatever the number of workers. A conversion that is stopped, in whatever
way, resumes when it is started again; nothing exists under the store's name until all of it is written and
read back.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from schemas import Finding, Length, SkelError, StoreManifest, checks_arguments
from schemas.places import Place
from skeltools import datasets, people
from skeltools.conversion import fingerprint, publish
from skeltools.conversion.assemble import assemble
from skeltools.conversion.chunks import Ledger
from skeltools.conversion.finish import Finished, new_store
from skeltools.conversion.planning import PlannedConversion, Request, begin
from skeltools.conversion.progress import OnNote, OnProgress
from skeltools.conversion.publish import Work
from skeltools.conversion.sample import FAILED, Plan
from skeltools.conversion.workers import Workers
from skeltools.datasets import Dataset
from skeltools.formats import FORMATS
from skeltools.processes import warm_up

MIRROR = "left and right look exchanged"


@dataclass(frozen=True)
class Summary:
    """The result of a conversion, and what a user should know about it."""

    path: Path
    manifest: StoreManifest
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]

    @property
    def failed(self) -> tuple[Finding, ...]:
        """Raw files that are left out because their reader failed, which is a fault of the program."""
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

    ``raw`` is located by the rules of ``datasets.find_raw``, and may be a list: NTU RGB+D 120 comes in two
    archives. A sample that is in two of them is a finding. ``source`` names an archive format of ``FORMATS``
    to read instead of the data set's own. ``recipe``: preprocessing, by name or file (default: ``default``,
    for 2D poses ``centered``). ``frames``: lengths T of the joint streams (default: the data set's, for demo
    data the demo's). ``conventions``: only these, by name or file (default: all that have files).
    ``mirrored``: whether the videos behind MeTRAbs poses are mirror images (default: what is known of the
    data set). ``workers``: number of processes that read; 0 reads in this process, and a script that uses
    more needs ``if __name__ == "__main__":`` above its calls. ``dask``: address of a dask.distributed
    scheduler whose workers read instead; all must see raw files and ``out`` under the same paths. ``strict``:
    raise an error for the first bad file. ``force`` replaces an existing store once the new one is complete.
    ``fresh``: do not resume an earlier, stopped run. ``name`` and ``classes`` (a file with one class name per
    line, or the names): for your own data in an archive. ``uncut``: keep PKU-MMD's recordings whole, with a
    label for each frame. ``on_progress(done, total)`` counts samples; ``on_note`` receives messages when work
    resumes or starts over, and about guesses made for an archive.

    Raises UsageError (unknown names, no raw data), StoreError (``out`` is taken, or being written by another
    process, or the disk is full), SkelError (no file could be read, or workers die repeatedly), RawDataError
    (``strict``; a raw file changed meanwhile). After an error or Ctrl-C, finished work is kept for the next
    run.
    """
    request = Request.of(
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
    reading = Workers(workers, dask)
    if workers:
        warm_up()
    place = Place(out)
    publish.check_target(place, force=force)
    return carry_out(
        begin(request.anywhere() if dask else request, on_note=on_note),
        place,
        workers=reading,
        force=force,
        fresh=fresh,
        on_progress=on_progress,
        on_note=on_note,
    )


Finish = Callable[[PlannedConversion, Work, Ledger, tuple[str, ...]], Finished]
"""Makes a store of what was read, for the conventions that have at least one clip."""


def carry_out(
    planned: PlannedConversion,
    out: Path,
    *,
    workers: Workers,
    force: bool,
    finish: Finish = new_store,
    fresh: bool = False,
    on_progress: OnProgress | None = None,
    on_note: OnNote | None = None,
) -> Summary:
    """Read what has not been read yet, finish the store, and publish it."""
    plan = planned.plan
    with publish.working(out, plan=planned.digest, fresh=fresh, on_note=on_note) as work:
        publish.check_target(out, force=force)
        ledger = assemble(
            work,
            plan,
            planned.tasks,
            findings=planned.findings,
            workers=workers,
            stamps=planned.stamps,
            strict=planned.strict,
            on_progress=on_progress,
            on_note=on_note,
        )
        conventions = tuple(name for name in plan.specs if any(ledger.frames[name]))
        if not conventions:
            publish.discard(work.folder)
            raise nothing_read(planned.roots[0], ledger)
        warnings = mirror_findings(plan, ledger) + people_findings(planned.dataset, plan, ledger)
        finished = finish(planned, work, ledger, conventions)
        fingerprint.check_unchanged(planned.stamps)
        publish.publish(work, out, made=finished.folder, force=force, on_note=on_note)
    return Summary(out, finished.manifest, tuple(ledger.findings), warnings + finished.warnings)


_SHOWN = 3
"""Number of problems, the most frequent ones, that the error for unusable raw files shows."""


def nothing_read(folder: Path, ledger: Ledger) -> SkelError:
    """The error for raw files none of which is usable: each problem with a file and its reason."""
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
    """A file with this problem for its most common reason; reasons that differ only in numbers are one."""
    examples = [finding for finding in findings if finding.problem == problem]
    kinds = [re.sub(r"\d+", "0", finding.detail) for finding in examples]
    usual = Counter(kind for kind in kinds if kind).most_common(1)
    shown = examples[kinds.index(usual[0][0])] if usual else examples[0]
    place = f", {shown.place}" if shown.place else ""
    return f", e.g. {shown.file}{place}" + (f": {shown.detail}" if shown.detail else "")


def people_findings(dataset: Dataset, plan: Plan, ledger: Ledger) -> tuple[str, ...]:
    """Warnings, also recorded as findings, for conventions whose poses are unlike people: see ``people``."""
    warnings = []
    for name, looks in sorted(ledger.looks.items()):
        estimated = name != plan.native and plan.reader not in FORMATS
        axes = dataset.axes if dataset.reader == datasets.CUSTOM and not estimated else ""
        rows = people.judge(
            looks,
            place=f"metrabs/{name}" if estimated else name,
            axes=axes,
            flat=not estimated and dataset.coordinates == "xy",
            each=plan.own and not estimated,
        )
        for row in rows:
            ledger.findings.append(row)
            warnings.append(f"{name}: {row.problem}: {row.detail}")
    return tuple(warnings)


def mirror_findings(plan: Plan, ledger: Ledger) -> tuple[str, ...]:
    """A warning, also recorded as a finding, for each convention that fits better if read the other way."""
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
