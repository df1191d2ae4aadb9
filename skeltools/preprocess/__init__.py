"""Preprocessing: from a SkeletonSequence of any length to one row of a joint stream.

A *step* is a pure function ``step(clip, goal, *, options) -> (clip, counts) | Dropped``. ``counts`` says what
the step encountered (``{"frames interpolated": 3}``); ``Dropped`` says why nothing is left. A *recipe* is a
list of steps with options, written as a YAML file; the files in ``skeltools/recipes`` ship with the package.
``prepare`` runs a recipe and adds up the counts.

    clip.py      what steps receive and return    steps.py     STEPS, and the check of their options
    tracks.py    which bodies, in which slot      recipes.py   YAML files, prepare
    denoise.py   tracks that are hardly people
    timing.py    cutting, filling, resizing
    placing.py   moving and turning

Steps keep the floating-point type of their input; ``prepare`` uses float64 and rounds once, at the end.
"""

from schemas import Component
from skeltools.preprocess import recipes
from skeltools.preprocess.clip import Dropped, Goal, Prepared
from skeltools.preprocess.recipes import (
    Recipe,
    check_depth,
    check_fits,
    load,
    prepare,
    recipe_for,
    recorded,
    resolve,
)
from skeltools.preprocess.steps import STEPS
from skeltools.preprocess.timing import resize_time

RECIPES: dict[str, tuple[Component, ...]] = {name: load(name).steps for name in recipes.names()}
"""Steps of the recipes that ship with the package."""

__all__ = [
    "RECIPES",
    "STEPS",
    "Dropped",
    "Goal",
    "Prepared",
    "Recipe",
    "check_depth",
    "check_fits",
    "load",
    "prepare",
    "recipe_for",
    "recorded",
    "resize_time",
    "resolve",
]
