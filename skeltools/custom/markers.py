"""Read the named points of one or several subjects, as the files of motion capture suites have them."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas import RawDataError, SkeletonSpec
from skeltools.custom.clip_files import Poses
from skeltools.custom.layouts import MAX_BODIES
from skeltools.custom.settings import UNITS, Directions, Settings, convention_file
from skeltools.raw_items import MAX_BYTES, RawItem

_UNIT_NAMES = {
    "m": "m", "meter": "m", "meters": "m", "metre": "m", "metres": "m",
    "cm": "cm", "centimeter": "cm", "centimeters": "cm", "centimetres": "cm",
    "mm": "mm", "millimeter": "mm", "millimeters": "mm", "millimetres": "mm",
    "in": "in", "inch": "in", "inches": "in",
}  # fmt: skip
_AXES = (
    "Say where they point: `axes: {x: right, y: forward, z: up}` if z is up, "
    "`axes: {x: right, y: up, z: backward}` if y is"
)


def poses_of_points(
    labels: Sequence[str],
    points: NDArray[np.float64],
    item: RawItem,
    settings: Settings,
    spec: SkeletonSpec,
    *,
    units: str,
    axes: Directions | None = None,
) -> Poses:
    """Group points [T, N, 3], NaN where not seen, into bodies with joints by name.

    A label may have its subject as prefix, ``anna:LASI``; each subject is a body, in order of appearance.
    Raises RawDataError if there are no names or too many subjects, or if the up axis or the unit is unknown.
    """
    own_convention = convention_file(settings, Path(item.settings))  # which defines the axes
    if axes is None and settings.axes is None and not own_convention:
        raise RawDataError(
            "does not say which of its axes is up: give `axes` in dataset.yaml",
            where=item.where,
            remedy=_AXES,
        )
    known = _UNIT_NAMES.get(units.strip().casefold())
    if known is None and settings.units is None:
        raise RawDataError(
            f"its unit is '{units[:20]}'", where=item.where, remedy="Say it as `units` in dataset.yaml"
        )
    wanted = {joint.casefold() for joint in (*spec.joints, *settings.csv.joints.values())}
    subjects = _subjects(labels[: points.shape[1]], wanted)
    names = _names(subjects, wanted)
    if not names:
        raise RawDataError("names none of its points", where=item.where, remedy="Label them, export it again")
    size = len(points) * len(subjects) * len(names) * 24
    if len(subjects) > MAX_BODIES or size > 4 * MAX_BYTES:
        raise RawDataError(
            f"{len(names)} points of {len(subjects)} subjects are too many for one clip", where=item.where
        )
    values = np.full((len(points), len(subjects), len(names), 3), np.nan)
    for body, columns in enumerate(subjects.values()):
        at = {name.casefold(): column for name, column in reversed(columns)}
        for joint, name in enumerate(names):
            if name.casefold() in at:
                values[:, body, joint] = points[:, at[name.casefold()]]
    return Poses(
        values,
        joints=tuple(names),
        units=None if known is None else UNITS[known],
        axes=axes,
        zero_is_unseen=True,
    )


def _subjects(labels: Sequence[str], wanted: Container[str]) -> dict[str, list[tuple[str, int]]]:
    """Subject -> (name, index) of its points.

    Points without a subject belong to the only subject; if there are several, they are ignored. A subject
    without any joint of the convention, such as a ball, is dropped, unless no subject has one.
    """
    split = [label.strip().rpartition(":") for label in labels]
    named = list(dict.fromkeys(subject for subject, _, name in split if subject and name))
    subjects: dict[str, list[tuple[str, int]]] = {subject: [] for subject in named or [""]}
    for place, (subject, _, name) in enumerate(split):
        owner = subject if subject or len(named) != 1 else named[0]
        if name and owner in subjects:
            subjects[owner].append((name, place))
    people = {
        owner: columns
        for owner, columns in subjects.items()
        if any(name.casefold() in wanted for name, _ in columns)
    }
    return people or subjects


def _names(subjects: dict[str, list[tuple[str, int]]], wanted: Container[str]) -> list[str]:
    """Every name once; twice if a subject has a joint of the convention twice, which is an error later."""
    names: dict[str, str] = {}
    for columns in subjects.values():
        here = [name.casefold() for name, _ in columns]
        for name, _ in columns:
            if name.casefold() not in names:
                names[name.casefold()] = name
            if here.count(name.casefold()) > 1 and name.casefold() in wanted:
                names[name.casefold() + "\0"] = name
    return list(names.values())
