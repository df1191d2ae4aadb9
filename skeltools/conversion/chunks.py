"""Parts of a conversion: a fixed number of samples each, read by one process and stored in two files.

    <number>.npz     the arrays of its samples, concatenated; removed once they are in the store
    <number>.json    everything small: fields, lengths, findings, counts; kept until the store is complete

The second file is written last: a part that has it is finished. The content of a part depends only on its
samples and the plan, not on who reads it or when.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import Finding
from schemas.arrays import SAMPLES as COLUMNS
from skeltools import store
from skeltools.conversion.sample import Plan, Sample, Task
from skeltools.files import durable
from skeltools.people import Look
from skeltools.sequence import SkeletonSequence

SAMPLES = 64
"""Samples per part: the most that each worker loses when a conversion is killed."""


def cut(tasks: list[Task]) -> list[list[Task]]:
    """Split tasks into runs of ``SAMPLES``; the index of a run is the number of its part."""
    return [tasks[start : start + SAMPLES] for start in range(0, len(tasks), SAMPLES)]


def finished(folder: Path) -> set[int]:
    """Numbers of the finished parts.

    The folder is listed, rather than tested name by name: a network file system remembers for a while that a
    file did not exist, and another machine may have written it since.
    """
    matches = (re.fullmatch(r"(\d+)\.json", name) for name in os.listdir(folder))
    return {int(match[1]) for match in matches if match}


def is_whole(folder: Path, number: int) -> bool:
    """Whether a part has both of its files."""
    return arrays_file(folder, number).is_file() and _ledger_file(folder, number).is_file()


def write(folder: Path, number: int, *, samples: Iterable[Sample], plan: Plan) -> None:
    """Collect the samples of a part and write its two files."""
    ledger = Ledger.of(plan)
    clips: dict[str, list[NDArray[Any]]] = {}
    joints: dict[str, dict[int, NDArray[np.float32]]] = {}
    for sample in samples:
        ledger.add(sample, keep=plan.base is not None)
        for name, sequence in sample.sequences.items():
            for part in ("joints", "present", "order"):
                clips.setdefault(f"sequences/{name}/{part}", []).append(getattr(sequence, part))
            for part in store.OF_JOINTS:
                values = getattr(sequence, part)
                if values is None:
                    values = np.zeros(sequence.joints.shape[:3], store.OF_JOINTS[part])
                clips.setdefault(f"sequences/{name}/{part}", []).append(values)
        for (name, frames), joint in sample.streams.items():
            joints.setdefault(f"streams/{name}/t{frames}/joint", {})[len(ledger.rows) - 1] = joint
    arrays = {path: _end_to_end(path, blocks) for path, blocks in clips.items()}
    arrays = {
        path: values for path, values in arrays.items() if _name(path) not in store.OF_JOINTS or values.any()
    }
    arrays |= {path: _in_rows(by_row, len(ledger.rows)) for path, by_row in joints.items()}
    durable.write(arrays_file(folder, number), lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]
    durable.write(_ledger_file(folder, number), lambda file: file.write(ledger.to_json().encode()))


def read_array(folder: Path, number: int, path: str) -> NDArray[Any] | None:
    """One array of a part, by its path in the store; None if the part does not have it."""
    with np.load(arrays_file(folder, number), allow_pickle=False) as arrays:
        return arrays.get(path)


def arrays_file(folder: Path, number: int) -> Path:
    return folder / f"{number:06}.npz"


def _ledger_file(folder: Path, number: int) -> Path:
    return folder / f"{number:06}.json"


def _end_to_end(path: str, clips: list[NDArray[Any]]) -> NDArray[Any]:
    """Concatenate the frames of all clips; clips with fewer bodies are padded on that axis."""
    bodies = max(clip.shape[1] for clip in clips)
    made = np.full((sum(map(len, clips)), bodies, *clips[0].shape[2:]), fill_of(path), dtype=clips[0].dtype)
    at = 0
    for clip in clips:
        made[at : at + len(clip), : clip.shape[1]] = clip
        at += len(clip)
    return made


def _in_rows(joints: dict[int, NDArray[np.float32]], rows: int) -> NDArray[np.float32]:
    """Row -> [3, T, V, M] to [rows, 3, T, V, M], zero for rows without an entry."""
    made = np.zeros((rows, *next(iter(joints.values())).shape), np.float32)
    for row, joint in joints.items():
        made[row] = joint
    return made


def fill_of(path: str) -> int:
    """Fill value for absent bodies: -1 in ``order``, else zero."""
    return -1 if _name(path) == "order" else 0


def _name(path: str) -> str:
    return path.rpartition("/")[2]


# --------------------------------------------------------------------------------------------- ledger


@dataclass
class Ledger:
    """Everything known about rows except the poses, for one part or for all parts so far."""

    frames: dict[str, list[int]]
    """convention -> frames of each row, 0 where it lacks the sample."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    bodies: Counter[str] = field(default_factory=Counter)
    """convention -> size of axis M that its sequences need."""
    counts: Counter[str] = field(default_factory=Counter)
    mirror: dict[str, list[bool]] = field(default_factory=dict)
    looks: dict[str, list[Look]] = field(default_factory=dict)
    """convention -> looks of the clips that were inspected."""
    findings: list[Finding] = field(default_factory=list)

    @classmethod
    def of(cls, plan: Plan, findings: Iterable[Finding] = ()) -> Ledger:
        return cls({name: [] for name in plan.specs}, findings=list(findings))

    def add(self, sample: Sample, *, keep: bool) -> None:
        """Record a sample; with ``keep``, a sample without any clip is a row as well."""
        self.findings.extend(sample.findings)
        self.counts.update(sample.counts)
        for name, agrees in sample.mirror.items():
            self.mirror.setdefault(name, []).append(agrees)
        for name, look in sample.looks.items():
            self.looks.setdefault(name, []).append(look)
        first = next(iter(sample.sequences.values()), None)
        if first is None and not keep:
            return
        self.rows.append(_row(first) if first else {"id": sample.id})
        for name, frames in self.frames.items():
            sequence = sample.sequences.get(name)
            frames.append(sequence.frames if sequence else 0)
            if sequence:
                self.bodies[name] = max(self.bodies[name], sequence.bodies)

    def extend(self, part: Ledger) -> None:
        """Append the ledger of the next part."""
        self.rows.extend(part.rows)
        self.counts.update(part.counts)
        self.findings.extend(part.findings)
        for name, frames in self.frames.items():
            frames.extend(part.frames[name])
            self.bodies[name] = max(self.bodies[name], part.bodies[name])
        for name, agree in part.mirror.items():
            self.mirror.setdefault(name, []).extend(agree)
        for name, looks in part.looks.items():
            self.looks.setdefault(name, []).extend(looks)

    @property
    def ids(self) -> list[str]:
        return [row["id"] for row in self.rows]

    def to_json(self) -> str:
        content = {name: getattr(self, name) for name in ("frames", "rows", "bodies", "counts", "mirror")}
        findings = [finding.model_dump(mode="json") for finding in self.findings]
        looks = {name: [asdict(look) for look in each] for name, each in self.looks.items()}
        return json.dumps({**content, "findings": findings, "looks": looks})


def _row(clip: SkeletonSequence) -> dict[str, Any]:
    """Columns of ``samples``; ``bodies`` counts people who are present, whatever the size of axis M."""
    people = int(clip.present.any(axis=0).sum())
    return {**{name: getattr(clip, name) for name in COLUMNS}, "bodies": people}


def read_ledger(folder: Path, number: int) -> Ledger:
    """Read the ledger of a finished part."""
    content = json.loads(_ledger_file(folder, number).read_text(encoding="utf-8"))
    return Ledger(
        frames=content["frames"],
        rows=content["rows"],
        bodies=Counter(content["bodies"]),
        counts=Counter(content["counts"]),
        mirror=content["mirror"],
        looks={name: [Look(**look) for look in each] for name, each in content["looks"].items()},
        findings=[Finding.model_validate(row) for row in content["findings"]],
    )
