"""Preprocessing: from a Sequence of any length to one row of a joint stream.

A *step* is a pure function ``step(clip, goal, *, options) -> (clip, counts) | Dropped``. ``counts`` says what
the step met (``{"frames interpolated": 3}``); ``Dropped`` says why nothing is left. A *recipe* is a tuple of
Components that name steps and give options. ``prepare`` runs one, and adds up the counts.

    default    the person is a track; the clip moves and turns as one, so that trajectories and the
               distance between two people survive
    crossclr   the published preprocessing of CrosSCLR and AimCLR, body by body and frame by frame

Both turn the line from the *left to the right* shoulder onto +x. Canonical x grows to the sensor's left,
which is the right-hand side of a person who faces it, so facing people are hardly turned at all.

Steps keep the floating type they get; ``prepare`` gives them float64 and rounds once, at the end.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas import Component, ConfigError, SkeletonSpec, UsageError, unknown
from skeltools.sequence import Mask, Sequence

Array = NDArray[Any]
"""Joints in float64 while steps run; see the module's docstring."""


@dataclass(frozen=True)
class Goal:
    """What a recipe works towards."""

    spec: SkeletonSpec
    frames: int
    bodies: int


@dataclass(frozen=True)
class Prepared:
    """One row of a joint stream."""

    joint: NDArray[np.float32]
    """[3, T, V, M] float32, T = frames and M = bodies of the goal; absent bodies are zero."""
    counts: dict[str, int] = field(default_factory=dict)
    """What the steps met, only what is not zero, e.g. ``{"bodies dropped": 1}``."""


@dataclass(frozen=True)
class Dropped:
    """Nothing is left of the clip, and why."""

    reason: str


Counts = dict[str, int]
Step = Callable[..., "tuple[Sequence, Counts] | Dropped"]


def prepare(
    sequence: Sequence,
    *,
    recipe: str | tuple[Component, ...] = "default",
    spec: SkeletonSpec,
    frames: int,
    bodies: int,
) -> Prepared | Dropped:
    """Run a recipe (a name of ``RECIPES`` or its steps) on one clip.

    Raises UsageError for an unknown recipe or step, or a clip that does not fit ``spec``; ConfigError for
    options that a step does not have.
    """
    steps = resolve(recipe)
    if frames < 1 or bodies < 1:
        raise UsageError(f"a stream needs at least 1 frame and 1 body, not {frames} and {bodies}")
    if sequence.joints.shape[2] != spec.num_joints:
        found = f"{sequence.joints.shape[2]} joints, but {spec.name} has {spec.num_joints}"
        raise UsageError(found, where=sequence.id)
    goal, counts = Goal(spec, frames, bodies), Counter[str]()
    exact: Array = sequence.joints.astype(np.float64)
    clip = replace(sequence, joints=exact)
    for step in steps:
        outcome = STEPS[step.name](clip, goal, **step.options)
        if isinstance(outcome, Dropped):
            return outcome
        clip, met = outcome
        counts.update(met)
    return Prepared(_as_stream(clip, goal), {what: n for what, n in counts.items() if n})


def resolve(recipe: str | tuple[Component, ...]) -> tuple[Component, ...]:
    """The steps of a recipe, their names and the names of their options checked."""
    if isinstance(recipe, str):
        if recipe not in RECIPES:
            raise unknown("recipe", recipe, RECIPES)
        return RECIPES[recipe]
    for step in recipe:
        if step.name not in STEPS:
            raise unknown("preprocessing step", step.name, STEPS)
        _, _, *known = inspect.signature(STEPS[step.name]).parameters
        for option in step.options:
            if option not in known:
                takes = f"it takes {', '.join(known)}" if known else "it takes none"
                raise ConfigError(f"unknown option '{option}'", where=f"step {step.name}", remedy=takes)
    return recipe


def _as_stream(clip: Sequence, goal: Goal) -> NDArray[np.float32]:
    """[T, M, V, 3] -> [3, T, V, M], with empty slots behind when there are fewer bodies than wanted."""
    if clip.frames != goal.frames or clip.bodies > goal.bodies:
        raise ConfigError(
            f"the recipe ends with {clip.frames} frames and {clip.bodies} bodies a clip, "
            f"but {goal.frames} and {goal.bodies} are wanted",
            remedy="A recipe needs rank_by_motion or file_order, and resize after the last step that cuts",
        )
    joint = np.zeros((3, goal.frames, goal.spec.num_joints, goal.bodies), dtype=np.float32)
    joint[..., : clip.bodies] = clip.joints.transpose(3, 0, 2, 1)
    return joint


def _with(clip: Sequence, joints: Array, present: Mask) -> Sequence:
    """The clip with other joints; from here on the order of bodies in the file is their place on axis M."""
    places = np.arange(present.shape[1], dtype=np.int8)
    order = np.where(present, places, np.int8(-1))
    ids = clip.body_ids if len(clip.body_ids) == len(places) else tuple(range(len(places)))
    return replace(clip, joints=joints, present=present, order=order, body_ids=ids)


# ---- steps of `default` ---------------------------------------------------------------------------------


def rank_by_motion(clip: Sequence, goal: Goal) -> tuple[Sequence, Counts] | Dropped:
    """Keep the ``goal.bodies`` tracks of most motion energy, most first.

    Energy of a track is ``sum_t mean_v |x[t, v] - mean_t x[v]|^2`` over the frames in which it is present
    (square metres times frames): the variance by which the NTU community ranks bodies, times the
    track's length, so that a few frames of flicker do not outrank a person. Ties: the longer track, then
    the earlier one in the file.
    """
    seen = clip.present.sum(axis=0)
    if not seen.any():
        return Dropped("no body in any frame")
    energy = _motion_energy(clip.joints, clip.present)
    ranked = np.lexsort((np.arange(clip.bodies), -seen, -energy))
    kept = [int(body) for body in ranked[: goal.bodies] if seen[body]]
    chosen = replace(
        clip,
        joints=clip.joints[:, kept],
        present=clip.present[:, kept],
        order=clip.order[:, kept],
        body_ids=tuple(clip.body_ids[body] for body in kept),
    )
    return chosen, {"bodies dropped": int((seen > 0).sum()) - len(kept)}


def _motion_energy(joints: Array, present: Mask) -> NDArray[np.float64]:
    """[T, M, V, 3], [T, M] -> [M]; see ``rank_by_motion``."""
    weight = present[:, :, None, None].astype(np.float64)
    mean = (joints * weight).sum(axis=0) / np.maximum(weight.sum(axis=0), 1)
    away = np.square((joints - mean) * weight).sum(axis=-1)
    return np.asarray(away.mean(axis=-1).sum(axis=0), dtype=np.float64)


def crop_to_presence(clip: Sequence, goal: Goal) -> tuple[Sequence, Counts] | Dropped:
    """Cut the frames before the first and after the last in which any body is present."""
    filled = np.flatnonzero(clip.present.any(axis=1))
    if not filled.size:
        return Dropped("no body in any frame")
    span = slice(int(filled[0]), int(filled[-1]) + 1)
    cropped = replace(clip, joints=clip.joints[span], present=clip.present[span], order=clip.order[span])
    return cropped, {"frames cropped": clip.frames - cropped.frames}


def fill_gaps(clip: Sequence, goal: Goal) -> tuple[Sequence, Counts]:
    """Interpolate linearly inside each track; before its first and after its last frame it stays absent."""
    joints, present = clip.joints.copy(), clip.present.copy()
    for body in range(clip.bodies):
        known = np.flatnonzero(clip.present[:, body])
        if not known.size:
            continue
        span = np.arange(known[0], known[-1] + 1)
        gaps = span[~clip.present[span, body]]
        after = np.searchsorted(known, gaps)
        left, right = known[after - 1], known[after]
        share = ((gaps - left) / (right - left))[:, None, None]
        joints[gaps, body] = (1 - share) * joints[left, body] + share * joints[right, body]
        present[gaps, body] = True
    return _with(clip, joints, present), {"frames interpolated": int(present.sum() - clip.present.sum())}


def center_clip(clip: Sequence, goal: Goal) -> tuple[Sequence, Counts]:
    """Move the whole clip so that the first body's centre joint is at the origin when it first appears."""
    origin = clip.joints[_first_frame(clip), 0, goal.spec.center]
    joints = np.where(clip.present[:, :, None, None], clip.joints - origin, 0.0)
    return replace(clip, joints=joints), {}


def turn_clip(clip: Sequence, goal: Goal) -> tuple[Sequence, Counts]:
    """Turn the whole clip by the rotation that turns the first body's shoulder line onto +x.

    It is the smallest such rotation, taken from the first frame in which that body is present. A line that
    points to -x, where the smallest rotation is not unique, is turned about y, so that up stays up. Clips
    without a shoulder line are left as they are and counted.
    """
    line = _shoulder_line(clip.joints[_first_frame(clip), 0], goal.spec)
    turned: Array = clip.joints @ _onto_x(line, opposite="about y").T
    return replace(clip, joints=turned), {"clips without a shoulder line": int(np.abs(line).sum() < _TINY)}


def _first_frame(clip: Sequence) -> int:
    """First frame in which the first body is present."""
    return int(clip.present[:, 0].argmax())


# ---- steps of `crossclr` --------------------------------------------------------------------------------


def file_order(clip: Sequence, goal: Goal, *, max_frames: int = 300) -> tuple[Sequence, Counts]:
    """Slot m holds, in every frame, the body that the file lists at place m; cut at ``max_frames``.

    300 is the length of the published reader's array (``max_frame``).
    """
    clip, cut = _head(clip, max_frames), max(0, clip.frames - max_frames)
    slots = np.arange(goal.bodies)
    listed = clip.order[:, :, None] == slots  # [T, M, slots]: this body is listed there
    present = listed.any(axis=1)
    source = listed.argmax(axis=1)
    joints = np.take_along_axis(clip.joints, source[:, :, None, None], axis=1)
    joints = np.where(present[:, :, None, None], joints, 0.0)
    beyond = int((clip.order >= goal.bodies).any(axis=0).sum())
    placed = replace(_with(clip, joints, present), body_ids=tuple(range(goal.bodies)))
    return placed, {"frames cut": cut, "bodies behind the first slots": beyond}


def center_frames(clip: Sequence, goal: Goal) -> tuple[Sequence, Counts]:
    """Move every body in every frame so that its own centre joint is at the origin."""
    own = clip.joints[:, :, goal.spec.center, None]
    joints = np.where(clip.present[:, :, None, None], clip.joints - own, 0.0)
    return replace(clip, joints=joints), {}


def cut_to_count(clip: Sequence, goal: Goal) -> tuple[Sequence, Counts] | Dropped:
    """Keep the first n frames, n being the number of frames in which body 1 is not all zero.

    That is the published way to tell a clip's length. Where body 1 has a gap, it cuts the tail.
    """
    count = int(np.any(clip.joints[:, 0] != 0, axis=(1, 2)).sum())
    if not count:
        return Dropped("body 1 is zero in every frame")
    return _head(clip, count), {"frames cut": clip.frames - count}


def _head(clip: Sequence, frames: int) -> Sequence:
    return replace(
        clip, joints=clip.joints[:frames], present=clip.present[:frames], order=clip.order[:frames]
    )


def turn_frames(clip: Sequence, goal: Goal) -> tuple[Sequence, Counts]:
    """Turn every body in every frame by the smallest rotation that turns its shoulder line onto +x.

    As in the published code, a line that already points to -x is left there, and so is a body without one
    (all zero, or both shoulders in one place).
    """
    rotation = _onto_x(_shoulder_line(clip.joints, goal.spec), opposite="stay")
    turned: Array = clip.joints @ rotation.swapaxes(-1, -2)
    return replace(clip, joints=turned), {}


# ---- steps of both --------------------------------------------------------------------------------------


def resize(clip: Sequence, goal: Goal, *, absent: str = "masked") -> tuple[Sequence, Counts]:
    """Resample to ``goal.frames`` by linear interpolation in time.

    ``absent`` says how frames without a body enter. ``masked``: not at all; a resampled frame holds the body
    if at least half of its weight does. ``zeros`` (published): as a skeleton shrunk to the origin.
    """
    if absent not in ("masked", "zeros"):
        raise ConfigError(f"'{absent}' is neither masked nor zeros", where="step resize, option absent")
    joints = resize_time(clip.joints, goal.frames)
    if absent == "zeros":
        return _with(clip, joints, np.any(joints != 0, axis=(2, 3))), {}
    weight = resize_time(clip.present.astype(joints.dtype), goal.frames)
    present = weight >= 0.5
    safe = np.where(present, weight, 1.0)[:, :, None, None]
    joints = np.where(present[:, :, None, None], joints / safe, 0.0)
    return _with(clip, joints, present), {}


def resize_time(x: Array, frames: int) -> Array:
    """[T, ...] float -> [frames, ...]: linear in time, as ``cv2.resize`` with INTER_LINEAR does.

    Frame centres lie at half places: result t takes the value at ``(t + 0.5) * T / frames - 0.5``, held
    within the clip. One frame is repeated.
    """
    image = np.ascontiguousarray(x).reshape(len(x), -1)
    resized = cv2.resize(image, (image.shape[1], frames), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized).reshape(frames, *x.shape[1:])


# ---- geometry -------------------------------------------------------------------------------------------

_TINY = 1e-6
"""Published threshold (A-GCN, data_gen/rotation.py): lines and axes with a smaller 1-norm do not count."""


def _shoulder_line(joints: Array, spec: SkeletonSpec) -> Array:
    """[..., V, 3] -> [..., 3]: right minus left shoulder, the published direction."""
    left, right = spec.shoulders
    return joints[..., right, :] - joints[..., left, :]


def _onto_x(line: Array, *, opposite: str) -> NDArray[np.float64]:
    """[..., 3] -> [..., 3, 3]: smallest rotation that turns a line onto +x (``joints @ rotation.T``).

    Axis and angle come from cross product and arc cosine, the matrix from Euler-Rodrigues, as in A-GCN's
    ``pre_normalization``. No line: no rotation. ``opposite`` decides about -x: ``stay`` or ``about y``.
    """
    length = np.linalg.norm(line, axis=-1)
    some = np.abs(line).sum(axis=-1) >= _TINY
    cosine = np.clip(line[..., 0] / np.where(some, length, 1.0), -1.0, 1.0)
    axis = np.stack([np.zeros_like(length), line[..., 2], -line[..., 1]], axis=-1)  # cross(line, +x)
    sideways = np.abs(axis).sum(axis=-1) >= _TINY
    if opposite == "about y":
        axis = np.where((some & ~sideways & (cosine < 0))[..., None], (0.0, 1.0, 0.0), axis)
        sideways |= some & (cosine < 0)
    angle = np.where(some & sideways, np.arccos(cosine), 0.0)
    angle = np.where(angle < _TINY, 0.0, angle)
    axis = axis / np.where(sideways, np.linalg.norm(axis, axis=-1), 1.0)[..., None]
    return _euler_rodrigues(axis, angle)


def _euler_rodrigues(axis: Array, angle: Array) -> NDArray[np.float64]:
    """Unit axis [..., 3] and angle [...] in radians -> rotation matrix [..., 3, 3]; identity for angle 0."""
    a = np.cos(angle / 2)
    b, c, d = np.moveaxis(axis * np.sin(angle / 2)[..., None], -1, 0)
    rows = [
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


STEPS: dict[str, Step] = {
    step.__name__: step
    for step in (
        rank_by_motion,
        crop_to_presence,
        fill_gaps,
        center_clip,
        turn_clip,
        file_order,
        center_frames,
        cut_to_count,
        turn_frames,
        resize,
    )
}

RECIPES: dict[str, tuple[Component, ...]] = {
    "default": (
        Component(name="rank_by_motion"),
        Component(name="crop_to_presence"),
        Component(name="fill_gaps"),
        Component(name="center_clip"),
        Component(name="turn_clip"),
        Component(name="resize", options={"absent": "masked"}),
    ),
    "crossclr": (
        Component(name="file_order", options={"max_frames": 300}),
        Component(name="center_frames"),
        Component(name="cut_to_count"),
        Component(name="resize", options={"absent": "zeros"}),
        Component(name="turn_frames"),
    ),
}
