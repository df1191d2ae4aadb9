"""A conversion in three steps, for job arrays of a cluster and for plain shells: plan, read shards, publish.

store.zarr.partial/
  shards/<number>.json   parts of a shard: their raw files, with the stamps of these
  shards/plan.json       what all shards have in common, and the options; written last

A shard is a run of parts. It needs only these two files, the raw files and this program, so shards may be
read in any order, repeatedly and concurrently: whoever reads a part writes the same bytes. Publishing
discovers the raw files again, and continues only if that leads to the plan that the shards were read by.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from schemas import Count, Length, RawDataError, StoreError, UsageError, checks_arguments
from schemas.places import is_address
from skeltools import store
from skeltools.conversion import Summary, carry_out, chunks, fingerprint, publish
from skeltools.conversion.assemble import jobs_of
from skeltools.conversion.fingerprint import Stamps
from skeltools.conversion.planning import PlannedConversion, Request, begin
from skeltools.conversion.progress import OnNote, OnProgress, Progress
from skeltools.conversion.sample import Plan, Task
from skeltools.conversion.workers import Job, Workers, read_parts
from skeltools.files import durable

_PLAN = TypeAdapter(Plan)
_REQUEST = TypeAdapter(Request)
_TASKS = TypeAdapter(dict[int, list[Task]])
_STAMPS = TypeAdapter(Stamps)
_COMMON = "plan.json"


@dataclass(frozen=True)
class Planned:
    """The result of ``plan_shards``."""

    out: Path
    shards: int
    samples: int
    filled: int
    """Shards that have something to read; such a shard has 64 samples or more."""


@dataclass(frozen=True)
class ShardRead:
    """What ``read_shard`` did."""

    samples: int
    """Samples of the shard."""
    read: int
    """Number of these that were read now; the others had been read before."""


@checks_arguments
def plan_shards(
    dataset: str,
    *,
    out: Path | str,
    shards: Count,
    raw: Path | str | Sequence[Path | str] | None = None,
    source: str | None = None,
    frames: Sequence[Length] | None = None,
    recipe: str | None = None,
    conventions: Sequence[str] | None = None,
    mirrored: bool | None = None,
    strict: bool = False,
    force: bool = False,
    fresh: bool = False,
    name: str | None = None,
    classes: Path | str | Sequence[str] | None = None,
    uncut: bool = False,
    on_note: OnNote | None = None,
) -> Planned:
    """Divide a conversion into ``shards`` that ``read_shard`` reads on any machine that sees the files.

    The other options are those of ``convert``, and apply to all three steps. What shards of the same plan
    have already read is kept. Raises what ``convert`` raises before it reads.
    """
    request = Request.of(
        dataset, raw=raw, source=source, frames=frames, recipe=recipe, conventions=conventions,
        mirrored=mirrored, strict=strict, name=name, classes=classes, uncut=uncut,
    ).anywhere()  # fmt: skip
    out = _folder(out)
    publish.check_target(out, force=force)
    planned = begin(request, on_note=on_note)
    with publish.working(out, plan=planned.digest, fresh=fresh, on_note=on_note) as work:
        groups = chunks.cut(planned.tasks)
        runs = [_parts(number, shards, len(groups)) for number in range(shards)]
        work.shards.mkdir(exist_ok=True)
        (work.shards / _COMMON).unlink(missing_ok=True)
        for number, run in enumerate(runs):
            _write(work.shards / f"{number}.json", _shard(run, groups, planned.stamps))
        _write(work.shards / _COMMON, _common(request, planned, force, shards, len(groups)))
    return Planned(out, shards, len(planned.tasks), sum(map(bool, runs)))


def _folder(out: Path | str) -> Path:
    if is_address(out):
        raise UsageError(
            "shards are read to a folder that all machines see", where=out, remedy="Name one with --out"
        )
    return Path(out).absolute()


@checks_arguments
def read_shard(
    out: Path | str,
    number: Annotated[int, Field(ge=0)],
    *,
    workers: Annotated[int, Field(ge=0)] = 0,
    on_progress: OnProgress | None = None,
) -> ShardRead | None:
    """Read a shard of the conversion to ``out``, except what was read before.

    Returns None if the store is already published, so a job that is queued again has nothing to do.
    ``workers``: number of processes that read, as in ``convert``. Raises UsageError (no such shard, nothing
    planned), SkelError (planned by another version), RawDataError (a raw file differs from the planned one,
    or cannot be seen here; ``strict``).
    """
    out = _folder(out)
    if _is_published(out):
        return None
    common = _read_common(out)
    if number >= common["shards"]:
        last = common["shards"] - 1
        raise UsageError(f"there is no shard {number}", where=out, remedy=f"They are 0 to {last}")
    fingerprint.check_program(common["program"])
    jobs = _jobs(out, number, common)
    left = [job for job in jobs if not chunks.is_whole(job.folder, job.number)]
    total = sum(len(job.tasks) for job in left)
    for _ in read_parts(left, workers=Workers(workers), on_sample=Progress(total, on_progress).add):
        pass
    return ShardRead(sum(len(job.tasks) for job in jobs), total)


@checks_arguments
def publish_shards(out: Path | str) -> Summary:
    """Assemble the store at ``out`` from its shards, byte for byte the one that ``convert`` makes.

    A store that is already published stays as it is. Raises UsageError (nothing planned), StoreError (missing
    shards), SkelError (planned by another version), RawDataError (a raw file has changed since), and what
    ``convert`` raises.
    """
    out = _folder(out)
    if _is_published(out):
        opened = store.open_store(out)
        return Summary(out, opened.manifest, store.read_findings(opened), ())
    common = _read_common(out)
    fingerprint.check_program(common["program"])
    if missing := _missing(out, common):
        are = "is" if len(missing) == 1 else "are"
        line = f"skeltools convert shard {shlex.quote(str(out))} {missing[0]}"
        raise StoreError(
            f"of {common['shards']} shards {in_words(missing)} {are} missing",
            where=out,
            remedy=f"Read each: {line}; then publish again",
        )
    for number in range(common["shards"]):
        fingerprint.check_same(_read_shard(out, number)["stamps"])
    planned = begin(_REQUEST.validate_python(common["asked"]))
    if planned.digest != common["digest"]:
        raise RawDataError(
            "there are other raw files or settings than when the conversion was planned",
            where=planned.roots[0],
            remedy="Plan again",
        )
    return carry_out(planned, out, workers=Workers(), force=common["force"])


# ------------------------------------------------------------------------------------------------ parts


def _parts(number: int, shards: int, parts: int) -> range:
    """The parts of a shard: runs that differ by one part at most."""
    return range(number * parts // shards, (number + 1) * parts // shards)


def _missing(out: Path, common: dict[str, Any]) -> list[int]:
    """Shards with an unfinished part."""
    folder = publish.parts_folder(out, common["digest"])
    finished = chunks.finished(folder) if folder.is_dir() else set()
    count, parts = common["shards"], common["count"]
    return [number for number in range(count) if not finished.issuperset(_parts(number, count, parts))]


def in_words(numbers: Iterable[int]) -> str:
    """Numbers, with consecutive ones as ranges.

    >>> in_words([1, 2, 3, 7, 9, 10])
    '1-3, 7, 9, 10'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = [f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(words)


def _jobs(out: Path, number: int, common: dict[str, Any]) -> list[Job]:
    shard = _read_shard(out, number)
    groups = _TASKS.validate_python(shard["parts"])
    plan = _PLAN.validate_python(common["plan"])
    return jobs_of(
        groups,
        groups,
        plan,
        publish.parts_folder(out, common["digest"]),
        strict=common["asked"]["strict"],
        stamps=shard["stamps"],
    )


# ------------------------------------------------------------------------------------------------ files


def _common(
    request: Request, planned: PlannedConversion, force: bool, shards: int, count: int
) -> dict[str, Any]:
    return {
        "program": fingerprint.program(),
        "digest": planned.digest,
        "asked": _plain(request),
        "plan": _PLAN.dump_python(planned.plan, mode="json"),
        "force": force,
        "shards": shards,
        "count": count,
    }


def _shard(run: Iterable[int], groups: Sequence[list[Task]], stamps: Stamps) -> dict[str, Any]:
    parts = {number: groups[number] for number in run}
    paths = fingerprint.paths_of(task for tasks in parts.values() for task in tasks)
    return {
        "parts": {number: list(map(_plain, tasks)) for number, tasks in parts.items()},
        "stamps": {path: stamps[path] for path in paths},
    }


def _plain(value: Request | Task) -> dict[str, Any]:
    return dict(json.loads(json.dumps(dataclasses.asdict(value), default=_simple)))


def _simple(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else str(value)


def _write(path: Path, content: dict[str, Any]) -> None:
    durable.write_text(path, json.dumps(content))


def _is_published(out: Path) -> bool:
    return not publish.work_folder(out).exists() and store.is_store(out)


def _read_common(out: Path) -> dict[str, Any]:
    path = publish.shards_folder(out) / _COMMON
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        remedy = f"Begin with skeltools convert plan DATASET --out {shlex.quote(str(out))} --shards N"
        raise UsageError("no conversion in shards is planned", where=out, remedy=remedy) from None
    except ValueError as error:
        raise UsageError(f"is damaged ({error})", where=path, remedy="Plan again") from error


def _read_shard(out: Path, number: int) -> dict[str, Any]:
    shard = json.loads((publish.shards_folder(out) / f"{number}.json").read_text(encoding="utf-8"))
    return {**shard, "stamps": _STAMPS.validate_python(shard["stamps"])}
