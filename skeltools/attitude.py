"""Detect which way up people are, and which axes of their files would put them upright.

People stand, sit or bend in most clips of nearly any data set, so heads lie above ankles in the median over
clips, whatever single clips show.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

UPSIDE_DOWN = "people look upside down"
LYING = "people look as if they lay"

DOWN = -0.5
"""Median y of the clips' directions below which people count as upside down."""
ALONG = 0.75
"""Median of |x| or |z| from which people count as lying: within 41 degrees of the axis."""

_WAYS = {
    "left": (0, 1),
    "right": (0, -1),
    "up": (1, 1),
    "down": (1, -1),
    "forward": (2, 1),
    "backward": (2, -1),
}
"""Direction of a file's axis -> axis of the store and sign."""
_SAID = re.compile(r"x ({0}), y ({0}), z ({0})\b".format("|".join(_WAYS)))


def direction(poses: Array, parts: Mapping[str, int]) -> Array:
    """[P, V, 3], NaN where a joint is unseen -> [3]: mean unit vector from ankles to head.

    Hips stand in for ankles that are unknown or never seen, shoulders for an unknown head; zeros if no pose
    has both ends.
    """
    top = poses[:, parts["head"]] if "head" in parts else _middle(poses, parts, "shoulder")
    bottom = _middle(poses, parts, "ankle")
    if bottom is None or not np.isfinite(bottom).any():
        bottom = _middle(poses, parts, "hip")
    if top is None or bottom is None:
        return np.zeros(3)
    line = top - bottom
    length = np.linalg.norm(line, axis=1)
    units: Array = line[length > 0] / length[length > 0, None]  # NaN is not above 0
    return np.asarray(units.mean(axis=0)) if len(units) else np.zeros(3)


def _middle(poses: Array, parts: Mapping[str, int], part: str) -> Array | None:
    if f"left {part}" not in parts:
        return None
    return np.asarray((poses[:, parts[f"left {part}"]] + poses[:, parts[f"right {part}"]]) / 2)


def odd(ups: Sequence[Sequence[float]], axes: str, *, mirrored: bool, flat: bool) -> tuple[str, str]:
    """Return the problem and its detail (empty where people stand) from the ``direction`` of each clip.

    ``axes``: the declared axes of the files, in words; ``mirrored``: whether people look mirrored; ``flat``:
    whether the poses are 2D.
    """
    directions = np.array([up for up in ups if any(up)], np.float64).reshape(-1, 3)
    if not len(directions):
        return UPSIDE_DOWN, ""
    median = np.median(directions, axis=0)
    place = int(np.abs(median).argmax())
    sign = 1 if median[place] > 0 else -1
    clips = f"{int((directions[:, place] * sign > -DOWN).sum())} of {len(directions)} clips"
    advice = _advice(axes, place, sign, mirrored=mirrored, flat=flat)
    if place == 1:
        return UPSIDE_DOWN, f"heads lie below ankles in {clips}{advice}" if median[1] < DOWN else ""
    if abs(median[place]) < ALONG:
        return LYING, ""
    words = f"{'' if _file_sign(axes, place) * sign > 0 else '-'}{axis_of_file(axes, place)}"
    lie = ("on their side", "", "on their back or belly")[place]
    return LYING, f"{lie} in {clips}; {words} looks like up{advice}"


def axis_of_file(axes: str, place: int) -> str:
    """x, y or z: the file's axis that became axis ``place`` of the store, or the store's own if unstated.

    >>> axis_of_file("x right, y forward, z up, in m", 1)
    'z'
    """
    for name, (at, _) in zip("xyz", _said(axes), strict=False):
        if at == place:
            return name
    return "xyz"[place]


def _said(axes: str) -> list[tuple[int, int]]:
    """For x, y and z of the file, the store's axis and its sign; empty if the words do not state them."""
    match = _SAID.search(axes)
    return [_WAYS[word] for word in match.groups()] if match else []


def _file_sign(axes: str, place: int) -> int:
    return next((sign for at, sign in _said(axes) if at == place), 1)


def _advice(axes: str, place: int, sign: int, *, mirrored: bool, flat: bool) -> str:
    """The declared axes, and those that would turn axis ``place`` of the store, with ``sign``, upward.

    The change is a rotation where people's sides are right, and a reflection where they are mirrored or where
    flat poses are upside down.
    """
    said = _said(axes)
    if not said:
        return ""
    turn = np.eye(3, dtype=int)
    if place == 1:
        turn[1, 1] = -1
        turn[2, 2] = 1 if mirrored or flat else -1
    else:
        turn[[place, 1]] = 0
        turn[1, place] = sign
        turn[place, 1] = sign if mirrored else -sign
    names = {way: word for word, way in _WAYS.items()}
    better = []
    for name, (at, way) in zip("xyz", said, strict=True):
        to = int(np.abs(turn[:, at]).argmax())
        better.append(f"{name}: {names[to, int(turn[to, at]) * way]}")
    used = ", ".join(f"{name} {names[way]}" for name, way in zip("xyz", said, strict=True))
    return f"; they were read with {used}: try `axes: {{{', '.join(better)}}}`"
