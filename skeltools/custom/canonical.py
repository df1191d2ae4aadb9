"""Convert stored poses to the convention's joint order, canonical axes and metres."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from schemas import Naming, RawDataError, SkeletonSpec
from skeltools.custom import settings as custom_settings
from skeltools.custom.clip_files import Poses
from skeltools.custom.settings import Settings
from skeltools.raw_items import RawItem
from skeltools.sequence import Joints


def in_order(poses: Poses, spec: SkeletonSpec, naming: Naming, item: RawItem) -> Poses:
    """Put joints that the file names into the convention's order; joints that it lacks are NaN.

    Names match regardless of case, and by the convention's synonyms. Raises RawDataError when the file names
    none of the convention's joints, or a joint twice.
    """
    if not poses.joints:
        return poses
    at: dict[str, int] = {}
    for place, name in enumerate(poses.joints):
        if at.setdefault(name.casefold(), place) != place:
            raise RawDataError(f"has joint {name} twice", where=item.where)
    names = [(name, *naming.synonyms.get(name, ())) for name in spec.joints]
    places = [next((at[n.casefold()] for n in each if n.casefold() in at), -1) for each in names]
    if max(places) < 0:
        has, wanted = ", ".join(poses.joints[:6]), ", ".join(spec.joints[:6])
        raise RawDataError(
            f"its joints ({has}, ...) are none of {spec.name} ({wanted}, ...)",
            where=item.where,
            remedy="Name the convention of the file in dataset.yaml, or give yours `synonyms`",
        )
    gone = np.array(places) < 0
    values = np.where(gone[:, None], np.nan, poses.values[:, :, places])
    score = None if poses.score is None else np.where(gone, np.nan, poses.score[:, :, places])
    return replace(poses, values=values, score=score, joints=())


def canonical(
    values: NDArray[np.float64],
    settings: Settings,
    spec: SkeletonSpec,
    *,
    units: float | None = None,
    axes: custom_settings.Directions | None = None,
) -> Joints:
    """Convert stored poses [T, M, V, 2 or 3] to [T, M, V, 3] in canonical axes and metres; z is 0 in 2D."""
    turned = custom_settings.change(settings, spec, units=units, axes=axes)
    origin = np.array(custom_settings.origin(settings))
    size = values.shape[-1]
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(((values - origin[:size]) @ turned[:size]).astype(np.float32))
