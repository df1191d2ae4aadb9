"""Convert stored poses to the convention's joint order, canonical axes and metres."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from schemas import Naming, RawDataError, SkeletonSpec
from skeltools.custom.clip_files import Poses
from skeltools.custom.settings import CANONICAL, IMAGE_HEIGHT, UNITS, Directions, Settings
from skeltools.raw_items import RawItem
from skeltools.sequence import Joints

_IMAGE_AXES: Directions = ("right", "down", "forward")
"""Pixel coordinates grow to the right and down."""
_OF_SPEC = {"metres": "m", "millimetres": "mm"}


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
    axes: Directions | None = None,
) -> Joints:
    """Convert stored poses [T, M, V, 2 or 3] to [T, M, V, 3] in canonical axes and metres; z is 0 in 2D.

    ``units`` (metres) and ``axes`` come from the file: the settings override them, and they override the
    convention. The origin is the centre of the image if its size is set.
    """
    scale = np.broadcast_to(_scale(settings, spec, units), 3)
    turned = np.array(
        [
            [signs.get(direction, 0) * factor for signs in CANONICAL]
            for direction, factor in zip(_directions(settings, spec, axes), scale, strict=True)
        ]
    )
    width, height = settings.image_size or (0, 0)
    origin = np.array([width / 2, height / 2, 0.0])
    size = values.shape[-1]
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(((values - origin[:size]) @ turned[:size]).astype(np.float32))


def _directions(settings: Settings, spec: SkeletonSpec, axes: Directions | None) -> Directions:
    if settings.axes is not None:
        return settings.axes.x, settings.axes.y, settings.axes.z
    return axes or (_IMAGE_AXES if settings.flat or settings.image_size else spec.axes)


def _scale(settings: Settings, spec: SkeletonSpec, scale: float | None) -> float | tuple[float, ...]:
    """Metres per unit."""
    if settings.image_size is not None:
        return IMAGE_HEIGHT / settings.image_size[1]
    units = settings.units
    if units is None:
        return UNITS[_OF_SPEC[spec.units]] if scale is None else scale
    return UNITS[units] if isinstance(units, str) else units


def in_words(settings: Settings, spec: SkeletonSpec) -> str:
    """How coordinates are converted, for a manifest."""
    units = settings.units or _OF_SPEC[spec.units]
    if settings.image_size:
        units = "pixels of an image of {} x {}, its height {:g} m".format(*settings.image_size, IMAGE_HEIGHT)
    elif not isinstance(units, str):
        units = f"units of {units} m"
    directions = _directions(settings, spec, None)
    named = ", ".join(f"{axis} {direction}" for axis, direction in zip("xyz", directions, strict=True))
    return f"{named}, in {units}, turned to x left, y up, z forward, metres"
