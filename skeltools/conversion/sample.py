"""Read and prepare one sample, independently of stores."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import Finding, RawDataError, SkelError, SkeletonSpec
from schemas.parsing import LIMITS, failure, reason
from skeltools import people
from skeltools.custom.unseen import NeverSeenError
from skeltools.formats import FORMATS
from skeltools.people import Look
from skeltools.preprocess import Dropped, Recipe, check_fits, prepare
from skeltools.raw_items import RawItem, skipped
from skeltools.readers import READERS
from skeltools.sequence import UNKNOWN, SkeletonSequence, per_body

MAX_TRACKS = 4
"""Most tracks of a clip that ``sequences`` keeps.

Kinect sees 6 people at most; a person who was lost gets a new id.
"""

UNREADABLE = "unreadable file"
FAILED = "reader failed"
"""Problem of a file whose reader raised anything but a RawDataError or one of ``LIMITS``.

That is a fault of the reader, whatever the file is like.
"""
NEVER_SEEN = "joints never seen"
_HDF5 = (".h5", ".hdf5")


@dataclass(frozen=True)
class Plan:
    """What reading a sample depends on, other than its files; small, as workers get it with every batch."""

    reader: str
    native: str
    specs: dict[str, SkeletonSpec]
    """The conventions to keep, the native one first."""
    frames: tuple[int, ...]
    recipe: Recipe
    bodies: int
    """Bodies of a stream; ``sequences`` keeps more where a clip has more."""
    mirrored: bool
    base: Path | None = None
    """The store that conventions are added to: its rows are the samples, and it has their native clips."""
    classes: int | None = None
    """Number of classes that an archive's labels may refer to; None where the reader checks it."""
    native_spec: SkeletonSpec | None = None
    """The native convention if it is a user's own, whether or not it is kept."""
    own: bool = False
    """Whether the native clips are a user's own, whose axes may be those of a room."""
    rate: float | None = 30.0
    """Frames per second of the native clips; None if unknown."""

    def __post_init__(self) -> None:
        """Raise UsageError for a recipe with a step that a convention cannot have."""
        check_fits(self.recipe, self.specs.values())


@dataclass(frozen=True)
class Task:
    """The raw files of one sample, by convention."""

    id: str
    items: dict[str, RawItem]
    compare: frozenset[str] = frozenset()
    """Conventions whose left/right reading is compared with the native skeleton on this clip."""
    look: frozenset[str] = frozenset()
    """Conventions for which this clip is among those inspected for whether they show people."""


@dataclass(frozen=True)
class Sample:
    """The result of a task; conventions that could not be read are absent, and among the findings."""

    id: str
    sequences: dict[str, SkeletonSequence] = field(default_factory=dict)
    streams: dict[tuple[str, int], NDArray[np.float32]] = field(default_factory=dict)
    """(convention, T) -> [3, T, V, M]."""
    counts: dict[str, int] = field(default_factory=dict)
    """Counts of the recipe's steps, at the first T."""
    findings: tuple[Finding, ...] = ()
    mirror: dict[str, bool] = field(default_factory=dict)
    """Convention -> whether the chosen left/right reading fits the native skeleton better."""
    looks: dict[str, Look] = field(default_factory=dict)


def track_limit(bodies: int) -> int:
    """Tracks that ``sequences`` keeps for a data set whose streams have ``bodies`` bodies."""
    return 1 if bodies == 1 else max(bodies, MAX_TRACKS)


# ----------------------------------------------------------------------------------------- one sample


def read_sample(task: Task, plan: Plan, *, native: SkeletonSequence | None = None) -> Sample:
    """Read a sample's files and prepare its streams; what cannot be read becomes a finding.

    ``native``: its native clip, if that is not among the files.
    """
    findings: list[Finding] = []
    clips = _read_clips(task, plan, findings, native)
    native = clips.get(plan.native, native)
    mirror = {
        name: _fits(native, clips[name], plan, name)
        for name in sorted(task.compare & clips.keys())
        if native is not None and plan.reader not in FORMATS
    }
    sequences: dict[str, SkeletonSequence] = {}
    streams: dict[tuple[str, int], NDArray[np.float32]] = {}
    counts: Counter[str] = Counter()
    for name in plan.specs:
        made = _prepare(clips[name], plan, task.items[name], findings) if name in clips else None
        if made is not None:
            sequences[name] = _keep_tracks(clips[name], track_limit(plan.bodies), task.items[name], findings)
            streams |= {(name, frames): joint for frames, (joint, _) in made.items()}
            counts.update(made[plan.frames[0]][1])
    looks = {
        name: people.look_at(clips[name], plan.specs[name]) for name in sorted(task.look & sequences.keys())
    }
    seen = {name: look for name, look in looks.items() if look is not None}
    return Sample(task.id, sequences, streams, dict(counts), tuple(findings), mirror, seen)


def _read_clips(
    task: Task, plan: Plan, findings: list[Finding], given: SkeletonSequence | None
) -> dict[str, SkeletonSequence]:
    """The sample's clips by convention, the native one first because the others' tracks are matched to it."""
    clips: dict[str, SkeletonSequence] = {}
    for name in sorted(task.items, key=lambda name: (name != plan.native, name)):
        item = task.items[name]
        try:
            clips[name] = _storable(_read(item, name, plan, clips.get(plan.native, given)), plan, item)
        except RawDataError as error:
            findings.append(_unreadable(item, error))
        except SkelError:
            raise
        except LIMITS as error:
            findings.append(_unreadable(item, RawDataError(reason(error), where=item.where)))
        except Exception as error:
            findings.append(skipped(file_of(item), FAILED, failure(error)))
        else:
            findings += [row.model_copy(update={"file": file_of(item)}) for row in clips[name].findings]
    return clips


def _read(item: RawItem, name: str, plan: Plan, native: SkeletonSequence | None) -> SkeletonSequence:
    clip: SkeletonSequence
    if name == plan.native or plan.reader in FORMATS:
        clip = READERS[plan.reader].read(item)
    else:
        rate = {"native_rate": plan.rate} if plan.own else {}
        options = {"mirrored": plan.mirrored, "spec": plan.specs[name], **_native_options(plan), **rate}
        clip = READERS["metrabs"].read(item, native=native, **options)
    return clip


def _storable(clip: SkeletonSequence, plan: Plan, item: RawItem) -> SkeletonSequence:
    """Return the clip if a store can hold it as it is; raises RawDataError otherwise."""
    zero = clip.present & ~clip.joints.any(axis=(2, 3))
    if zero.any():
        raise RawDataError(
            f"frame {int(zero.any(axis=1).argmax())}: a body has all joints at zero, or nearer to it than "
            "numbers of 32 bits can tell",
            where=item.where,
        )
    if plan.classes is not None and not UNKNOWN <= clip.label < plan.classes:
        raise RawDataError(f"label {clip.label} is none of the {plan.classes} classes", where=item.where)
    return clip


def file_of(item: RawItem) -> str:
    """A raw file's name in findings, with its convention if it is beside others of the same name."""
    if item.path.lower().endswith(_HDF5):
        return f"{Path(item.path).name}::{item.member}"
    return f"{item.convention}/{item.file}" if Path(item.path).parent.name == item.convention else item.file


def _unreadable(item: RawItem, error: RawDataError) -> Finding:
    advice = f". {error.remedy}" if error.remedy else ""
    place, detail = "", " ".join(f"{error.message.rstrip('.')}{advice}".split())
    if match := re.match(r"(line \d+|frame \d+): ", detail):
        place, detail = match[1], detail[match.end() :]
    problem = NEVER_SEEN if isinstance(error, NeverSeenError) else UNREADABLE
    return Finding(file=file_of(item), place=place, problem=problem, detail=detail, action="skipped")


def _native_options(plan: Plan) -> dict[str, Any]:
    """What readers of estimated poses must know about native clips that are a user's own."""
    return {"native_spec": plan.native_spec} if plan.own else {}


def _fits(native: SkeletonSequence, estimated: SkeletonSequence, plan: Plan, name: str) -> bool:
    check = READERS["metrabs"].mirror_check
    turned = {"turned": True} if plan.own else {}
    return bool(check(native, estimated, spec=plan.specs[name], **_native_options(plan), **turned).agrees)


def _prepare(
    clip: SkeletonSequence, plan: Plan, item: RawItem, findings: list[Finding]
) -> dict[int, tuple[NDArray[np.float32], dict[str, int]]] | None:
    """T -> joint stream and counts; None, with a finding, when the recipe leaves nothing of the clip."""
    made = {}
    for frames in plan.frames:
        outcome = prepare(
            clip, recipe=plan.recipe, spec=plan.specs[clip.convention], frames=frames, bodies=plan.bodies
        )
        if isinstance(outcome, Dropped):
            findings.append(skipped(file_of(item), "nothing left by the recipe", outcome.reason))
            return None
        made[frames] = (outcome.joint, outcome.counts)
    return made


def _keep_tracks(
    clip: SkeletonSequence, limit: int, item: RawItem, findings: list[Finding]
) -> SkeletonSequence:
    """Select the tracks that ``sequences`` keeps, in file order, with a finding when some are left out.

    The tracks that most often have one of the first two places of a frame, which are what the published
    recipe sees, come first, then those that move most.
    """
    if clip.bodies <= limit:
        return clip
    in_front = ((clip.order >= 0) & (clip.order < 2)).sum(axis=0)
    steps = np.diff(clip.joints.astype(np.float64), axis=0)
    seen_twice = clip.present[1:] & clip.present[:-1]
    motion = np.where(seen_twice, np.square(steps).sum(axis=(2, 3)), 0.0).sum(axis=0)
    tracks = sorted(np.lexsort((np.arange(clip.bodies), -motion, -in_front))[:limit].tolist())
    noun = "body" if limit == 1 else "bodies"
    findings.append(
        Finding(
            file=file_of(item),
            problem=f"more than {limit} {noun}",
            detail=f"{clip.bodies} tracks",
            action=f"sequences keep {limit}",
        )
    )
    return per_body(clip, tracks)
