"""Write continuous recordings of the demo's people, in the format of PKU-MMD: actions in sequence, uncut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skeltools.demo.actions import ACTIONS
from skeltools.demo.body import Array
from skeltools.demo.draws import generator
from skeltools.demo.files import Plan, checked, replacing, setup_of
from skeltools.demo.perform import perform
from skeltools.demo.sensors import camera, kinect, recorded

FOLDER = "pku-mmd-1"
SKELETONS, LABELS = "PKU_Skeleton_Renew", "Train_Label_PKU_final"
"""Folder names of PKU-MMD I."""

CLASSES = {
    1: 8,
    3: 3,
    6: 22,
    7: 41,
    8: 33,
    9: 34,
    10: 6,
    23: 13,
    24: 19,
    27: 17,
    38: 32,
    40: 7,
    50: 26,
    55: 16,
    58: 14,
}
"""NTU's number of an action -> PKU-MMD's number of the same action. PKU-MMD has no walking towards each
other."""

TESTED = 290
"""Videos 291 to 334 are the test half of PKU-MMD I's cross-subject split; every third person is put there."""

_VIEWS = "LMR"
_PAUSE = (20, 50)
"""Range of frames between two actions, in which the person moves to the start of the next one."""


def video_of(subject: int, number: int) -> str:
    """Name of a person's recording by a camera; both count from 1."""
    return f"{subject + (0 if subject % 3 else TESTED):04d}-{_VIEWS[number - 1]}"


def write_demo_recordings(
    out: Path | str,
    *,
    seed: int = 0,
    subjects: int = 10,
    cameras: int = 3,
    actions: Sequence[int] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write ``out/pku-mmd-1``: a recording of every person by every camera, and the demo's marker.

    Each contains all actions once, in an order specific to the person; they are the performances of
    ``write_demo``. Arguments and errors are those of ``write_demo``. Returns the folder.
    """
    plan = checked(Plan(seed, tuple(sorted(set(actions or ACTIONS))), subjects, 1, cameras))
    folder, done = Path(out) / FOLDER, 0
    with replacing(folder, plan, _files) as partial:
        for name in (SKELETONS, LABELS):
            (partial / name).mkdir()
        for subject in range(1, subjects + 1):
            for number in range(1, cameras + 1):
                _write(partial, video_of(subject, number), *_recording(plan, subject, number))
                done += 1
                if on_progress is not None:
                    on_progress(done, subjects * cameras)
    return folder


def _files(plan: Plan) -> set[str]:
    """All files of the recordings, relative to their folder."""
    videos = [video_of(s, n) for s in range(1, plan.subjects + 1) for n in range(1, plan.cameras + 1)]
    return {f"{name}/{video}.txt" for name in (SKELETONS, LABELS) for video in videos}


def _write(folder: Path, video: str, joints: Array, rows: list[tuple[int, int, int]]) -> None:
    """Write a line of 150 numbers per frame, and a line per action, marked as sure (2)."""
    lines = [" ".join(f"{value:.6f}" for value in frame) for frame in joints.reshape(len(joints), -1)]
    (folder / SKELETONS / f"{video}.txt").write_text("\n".join(lines) + "\n", encoding="ascii")
    labels = "".join(f"{action},{start},{end},2\n" for action, start, end in rows)
    (folder / LABELS / f"{video}.txt").write_text(labels, encoding="ascii")


def _recording(plan: Plan, subject: int, number: int) -> tuple[Array, list[tuple[int, int, int]]]:
    """[T, 2, 25, 3], and for each action (PKU-MMD's number, first frame, last frame + 1)."""
    known = [action for action in plan.actions if action in CLASSES]
    order = generator(plan.seed, "order", subject).permutation(known).tolist()
    pauses = generator(plan.seed, "pauses", subject)
    parts: list[Array] = []
    rows = []
    at = 0
    for action in order:
        clip = _clip(plan.seed, subject, number, action)
        if parts:
            pause = _between(parts[-1][-1], clip[0], int(pauses.integers(*_PAUSE)))
            parts.append(pause)
            at += len(pause)
        parts.append(clip)
        rows.append((CLASSES[action], at, at + len(clip)))
        at += len(clip)
    return np.concatenate(parts), rows


def _clip(seed: int, subject: int, number: int, action: int) -> Array:
    """One camera's recording of a performance as [T, 2, 25, 3]; zero for a body that is not seen."""
    ids = (setup_of(subject), number, subject, 1, action)
    shot = recorded(perform(action, subject, 1, seed=seed), generator(seed, "recording", *ids))
    bodies, _ = kinect(shot, camera(number, ids[0], seed=seed), generator(seed, "kinect", *ids))
    clip = np.zeros((len(bodies[0].seen), 2, 25, 3))
    for place, body in enumerate(bodies[:2]):
        clip[body.seen, place] = body.joints[body.seen]
    return clip


def _between(one: Array, other: Array, frames: int) -> Array:
    """[frames, 2, 25, 3]: interpolation between two poses; a body that either pose lacks is zero."""
    share: NDArray[np.float64] = np.linspace(0, 1, frames)[:, None, None, None]
    there = np.asarray(one.any(axis=(1, 2)) & other.any(axis=(1, 2)))
    return np.asarray(((1 - share) * one + share * other) * there[:, None, None])
