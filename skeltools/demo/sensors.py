"""Simulated cameras: their poses, the output of a Kinect v2, and that of MeTRAbs on its video.

Kinect camera space: x to the sensor's left, y up, z away from it, metres. The image is mirrored, so x also
increases with the image column.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from skeltools import skeletons
from skeltools.demo.body import LEFT, RIGHT, Array, points, segment_index, sided
from skeltools.demo.draws import generator
from skeltools.demo.kinematics import Pose

NATIVE = "kinectv2_25"
AZIMUTH = {1: 0.0, 2: 45.0, 3: -45.0}
"""Degrees about the vertical. NTU's camera 1 is the middle one (Shahroudy et al., CVPR 2016, section 3.1)."""
FIRST_BODY_ID = 2**56
"""Kinect v2 numbers bodies upwards from 72057594037927936, where float64 cannot distinguish neighbours."""
INFERRED, TRACKED = 1, 2

DEPTH_FOCAL, DEPTH_CENTER, DEPTH_SIZE = 365.5, (256.4, 208.5), (512, 424)
COLOUR_FOCAL, COLOUR_CENTER = 1060.0, (960.0, 567.5)
COLOUR_BASELINE = 0.052
"""Kinect v2's nominal lenses, in pixels and metres; the principal points fit the published first joint of
S001C001P001R001A001 (0.2181 0.1726 3.7855 m at 277.42 191.82 and 1036.2 519.2)."""


@dataclass(frozen=True)
class Camera:
    """``axes`` [3, 3]: its x, y, z in world coordinates, as rows; ``place`` [3]: position in metres."""

    axes: Array
    place: Array

    def see(self, world: Array) -> Array:
        """Transform points [..., 3] from the world to camera space."""
        return np.asarray((world - self.place) @ self.axes.T)


def camera(number: int, setup: int, *, seed: int) -> Camera:
    """A camera of a setup: 2.9 to 3.6 m away, 1.0 to 1.6 m high, aimed at the middle of the persons."""
    rng = generator(seed, "camera", setup, number)
    azimuth = np.radians(AZIMUTH[number] + rng.uniform(-4, 4))
    distance, height = rng.uniform(2.9, 3.6), rng.uniform(1.0, 1.6)
    place = np.array([distance * np.sin(azimuth), height, distance * np.cos(azimuth)])
    forward = np.array([0.0, rng.uniform(0.8, 1.0), 0.0]) - place
    forward /= np.linalg.norm(forward)
    roll = np.radians(rng.uniform(-1.0, 1.0))
    left = np.cross([np.sin(roll), np.cos(roll), 0.0], forward)
    left /= np.linalg.norm(left)
    return Camera(np.stack([left, np.cross(forward, left), forward]), place)


def recorded(poses: tuple[Pose, ...], rng: np.random.Generator) -> tuple[Pose, ...]:
    """One camera's recording of a performance: cameras start and stop independently, up to 0.3 s apart."""
    frames = len(poses[0].origin)
    start, stop = int(rng.integers(0, 10)), frames - int(rng.integers(0, 10))
    return tuple(pose.cut(start, stop) for pose in poses)


@dataclass(frozen=True)
class Body25:
    """The sensor's output for one body over T frames, in its camera space."""

    id: int
    joints: Array
    """[T, 25, 3] metres."""
    state: NDArray[np.int64]
    """[T, 25]: 1 inferred, 2 tracked."""
    orientation: Array
    """[T, 25, 4] quaternions w x y z; zero at the ends of chains, as in Kinect files."""
    lean: Array
    """[T, 2] sideways and forward."""
    seen: NDArray[np.bool_]
    """[T]"""


def kinect(poses: tuple[Pose, ...], view: Camera, rng: np.random.Generator) -> tuple[list[Body25], Array]:
    """The bodies that a Kinect reports, and their order in the file in every frame [T, B].

    Noise grows with the square of depth (Khoshelham and Elberink 2012 for its predecessor), is larger at
    hands and feet, and large and slow for occluded joints. Occasionally frames are lost, and a body is
    detected late, re-detected under another id, or is not a person at all.
    """
    true = [view.see(pose.joints(NATIVE)) for pose in poses]
    hidden = [_hidden(joints, true) for joints in true]
    first = FIRST_BODY_ID + int(rng.integers(1, 40000))
    bodies = []
    for number, (pose, joints, behind) in enumerate(zip(poses, true, hidden, strict=True)):
        noisy = joints + _jitter(joints, behind, rng)
        state = np.where(behind > 0.5, INFERRED, TRACKED)
        seen = np.ones(len(joints), dtype=np.bool_)
        turn = _orientation(pose, view, rng)
        bodies.append(Body25(first + number, noisy, state, turn, _lean(noisy), seen))
    bodies = _accidents(bodies, rng)
    return bodies, _file_order(bodies, rng)


_REACH = np.ones(25)
_REACH[[7, 11, 15, 19]] = 1.6  # hands and feet
_REACH[[21, 22, 23, 24]] = 2.2  # tips and thumbs


def _jitter(joints: Array, hidden: Array, rng: np.random.Generator) -> Array:
    """[T, 25, 3] measurement noise, metres."""
    depth = (joints[..., 2:] / 2.5) ** 2
    axes = np.array([1.0, 1.0, 1.5])
    reach = _REACH[:, None]
    fast = rng.normal(0, 0.003, joints.shape)
    slow = smooth(rng.normal(0, 0.009, joints.shape), 4.0)
    bias = rng.normal(0, 0.018, joints.shape[1:])  # clothes, view: constant over the clip
    guess = rng.normal(0, 0.05, joints.shape[1:]) + smooth(rng.normal(0, 0.055, joints.shape), 3.0)
    return np.asarray((fast + slow + bias) * reach * depth * axes + guess * hidden[..., None])


def smooth(noise: Array, frames: float) -> Array:
    """Smooth white noise [T, ...] to correlate over about ``frames`` frames, keeping its amplitude."""
    # A Gaussian filter leaves 1 / gain of white noise; near the ends, this holds only with wrap-around.
    gain = np.sqrt(2 * frames * np.sqrt(np.pi))
    return np.asarray(gaussian_filter1d(noise, frames, axis=0, mode="wrap") * gain)


_CAPSULES = ((0, 20, 0.15), (12, 13, 0.075), (13, 14, 0.055), (16, 17, 0.075), (17, 18, 0.055), (2, 3, 0.09))
"""Joint, joint, radius in metres: trunk, thighs, shanks, head."""
_OWN = (
    (0, 1, 2, 3, 4, 8, 12, 16, 20),
    (0, 12, 13, 14),
    (12, 13, 14, 15),
    (0, 16, 17, 18),
    (16, 17, 18, 19),
    (2, 3, 20),
)
"""For each capsule, the joints of the same body that it does not occlude."""


def _hidden(joints: Array, everyone: list[Array]) -> Array:
    """[T, 25] 0..1: how much a trunk, a leg or a head occludes each joint, seen from the camera's origin."""
    worst = np.zeros(joints.shape[:2])
    ray = joints / joints[..., 2:]
    for other in everyone:
        for number, (start, end, radius) in enumerate(_CAPSULES):
            a, b = other[:, None, start], other[:, None, end]
            ahead = joints[..., 2] - np.minimum(a, b)[..., 2]
            gap = _distance_to_segment(ray, a, b)
            share = np.clip((radius - gap) / 0.03, 0, 1) * np.clip((ahead - radius) / 0.03, 0, 1)
            if other is joints:
                share[:, _OWN[number]] = 0.0
            worst = np.maximum(worst, share)
    return np.asarray(gaussian_filter1d(worst, 1.0, axis=0))


def _distance_to_segment(ray: Array, a: Array, b: Array) -> Array:
    """[T, V]: distance in metres, across the line of sight, of segments a-b from rays through (x, y, 1)."""
    depth = (a[..., 2] + b[..., 2]) / 2
    p, q = a[..., :2] / a[..., 2:], b[..., :2] / b[..., 2:]
    along = np.sum((ray[..., :2] - p) * (q - p), axis=-1) / np.maximum(np.sum((q - p) ** 2, axis=-1), 1e-9)
    nearest = p + np.clip(along, 0, 1)[..., None] * (q - p)
    return np.asarray(np.linalg.norm(ray[..., :2] - nearest, axis=-1) * depth)


# Kinect reports for each joint the orientation of the bone that ends there, y along the bone away from the
# centre; none for the ends of chains.
_ARM, _LEG = ("clavicle", "upperarm", "forearm", "hand"), ("pelvis", "thigh", "shank", "")
_BONES = (
    *("pelvis", "lumbar", "thorax", ""),
    *(sided(name, LEFT) for name in _ARM),
    *(sided(name, RIGHT) for name in _ARM),
    *(name and (name if name == "pelvis" else sided(name, LEFT)) for name in _LEG),
    *(name and (name if name == "pelvis" else sided(name, RIGHT)) for name in _LEG),
    *("thorax", "", "", "", ""),
)
_END = np.array([name == "" for name in _BONES])
_DOWNWARD = np.array([name.endswith((*_ARM[1:], *_LEG[1:3])) for name in _BONES])  # segments along -y


def _orientation(pose: Pose, view: Camera, rng: np.random.Generator) -> Array:
    """[T, 25, 4] unit quaternions w x y z in camera space, a few degrees off; zero at the ends of chains."""
    index = segment_index()
    chosen = [index.get(name, 0) for name in _BONES]
    turn = view.axes @ pose.rotation[:, chosen]
    turn[:, _DOWNWARD] = turn[:, _DOWNWARD] * np.array([1.0, -1.0, -1.0])
    wobble = smooth(rng.normal(0, 0.05, turn.shape[:3]), 2.0)
    exact = Rotation.from_matrix(turn.reshape(-1, 3, 3))
    quaternions = (exact * Rotation.from_rotvec(wobble.reshape(-1, 3))).as_quat()[:, [3, 0, 1, 2]]
    quaternions = quaternions.reshape(*turn.shape[:2], 4)
    quaternions[:, _END] = 0.0
    return np.asarray(quaternions)


def _lean(joints: Array) -> Array:
    """[T, 2]: lean of the trunk sideways and forward, -1..1 for -45..45 degrees."""
    up = joints[:, 20] - joints[:, 0]
    return np.asarray(np.clip(np.arctan2(up[:, [0, 2]] * [1, -1], up[:, 1:2]) / (np.pi / 4), -1, 1))


def _accidents(bodies: list[Body25], rng: np.random.Generator) -> list[Body25]:
    """Add tracking errors: lost frames, a late or re-detected body, furniture mistaken for a body."""
    frames = len(bodies[0].seen)
    kinds = rng.random(4)
    if kinds[0] < 0.12:  # frames without any body
        lost = int(rng.integers(3, frames - 6))
        for body in bodies:
            body.seen[lost : lost + int(rng.integers(1, 4))] = False
    if kinds[1] < 0.06 or (len(bodies) == 2 and kinds[1] < 0.12):
        bodies[-1].seen[: int(rng.integers(2, 9))] = False
    if kinds[2] < 0.03:
        at = int(rng.integers(frames // 3, 2 * frames // 3))
        again = bodies[0].seen & (np.arange(frames) >= at)
        bodies = [*bodies, replace(bodies[0], id=bodies[-1].id + 1, seen=again)]
        bodies[0].seen[at - int(rng.integers(0, 3)) :] = False
    if kinds[3] < 0.04:
        bodies = [*bodies, _furniture(bodies[0], bodies[-1].id + 1, rng)]
    return bodies


def _furniture(body: Body25, new_id: int, rng: np.random.Generator) -> Body25:
    """A squeezed, nearly motionless body beside the scene, for part of the clip."""
    frames = len(body.seen)
    still, center = body.joints[:1], body.joints[:1, :1]
    beside = rng.uniform([0.7, -0.3, -0.2], [1.0, 0.1, 0.8]) * [rng.choice([-1.0, 1.0]), 1, 1]
    joints = center + beside + (still - center) * [0.55, 0.7, 0.4]
    joints = joints + smooth(rng.normal(0, 0.02, (frames, 25, 3)), 2.0)
    start = int(rng.integers(0, frames // 2))
    seen = np.zeros(frames, dtype=np.bool_)
    seen[start : start + int(rng.integers(6, frames // 2))] = True
    state = np.where(rng.random((frames, 25)) < 0.6, INFERRED, TRACKED)
    turn = np.repeat(body.orientation[:1], frames, axis=0)
    return Body25(new_id, joints, state, turn, _lean(joints), seen)


def _file_order(bodies: list[Body25], rng: np.random.Generator) -> Array:
    """[T, B]: bodies are written by increasing value. Sometimes they swap places within a clip."""
    order = np.tile(np.arange(float(len(bodies))), (len(bodies[0].seen), 1))
    if len(bodies) > 1 and rng.random() < 0.5:
        order = -order
    if len(bodies) > 1 and rng.random() < 0.2:
        at = int(rng.integers(5, len(order) - 5))
        order[at:] = -order[at:]
    return order


@dataclass(frozen=True)
class Detections:
    """A monocular estimator's detections in a clip: the people of all frames, concatenated."""

    poses: dict[str, NDArray[np.float32]]
    """Convention -> [sum of people, V, 3] millimetres; x right, y down, z forward in the image."""
    people_per_frame: NDArray[np.int64]
    """[T]"""


def metrabs(
    poses: tuple[Pose, ...], view: Camera, conventions: tuple[str, ...], rng: np.random.Generator
) -> Detections:
    """MeTRAbs on the mirrored video: left and right are swapped, (x, y, z) is (x, -y, z) of Kinect space.

    One network predicts all conventions, so they share its errors: depth scale and drift per clip, slow
    wander of 15-25 mm per segment; each joint has a little noise. People are in random order; some are
    missed.
    """
    frames = len(poses[0].origin)
    scale = [1 + rng.normal(0, 0.035) for _ in poses]
    errors = [_wander(pose, rng) for pose in poses]
    seen, ghost = _seen(frames, len(poses), rng), _ghost(frames, rng)
    order = np.argsort(rng.random((frames, len(poses) + 1)), axis=1)
    by_convention: dict[str, NDArray[np.float32]] = {}
    for convention in conventions:
        swap = list(skeletons.load(convention).left_right_swap or ())
        place = points(convention).segment
        views = []
        for pose, size, (segment, drift) in zip(poses, scale, errors, strict=True):
            joints = size * (view.see(pose.joints(convention)) + segment[:, place] + drift)
            joints += rng.normal(0, 0.004, joints.shape)
            views.append((joints * [1000.0, -1000.0, 1000.0])[:, swap])
        by_convention[convention] = _ragged(np.stack(views, axis=1), seen, ghost, order)
    return Detections(by_convention, seen.sum(axis=1) + (ghost >= 0))


def _wander(pose: Pose, rng: np.random.Generator) -> tuple[Array, Array]:
    """Slow errors of each segment [T, S, 3] and of the whole person [T, 1, 3], metres."""
    frames, segments = pose.origin.shape[:2]
    size = rng.uniform(0.010, 0.017)
    segment = smooth(rng.normal(0, size, (frames, segments, 3)), 3.0) * [0.8, 0.8, 1.4]
    drift = smooth(rng.normal(0, 1, (frames, 1, 3)), 8.0) * [0.010, 0.010, 0.035]
    return segment, drift


def _seen(frames: int, people: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """[T, M]: who is detected. One frame in 60 misses a person; longer gaps are rare."""
    seen = rng.random((frames, people)) > 1 / 60
    if rng.random() < 0.1:
        at = int(rng.integers(0, frames - 4))
        seen[at : at + int(rng.integers(2, 5)), int(rng.integers(people))] = False
    seen[frames // 2] = True  # nobody is missing throughout
    return seen


def _ghost(frames: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """[T]: the frame from which a false extra person (a poster, a reflection) is copied; -1 for none."""
    ghost = np.full(frames, -1, dtype=np.int64)
    if rng.random() < 0.05:
        at = int(rng.integers(0, frames - 10))
        ghost[at : at + int(rng.integers(3, 10))] = at
    return ghost


def _ragged(
    people: Array, seen: NDArray[np.bool_], ghost: NDArray[np.int64], order: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Concatenate people [T, M, V, 3] to [sum of people, V, 3], each frame in ``order`` [T, M + 1]."""
    false = people[np.maximum(ghost, 0), 0] * 0.8 + [900.0, -200.0, 1500.0]
    crowd = np.concatenate([people, false[:, None]], axis=1)
    here = np.concatenate([seen, ghost[:, None] >= 0], axis=1)
    frame = np.arange(len(crowd))[:, None]
    return np.asarray(crowd[frame, order][here[frame, order]], dtype=np.float32)
