"""Clips for the tests of preprocessing: figures that walk about, with gaps, and clips of all kinds."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from schemas import SkeletonSpec
from skeltools import skeletons
from skeltools.sequence import SkeletonSequence

KINECT = skeletons.load("kinectv2_25")
File = list[list[np.ndarray]]  # what a raw file says: per frame, the bodies in file order, each [V, 3]


def clip_of(joints: np.ndarray, present: np.ndarray, order: np.ndarray | None = None) -> SkeletonSequence:
    """A clip whose arrays cannot be written to, so that a step that changes its input is caught."""
    joints = np.where(present[..., None, None], joints, 0).astype(np.float32)
    places = np.cumsum(present, axis=1) - 1 if order is None else order
    places = np.where(present, places, -1).astype(np.int8)
    for array in (joints, present, places):
        array.flags.writeable = False
    return SkeletonSequence(
        "clip", "kinectv2_25", joints, present, places, tuple(range(100, 100 + present.shape[1]))
    )


def walking(frames: int, bodies: int, *, spec: SkeletonSpec = KINECT, seed: int = 0) -> np.ndarray:
    """[T, M, V, 3]: random stiff-ish figures that face the sensor within 60 degrees and wander about."""
    rng = np.random.default_rng(seed)
    figure = rng.normal(0, 0.3, (1, bodies, spec.num_joints, 3))
    figure = figure + rng.normal(0, 0.02, (frames, bodies, spec.num_joints, 3))
    if spec.shoulders is not None:
        left, right = spec.shoulders
        figure[:, :, right] = figure[:, :, left] + rng.normal((0.35, 0, 0), 0.02, (frames, bodies, 3))
    angle = rng.uniform(-np.pi / 3, np.pi / 3, (frames, bodies))
    cos, sin, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    turn = np.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], -1).reshape(frames, bodies, 3, 3)
    place = (
        np.array([0, 0, 3]) + rng.normal(0, 1, (1, bodies, 1, 3)) + rng.normal(0, 0.1, (frames, bodies, 1, 3))
    )
    return figure @ turn.swapaxes(-1, -2) + place


def listed(clip: SkeletonSequence) -> File:
    """The clip as a file lists it."""
    file: File = []
    for t in range(clip.frames):
        there = [m for m in range(clip.bodies) if clip.present[t, m]]
        there.sort(key=lambda m, t=t: clip.order[t, m])
        file.append([clip.joints[t, m].astype(np.float64) for m in there])
    return file


@st.composite
def clips(draw: st.DrawFn) -> SkeletonSequence:
    """Any valid clip: gaps, late and early bodies, places in the file that swap, one frame."""
    frames, bodies = draw(st.integers(1, 24)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    present = rng.random((frames, bodies)) < draw(st.sampled_from([0.3, 0.8, 1.0]))
    order = np.full((frames, bodies), -1)
    for t in range(frames):
        there = np.flatnonzero(present[t])
        order[t, there] = rng.permutation(len(there)) if draw(st.booleans()) else np.arange(len(there))
    return clip_of(walking(frames, bodies, seed=int(rng.integers(2**32))), present, order)


# ---- slow and literal


def oracle_resize(x: np.ndarray, frames: int) -> np.ndarray:
    """Half-pixel linear interpolation, a frame at a time."""
    out = np.zeros((frames, *x.shape[1:]))
    for t in range(frames):
        place = (t + 0.5) * len(x) / frames - 0.5
        place = min(max(place, 0.0), len(x) - 1.0)
        before = int(np.floor(place))
        after = min(before + 1, len(x) - 1)
        out[t] = (1 - (place - before)) * x[before] + (place - before) * x[after]
    return out


def oracle_rotation(line: np.ndarray, target: tuple[float, float, float] = (1.0, 0.0, 0.0)) -> np.ndarray:
    """Rodrigues' formula I + sin K + (1 - cos) K^2, another form than the code's."""
    axis = np.cross(line, target)
    if np.abs(line).sum() < 1e-6 or np.abs(axis).sum() < 1e-6:
        return np.eye(3)
    angle = np.arccos(np.clip(line @ target / np.sqrt((line**2).sum()), -1, 1))
    x, y, z = axis / np.sqrt((axis**2).sum())
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
