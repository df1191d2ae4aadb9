"""Which way up people are, and which axes of their files would put them upright.

A person stands, sits or bends in most clips of nearly any set, so that heads lie above ankles in the median
of the clips, whatever happens in some.
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
"""Median y of the directions, over clips, from which on downward people stand on their heads."""
ALONG = 0.75
"""Median of |x| or |z| from which on they lie: within 41 degrees of the axis."""

_WAYS = {
    "left": (0, 1),
    "right": (0, -1),
    "up": (1, 1),
    "down": (1, -1),
    "forward": (2, 1),
    "backward": (2, -1),
}
"""Direction of an axis of a file -> axis of the store and sign."""
_SAID = re.compile(r"x ({0}), y ({0}), z ({0})\b".format("|".join(_WAYS)))


def direction(poses: Array, parts: Mapping[str, int]) -> Array:
    """[P, V, 3], NaN where a joint is unseen -> [3]: mean unit vector from ankles to head, or from hips to
    shoulders where one of these has none; zeros where nothing tells."""
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
    """Problem and detail, empty where people stand, of the ``direction`` of each clip.

    ``axes``: what the axes of the files were said to be, in words; ``mirrored``: the people look so;
    ``flat``: the poses are 2D.
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
    """x, y or z: the axis of the file that became this one of the store; the store's own where nothing tells.

    >>> axis_of_file("x right, y forward, z up, in m", 1)
    'z'
    """
    for name, (at, _) in zip("xyz", _said(axes), strict=False):
        if at == place:
            return name
    return "xyz"[place]


def _said(axes: str) -> list[tuple[int, int]]:
    """For x, y and z of the file the axis of the store and its sign; nothing where the words do not tell."""
    match = _SAID.search(axes)
    return [_WAYS[word] for word in match.groups()] if match else []


def _file_sign(axes: str, place: int) -> int:
    return next((sign for at, sign in _said(axes) if at == place), 1)


def _advice(axes: str, place: int, sign: int, *, mirrored: bool, flat: bool) -> str:
    """What was said of the axes, and what would turn the axis ``place``, ``sign`` of the store up.

    It is a rotation where people's sides are right, and a reflection where they are mirrored.
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
