"""Statistics over all poses of a store: joints that were not seen, bone lengths, the mean pose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas import SkeletonSpec
from skeltools import store
from skeltools.sequence import UNKNOWN, SkeletonSequence

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Survey:
    """Statistics of a convention: V joints, B bones (in order of ``spec.edges``), K classes, S subjects."""

    spec: SkeletonSpec
    labels: tuple[int, ...]
    """Labels of the K classes; -1 stands for clips without a label."""
    subjects: tuple[int, ...]
    poses: Counts
    """[K]: bodies that were present, summed over frames."""
    unseen: Counts
    """[K, V]: number of these whose joint was not seen."""
    lengths: Counts
    """[S, B]: number of bones with both ends seen."""
    mean: Numbers
    """[S, B]: mean length of the bone, in metres; NaN where there was none."""
    variation: Numbers
    """[S, B]: standard deviation of the length divided by the mean; NaN where there was none."""
    pose: Numbers
    """[V, 3]: mean position of a joint relative to the centre; NaN if the two were never seen together.

    Bodies are turned so that their shoulders point along x, the left one to -x, as of people who look at the
    sensor.
    """

    @property
    def share(self) -> Numbers:
        """[K, V]: share of the bodies whose joint was not seen."""
        return self.unseen / np.maximum(self.poses, 1)[:, None]


def survey(path: Path, convention: str) -> Survey:
    """Read all sequences of a convention once, with one run of clips in memory at a time.

    Joints that are not finite count as not seen. Raises StoreError for a convention that the store does not
    have.
    """
    opened = store.open_store(path)
    spec = store.read_spec(opened, convention)
    labels = np.unique(store.read(opened, "samples/label")).tolist()
    subjects = np.unique(store.read(opened, "samples/subject")).tolist()
    added = _Sums(spec, labels, subjects)
    for clip in store.read_sequences(opened, convention):
        if clip is not None:
            added.add(clip)
    return added.survey()


class _Sums:
    def __init__(self, spec: SkeletonSpec, labels: list[int], subjects: list[int]) -> None:
        self.spec, self.labels, self.subjects = spec, labels, subjects
        joints, bones = spec.num_joints, len(spec.edges)
        self.poses = np.zeros(len(labels), np.int64)
        self.unseen = np.zeros((len(labels), joints), np.int64)
        self.lengths = np.zeros((3, len(subjects), bones))
        self.pose = np.zeros((joints, 3))
        self.placed = np.zeros(joints, np.int64)

    def add(self, clip: SkeletonSequence) -> None:
        joints = clip.joints[clip.present].astype(np.float64)  # [n, V, 3]
        seen = np.asarray(np.isfinite(joints).all(axis=-1))
        if clip.unseen is not None:
            seen &= ~clip.unseen[clip.present]
        joints = np.where(seen[..., None], joints, 0)
        row = self.labels.index(clip.label)
        self.poses[row] += len(joints)
        self.unseen[row] += (~seen).sum(axis=0)
        self._add_lengths(self.subjects.index(clip.subject), joints, seen)
        self._add_pose(joints, seen)

    def _add_lengths(self, row: int, joints: Numbers, seen: NDArray[np.bool_]) -> None:
        child, parent = np.array(self.spec.edges).T
        length = np.linalg.norm(joints[:, child] - joints[:, parent], axis=-1)
        both = seen[:, child] & seen[:, parent]
        for power, total in enumerate(self.lengths):
            total[row] += np.where(both, length**power, 0).sum(axis=0)

    def _add_pose(self, joints: Numbers, seen: NDArray[np.bool_]) -> None:
        centre, chosen = self.spec.center, seen[:, self.spec.center]
        if self.spec.shoulders:
            chosen = chosen & seen[:, self.spec.shoulders].all(axis=1)
        placed, shown = joints[chosen] - joints[chosen, centre : centre + 1], seen[chosen]
        turned = facing(placed, self.spec)
        self.pose += np.where(shown[..., None], turned, 0).sum(axis=0)
        self.placed += shown.sum(axis=0)

    def survey(self) -> Survey:
        number, total, squares = self.lengths
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total / number
            variation = np.sqrt(np.maximum(squares / number - mean**2, 0)) / mean
            pose = self.pose / self.placed[:, None]
        return Survey(
            self.spec,
            tuple(self.labels),
            tuple(self.subjects),
            self.poses,
            self.unseen,
            number.astype(np.int64),
            mean,
            variation,
            pose,
        )


def facing(joints: Numbers, spec: SkeletonSpec) -> Numbers:
    """Turn poses [n, V, 3] about the vertical until the left shoulder is at -x of the right, at equal depth.

    Flat poses and conventions without shoulders stay as they are.
    """
    if spec.shoulders is None or not joints[..., 2].any():
        return joints
    left, right = spec.shoulders
    across = joints[:, right] - joints[:, left]
    turn = across[:, 0] - 1j * across[:, 2]
    size = np.abs(turn)
    turn = np.where(size > 0, turn / np.where(size > 0, size, 1), 1)
    ground = (joints[..., 0] + 1j * joints[..., 2]) * turn[:, None]
    return np.stack([ground.real, joints[..., 1], ground.imag], axis=-1)


def name_of_subject(subject: int) -> str:
    """The subject's number, or ``unknown``."""
    return "unknown" if subject == UNKNOWN else str(subject)
