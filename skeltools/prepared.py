"""Prepare clips in memory as encoder input, with the recipes that make the streams of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from schemas import Count, Length, SkelError, SkeletonSpec, UsageError, checks_arguments
from skeltools import preprocess, skeletons
from skeltools.clips import Clips, each
from skeltools.preprocess import Dropped, Recipe
from skeltools.sequence import SkeletonSequence
from skeltools.streams import DERIVED


@checks_arguments
def prepare(
    clips: Clips,
    *,
    frames: Length,
    bodies: Count = 2,
    stream: Literal["joint", "bone", "motion"] = "joint",
    recipe: Any = "default",
    convention: str | Path | SkeletonSpec | None = None,
) -> NDArray[np.float32]:
    """Prepare clips of any length, all of one convention, as encoder input [N, 3, T, V, M] float32.

    ``clips``: clips of a store, SkeletonSequence objects or arrays [T, M, V, 3] in metres, x to the sensor's
    left, y up, z away from it. ``frames``: T. ``bodies``: M. ``recipe``: a name, a YAML file, or a recipe
    taken from a store's manifest or an encoder's card. ``convention``: that of the clips, required for arrays
    and for sequences whose convention does not ship with the package.

    Raises UsageError for unknown names, for clips that do not fit the convention, and if there are no clips;
    SkelError for a clip of which the recipe leaves nothing.

        >>> import skeltools
        >>> s = skeltools.open("store.zarr")
        >>> clips = [s[0], s[1]]
        >>> skeltools.prepare(clips, frames=24).shape
        (2, 3, 24, 25, 2)
    """
    spec = None if convention is None else skeletons.skeleton(convention)
    made = _recipe(recipe)
    rows = []
    for number, (id, clip) in enumerate(each(clips)):
        if not isinstance(clip, SkeletonSequence):
            if spec is None:
                raise UsageError("arrays do not tell their convention", remedy="Add convention='coco_17'")
            clip = SkeletonSequence.from_joints(id or f"clip {number}", clip, spec.name)
        spec = skeletons.load(clip.convention) if spec is None else spec
        if clip.convention != spec.name:
            raise UsageError(
                f"is in {clip.convention}, expected {spec.name}",
                where=clip.id,
                remedy="Prepare the clips of each convention on their own",
            )
        outcome = preprocess.prepare(clip, recipe=made, spec=spec, frames=frames, bodies=bodies)
        if isinstance(outcome, Dropped):
            raise SkelError(
                f"recipe {made.name} leaves nothing of the clip: {outcome.reason}",
                where=clip.id,
                remedy="Leave the clip out, or choose another recipe",
            )
        rows.append(outcome.joint)
    if spec is None or not rows:
        raise UsageError("there is no clip to prepare")
    joint = np.stack(rows)
    return joint if stream == "joint" else DERIVED[stream](joint, spec)


def _recipe(recipe: Any) -> Recipe:
    if isinstance(recipe, str | Path):
        return preprocess.load(str(recipe))
    if isinstance(recipe, Recipe):
        return recipe
    if hasattr(recipe, "name") and hasattr(recipe, "steps"):
        return preprocess.recorded(recipe)
    raise UsageError(
        f"expected the name of a recipe, a file or a recipe, found {type(recipe).__name__}",
        remedy="`skeltools recipes` lists them",
    )
