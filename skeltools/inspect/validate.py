"""Check whether a store matches its manifest and the requirements of docs/reference/store-format.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import StoreError, checks_arguments, received
from skeltools import people, store
from skeltools.conversion.derive import DERIVED
from skeltools.datasets import DATASETS
from skeltools.datasets.splits import TEST, TRAIN, assign
from skeltools.inspect import bones
from skeltools.inspect.bones import NO_METRES, Lengths
from skeltools.sequence import UNKNOWN
from skeltools.store import Store, findings

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a store."""

    place: str
    """Path in the store."""
    problem: str


@dataclass
class Report:
    """What is wrong with a store, and what is merely worth knowing."""

    faults: tuple[Fault, ...] = ()
    notes: list[Fault] = field(default_factory=list)
    """What is unusual but no breach of the format.

    Examples are bones of an odd length, a source's own splits, and test clips that are training clips.
    """
    bones: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Convention -> median length and variation of each bone."""


def remedy_for(report: Report) -> str:
    """How to fix the faults of a store."""
    if all(NO_METRES in fault.problem for fault in report.faults):
        return "Mend `units` (or `axes`) in dataset.yaml, or the files, and convert again"
    return "Convert the raw data again"


@checks_arguments
def validate(path: Path | str, *, on_progress: OnProgress | None = None) -> tuple[Fault, ...]:
    """All faults of a store, empty if it is sound: see ``check``."""
    return check(path, on_progress=on_progress).faults


def check(path: Path | str, *, on_progress: OnProgress | None = None) -> Report:
    """Collect faults and notes; reads every byte of the store.

    ``on_progress(done, total)`` counts arrays. Raises StoreError when there is no store to check: absent, no
    store, of a newer format, or without a readable manifest.
    """
    opened, unsound = store.open_damaged(path)
    try:
        return _checked(opened, unsound, on_progress)
    finally:
        opened.received.close()


def _checked(opened: Store, unsound: Mapping[str, str], on_progress: OnProgress | None) -> Report:
    report = Report()
    # Arrays that must be listed, and files that do not belong to a listed array.
    unlisted, strange = received.unlisted(opened.manifest), store.strange_files(opened)
    faults = [Fault(*each) for each in (*unsound.items(), *unlisted.items(), *strange)]
    faults += _findings(opened, report)
    total = len(opened.manifest.arrays)
    for done, name in enumerate(opened.manifest.arrays, start=1):
        if name not in unsound:
            faults += _array(opened, name)
        if on_progress:
            on_progress(done, total)
    if not faults:  # the contents are only worth checking when every array is there and intact
        faults += _contents(opened, report)
    report.faults = tuple(faults)
    return report


def _contents(opened: Store, report: Report) -> list[Fault]:
    faults: list[Fault] = []
    checks = {"samples": _samples(opened), "splits": _splits(opened, report)}
    for name in opened.manifest.conventions:
        checks[f"skeletons/{name}"] = _skeleton(opened, name)
        checks[f"sequences/{name}"] = _sequences(opened, name, report)
    for name in opened.manifest.arrays:
        if name.startswith("streams/"):
            checks[name] = chain(_stream(opened, name), _derivation(opened, name))
    for place, part_faults in checks.items():
        try:
            faults += part_faults
        except StoreError as error:
            faults += [] if faults else [Fault(place, error.message)]  # else it is already reported
    if not faults:
        report.notes += _copies(opened)
    return faults


# ----------------------------------------------------------------------------------------------- layout


def _findings(opened: Store, report: Report) -> Iterator[Fault]:
    """Check that the rows are readable, match the manifest's counts, and are those of findings.csv."""
    try:
        rows = store.read_findings(opened)
        table = findings.is_equal(opened.folder, rows)
    except StoreError as error:
        yield Fault("findings", error.message)
        return
    counts = dict(Counter(row.problem for row in rows))
    if counts != opened.manifest.findings:
        yield Fault("findings", "its rows are not as many of each problem as the manifest counts")
    if table is None:
        yield Fault(findings.FILE, "is not there; `skeltools inspect STORE --findings --csv` prints it")
    elif not table:
        yield Fault(findings.FILE, "does not tell what the rows of findings do")


def _array(opened: Store, path: str) -> Iterator[Fault]:
    """Check that an array exists, is readable, and is exactly what the manifest describes."""
    expected = opened.manifest.arrays[path]
    try:
        actual = store.describe(store.array(opened, path))
    except StoreError as error:
        why = str(error.__cause__ or error.message).splitlines()[:1]
        yield Fault(path, f"cannot be read ({why[0] if why else 'it is damaged'})")
        return
    for part in ("shape", "dtype", "dimensions"):
        if getattr(actual, part) != getattr(expected, part):
            yield Fault(
                path, f"{part} is {getattr(actual, part)}, but the manifest says {getattr(expected, part)}"
            )
    if (actual.shape, actual.dtype) == (expected.shape, expected.dtype) and actual.sha256 != expected.sha256:
        yield Fault(path, "its values have changed: the checksum is not the manifest's")


# --------------------------------------------------------------------------------------------- contents


def _samples(opened: Store) -> Iterator[Fault]:
    manifest = opened.manifest
    ids = store.read_as_it_is(opened, "samples/id").tolist()
    if ids != sorted(set(ids)):
        yield Fault("samples/id", "ids are not sorted, or one is there twice")
    label = store.read_as_it_is(opened, "samples/label")
    if label.size and not (label.min() >= _lowest_label(opened) and label.max() < len(manifest.classes)):
        yield Fault("samples/label", f"a label is outside 0..{len(manifest.classes) - 1}")


def _lowest_label(opened: Store) -> int:
    """The lowest valid label: -1, for none, in a user's own clips and in recordings not cut into actions."""
    uncut = any(path.endswith("/frame_label") for path in opened.manifest.arrays)
    return UNKNOWN if uncut or opened.manifest.dataset not in DATASETS else 0


_FIELDS = {"xsub": "subject", "xview": "camera", "xset": "setup"}
"""Protocol -> column whose values must not be in both halves, where no rule of ours states it."""


def _splits(opened: Store, report: Report) -> Iterator[Fault]:
    """Check that counts are the manifest's and halves those of their rule, and that the halves are apart.

    No subject, camera or setup may be in both halves of a split over it.
    """
    manifest = opened.manifest
    columns = {name: store.read(opened, f"samples/{name}") for name in _FIELDS.values()}
    rules = DATASETS[manifest.dataset].rules if manifest.dataset in DATASETS else {}
    ruled = assign(rules, **columns)
    for name, info in manifest.protocols.items():
        path = f"splits/{name}"
        half = store.read_as_it_is(opened, path)
        if half.shape != (manifest.samples,) or half.max(initial=0) > TEST:
            yield Fault(path, f"is no column of {manifest.samples} values 0, 1 or 2")
            continue
        if (int((half == TRAIN).sum()), int((half == TEST).sum())) != (info.train, info.test):
            yield Fault(path, f"its halves are not the {info.train} and {info.test} samples of the manifest")
        if not (info.train and info.test):
            report.notes.append(Fault(path, f"{info.train} samples to train and {info.test} to test"))
        rule = rules.get(name)
        if rule and info.rule == rule.rule and not np.array_equal(half, ruled[name]):
            yield Fault(path, f"is not what its rule gives ({rule.rule[:80]})")
        column = rule.field if rule else _FIELDS.get(name)
        if column is None:
            continue
        values = columns[column]
        both = np.setdiff1d(np.intersect1d(values[half == TRAIN], values[half == TEST]), [UNKNOWN])
        if both.size:
            fault = Fault(path, f"{column} {both[0]} is in both halves")
            if rule and f"{column} in both halves" not in manifest.findings:
                yield fault
            else:  # as the source's own lists have it
                report.notes.append(fault)


def _skeleton(opened: Store, convention: str) -> Iterator[Fault]:
    """Check that the spec describes a skeleton, and that graphs and mask are those that follow from it."""
    place = f"skeletons/{convention}"
    try:
        spec = store.read_spec(opened, convention)
    except StoreError as error:
        yield Fault(place, error.message)
        return
    if spec.name != convention:
        yield Fault(place, f"its attributes describe {spec.name}")
    size = max(store.read_spec(opened, name).num_joints for name in opened.manifest.conventions)
    for part, (expected, _) in store.graphs(spec, size).items():
        values = store.read(opened, f"{place}/{part}")
        if values.shape != expected.shape or not np.allclose(values, expected, rtol=0, atol=1e-6):
            yield Fault(f"{place}/{part}", f"is not what follows from the skeleton, padded to {size} joints")


def _sequences(opened: Store, convention: str, report: Report) -> Iterator[Fault]:
    place, manifest = f"sequences/{convention}", opened.manifest
    offsets = store.read_as_it_is(opened, f"{place}/offsets")
    frames, _, joints, _ = manifest.arrays[f"{place}/joints"].shape
    if offsets.shape != (manifest.samples + 1,) or offsets[0] != 0 or (np.diff(offsets) < 0).any():
        yield Fault(
            f"{place}/offsets", f"must be {manifest.samples + 1} numbers that start at 0 and never fall"
        )
        return
    if offsets[-1] != frames:
        yield Fault(f"{place}/offsets", f"ends at {offsets[-1]}, but there are {frames} frames")
        return
    if joints != store.read_spec(opened, convention).num_joints:
        yield Fault(f"{place}/joints", f"has {joints} joints, unlike its skeleton")
    ids = store.read_as_it_is(opened, "samples/id")
    lacking = tuple(ids[offsets[1:] == offsets[:-1]].tolist())
    if lacking != manifest.conventions[convention].missing:
        yield Fault(
            f"{place}/offsets", "samples without frames are not those that the manifest calls missing"
        )
    yield from _frame_labels(opened, convention, frames)
    if joints == store.read_spec(opened, convention).num_joints:
        problems = _people(opened, convention, np.flatnonzero(np.diff(offsets)))
        height, point = problems.get(people.HEIGHT, ""), people.POINT in problems
        faults = list(_poses(opened, convention, frames, report, height=height, point=point))
        wrong = any(fault.problem.startswith(f"{people.HEIGHT}: ") for fault in faults)
        report.notes += [
            Fault(f"{place}/joints", f"{problem}: {detail}")
            for problem, detail in problems.items()
            if not (wrong and problem == people.HEIGHT)
        ]
        yield from faults


def _people(opened: Store, convention: str, rows: NDArray[np.int64]) -> dict[str, str]:
    """Problem -> detail of what in the clips is unlike people: see ``people``.

    Of a user's own data all clips are inspected; otherwise some of ``rows``, evenly spread.
    """
    own = opened.manifest.dataset not in DATASETS
    spec, looks = store.read_spec(opened, convention), []
    some = [(row, row + 1) for row in rows[people.spread(len(rows))].tolist()]
    for first, last in [(0, opened.manifest.samples)] if own else some:
        for clip in store.read_sequences(opened, convention, first, last):
            look = None if clip is None else people.look_at(clip, spec)
            looks += [look] if look else []
    info = opened.manifest.conventions[convention]
    verdicts = people.judge(
        looks,
        place=convention,
        axes=info.axes if own else "",
        flat=info.coordinates == "xy",
        each=own,
    )
    return {row.problem: row.detail for row in verdicts}


def _frame_labels(opened: Store, convention: str, frames: int) -> Iterator[Fault]:
    """Check that frame labels, if the store has them, are as many as the frames, and are classes or -1."""
    place = f"sequences/{convention}/frame_label"
    info = opened.manifest.arrays.get(place)
    if info is None:
        return
    if (info.shape, info.dtype) != ((frames,), "int16"):
        yield Fault(place, f"is {info.dtype} {info.shape}, not int16 ({frames},)")
        return
    label = store.read(opened, place)
    if label.size and not UNKNOWN <= label.min() <= label.max() < len(opened.manifest.classes):
        yield Fault(place, f"a label is outside -1..{len(opened.manifest.classes) - 1}")


def _poses(
    opened: Store, convention: str, frames: int, report: Report, *, height: str, point: bool
) -> Iterator[Fault]:
    """Check that joints are finite, and zero exactly where no body is present, and that bones are in metres.

    ``order`` must be -1 exactly where no body is present. ``height``: what is wrong with the height of the
    people, in the conversion's words; ``point``: whether all joints of some clips lie at one point, which the
    conversion accepts as well.
    """
    place, lengths = f"sequences/{convention}", Lengths(store.read_spec(opened, convention))
    problems: dict[str, str] = {}
    for start in range(0, frames, store.FRAME_SHARD):
        block = {
            part: store.read(opened, f"{place}/{part}", start, start + store.FRAME_SHARD)
            for part in ("joints", "present", "order")
        }
        problems |= _pose_problems(block["joints"], block["present"], block["order"])
        if f"{place}/unseen" in opened.manifest.arrays:
            unseen = store.read(opened, f"{place}/unseen", start, start + store.FRAME_SHARD)
            problems |= _unseen_problems(block["joints"], block["present"], unseen)
            block["joints"] = np.where(unseen[..., None], np.nan, block["joints"])
        lengths.add(block["joints"], block["present"])
    report.bones[convention] = lengths.rows()
    if opened.manifest.conventions[convention].coordinates == "xy":
        report.notes.append(Fault(f"{place}/joints", "2D poses: the lengths of bones tell nothing"))
    elif (wrong := bones.wrong_units(report.bones[convention])) and not (
        point and bones.without_length(report.bones[convention])
    ):
        problems.setdefault("joints", f"{people.HEIGHT}: {height}; {wrong}" if height else wrong)
    else:
        notes = bones.notes(report.bones[convention])
        report.notes += [Fault(f"{place}/joints", note) for note in notes]
    yield from (Fault(f"{place}/{part}", problem) for part, problem in problems.items())


def _pose_problems(joints: NDArray[Any], present: NDArray[Any], order: NDArray[Any]) -> dict[str, str]:
    problems = {}
    if not np.isfinite(joints).all():
        problems["joints"] = "a coordinate is not finite"
    moved = (joints != 0).any(axis=(2, 3))
    if (moved & ~present).any():
        problems["present"] = "a body that is not present has coordinates"
    elif (present & ~moved).any():
        problems["present"] = "a body that is present is zero in all joints"
    if ((order >= 0) != present).any():
        problems["order"] = "must be -1 exactly where no body is present"
    return problems


def _unseen_problems(joints: NDArray[Any], present: NDArray[Any], unseen: NDArray[Any]) -> dict[str, str]:
    if (unseen & ~present[..., None]).any():
        return {"unseen": "a joint is unseen though its body is not present"}
    return {"unseen": "a joint that is unseen has coordinates"} if joints[unseen].any() else {}


def _stream(opened: Store, path: str) -> Iterator[Fault]:
    """Check that the shape fits the path, values are finite, and rows of lacking samples are zero."""
    _, convention, length, _ = path.split("/")
    shape = opened.manifest.arrays[path].shape
    spec = store.read_spec(opened, convention)
    if shape[:4] != (opened.manifest.samples, 3, int(length.removeprefix("t")), spec.num_joints):
        yield Fault(path, f"shape {shape} does not fit its path or {spec.num_joints} joints")
        return
    offsets = store.read(opened, f"sequences/{convention}/offsets")
    lacking, start = offsets[1:] == offsets[:-1], 0
    for block in store.blocks(store.array(opened, path)):
        if not np.isfinite(block).all():
            yield Fault(path, "a value is not finite")
            return
        rows = (block != 0).any(axis=(1, 2, 3, 4))
        if (rows & lacking[start : start + len(rows)]).any():
            yield Fault(path, "a row is not zero although the convention lacks the sample")
            return
        start += len(rows)


def _derivation(opened: Store, path: str) -> Iterator[Fault]:
    """Check that bone and motion streams are those of the corresponding joint stream."""
    _, convention, _, kind = path.split("/")
    joint = path.removesuffix(kind) + "joint"
    if kind not in DERIVED or joint not in opened.manifest.arrays:
        return
    spec = store.read_spec(opened, convention)
    pairs = zip(
        store.blocks(store.array(opened, path)), store.blocks(store.array(opened, joint)), strict=True
    )
    if not all(np.allclose(block, DERIVED[kind](source, spec), rtol=0, atol=1e-6) for block, source in pairs):
        yield Fault(path, f"is not the {kind} of the joint stream beside it")


# ----------------------------------------------------------------------------------------------- copies


def _copies(opened: Store) -> Iterator[Fault]:
    """Test clips that equal a training clip number for number, so that a classifier has seen the answer.

    A clip is compared in the first convention that has it.
    """
    prints = _prints(opened)
    ids = np.array(store.read(opened, "samples/id").tolist(), object)
    for name, info in opened.manifest.protocols.items():
        half = store.read(opened, f"splits/{name}")
        copied = ids[np.isin(prints, prints[half == TRAIN]) & (half == TEST) & (prints != b"")].tolist()
        if copied:
            some = ", ".join(copied[:3]) + (", ..." if len(copied) > 3 else "")
            are = "is a copy of a training clip" if len(copied) == 1 else "are copies of training clips"
            text = f"{len(copied)} of {info.test} test clips {are}, number for number: {some}"
            yield Fault(f"splits/{name}", text)


def _prints(opened: Store) -> NDArray[np.bytes_]:
    """[N]: a 16-byte hash of each clip's joints, b"" for a clip without poses."""
    prints = np.full(opened.manifest.samples, b"", "S16")
    for convention in opened.manifest.conventions:
        if (prints != b"").all():
            break
        for row, clip in enumerate(store.read_sequences(opened, convention)):
            if clip is not None and prints[row] == b"":
                prints[row] = blake2b(clip.joints.tobytes(), digest_size=16).digest()
    return prints
