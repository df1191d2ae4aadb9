"""Raw files to a store: plan, read and prepare, write in order, check, publish.

Reading and preparing may run in worker processes; results come back in the order of the ids and one process
writes, so the store is the same byte for byte whatever the number of workers. Nothing exists under the
store's name until all of it is written and read back.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field
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
    RawDataError,
    RecipeRecord,
    SkelError,
    StoreError,
    StoreManifest,
    unknown,
)
from skeltools import __version__, datasets, intake, planning, publish, skeletons, splits, store
from skeltools.datasets import DATASETS, Dataset
from skeltools.intake import Plan, Sample, Task
from skeltools.preprocess import resolve

OnProgress = Callable[[int, int], None]

_EXPECTED = frozenset(
    {
        planning.OFFICIAL,
        planning.FOREIGN,
        "more people than bodies",
        "more than 1 body",
        f"more than {intake.MAX_TRACKS} bodies",
    }
)
"""Problems that sound raw data have, too."""

MIRROR = "left and right look exchanged"
NATIVE_AXES = "Kinect camera space as recorded: x to the sensor's left, y up, z forward, metres"
MIRRORED_AXES = "(x, -y, z) / 1000, left and right labels exchanged: the videos are mirror images"
STRAIGHT_AXES = "(-x, -y, z) / 1000: the videos are not mirrored"

_DEMO = "DEMO.json"
"""Marker that ``skeltools demo`` leaves in a folder of built-in raw data."""


@dataclass(frozen=True)
class Summary:
    """What a conversion made and what a user should hear about it."""

    path: Path
    manifest: StoreManifest
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]


def convert(
    dataset: str,
    *,
    raw: Path | None = None,
    out: Path,
    frames: tuple[int, ...] = (50,),
    recipe: str = "default",
    conventions: tuple[str, ...] | None = None,
    mirrored: bool | None = None,
    workers: int = 0,
    strict: bool = False,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Convert a data set's raw files to a store at ``out``.

    ``raw`` is found as ``datasets.find_raw`` says. ``frames``: lengths T of the joint streams.
    ``conventions``: only these, by name or file (default: all that have files). ``mirrored``: whether the
    videos behind MeTRAbs poses are mirror images (default: what the data set is known to be). ``workers``:
    processes that read; 0 reads in this one. ``strict``: the first bad file is an error. ``force`` replaces
    an existing store once the new one is complete. ``on_progress(done, total)`` counts samples.

    Raises UsageError (unknown names, no raw data), StoreError (``out`` is taken), SkelError (no file could be
    read), RawDataError (``strict``). After any error, and after Ctrl-C, nothing is left behind.
    """
    if dataset not in DATASETS:
        raise unknown("data set", dataset, DATASETS)
    source = DATASETS[dataset]
    resolve(recipe)
    asked = {spec.name: spec for spec in map(skeletons.load, conventions or ())}
    publish.check_target(out, force=force)
    folder = datasets.find_raw(source, raw)
    listing = planning.discover(source, folder, conventions or ())
    planning.check_found(listing, asked, folder)
    tasks, findings = planning.tasks_of(source, listing, asked)
    _refuse_findings(findings, strict)
    plan = Plan(
        reader=source.reader,
        native=source.convention,
        specs=planning.specs_of(source, tasks, asked),
        frames=tuple(sorted(set(frames))),
        recipe=recipe,
        bodies=source.bodies,
        mirrored=source.mirrored if mirrored is None else mirrored,
    )
    ledger = Ledger(findings=findings)
    with publish.publishing(out, force=force) as partial:
        with closing(
            _counted(intake.read_all(tasks, plan, workers=workers), len(tasks), on_progress)
        ) as samples:
            _write(partial, plan, samples, ledger, strict=strict)
        if not ledger.rows:
            raise _nothing_read(folder, ledger)
        warnings = _mirror_findings(plan, ledger)
        manifest = _finish(partial, source, plan, ledger, folder, tasks)
    return Summary(out, manifest, tuple(ledger.findings), warnings)


# ------------------------------------------------------------------------------------------------ write


@dataclass
class Ledger:
    """What is known of the rows written so far: everything but the poses."""

    findings: list[Finding]
    rows: list[dict[str, Any]] = field(default_factory=list)
    offsets: dict[str, list[int]] = field(default_factory=dict)
    bodies: Counter[str] = field(default_factory=Counter)
    """convention -> places on axis M that its sequences need."""
    counts: Counter[str] = field(default_factory=Counter)
    mirror: dict[str, list[bool]] = field(default_factory=dict)


def _write(partial: Path, plan: Plan, samples: Iterable[Sample], ledger: Ledger, *, strict: bool) -> None:
    """Append every readable sample to the arrays, in order; what is not readable goes into the findings."""
    root = store.create(partial)
    limit = intake.track_limit(plan.bodies)
    sequences = {
        name: store.sequence_writers(root, name, joints=plan.specs[name].num_joints, bodies=limit)
        for name in plan.specs
    }
    streams = {
        (name, frames): store.stream_writer(
            root,
            store.stream_path(name, frames, "joint"),
            frames=frames,
            joints=plan.specs[name].num_joints,
            bodies=plan.bodies,
        )
        for name in plan.specs
        for frames in plan.frames
    }
    ledger.offsets = {name: [0] for name in plan.specs}
    for sample in samples:
        _refuse_findings(sample.findings, strict)
        _record(sample, ledger)
        if sample.sequences:
            _append(sample, sequences, streams)
    for name, parts in sequences.items():
        for writer in parts.values():
            writer.close(second_axis=max(1, ledger.bodies[name]))
    for stream in streams.values():
        stream.close()


def _record(sample: Sample, ledger: Ledger) -> None:
    ledger.findings.extend(sample.findings)
    ledger.counts.update(sample.counts)
    for name, agrees in sample.mirror.items():
        ledger.mirror.setdefault(name, []).append(agrees)
    if not sample.sequences:
        return
    first = next(iter(sample.sequences.values()))
    fields = ("id", "label", "subject", "camera", "setup", "repetition", "frames", "bodies")
    ledger.rows.append({name: getattr(first, name) for name in fields})
    for name, offsets in ledger.offsets.items():
        sequence = sample.sequences.get(name)
        offsets.append(offsets[-1] + (sequence.frames if sequence else 0))
        if sequence:
            ledger.bodies[name] = max(ledger.bodies[name], sequence.bodies)


def _append(
    sample: Sample,
    sequences: dict[str, dict[str, store.ArrayWriter]],
    streams: dict[tuple[str, int], store.ArrayWriter],
) -> None:
    for name, sequence in sample.sequences.items():
        order = np.full((sequence.frames, sequences[name]["order"].row[0]), -1, np.int8)
        order[:, : sequence.bodies] = sequence.order
        sequences[name]["joints"].append(sequence.joints)
        sequences[name]["present"].append(sequence.present)
        sequences[name]["order"].append(order)
    for key, writer in streams.items():
        joint = sample.streams.get(key)
        writer.append(np.zeros((1, *writer.row), np.float32) if joint is None else joint[None])


def _counted(
    samples: Generator[Sample, None, None], total: int, on_progress: OnProgress | None
) -> Generator[Sample, None, None]:
    with closing(samples):
        for done, sample in enumerate(samples, start=1):
            yield sample
            if on_progress:
                on_progress(done, total)


def _refuse_findings(findings: Iterable[Finding], strict: bool) -> None:
    """In strict mode: raise the first finding that tells of a bad file."""
    for finding in findings:
        if strict and finding.problem not in _EXPECTED:
            place = f", {finding.place}" if finding.place else ""
            detail = f" ({finding.detail})" if finding.detail else ""
            raise RawDataError(
                f"{finding.problem}{detail}",
                where=f"{finding.file}{place}",
                remedy="Mend or remove the file, or convert without --strict to have it recorded",
            )


def _nothing_read(folder: Path, ledger: Ledger) -> SkelError:
    bad = Counter(finding.problem for finding in ledger.findings)
    reasons = ", ".join(f"{count} x {problem}" for problem, count in bad.most_common(3)) or "no raw file"
    example = f", e.g. {ledger.findings[0].file}: {ledger.findings[0].detail}" if ledger.findings else ""
    return SkelError(
        f"no sample could be read ({reasons}{example})",
        where=folder,
        remedy="Check that the raw files are those of this data set",
    )


# ----------------------------------------------------------------------------------------------- finish


def _finish(
    partial: Path, dataset: Dataset, plan: Plan, ledger: Ledger, folder: Path, tasks: list[Task]
) -> StoreManifest:
    """Write all that is small, read everything back for its checksum, and write the manifest."""
    kept = tuple(name for name in plan.specs if ledger.offsets[name][-1])
    for name in set(plan.specs) - set(kept):
        for group in ("sequences", "streams"):
            shutil.rmtree(partial / group / name)
    root = store.reopen(partial)
    protocols = _write_columns(root, dataset, ledger, kept)
    store.write_graphs(root, {name: plan.specs[name] for name in kept})
    store.write_findings(root, ledger.findings)
    arrays = store.describe_all(root)
    _check(arrays, ledger, kept)
    manifest = StoreManifest(
        format=FORMAT,
        dataset=dataset.name,
        synthetic=(folder / _DEMO).is_file(),
        tool=f"skeltools {__version__}",
        samples=len(ledger.rows),
        classes=dataset.classes,
        protocols=protocols,
        conventions={name: _convention(name, dataset, plan, ledger) for name in kept},
        recipe=RecipeRecord(
            name=plan.recipe, steps=resolve(plan.recipe), counts=dict(sorted(ledger.counts.items()))
        ),
        arrays=arrays,
        findings=dict(sorted(Counter(finding.problem for finding in ledger.findings).items())),
        source=planning.source_of(folder, tasks),
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
    root: store.Group, dataset: Dataset, ledger: Ledger, kept: tuple[str, ...]
) -> dict[str, ProtocolInfo]:
    """``samples``, ``splits`` and the offsets of ``sequences``; returns what was split how."""
    columns: dict[str, NDArray[Any]] = {
        name: np.array([row[name] for row in ledger.rows], dtype=dtype) for name, dtype in _COLUMNS.items()
    }
    ids = np.array([row["id"] for row in ledger.rows], dtype=object)
    for name, values in {"id": ids, **columns}.items():
        store.write_array(root, f"samples/{name}", values, ("N",))
    for name in kept:
        offsets = np.array(ledger.offsets[name], dtype=np.int64)
        store.write_array(root, f"sequences/{name}/offsets", offsets, ("N+1",))
    halves = splits.assign(
        dataset.name, subject=columns["subject"], camera=columns["camera"], setup=columns["setup"]
    )
    for name, half in halves.items():
        store.write_array(root, f"splits/{name}", half, ("N",))
    rules = splits.PROTOCOLS[dataset.name]
    return {
        name: ProtocolInfo(
            rule=rules[name].rule,
            train=int((half == splits.TRAIN).sum()),
            test=int((half == splits.TEST).sum()),
        )
        for name, half in halves.items()
    }


def _convention(name: str, dataset: Dataset, plan: Plan, ledger: Ledger) -> ConventionInfo:
    offsets = ledger.offsets[name]
    lacking = tuple(row["id"] for i, row in enumerate(ledger.rows) if offsets[i] == offsets[i + 1])
    if name == dataset.convention:
        return ConventionInfo(reader=dataset.reader, axes=NATIVE_AXES, missing=lacking)
    axes = MIRRORED_AXES if plan.mirrored else STRAIGHT_AXES
    return ConventionInfo(reader="metrabs", axes=axes, mirrored_video=plan.mirrored, missing=lacking)


def _check(arrays: dict[str, ArrayInfo], ledger: Ledger, kept: tuple[str, ...]) -> None:
    """What was read back has as many rows and frames as were put in. Anything else is a defect of ours."""
    expected = {
        path: len(ledger.rows) for path in arrays if path.startswith(("samples/", "splits/", "streams/"))
    }
    for name in kept:
        expected |= {
            f"sequences/{name}/{part}": ledger.offsets[name][-1] for part in ("joints", "present", "order")
        }
        expected[f"sequences/{name}/offsets"] = len(ledger.rows) + 1
    for path, rows in expected.items():
        found = arrays[path].shape[0] if path in arrays else 0
        if found != rows:
            raise StoreError(f"{found} rows were written instead of {rows}", where=path, remedy="Report this")


def _mirror_findings(plan: Plan, ledger: Ledger) -> tuple[str, ...]:
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
