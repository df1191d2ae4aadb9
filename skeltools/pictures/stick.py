"""Stick figures: people as lines and dots, in points of the picture, for the drawing backends.

track -> flat (projected once) -> marks of one frame -> OpenCV (film), matplotlib (painted)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from skeltools.pictures import design
from skeltools.pictures.flat import Flat, Numbers
from skeltools.pictures.sides import parts, sides

_NAME, _LETTER, _LINE = 8.0, 4.8, 8.5
"""For joint names, in points: font size, width of a letter, height of a line."""


@dataclass
class Marks:
    """Marks to draw, in this order; x to the right, y down, in points of the picture."""

    lines: list[tuple[Numbers, str, float]] = field(default_factory=list)
    """Ends [2, 2], colour and width."""
    heads: list[tuple[Numbers, str]] = field(default_factory=list)
    """Corners [n, 2] and colour of filled areas."""
    dots: list[Dot] = field(default_factory=list)
    """Centre [2], colour, radius, and whether the dot is hollow."""
    words: list[Word] = field(default_factory=list)
    names: list[Word] = field(default_factory=list)
    """Names of joints; ``spaced`` turns those that have room into words."""


Dot = tuple[Numbers, str, float, bool]


class Word(NamedTuple):
    """A line of text; ``y`` is its baseline."""

    x: float
    y: float
    text: str
    colour: str
    size: float
    anchor: Literal["left", "middle", "right"] = "left"


@dataclass(frozen=True)
class Place:
    """Maps the plane to the picture: (right, up) is horizontally at ``x + scale * (right - centre)``."""

    x: float
    y: float
    scale: float
    centre: float = 0.0
    """The horizontal coordinate of the plane that is at ``x``."""
    bottom: float = 0.0
    """The vertical coordinate of the plane that is at ``y``."""

    def __call__(self, points: Numbers) -> Numbers:
        """Map points [..., 2 or 3] of the plane to [..., 2] in the picture."""
        right = self.x + self.scale * (points[..., 0] - self.centre)
        return np.stack([right, self.y - self.scale * (points[..., 1] - self.bottom)], axis=-1)


def marks(
    flat: Flat, frame: int, place: Place, colours: design.Colours, *, unit: float = 1.0, names: bool = False
) -> Marks:
    """The people of one frame. ``unit``: width of a thin line, in points of the picture.

    Bones are coloured by body part, joints by person; joints of the right side are hollow, and unseen joints
    are crosses.
    """
    made = Marks()
    there = [body for body in _far_first(flat, frame) if flat.seen[frame, body].any()]
    for body in there:
        made.lines += _lines(flat, frame, body, place, colours, unit)
        made.heads += _heads(flat, frame, body, place, colours, unit)
        made.dots += _dots(flat, frame, body, place, colours, unit)
        made.lines += _crosses(flat, frame, body, place, colours, unit)
        if names:
            made.names += _names(flat, frame, body, place, colours, unit)
    return made


def _far_first(flat: Flat, frame: int) -> list[int]:
    """Bodies by depth, the farthest first."""
    shown = flat.seen[frame]
    depth = (flat.points[frame, :, :, 2] * shown).sum(axis=1) / np.maximum(shown.sum(axis=1), 1)
    return [int(body) for body in np.argsort(depth, kind="stable")]


def _bones(flat: Flat, frame: int, body: int) -> list[int]:
    """The joints whose bones to their parents are drawn, the farthest first."""
    parents, shown = flat.track.spec.parents, flat.seen[frame, body]
    joints = [v for v, up in enumerate(parents) if v != up and shown[v] and shown[up]]
    depth = flat.points[frame, body, :, 2]
    return sorted(joints, key=lambda v: float(depth[v] + depth[parents[v]]))


def _lines(
    flat: Flat, frame: int, body: int, place: Place, colours: design.Colours, unit: float
) -> Iterator[tuple[Numbers, str, float]]:
    """Each bone, with an outline in the ground's colour to show what is in front."""
    points, parents = place(flat.points[frame, body]), flat.track.spec.parents
    part_of = parts(flat.track.spec)
    quiet = flat.track.kind == "motion"
    for joint in _bones(flat, frame, body):
        ends = points[[parents[joint], joint]]
        if colours.ground is not None:
            yield ends, colours.ground, 4.2 * unit
        yield ends, colours.quiet if quiet else colours.parts[part_of[joint]], (0.7 if quiet else 2.2) * unit


def _heads(
    flat: Flat, frame: int, body: int, place: Place, colours: design.Colours, unit: float
) -> Iterator[tuple[Numbers, str]]:
    """Arrows along bones, or motions that start at joints."""
    if flat.vectors is None:
        return
    part_of, parents = parts(flat.track.spec), flat.track.spec.parents
    stops = place(flat.points[frame, body])
    if flat.track.kind == "bone":
        chosen = _bones(flat, frame, body)
        starts = stops[list(parents)]
    else:
        chosen = np.flatnonzero(flat.seen[frame, body]).tolist()
        starts = stops
        stops = place(flat.points[frame, body] + flat.factor * flat.vectors[frame, body])
    for joint in chosen:
        if np.linalg.norm(stops[joint] - starts[joint]) > 1.5 * unit:
            yield _arrow(starts[joint], stops[joint], 2.6 * unit), colours.parts[part_of[joint]]


def _arrow(start: Numbers, stop: Numbers, width: float) -> Numbers:
    """A slim wedge [3, 2] from its base at ``start`` to its tip at ``stop``."""
    along = (stop - start) / np.linalg.norm(stop - start)
    across = width * np.array([-along[1], along[0]])
    return np.stack([start + across, stop, start - across])


def _dots(
    flat: Flat, frame: int, body: int, place: Place, colours: design.Colours, unit: float
) -> Iterator[Dot]:
    points, side_of, track = place(flat.points[frame, body]), sides(flat.track.spec), flat.track
    colour = colours.persons[body % len(colours.persons)]
    radius = (1.4 if track.kind == "motion" else 2.4) * unit * min(1.0, (25 / track.spec.num_joints) ** 0.5)
    for joint in np.flatnonzero(flat.seen[frame, body]).tolist():
        shade = 1.0 if track.shade is None else 0.5 + 1.5 * float(track.shade[frame, body, joint])
        yield points[joint], colour, radius * shade, side_of[joint] == "right"


def _crosses(
    flat: Flat, frame: int, body: int, place: Place, colours: design.Colours, unit: float
) -> Iterator[tuple[Numbers, str, float]]:
    points, arm = place(flat.points[frame, body]), 3.0 * unit
    for joint in np.flatnonzero(flat.absent[frame, body]):
        for slope in (1.0, -1.0):
            step = arm * np.array([1.0, slope])
            yield np.stack([points[joint] - step, points[joint] + step]), colours.warn, 1.2 * unit


def _names(
    flat: Flat, frame: int, body: int, place: Place, colours: design.Colours, unit: float
) -> Iterator[Word]:
    """The name of each joint, on its outer side."""
    points, shown = place(flat.points[frame, body]), flat.seen[frame, body]
    middle = float(points[shown][:, 0].mean())
    for joint in np.flatnonzero(shown).tolist():
        (x, y), name = points[joint], flat.track.spec.joints[joint]
        if x >= middle:
            yield Word(x + 5 * unit, y + 3, name, colours.quiet, _NAME)
        else:
            yield Word(x - 5 * unit, y + 3, name, colours.quiet, _NAME, "right")


def spaced(names: Iterable[Word], width: float) -> Iterator[Word]:
    """Joint names, shifted to fit the width of the picture, without those that overlap an earlier one."""
    taken: list[tuple[float, float, float]] = []
    for name in names:
        wide = _LETTER * len(name.text)
        left = min(max(0.0, name.x - (wide if name.anchor == "right" else 0.0)), max(0.0, width - wide))
        stop, y = left + wide, name.y
        if all(abs(y - low) > _LINE or left > end or stop < start for start, end, low in taken):
            taken.append((left, stop, y))
            yield name._replace(x=stop if name.anchor == "right" else left)
