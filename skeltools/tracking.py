"""Link people, who come unordered in every frame, into tracks; match tracks to another skeleton's bodies.

Positions are in canonical axes, metres. Conventions are compared over ``landmarks``, joints that nearly all
of them have: limbs distinguish two people, and left from right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import SkeletonSpec
from skeltools.sequence import Joints, Mask

GATE = 0.5
"""Metres of mean joint distance that a person may move per frame.

A sprinter runs at 10 m/s, a third of a metre at 30 frames a second; the rest is for the depth of monocular
estimates, which jitters by a decimetre.
"""

GATE_LIMIT = 1.5
"""Largest gate in metres, however long the gap: further away it is more likely somebody else."""

BODY = 1.7
"""Diagonal, in metres, of the box around the joints of a standing adult, for whom GATE is meant.

Where the length of a unit is unknown, people may move in proportion to the size of their own box.
"""

MAX_GAP = 30
"""Frames, one second in all of our sources, after which a track that was not seen again is closed."""

ELSEWHERE = 0.5
"""Metres beyond which a difference of positions counts no further.

Estimates that assume a field of view other than the camera's, or the wrong setting for mirrored video, shift
everybody's position.
"""

FOREIGN = 0.8
"""Metres of mismatch from which on two skeletons are different people.

They are then elsewhere, in a pose as unlike as somebody else's. Between conventions, the same person's poses
differ by a decimetre.
"""

NEAREST = 0.1
"""Smallest depth, in metres, to divide by, for what lies at or behind the sensor."""

_LIMBS = (
    ("elbowleft", "left_elbow", "lelb"),
    ("wristleft", "left_wrist", "lwri"),
    ("hipleft", "left_hip", "lhip"),
    ("kneeleft", "left_knee", "lkne"),
    ("ankleleft", "left_ankle", "lank"),
)
"""Prefixes of the names of left joints in the Kinect, COCO and MeTRAbs conventions."""

_FORBIDDEN = 1e6
_HARDLY = 1e-6
"""Metres that a foreign pair is worth per frame, so that it beats a pair that is never seen together."""


def link(poses: Joints, people: NDArray[np.int64], *, relative: bool = False) -> NDArray[np.int64]:
    """Assign a track number to each person: poses [P, V, 3] and numbers of people per frame [T] -> [P].

    The poses of all frames are concatenated. Track numbers count from 0 in order of first appearance. In each
    frame people are assigned to the open tracks by the Hungarian method on the mean joint distance to the
    track's last pose, within a gate that grows with the gap. Unseen joints are NaN: distances are over the
    joints that both poses have, and a track remembers where each joint was last seen. ``relative``: the gate
    is meant for a body whose box measures BODY and scales with the box of others, as 2D poses need it.
    """
    track = np.empty(len(poses), np.int64)
    last: dict[int, tuple[int, Joints]] = {}  # open track -> frame and pose in which it was last seen
    started, begin = 0, 0
    for frame, count in enumerate(people.tolist()):
        last = {number: seen for number, seen in last.items() if frame - seen[0] <= MAX_GAP}
        here = poses[begin : begin + count]
        continued = _continue(here, last, frame, relative)
        for i in range(count):
            if i not in continued:
                continued[i], started = started, started + 1
            number = track[begin + i] = continued[i]
            last[number] = (frame, _remembered(here[i], last[number][1]) if number in last else here[i])
        begin += count
    return track


def longest(number: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Track numbers of ``number`` [P] with the most poses, at most ``most``, longest first."""
    return np.argsort(-np.bincount(number), kind="stable")[:most]


def slots(number: NDArray[np.int64], tracks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Position in ``tracks`` of each track number [P], -1 for others."""
    slot = np.full(number.max(initial=-1) + 1, -1)
    slot[tracks] = np.arange(len(tracks))
    return slot[number]


def _remembered(pose: Joints, before: Joints) -> Joints:
    missing = np.isnan(pose)
    return np.where(missing, before, pose) if missing.any() else pose


def _continue(
    here: Joints, last: dict[int, tuple[int, Joints]], frame: int, relative: bool
) -> dict[int, int]:
    """Person of this frame -> open track that continues with it."""
    if not len(here) or not last:
        return {}
    numbers = list(last)
    gaps = np.array([frame - seen for seen, _ in last.values()])
    poses = np.stack([pose for _, pose in last.values()])
    distance = _mean_seen(np.linalg.norm(poses[:, None] - here[None], axis=-1))
    gate = np.broadcast_to(np.minimum(GATE * gaps, GATE_LIMIT)[:, None], distance.shape)
    if relative:
        gate = gate * np.maximum(_sizes(poses)[:, None], _sizes(here)[None]) / BODY
    pairs = _assign(np.where(distance <= gate, distance, _FORBIDDEN))
    return {int(i): numbers[row] for row, i in zip(*pairs, strict=True) if distance[row, i] <= gate[row, i]}


def _assign(cost: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the pairs with the least total cost.

    SciPy is imported on first use, because that takes as long as the rest of a conversion's start.
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(cost)
    return rows, columns


def _mean_seen(apart: NDArray[Any]) -> NDArray[Any]:
    """[..., V] distances, NaN where one of the two was not seen -> [...]: their mean, NaN without any."""
    missing = np.isnan(apart)
    if not missing.any():
        return np.asarray(apart.mean(axis=-1))
    common = (~missing).sum(axis=-1)
    total = np.where(missing, 0, apart).sum(axis=-1)
    return np.where(common > 0, total / np.maximum(common, 1), np.nan)


def _sizes(poses: Joints) -> NDArray[Any]:
    """[P, V, 3] -> [P]: diagonal of the box around the joints that were seen; 0 for none."""
    missing = np.isnan(poses)
    high = np.where(missing, -np.inf, poses).max(axis=1)
    low = np.where(missing, np.inf, poses).min(axis=1)
    return np.asarray(np.linalg.norm(np.where(high >= low, high - low, 0), axis=-1))


def landmarks(spec: SkeletonSpec) -> dict[str, int]:
    """Landmark -> joint: both shoulders, and elbows, wrists, hips, knees and ankles that the names identify.

    Empty for a convention without sides.
    """
    swap = spec.left_right_swap
    if swap is None:
        return {}
    joints = dict(zip(("left shoulder", "right shoulder"), spec.shoulders or (), strict=False))
    for begins in _LIMBS:
        joint = next((v for v, name in enumerate(spec.joints) if name.lower().startswith(begins)), None)
        if joint is not None and swap[joint] != joint:
            limb = begins[0].removesuffix("left")
            joints[f"left {limb}"] = joint
            joints[f"right {limb}"] = swap[joint]
    return joints


def shared_landmarks(a: SkeletonSpec, b: SkeletonSpec) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[L] joints of each convention for the landmarks that both have, in the same order."""
    in_a, in_b = landmarks(a), landmarks(b)
    names = [name for name in in_a if name in in_b]
    return np.array([in_a[name] for name in names], np.int64), np.array(
        [in_b[name] for name in names], np.int64
    )


def match(
    tracks: tuple[Joints, Mask], bodies: tuple[Joints, Mask], *, specs: tuple[SkeletonSpec, SkeletonSpec]
) -> dict[int, int]:
    """Match bodies to tracks, each at most once, the surest pair first; returns body -> track.

    Both are (joints [T, M, V, 3], present [T, M]); ``specs`` are the conventions of tracks and bodies. The
    Hungarian method weights the frames in which a pair is seen together by how little the two differ: a
    sensor that assigns a new id to the same person, or briefly sees a person where there is none, must not
    take a track away from the body that is with it all the time. Pairs that differ by FOREIGN are left out,
    but never the surest one: with the wrong setting for mirrored video all pairs differ, and detecting that
    requires a pair.
    """
    own, theirs = shared_landmarks(*specs)
    worth = np.zeros((bodies[1].shape[1], tracks[1].shape[1]))
    for body, track in np.ndindex(*worth.shape):
        both = tracks[1][:, track] & bodies[1][:, body]
        if both.any():
            pose, reference = tracks[0][both, track][:, own], bodies[0][both, body][:, theirs]
            worth[body, track] = both.sum() * max(FOREIGN - mismatch(pose, reference), _HARDLY)
    pairs = zip(*_assign(-worth), strict=True)
    surest = sorted(pairs, key=lambda pair: (-worth[pair], pair))
    hardly = _HARDLY * len(tracks[1])
    return {int(b): int(t) for i, (b, t) in enumerate(surest) if worth[b, t] > (hardly if i else 0)}


def mismatch(a: Joints, b: Joints) -> float:
    """Mismatch of two trajectories of landmarks [T, L, 3], in metres; ``b`` is the sensor's.

    It is the sum of two terms: the mean landmark distance of the poses, each centred on itself because the
    absolute depth of monocular estimates is poor; and the distance of the directions in which the sensor sees
    them, at b's depth and up to ELSEWHERE, because an image does determine the direction.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    if not a.shape[1]:  # no landmark in common: nothing speaks against a match
        return 0.0
    center_a, center_b = a.mean(axis=1), b.mean(axis=1)
    pose = np.linalg.norm((a - center_a[:, None]) - (b - center_b[:, None]), axis=-1).mean()
    depth_a, depth_b = np.maximum(center_a[:, 2:], NEAREST), np.maximum(center_b[:, 2:], NEAREST)
    direction = center_a[:, :2] / depth_a - center_b[:, :2] / depth_b
    place = np.linalg.norm(direction * depth_b, axis=-1).mean()
    return float(pose + min(place, ELSEWHERE))


def rank(joints: Joints, present: Mask) -> NDArray[np.int64]:
    """Rank the M tracks of (joints [T, M, V, 3], present [T, M]), those seen longest and moving most first.

    The key is the number of frames seen times one plus the mean joint path per frame in decimetres, capped at
    1: among equally long tracks, people who act precede bystanders, while a short false detection that jumps
    about does not come first.
    """
    frames = present.sum(axis=0)
    pair = present[1:] & present[:-1]
    steps = np.linalg.norm(np.diff(joints.astype(np.float64), axis=0), axis=-1).mean(axis=-1)
    path = np.where(pair, steps, 0).sum(axis=0) / np.maximum(pair.sum(axis=0), 1)
    return np.argsort(-frames * (1 + np.minimum(path * 10, 1)), kind="stable")
