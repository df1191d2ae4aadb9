"""Run a recipe on one clip."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from schemas import Component, ConfigError, SkeletonSpec, UsageError
from skeltools.preprocess.clip import Array, Dropped, Goal, Prepared
from skeltools.preprocess.recipes import Recipe, check_fits, resolve
from skeltools.preprocess.steps import FIRST, STEPS, checked
from skeltools.sequence import SkeletonSequence


def prepare(
    sequence: SkeletonSequence,
    *,
    recipe: str | Recipe | tuple[Component, ...] = "default",
    spec: SkeletonSpec,
    frames: int,
    bodies: int,
) -> Prepared | Dropped:
    """Run a recipe (a name, a file, what ``load`` returns for either, or steps) on one clip.

    Raises UsageError for an unknown recipe, a recipe with a step that needs what ``spec`` does not have, or a
    clip that does not fit ``spec``; ConfigError for steps and options that do not exist. Files and steps are
    read and checked on every call: for many clips, ``load`` the recipe first.
    """
    steps = resolve(recipe)
    name = recipe if isinstance(recipe, str) else getattr(recipe, "name", "given")
    check_fits(Recipe(name, steps), (spec,))
    if frames < 1 or bodies < 1:
        raise UsageError(f"a stream needs at least 1 frame and 1 body, not {frames} and {bodies}")
    if sequence.joints.shape[2] != spec.num_joints:
        message = f"{sequence.joints.shape[2]} joints, but {spec.name} has {spec.num_joints}"
        raise UsageError(message, where=sequence.id)
    goal, counts = Goal(spec, frames, bodies), Counter[str]()
    exact: Array = sequence.joints.astype(np.float64)
    clip = replace(sequence, joints=exact, score=None)
    for step in steps if steps[0].name == FIRST else (checked(Component(name=FIRST), where=FIRST), *steps):
        outcome = STEPS[step.name](clip, goal, **step.options)
        if isinstance(outcome, Dropped):
            return outcome
        clip, step_counts = outcome
        counts.update(step_counts)
    return Prepared(_as_stream(clip, goal), {what: n for what, n in counts.items() if n})


def _as_stream(clip: SkeletonSequence, goal: Goal) -> NDArray[np.float32]:
    """[T, M, V, 3] -> [3, T, V, M], padded with empty slots if there are fewer bodies than wanted."""
    if clip.frames != goal.frames or clip.bodies > goal.bodies:
        raise ConfigError(
            f"the recipe ends with {clip.frames} frames and {clip.bodies} bodies a clip, "
            f"but {goal.frames} and {goal.bodies} are needed",
            remedy="Choose the bodies after file_order with slots, and resize after the last step that cuts",
        )
    joint = np.zeros((3, goal.frames, goal.spec.num_joints, goal.bodies), dtype=np.float32)
    joint[..., : clip.bodies] = clip.joints.transpose(3, 0, 2, 1)
    return joint
