"""Recipes: ordered steps from a YAML file, checked, and run on a clip.

The file is a list. Each item is the name of a step, or its name and options::

    - rank_by_motion
    - fill_gaps: {max_gap: 15}
    - resize: {absent: masked}

``{name: resize, options: {absent: masked}}``, as in a store's manifest, is equivalent.

The files in ``skeltools/recipes`` ship with the package; a user's own file works wherever a recipe is
expected.
"""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from schemas import (
    Component,
    ConfigError,
    RecipeRecord,
    SkeletonSpec,
    UsageError,
    regular,
    require,
    unknown,
)
from schemas.parsing import refusing
from schemas.yaml_text import load_yaml
from skeltools.preprocess.clip import Array, Dropped, Goal, Prepared
from skeltools.preprocess.steps import CHOOSE, CUT, FIRST, NEEDS, STEPS, TURN, checked
from skeltools.sequence import SkeletonSequence

FOLDER = Path(__file__).parents[1] / "recipes"
SUFFIXES = (".yaml", ".yml", ".json")

MAX_BYTES = 2**16
"""Largest size of a recipe's file."""


@dataclass(frozen=True)
class Recipe:
    """Checked steps with all of their options, and the name that the manifest records."""

    name: str
    steps: tuple[Component, ...]


def load(recipe: str) -> Recipe:
    """Load a shipped recipe by name, or a user's own YAML file, whose stem becomes the recipe's name.

    Raises UsageError for an unknown name, ConfigError for a file that is absent or no recipe; only the file
    is read.
    """
    if recipe in names():
        return _shipped(recipe)
    if not recipe.lower().endswith(SUFFIXES):
        error = unknown("recipe", recipe, names())
        raise UsageError(error.message, remedy=f"{error.remedy}; or your own file.yaml")
    path = Path(recipe)
    made = Recipe(path.stem, _read(path))
    if path.stem in names() and made != _shipped(path.stem):
        raise ConfigError(
            f"'{path.stem}' is the name of a shipped recipe, and this one differs",
            where=path,
            remedy="Give the file another name: the store records it",
        )
    return made


@cache
def names() -> tuple[str, ...]:
    """Names of the recipes that ship with the package: ``default`` first, then by name."""
    return tuple(sorted((path.stem for path in FOLDER.glob("*.yaml")), key=lambda n: (n != "default", n)))


@cache
def _shipped(name: str) -> Recipe:
    return Recipe(name, _read(FOLDER / f"{name}.yaml"))


def resolve(recipe: str | Recipe | tuple[Component, ...]) -> tuple[Component, ...]:
    """The checked steps of a recipe with all of their options; see ``load``."""
    if isinstance(recipe, Recipe):
        return recipe.steps
    return load(recipe).steps if isinstance(recipe, str) else check(recipe)


def recorded(record: RecipeRecord) -> Recipe:
    """The recipe that a store's manifest records."""
    return Recipe(record.name, check(record.steps, where=f"recipe {record.name} of the store"))


def check(steps: tuple[Component, ...], *, where: str = "recipe") -> tuple[Component, ...]:
    """Complete steps with all of their options.

    Raises ConfigError for unknown steps and options, and for steps that together make no stream: none of them
    chooses the bodies, none resizes, or the length changes after the last ``resize``.
    """
    full = tuple(checked(step, where=f"{where}: step {i}") for i, step in enumerate(steps, start=1))
    names = [step.name for step in full]
    chosen = [step for step in full if step.name in CHOOSE]
    if not chosen or chosen[-1].options.get("slots") is not None:
        raise ConfigError("no step chooses the bodies", where=where, remedy=f"Add one of {', '.join(CHOOSE)}")
    if "resize" not in names:
        raise ConfigError("no step makes the length of the stream", where=where, remedy="Add resize")
    if FIRST in names[1:]:
        raise ConfigError(f"{FIRST} is not the first step", where=where, remedy="Put it first")
    late = [name for name in names[len(names) - names[::-1].index("resize") :] if name in CUT]
    if late:
        raise ConfigError(
            f"{late[0]} changes the length after resize", where=where, remedy="Put resize after it"
        )
    return full


def check_fits(recipe: Recipe, specs: Iterable[SkeletonSpec]) -> None:
    """Raise UsageError that names the first step that a convention cannot have, and what it lacks."""
    for spec in specs:
        for step in recipe.steps:
            require(
                spec,
                NEEDS.get(step.name, ()),
                by=f"step {step.name} of recipe {recipe.name}",
                remedy="Choose --recipe centered or raw, or your own file without such steps, or add what is "
                "missing to the convention's file",
            )


def recipe_for(coordinates: str) -> str:
    """Name of the default recipe for poses with these ``coordinates``, xyz or xy."""
    return "default" if coordinates == "xyz" else "centered"


def check_depth(recipe: Recipe, coordinates: str) -> None:
    """Raise UsageError that names the first step that turns people in space, for 2D poses."""
    turning = next((step.name for step in recipe.steps if step.name in TURN), None)
    if coordinates == "xy" and turning:
        raise UsageError(
            f"step {turning} of recipe {recipe.name} turns people in space, and the poses are 2D",
            remedy="Choose --recipe centered or raw, or your own file without such steps",
        )


def to_yaml(steps: tuple[Component, ...]) -> str:
    """Write a recipe as the text of a file, with all of its options."""
    items: list[Any] = [{step.name: step.options} if step.options else step.name for step in steps]
    return "".join(
        f"- {yaml.safe_dump(item, default_flow_style=None, sort_keys=False, width=1000).strip()}\n"
        if isinstance(item, dict)
        else f"- {item}\n"
        for item in items
    )


# ---- run ------------------------------------------------------------------------------------------------


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


# ---- files ----------------------------------------------------------------------------------------------


def _read(path: Path) -> tuple[Component, ...]:
    with refusing(lambda why: ConfigError(f"cannot read the recipe ({why})", where=path)):
        data = regular.read(path, most=MAX_BYTES)
    with refusing(lambda why: ConfigError(f"not valid YAML: {why}", where=path, remedy=_EXAMPLE)):
        items = load_yaml(data.decode("utf-8"))
    if not isinstance(items, list) or not items:
        raise ConfigError(f"expected a list of steps, found {_kind(items)}", where=path, remedy=_EXAMPLE)
    steps = tuple(_step(item, where=f"{path}: step {i}") for i, item in enumerate(items, start=1))
    return check(steps, where=str(path))


_EXAMPLE = "`skeltools recipes default` prints a complete example"


def _step(item: object, *, where: str) -> Component:
    if isinstance(item, str):
        return Component(name=item)
    if isinstance(item, dict) and isinstance(item.get("name"), str) and item.keys() <= {"name", "options"}:
        item = {item["name"]: item.get("options")}
    if isinstance(item, dict) and len(item) == 1:
        ((name, options),) = item.items()
        options = {} if options is None else options
        if isinstance(name, str) and isinstance(options, dict) and all(isinstance(k, str) for k in options):
            return Component(name=name, options=options)
    raise ConfigError(
        f"expected the name of a step, or name: {{option: value}}, found {_kind(item)}",
        where=where,
        remedy=_EXAMPLE,
    )


def _kind(item: object) -> str:
    kinds = {dict: "a mapping", list: "a list" if item else "an empty list", type(None): "nothing"}
    text = " ".join(reprlib.repr(item).split())
    what = kinds.get(type(item), type(item).__name__)
    return what if item is None or not item else f"{what}: {text[:60]}"
