"""Write the demo: NTU ``.skeleton`` text, MeTRAbs-style arrays, and the marker that identifies them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas import SkelError, UsageError, checks_arguments, unknown
from skeltools import __version__, skeletons
from skeltools.demo.actions import ACTIONS
from skeltools.demo.body import Array
from skeltools.demo.draws import generator
from skeltools.demo.kinematics import Pose
from skeltools.demo.perform import perform
from skeltools.demo.sensors import (
    COLOUR_BASELINE,
    COLOUR_CENTER,
    COLOUR_FOCAL,
    DEPTH_CENTER,
    DEPTH_FOCAL,
    DEPTH_SIZE,
    Body25,
    camera,
    kinect,
    metrabs,
    recorded,
)

MARKER = "DEMO.json"
FOLDER = "ntu60"
NATIVE_FOLDER = "nturgb+d_skeletons"
METRABS_FOLDER = "metrabs"
_ELSEWHERE = "Move them away, or write the demo to another folder"
METRABS_CONVENTIONS = ("smplx_42", "smpl_24", "berkeley_mhad_43")


Ids = tuple[int, int, int, int, int]
"""Setup, camera, subject, repetition, action."""


@dataclass(frozen=True)
class DemoSummary:
    """Summary of a written demo."""

    folder: Path
    clips: int
    performances: int
    actions: tuple[int, ...]
    subjects: int
    files: int
    bytes: int


@dataclass(frozen=True)
class Plan:
    """The contents of a demo."""

    seed: int
    actions: tuple[int, ...]
    subjects: int
    repetitions: int
    cameras: int

    def performances(self) -> list[tuple[int, int, int]]:
        """All (action, subject, repetition), sorted."""
        subjects, repetitions = range(1, self.subjects + 1), range(1, self.repetitions + 1)
        return [(a, s, r) for a in self.actions for s in subjects for r in repetitions]

    def files(self) -> set[str]:
        """Every file of the demo, relative to its folder."""
        ids = [
            sample_id(setup_of(subject), number, subject, repetition, action)
            for action, subject, repetition in self.performances()
            for number in range(1, self.cameras + 1)
        ]
        native = {f"{NATIVE_FOLDER}/{name}.skeleton" for name in ids}
        return native | {f"{METRABS_FOLDER}/{c}/{name}.npz" for c in METRABS_CONVENTIONS for name in ids}


def setup_of(subject: int) -> int:
    """A subject's setup, 2 or 4: NTU lists none of a default demo's samples in these as missing."""
    return 4 if subject % 2 else 2


def sample_id(setup: int, camera: int, subject: int, repetition: int, action: int) -> str:
    return f"S{setup:03d}C{camera:03d}P{subject:03d}R{repetition:03d}A{action:03d}"


@checks_arguments
def write_demo(
    out: Path | str,
    *,
    seed: int = 0,
    subjects: int = 10,
    repetitions: int = 1,
    actions: Sequence[int] | None = None,
    cameras: int = 3,
    on_progress: Callable[[int, int], None] | None = None,
) -> DemoSummary:
    """Write ``out/ntu60``: ``nturgb+d_skeletons/*.skeleton``, ``metrabs/<convention>/*.npz`` and the marker.

    The same arguments give the same bytes. A clip depends only on the seed and its own ids, so a larger demo
    contains every smaller one. ``actions`` are NTU's numbers (default: all available); ``on_progress`` is
    called with (clips written, total clips). An existing demo is replaced once the new one is complete.

    Raises UsageError for arguments out of range, SkelError if ``out/ntu60`` holds anything but a demo.
    """
    plan = checked(Plan(seed, tuple(sorted(set(actions or ACTIONS))), subjects, repetitions, cameras))
    folder = Path(out) / FOLDER
    with replacing(folder, plan, Plan.files) as partial:
        _write_all(partial, plan, on_progress)
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    performances = len(plan.performances())
    return DemoSummary(
        folder, performances * cameras, performances, plan.actions, subjects, len(sizes), sum(sizes)
    )


@contextmanager
def replacing(folder: Path, plan: Plan, files: Callable[[Plan], set[str]]) -> Iterator[Path]:
    """Yield a temporary folder with the demo's marker; it replaces ``folder`` when the block succeeds.

    Raises SkelError if ``folder`` holds anything but a marker and the ``files`` of its plan, relative to it.
    """
    _refuse_foreign(folder, files)
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        _write_marker(partial, plan)
        yield partial
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    except OSError as error:
        raise SkelError(
            f"cannot write the demo ({error.strerror})", where=error.filename or folder
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def checked(plan: Plan) -> Plan:
    for action in plan.actions:
        if action not in ACTIONS:
            raise unknown("demo action", str(action), [str(known) for known in ACTIONS])
    for name, value, most in (
        ("subjects", plan.subjects, 40),
        ("repetitions", plan.repetitions, 99),
        ("cameras", plan.cameras, 3),
    ):
        if not 1 <= value <= most:
            raise UsageError(f"{name} must be 1 to {most}, not {value}")
    if plan.seed < 0:
        raise UsageError(f"seed must not be negative, it is {plan.seed}")
    return plan


def _refuse_foreign(folder: Path, wanted: Callable[[Plan], set[str]]) -> None:
    """Raise SkelError unless the folder is absent, empty, or holds only a demo's files."""
    if not folder.exists() and not folder.is_symlink():
        return
    plain = folder.is_dir() and not folder.is_symlink()
    if not plain or (any(folder.iterdir()) and not (folder / MARKER).is_file()):
        raise SkelError("holds files that are not of a demo", where=folder, remedy=_ELSEWHERE)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    foreign = sorted(files - {MARKER} - wanted(_earlier(folder))) if files else []
    if foreign:
        raise SkelError(
            f"holds {len(foreign)} files besides the demo, e.g. {foreign[0]}",
            where=folder,
            remedy=_ELSEWHERE,
        )


def _earlier(folder: Path) -> Plan:
    """The plan of the existing demo in a folder."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        numbers = {name: int(marker[name]) for name in ("seed", "subjects", "repetitions", "cameras")}
        return checked(Plan(actions=tuple(marker["actions"]), **numbers))
    except (OSError, ValueError, KeyError, TypeError, UsageError) as error:
        raise SkelError("no marker of a demo", where=folder / MARKER, remedy="Remove the folder") from error


def _write_all(folder: Path, plan: Plan, on_progress: Callable[[int, int], None] | None) -> None:
    for name in (NATIVE_FOLDER, *(f"{METRABS_FOLDER}/{convention}" for convention in METRABS_CONVENTIONS)):
        (folder / name).mkdir(parents=True)
    performances = plan.performances()
    total = len(performances) * plan.cameras
    for done, (action, subject, repetition) in enumerate(performances):
        poses = perform(action, subject, repetition, seed=plan.seed)
        for number in range(1, plan.cameras + 1):
            _write_clip(folder, poses, plan.seed, (setup_of(subject), number, subject, repetition, action))
            if on_progress is not None:
                on_progress(done * plan.cameras + number, total)


def _write_marker(folder: Path, plan: Plan) -> None:
    marker = {
        "synthetic": True,
        "what": "built-in demo of skeltools: simulated bodies and sensors, not NTU RGB+D",
        "generator": __version__,
        "seed": plan.seed,
        "subjects": plan.subjects,
        "repetitions": plan.repetitions,
        "cameras": plan.cameras,
        "actions": list(plan.actions),
    }
    (folder / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")


def _write_clip(folder: Path, poses: tuple[Pose, ...], seed: int, ids: Ids) -> None:
    setup, number, *_ = ids
    name = sample_id(*ids)
    view = camera(number, setup, seed=seed)
    shot = recorded(poses, generator(seed, "recording", *ids))
    bodies, order = kinect(shot, view, generator(seed, "kinect", *ids))
    text = ntu_text(bodies, order)
    (folder / NATIVE_FOLDER / f"{name}.skeleton").write_bytes(text.encode("ascii"))
    detections = metrabs(shot, view, METRABS_CONVENTIONS, generator(seed, "metrabs", *ids))
    for convention in METRABS_CONVENTIONS:
        np.savez(
            folder / METRABS_FOLDER / convention / f"{name}.npz",
            poses3d=detections.poses[convention],
            people_per_frame=detections.people_per_frame,
            joint_names=np.array(skeletons.load(convention).joints),
        )


# One body in one frame: a line of 10 fields, the number of joints, and a line of 12 fields per joint.
_BODY = "%d %d %d %d %d %d %d %.7g %.7g %d\r\n25\r\n" + ("%.7g " * 11 + "%d\r\n") * 25


def ntu_text(bodies: list[Body25], order: Array) -> str:
    """The text of a ``.skeleton`` file: in each frame, its bodies by increasing ``order`` [T, B]."""
    blocks = [_blocks(body) for body in bodies]
    seen = np.stack([body.seen for body in bodies], axis=1)
    lines = [f"{len(seen)}\r\n"]
    for frame, here in enumerate(seen):
        chosen = [number for number in np.argsort(order[frame], kind="stable") if here[number]]
        lines.append(f"{len(chosen)}\r\n")
        lines += [blocks[number][frame] for number in chosen]
    return "".join(lines)


def _blocks(body: Body25) -> list[str]:
    """[T]: the text of one body in each frame; empty where it was not seen."""
    columns = np.concatenate(
        [body.joints, depth_pixels(body.joints), colour_pixels(body.joints), body.orientation], axis=2
    )
    rows = np.concatenate([columns, body.state[..., None]], axis=2).reshape(len(columns), -1).tolist()
    clipped = _clipped_edges(depth_pixels(body.joints)).tolist()
    hands = _hand_states(body.state)
    lean = body.lean.tolist()
    return [
        _BODY % (body.id, clipped[t], *hands[t], 0, *lean[t], 2, *rows[t]) if body.seen[t] else ""
        for t in range(len(rows))
    ]


def _hand_states(state: NDArray[np.int64]) -> list[list[int]]:
    """[T, 4]: confidence and state of the left and the right hand; state 2 is open, 1 not tracked."""
    sure = (state[:, [7, 11]] == 2).astype(np.int64)
    return np.stack([sure[:, 0], 1 + sure[:, 0], sure[:, 1], 1 + sure[:, 1]], axis=1).tolist()


def depth_pixels(joints: Array) -> Array:
    """Project camera space [..., 3] to [..., 2], column and row of the 512 x 424 depth image."""
    ray = joints[..., :2] / joints[..., 2:] * [1, -1]
    return np.asarray(DEPTH_FOCAL * ray + DEPTH_CENTER)


def colour_pixels(joints: Array) -> Array:
    """Project camera space [..., 3] to [..., 2], column and row of the 1920 x 1080 colour image."""
    shifted = joints[..., :2] + [COLOUR_BASELINE, 0.0]
    return np.asarray(COLOUR_FOCAL * (shifted / joints[..., 2:] * [1, -1]) + COLOUR_CENTER)


def _clipped_edges(pixels: Array) -> NDArray[np.int64]:
    """[T]: Kinect's flags for a body that leaves the image: 1 right, 2 left, 4 top, 8 bottom."""
    column, row = pixels[..., 0], pixels[..., 1]
    outside = np.stack([column > DEPTH_SIZE[0], column < 0, row < 0, row > DEPTH_SIZE[1]])
    return np.asarray(outside.any(axis=2).T @ np.array([1, 2, 4, 8]))
