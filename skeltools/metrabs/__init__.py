"""Poses that MeTRAbs estimated from the videos of a data set, beside the sensor's own skeletons.

    <raw>/metrabs/<convention>/<sample_id>.npz     poses3d, optional people_per_frame and joint_names
    <raw>/metrabs/<convention>/<sample_id>.pt      one tensor [T, M, V, 3]
    <raw>/metrabs/*.h5                             /<sample_id>/<convention>/ with the same names as the .npz
    <raw>/metrabs/all/...                          all joints of a model at once; see ``slices``

``poses3d`` is in millimetres, camera axes x right, y down, z forward: dense [T, M, V, 3], with zeros or NaN
for absent people, or ragged [P, V, 3] with ``people_per_frame`` [T], which adds up to P. One more axis,
before the joints, contains test-time augmentations, which are averaged. ``extrinsic_matrix`` indicates poses
in the world frame, and converts them back to the camera's. People come unordered; they are linked into tracks
(``tracking``), of which at most two are kept, and put on the sensor's clock (``clock``), using ``fps`` where
the file has it.

Left and right: Kinect v2 images, and so the videos of NTU RGB+D, are mirrored: MeTRAbs calls the subject's
right arm left, and x already grows to the sensor's left. ``mirrored=True`` undoes this by (x, -y, z) / 1000
and exchanging the names of the sides. A video that is not mirrored needs only (-x, -y, z) / 1000, a rotation.
Both readings yield a possible human being; only the native skeleton can tell which one is right:
``mirror_check``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas import Finding, RawDataError, SkeletonSpec, require
from skeltools import skeletons, tracking
from skeltools.datasets import ntu, nwucla
from skeltools.metrabs import containers, slices
from skeltools.metrabs.clock import RATE, to_native
from skeltools.metrabs.containers import Poses
from skeltools.raw_items import (
    METRABS,
    Listing,
    RawItem,
    finding,
    first_of_each,
    known,
    skipped,
    visible_files,
)
from skeltools.sequence import Joints, Mask, SkeletonSequence

MAX_PEOPLE = 32
"""Most people in one frame; more indicate a wrong axis rather than an action recognition video."""

KEPT = 2
"""Tracks to keep of one clip, as many as our streams have bodies."""

_AXES = ("right", "down", "forward")


def discover(raw: Path, *, conventions: Iterable[str] | None = None, nested: bool = False) -> Listing:
    """List all clips of all conventions below ``raw``/metrabs, by name only.

    ``conventions`` restricts the search to these names, and makes a user's own convention files known. A
    folder whose name is no convention is a finding; without a folder ``metrabs`` the listing is empty. Poses
    of all joints are listed once for each convention that can be sliced from them; where a clip has its own
    file of the convention, that is read instead. ``nested``: ids are paths below the convention's folder.
    Raises RawDataError when two folders belong to one convention.
    """
    shipped = _estimated(skeletons.names())
    wanted = shipped if conventions is None else _estimated(conventions)
    items: list[RawItem] = []
    findings: list[Finding] = []
    folder = raw / METRABS
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    paths = [path for path in entries if not path.name.startswith(".")]
    _refuse_twins(path for path in paths if path.is_dir())
    for path in paths:
        place = f"{METRABS}/{path.name}"
        clips, problems = _in_folder(path, nested) if path.is_dir() else containers.clips(path)
        whole = [item for item in clips if item.convention == slices.ALL]
        sliced, more = _slices(whole, wanted, shipped | wanted, place)
        items += [item for item in clips if item.convention in wanted] + sliced
        strange = {item.convention for item in clips} - wanted.keys() - shipped.keys() - {slices.ALL}
        findings += problems + more + [_unknown(place, name) for name in sorted(strange)]
    unique, twice = first_of_each(_own_first(items))
    return Listing(unique, (*findings, *twice))


def _refuse_twins(folders: Iterable[Path]) -> None:
    """Raise RawDataError for folders whose names differ only in case.

    They are one convention, half of which would be lost unnoticed.
    """
    seen: dict[str, Path] = {}
    for folder in folders:
        first = seen.setdefault(folder.name.casefold(), folder)
        if first is not folder:
            raise RawDataError(
                f"{first.name} and {folder.name} are one convention twice",
                where=folder.parent,
                remedy="Put the files into one folder, or take one away",
            )


def _slices(
    whole: list[RawItem], wanted: dict[str, SkeletonSpec], known: dict[str, SkeletonSpec], place: str
) -> tuple[list[RawItem], list[Finding]]:
    """Files of all joints, once for each convention that the table of the first readable file allows."""
    if not whole:
        return [], []
    try:
        table = _table(whole)
    except (RawDataError, OSError) as error:
        detail = error.message if isinstance(error, RawDataError) else error.strerror or str(error)
        return [], [skipped(place, "unreadable table of joints", detail)]
    if table is None:
        detail = f"put joint_names into the files, or {slices.TABLE} beside them"
        return [], [skipped(place, "joints without names", detail)]
    names = [name for name, spec in sorted(wanted.items()) if table.positions(spec) is not None]
    items = [replace(item, convention=name) for item in whole for name in names]
    return items, slices.unused_findings(place, table, known.values())


_TRIED = 5
"""Files that are opened for their joint names: all are of one model, but the first may be damaged."""


def _table(whole: list[RawItem]) -> slices.Table | None:
    """The table of joints; raises RawDataError if it is damaged, that or OSError if no file is readable."""
    beside = slices.table_for(Path(whole[0].path), None)
    if beside is not None and beside.skeletons is not None:
        return beside
    for item in whole[:_TRIED]:
        try:
            return slices.table_for(Path(item.path), containers.names_in(item))
        except (RawDataError, OSError) as error:
            failed = error
    if beside is None:
        raise failed
    return beside


def _own_first(items: list[RawItem]) -> list[RawItem]:
    """Leave out the slices of clips that have their own file of the convention."""
    own = {(item.id, item.convention) for item in items if not containers.holds_all(item)}
    return [i for i in items if not (containers.holds_all(i) and (i.id, i.convention) in own)]


def _estimated(names: Iterable[str]) -> dict[str, SkeletonSpec]:
    """The conventions that MeTRAbs estimates: the shipped ones of its group, and users' own in its axes.

    Raises UsageError for one without sides, which a mirrored video exchanges.
    """
    shipped = set(skeletons.names()) - set(skeletons.names("metrabs"))
    specs = {spec.name: spec for spec in map(skeletons.load, set(names) - shipped) if spec.axes == _AXES}
    for spec in specs.values():
        require(
            spec,
            ("shoulders", "left_right_swap"),
            by="reading poses of MeTRAbs",
            remedy="Add it to the convention's file",
        )
    return dict(sorted(specs.items()))


def _unknown(place: str, name: str) -> Finding:
    near = [known for known in skeletons.names() if known == name.lower() != name]
    hint = f"; is it {near[0]}?" if near else ""
    hint = "; MeTRAbs' own is metrabs_kinectv2_25" if name == ntu.CONVENTION else hint
    return skipped(place, "unknown convention", f"'{name}'{hint}")


def _in_folder(folder: Path, nested: bool) -> tuple[list[RawItem], list[Finding]]:
    findings: list[Finding] = []
    items = [
        RawItem(
            path.relative_to(folder).as_posix().removesuffix(path.suffix),
            folder.name,
            str(path),
            size=path.stat().st_size,
        )
        for path in (visible_files(folder, findings) if nested else sorted(folder.iterdir()))
        if path.suffix.lower() in (".npz", ".pt") and not path.name.startswith(".")
    ]
    return items, findings


def read(
    item: RawItem,
    *,
    native: SkeletonSequence | None = None,
    mirrored: bool = True,
    spec: SkeletonSpec | None = None,
    native_spec: SkeletonSpec | None = None,
    native_rate: float | None = RATE,
) -> SkeletonSequence:
    """Read one clip in canonical axes, with at most two tracks.

    With ``native``, the sensor's skeletons of the same clip, tracks are matched to its bodies: slots are in
    the order of its bodies and carry their ids, and all other people are dropped. Without it, the two tracks
    that are seen longest and move most are kept. ``order`` counts the slots present in a frame, because the
    order in the file means nothing. Label and protocol fields are those of ``native``, or what the sample id
    states.

    ``spec`` and ``native_spec`` are required for conventions that do not ship with the package;
    ``native_rate`` is None if the rate of the native clips is unknown. Raises RawDataError.
    """
    spec = skeletons.load(item.convention) if spec is None else spec
    poses = containers.load(item, spec)
    frames = len(poses.people)
    if poses.people.max(initial=0) > MAX_PEOPLE:
        raise RawDataError(
            f"{poses.people.max()} people in a frame, at most {MAX_PEOPLE} make sense",
            where=item.where,
            remedy="Is an axis in the wrong place? Expected (frames, people, joints, 3)",
        )
    if not len(poses.joints):
        raise RawDataError(f"no person in any frame ({frames} frames)", where=item.where)
    joints, present, clock = to_native(
        _tracks(_canonical(poses.joints, spec, mirrored=mirrored), poses),
        frames=None if native is None else native.frames,
        fps=poses.fps,
        where=item.where,
        native_rate=native_rate,
    )
    slots, ids = _slots(joints, present, native, (spec, native_spec))
    clip = _sequence(item, spec, (joints, present), slots, ids=ids, native=native, bad=poses.bad)
    if not clock:
        return clip
    row = finding(item, "another clock than the sensor's", detail=clock, action=f"now {clip.frames} frames")
    return replace(clip, findings=(*clip.findings, row))


def _canonical(millimetres: Joints, spec: SkeletonSpec, *, mirrored: bool) -> Joints:
    """[..., V, 3] millimetres in camera axes -> metres, x to the sensor's left, y up."""
    if mirrored:
        return millimetres[..., list(spec.left_right_swap or ()), :] * np.array(
            [1e-3, -1e-3, 1e-3], np.float32
        )
    return millimetres * np.array([-1e-3, -1e-3, 1e-3], np.float32)


def _tracks(people: Joints, poses: Poses) -> tuple[Joints, Mask]:
    """People [P, V, 3] of all frames -> joints [T, K, V, 3] and present [T, K] of the K longest tracks.

    A damaged file may have many short tracks; leaving these out keeps memory in proportion.
    """
    number = tracking.link(people, poses.people)
    tracks = np.sort(tracking.longest(number, MAX_PEOPLE))
    slot = tracking.slots(number, tracks)
    frame = np.repeat(np.arange(len(poses.people)), poses.people)
    has_slot = slot >= 0
    present = np.zeros((len(poses.people), len(tracks)), np.bool_)
    joints = np.zeros((*present.shape, *people.shape[1:]), np.float32)
    present[frame[has_slot], slot[has_slot]] = True
    joints[frame[has_slot], slot[has_slot]] = people[has_slot]
    return joints, present


def _slots(
    joints: Joints,
    present: Mask,
    native: SkeletonSequence | None,
    conventions: tuple[SkeletonSpec, SkeletonSpec | None],
) -> tuple[list[int], tuple[int, ...]]:
    """Tracks to keep, and the body ids assigned to them."""
    if native is not None:
        specs = (conventions[0], conventions[1] or skeletons.load(native.convention))
        pairs = tracking.match((joints, present), (native.joints, _whole(native, specs)), specs=specs)
        if pairs:
            bodies = sorted(list(pairs)[:KEPT])
            return [pairs[body] for body in bodies], tuple(native.body_ids[body] for body in bodies)
    tracks = tracking.rank(joints, present)[:KEPT].tolist()
    return tracks, tuple(range(len(tracks)))


def _sequence(
    item: RawItem,
    spec: SkeletonSpec,
    tracks: tuple[Joints, Mask],
    slots: list[int],
    *,
    ids: tuple[int, ...],
    native: SkeletonSequence | None,
    bad: int,
) -> SkeletonSequence:
    joints, present = tracks[0][:, slots], tracks[1][:, slots]
    findings = []
    if bad:
        findings.append(finding(item, "not a number", detail=f"{bad} poses", action="treated as absent"))
    if len(slots) < tracks[1].shape[1]:
        lost = np.delete(tracks[1], slots, axis=1)
        detail = f"{lost.shape[1]} tracks of {lost.sum()} poses"
        findings.append(finding(item, "more people than bodies", detail=detail, action="dropped"))
    details = {name: value for name, value in item.details if name not in containers.WINDOW}
    fields = details or ntu.fields(item.id) or nwucla.fields(item.id)
    if native is not None:
        names = ("label", "subject", "camera", "setup", "repetition")
        fields = {name: getattr(native, name) for name in names}
    order = np.where(present, np.cumsum(present, axis=1) - 1, -1).astype(np.int8)
    return SkeletonSequence(
        item.id, spec.name, joints, present, order, ids, findings=tuple(findings), **known(fields)
    )


@dataclass(frozen=True)
class MirrorCheck:
    """Mean distance of shared landmarks from the native skeleton, metres; NaN if there are none."""

    as_set: float
    """Of the poses as they were read."""
    as_other: float
    """Of the poses read with the other setting of ``mirrored``."""

    @property
    def agrees(self) -> bool:
        """False if the other setting fits better; without shared landmarks there is no objection."""
        return not self.as_other < self.as_set


def mirror_check(
    native: SkeletonSequence,
    poses: SkeletonSequence,
    *,
    spec: SkeletonSpec | None = None,
    native_spec: SkeletonSpec | None = None,
    turned: bool = False,
) -> MirrorCheck:
    """Compare both readings of one clip with the native skeleton, each pose centred.

    The other reading is this one reflected in x with the sides exchanged. Tracks are matched to bodies
    separately for each, because the person on the left is then somebody else. Shoulders and hips distinguish
    the readings when the subject is turned, arms and legs when the two sides do different things; somebody
    who stands upright facing the sensor looks the same in both, so judge by many clips. ``turned``: native
    clips may be in the axes of a room; poses are turned onto them, each track by one rotation.
    """
    named = skeletons.load(poses.convention) if spec is None else spec
    specs = (named, native_spec or skeletons.load(native.convention))
    other = poses.joints[..., list(named.left_right_swap or ()), :] * np.array([-1, 1, 1], np.float32)
    return MirrorCheck(
        _distance(native, (poses.joints, poses.present), specs, turned=turned),
        _distance(native, (other, poses.present), specs, turned=turned),
    )


def _distance(
    native: SkeletonSequence,
    tracks: tuple[Joints, Mask],
    specs: tuple[SkeletonSpec, SkeletonSpec],
    *,
    turned: bool,
) -> float:
    """Mean distance of shared landmarks over all frames of all matched pairs, in metres; NaN without any."""
    own, theirs = tracking.shared_landmarks(*specs)
    distances, present = [np.zeros(0)], _whole(native, specs)
    if not len(own):
        return float("nan")
    for body, track in tracking.match(tracks, (native.joints, present), specs=specs).items():
        both = tracks[1][:, track] & present[:, body]
        pose = _centred(tracks[0][both, track][:, own])
        reference = _centred(native.joints[both, body][:, theirs])
        pose = _turned(pose, reference) if turned else pose
        distances.append(np.linalg.norm(pose - reference, axis=-1).ravel())
    together = np.concatenate(distances)
    return float(together.mean()) if len(together) else float("nan")


def _whole(native: SkeletonSequence, specs: tuple[SkeletonSpec, SkeletonSpec]) -> Mask:
    """[T, M]: where all shared landmarks were seen; for a body that never has all, where it was present."""
    if native.unseen is None:
        return native.present
    theirs = tracking.shared_landmarks(*specs)[1]
    whole: Mask = native.present & ~native.unseen[..., theirs].any(axis=-1)
    return np.where(whole.any(axis=0), whole, native.present)


def _turned(pose: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn poses [F, L, 3] by the one rotation that brings them closest to the reference (Kabsch)."""
    if not len(pose):
        return pose
    left, _, right = np.linalg.svd(np.einsum("fli,flj->ij", pose, reference))
    sign = np.sign(np.linalg.det(left @ right))
    turned: NDArray[np.float64] = pose @ (left * np.array([1.0, 1.0, sign]) @ right)
    return turned


def _centred(landmarks: Joints) -> NDArray[np.float64]:
    landmarks64 = landmarks.astype(np.float64)
    return landmarks64 - landmarks64.mean(axis=1, keepdims=True)
