"""Poses that MeTRAbs estimated from the videos of a data set, beside the sensor's own skeletons.

    <raw>/metrabs/<convention>/<sample_id>.npz     poses3d, optional people_per_frame and joint_names
    <raw>/metrabs/<convention>/<sample_id>.pt      one tensor [T, M, V, 3]
    <raw>/metrabs/*.h5                             /<sample_id>/<convention>/ with the same names as the .npz

``poses3d`` is in millimetres, camera axes x right, y down, z forward: dense [T, M, V, 3], where people who
are absent are zeros or NaN, or ragged [P, V, 3] with ``people_per_frame`` [T] that adds up to P. People come
unordered; they are linked into tracks (``tracking``), of which at most two are kept.

Left and right. Kinect v2 images, and so the videos of NTU RGB+D, are mirrored: MeTRAbs calls the subject's
right arm left, and x grows to the sensor's left already. ``mirrored=True`` undoes it by (x, -y, z) / 1000 and
exchanging the names of the sides. For a video that is not mirrored, (-x, -y, z) / 1000, a rotation, is all
there is to do. Either reading gives a possible human being; only the native skeleton can tell which one is
right: ``mirror_check``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas import Finding, RawDataError, SkeletonSpec
from skeltools import skeletons, tracking
from skeltools.readers import metrabs_files, ntu, nwucla
from skeltools.readers.items import Listing, RawItem, finding, first_of_each, known
from skeltools.readers.metrabs_files import Poses
from skeltools.sequence import Joints, Mask, Sequence

FOLDER = "metrabs"
MAX_PEOPLE = 32
"""People in one frame; more is no action recognition video, but a wrong axis."""

KEPT = 2
"""Tracks of one clip, as many as our streams have bodies."""

_AXES = ("right", "down", "forward")


def discover(raw: Path, *, conventions: Iterable[str] | None = None) -> Listing:
    """All clips of all conventions below ``raw``/metrabs, by name only.

    ``conventions`` restricts the search to these names, and makes a user's own convention files known. A
    folder that is named after none is a finding; no folder ``metrabs`` is an empty listing.
    """
    shipped = _estimated(skeletons.names())
    wanted = shipped if conventions is None else _estimated(conventions)
    items: list[RawItem] = []
    findings: list[Finding] = []
    for path in sorted((raw / FOLDER).iterdir() if (raw / FOLDER).is_dir() else ()):
        if path.name.startswith("."):
            continue
        found, problems = _in_folder(path) if path.is_dir() else metrabs_files.clips(path)
        items += (item for item in found if item.convention in wanted)
        strange = sorted({item.convention for item in found} - wanted - shipped)
        findings += problems + [_unknown(f"{FOLDER}/{path.name}", name) for name in strange]
    kept, twice = first_of_each(items)
    return Listing(kept, (*findings, *twice))


def _estimated(names: Iterable[str]) -> set[str]:
    """Names of those conventions that are in MeTRAbs' axes, not the sensor's."""
    return {spec.name for spec in map(skeletons.load, names) if spec.axes == _AXES}


def _unknown(place: str, name: str) -> Finding:
    hint = "; MeTRAbs' own is metrabs_kinectv2_25" if name == ntu.CONVENTION else ""
    return Finding(file=place, problem="unknown convention", detail=f"'{name}'{hint}", action="skipped")


def _in_folder(folder: Path) -> tuple[list[RawItem], list[Finding]]:
    items = [
        RawItem(path.stem, folder.name, str(path), size=path.stat().st_size)
        for path in sorted(folder.iterdir())
        if path.suffix in (".npz", ".pt") and not path.name.startswith(".")
    ]
    return items, []


def read(
    item: RawItem, *, native: Sequence | None = None, mirrored: bool = True, spec: SkeletonSpec | None = None
) -> Sequence:
    """One clip in canonical axes, at most two tracks.

    With ``native``, the sensor's skeletons of the same clip, tracks are matched to its bodies: slots come in
    the order of its bodies and carry their ids; people who are none of them are dropped. Without, the two
    tracks that are seen longest and move most are kept. ``order`` counts the slots present in a frame, for
    the order in the file means nothing. Label and protocol fields are native's, or what the sample id says.

    ``spec`` is needed for a convention that does not ship with the package. Raises RawDataError.
    """
    spec = skeletons.load(item.convention) if spec is None else spec
    poses = metrabs_files.load(item, spec)
    frames = len(poses.people)
    if native is not None and native.frames != frames:
        raise RawDataError(
            f"another length: {frames} frames, the Kinect clip has {native.frames}",
            where=item.where,
            remedy="Estimate the poses on the frames of the same video",
        )
    if poses.people.max(initial=0) > MAX_PEOPLE:
        raise RawDataError(
            f"{poses.people.max()} people in a frame, at most {MAX_PEOPLE} make sense",
            where=item.where,
            remedy="Is an axis in the wrong place? Expected (frames, people, joints, 3)",
        )
    if not len(poses.joints):
        raise RawDataError(f"no person in any frame ({frames} frames)", where=item.where)
    joints, present = _tracks(_canonical(poses.joints, spec, mirrored=mirrored), poses)
    slots, ids = _slots(joints, present, native, spec)
    return _sequence(item, spec, (joints, present), slots, ids=ids, native=native, bad=poses.bad)


def _canonical(millimetres: Joints, spec: SkeletonSpec, *, mirrored: bool) -> Joints:
    """[..., V, 3] camera axes -> metres, x to the sensor's left, y up."""
    if mirrored:
        return millimetres[..., spec.left_right_swap, :] * np.array([1e-3, -1e-3, 1e-3], np.float32)
    return millimetres * np.array([-1e-3, -1e-3, 1e-3], np.float32)


def _tracks(people: Joints, poses: Poses) -> tuple[Joints, Mask]:
    """People [P, V, 3] of all frames -> joints [T, K, V, 3], present [T, K] of all K tracks worth a look.

    Of a damaged file's many short tracks only the longest are laid out, so that memory stays in proportion.
    """
    number = tracking.link(people, poses.people)
    longest = np.sort(np.argsort(-np.bincount(number), kind="stable")[:MAX_PEOPLE])
    slot = np.full(number.max() + 1, -1)
    slot[longest] = np.arange(len(longest))
    slot = slot[number]
    frame = np.repeat(np.arange(len(poses.people)), poses.people)
    kept = slot >= 0
    present = np.zeros((len(poses.people), len(longest)), np.bool_)
    joints = np.zeros((*present.shape, *people.shape[1:]), np.float32)
    present[frame[kept], slot[kept]] = True
    joints[frame[kept], slot[kept]] = people[kept]
    return joints, present


def _slots(
    joints: Joints, present: Mask, native: Sequence | None, spec: SkeletonSpec
) -> tuple[list[int], tuple[int, ...]]:
    """Tracks to keep, and the body ids that they get."""
    if native is not None:
        specs = (spec, skeletons.load(native.convention))
        pairs = tracking.match((joints, present), (native.joints, native.present), specs=specs)
        if pairs:
            bodies = sorted(list(pairs)[:KEPT])
            return [pairs[body] for body in bodies], tuple(native.body_ids[body] for body in bodies)
    kept = tracking.rank(joints, present)[:KEPT].tolist()
    return kept, tuple(range(len(kept)))


def _sequence(
    item: RawItem,
    spec: SkeletonSpec,
    tracks: tuple[Joints, Mask],
    slots: list[int],
    *,
    ids: tuple[int, ...],
    native: Sequence | None,
    bad: int,
) -> Sequence:
    joints, present = tracks[0][:, slots], tracks[1][:, slots]
    findings = []
    if bad:
        findings.append(finding(item, "not a number", detail=f"{bad} poses", action="treated as absent"))
    if len(slots) < tracks[1].shape[1]:
        lost = np.delete(tracks[1], slots, axis=1)
        detail = f"{lost.shape[1]} tracks of {lost.sum()} poses"
        findings.append(finding(item, "more people than bodies", detail=detail, action="dropped"))
    fields = ntu.fields(item.id) or nwucla.fields(item.id)
    if native is not None:
        names = ("label", "subject", "camera", "setup", "repetition")
        fields = {name: getattr(native, name) for name in names}
    order = np.where(present, np.cumsum(present, axis=1) - 1, -1).astype(np.int8)
    return Sequence(
        item.id, spec.name, joints, present, order, ids, findings=tuple(findings), **known(fields)
    )


@dataclass(frozen=True)
class MirrorCheck:
    """Mean distance of shared landmarks from the native skeleton, metres; NaN when nothing is in common."""

    as_set: float
    """As the poses were read."""
    as_other: float
    """Had they been read with the other setting of ``mirrored``."""

    @property
    def agrees(self) -> bool:
        """False when the other setting fits better; nothing in common is no objection."""
        return not self.as_other < self.as_set


def mirror_check(native: Sequence, poses: Sequence, *, spec: SkeletonSpec | None = None) -> MirrorCheck:
    """Compares both readings of one clip with the native skeleton, each pose centred.

    The other reading is this one reflected in x with the sides exchanged. Tracks are matched to bodies anew
    under each, for who stands left is another person then. Shoulders and hips tell the readings apart when
    the subject is turned, arms and legs when the two sides do different things; somebody who stands upright
    facing the sensor looks the same in both, so judge by many clips.
    """
    own = skeletons.load(poses.convention) if spec is None else spec
    other = poses.joints[..., own.left_right_swap, :] * np.array([-1, 1, 1], np.float32)
    return MirrorCheck(
        _distance(native, (poses.joints, poses.present), own), _distance(native, (other, poses.present), own)
    )


def _distance(native: Sequence, tracks: tuple[Joints, Mask], spec: SkeletonSpec) -> float:
    """Mean distance of shared landmarks over all frames of all matched pairs, in metres; NaN without any."""
    specs = (spec, skeletons.load(native.convention))
    own, theirs = tracking.shared_landmarks(*specs)
    distances = [np.zeros(0)]
    for body, track in tracking.match(tracks, (native.joints, native.present), specs=specs).items():
        both = tracks[1][:, track] & native.present[:, body]
        pose = _centred(tracks[0][both, track][:, own])
        reference = _centred(native.joints[both, body][:, theirs])
        distances.append(np.linalg.norm(pose - reference, axis=-1).ravel())
    together = np.concatenate(distances)
    return float(together.mean()) if len(together) else float("nan")


def _centred(landmarks: Joints) -> NDArray[np.float64]:
    landmarks64 = landmarks.astype(np.float64)
    return landmarks64 - landmarks64.mean(axis=1, keepdims=True)
