"""Assemble finished parts into the sharded arrays of a store, in order and in one process.

A file of an array is written once, when the parts that it needs are finished; it is then synced to disk and
entered in the journal; after that, parts that no array needs any more lose their arrays. So at every moment
each row is in a file of the journal or in a part, and only one file at a time is in memory.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas import Finding
from skeltools import store
from skeltools.conversion import chunks, fingerprint, planning, sample
from skeltools.conversion.chunks import Ledger
from skeltools.conversion.fingerprint import Stamps
from skeltools.conversion.progress import OnNote, OnProgress, Progress
from skeltools.conversion.publish import Work
from skeltools.conversion.sample import Plan, Task
from skeltools.conversion.workers import Job, Workers, read_parts
from skeltools.files import durable

_ROWS = ""
"""Key of ``_Assembly.ends`` for arrays with one row per sample; the other keys are conventions."""


@dataclass(frozen=True)
class _Growing:
    """An array being written, and what its first axis counts."""

    path: str
    unit: str
    writer: store.ArrayWriter


@dataclass
class _Assembly:
    """The arrays of a store being written, from the parts of a work folder."""

    work: Work
    ledger: Ledger
    growing: tuple[_Growing, ...]
    ends: dict[str, list[int]]
    """Unit of the arrays -> their total length after each part that was taken, starting with 0."""
    removed: int = 0
    """Number of parts whose arrays are removed."""

    def take(self, number: int) -> list[Finding]:
        """Take the next finished part: add its ledger, and write the files that are now full.

        Returns the findings of this part.
        """
        part = chunks.read_ledger(self.work.parts, number)
        self.ledger.extend(part)
        self.ends[_ROWS].append(self.ends[_ROWS][-1] + len(part.rows))
        for name, frames in part.frames.items():
            self.ends[name].append(self.ends[name][-1] + sum(frames))
        self._write(final=False)
        return part.findings

    def close(self) -> None:
        """Write what is left after the last part, and cut axis M of the sequences to the size that they need.

        Arrays that are stored only if they are not all zero are removed where they are.
        """
        self._write(final=True)
        for array in self.growing:
            needed = None if array.unit == _ROWS else max(1, self.ledger.bodies[array.unit])
            array.writer.close(second_axis=needed)
            if array.path.rpartition("/")[2] in store.OF_JOINTS:
                store.remove_empty(store.reopen(self.work.made), array.path)

    def _write(self, *, final: bool) -> None:
        written = False
        for array in self.growing:
            there = self.ends[array.unit][-1]
            while (left := there - array.writer.rows) >= array.writer.shard or (final and left):
                stop = array.writer.rows + min(left, array.writer.shard)
                array.writer.append(self._gather(array, stop))
                array.writer.flush()
                self._sync(array)
                written = True
        if written:
            rows = {array.path: _in_full_files(array) for array in self.growing}
            durable.write_text(self.work.journal, json.dumps(rows))
            self._remove_parts()

    def _gather(self, array: _Growing, stop: int) -> NDArray[np.generic]:
        """Rows from the last written one to ``stop``, from the parts that hold them."""
        ends, at = self.ends[array.unit], array.writer.rows
        fill = chunks.fill_of(array.path)
        block = np.full((stop - at, *array.writer.row), fill, dtype=array.writer.dtype)
        number, filled = bisect_right(ends, at) - 1, 0
        while filled < len(block):
            first = at + filled - ends[number]
            count = min(ends[number + 1] - ends[number] - first, len(block) - filled)
            values = chunks.read_array(self.work.parts, number, array.path) if count else None
            if values is not None:
                place = (slice(filled, filled + count), *(slice(0, size) for size in values.shape[1:]))
                block[place] = values[first : first + count]
            filled += count
            number += 1
        return block

    def _sync(self, array: _Growing) -> None:
        """Sync the file that was written last; an array of zeros only has none."""
        folder = self.work.made / array.path / "c" / str((array.writer.rows - 1) // array.writer.shard)
        if folder.is_dir():
            durable.sync_tree(folder)
            durable.sync(folder.parent)

    def _remove_parts(self) -> None:
        """Remove arrays of parts that lie in full files of every array; a partial last file may change."""
        done = min(bisect_right(self.ends[array.unit], _in_full_files(array)) - 1 for array in self.growing)
        for number in range(self.removed, done):
            chunks.arrays_file(self.work.parts, number).unlink(missing_ok=True)
        self.removed = max(self.removed, done)


def assemble(
    work: Work,
    plan: Plan,
    tasks: list[Task],
    *,
    findings: Iterable[Finding],
    workers: Workers,
    stamps: Stamps,
    strict: bool,
    on_progress: OnProgress | None,
    on_note: OnNote | None,
) -> Ledger:
    """Read what an earlier run did not, and write all growing arrays; returns the ledger of all rows.

    ``findings`` precede those of the samples. ``stamps``: the raw files as planned, for a cluster.
    ``on_note`` receives a message about what was already done.
    """
    assembly = _begin(work, plan, Ledger.of(plan, findings))
    groups = chunks.cut(tasks)
    left = _unfinished(assembly, len(groups))
    read_before = len(tasks) - sum(len(groups[number]) for number in left)
    progress = Progress(len(tasks), on_progress, read_before)
    if work.resumed and on_note:
        on_note(f"resuming: {read_before} of {len(tasks)} samples were done")
    jobs = jobs_of(left, groups, plan, work.parts, strict=strict, stamps=stamps if workers.dask else None)
    with closing(read_parts(jobs, workers=workers, on_sample=progress.add)) as finished:
        waiting = set(left)
        for number in range(len(groups)):
            if number in waiting:
                next(finished)
            part_findings = assembly.take(number)
            if strict:
                planning.refuse(part_findings)
    assembly.close()
    return assembly.ledger


def jobs_of(
    numbers: Iterable[int],
    groups: Sequence[list[Task]] | Mapping[int, list[Task]],
    plan: Plan,
    folder: Path,
    *,
    strict: bool,
    stamps: Stamps | None,
) -> list[Job]:
    """Jobs for the parts with these numbers.

    With ``stamps`` they may be read on another machine, which must see the same raw files and run the same
    program.
    """
    program = "" if stamps is None else fingerprint.program()

    def stamps_of(tasks: list[Task]) -> Stamps | None:
        return None if stamps is None else {path: stamps[path] for path in fingerprint.paths_of(tasks)}

    folder = folder.absolute()
    return [
        Job(number, groups[number], plan, folder, strict, program, stamps_of(groups[number]))
        for number in numbers
    ]


def _begin(work: Work, plan: Plan, ledger: Ledger) -> _Assembly:
    """Open the arrays as far as they are written according to the journal of an earlier run."""
    rows: dict[str, int] = {}
    if work.made.is_dir() and work.journal.is_file():
        rows = json.loads(work.journal.read_text(encoding="utf-8"))
    root = store.restart(work.made, rows)
    growing = tuple(_growing(root, plan, rows))
    ends = {unit: [0] for unit in (_ROWS, *plan.specs)}
    return _Assembly(work, ledger, growing, ends)


def _unfinished(assembly: _Assembly, total: int) -> list[int]:
    """Numbers of the parts, out of ``total``, that still have to be read."""
    counted = dict.fromkeys(assembly.ends, 0)
    left = []
    finished = chunks.finished(assembly.work.parts)
    for number in range(total):
        if number not in finished:
            left.append(number)
            continue
        part = chunks.read_ledger(assembly.work.parts, number)
        counted[_ROWS] += len(part.rows)
        for name, frames in part.frames.items():
            counted[name] += sum(frames)
        in_store = not left and all(counted[a.unit] <= a.writer.rows for a in assembly.growing)
        if not (in_store or chunks.arrays_file(assembly.work.parts, number).is_file()):
            left.append(number)
    return left


def _in_full_files(array: _Growing) -> int:
    return array.writer.rows // array.writer.shard * array.writer.shard


def _growing(root: store.Group, plan: Plan, rows: dict[str, int]) -> Iterable[_Growing]:
    limit = sample.track_limit(plan.bodies)
    for name, spec in plan.specs.items():
        joints = spec.num_joints
        writers = store.sequence_writers(root, name, joints=joints, bodies=limit, rows=rows)
        for part, writer in writers.items():
            yield _Growing(f"sequences/{name}/{part}", name, writer)
        for frames in plan.frames:
            path = store.stream_path(name, frames, "joint")
            writer = store.stream_writer(
                root, path, frames=frames, joints=joints, bodies=plan.bodies, rows=rows.get(path, 0)
            )
            yield _Growing(path, _ROWS, writer)
