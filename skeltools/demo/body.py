"""The body: its segments, points on them, and the point for each joint of a convention.

All offsets are in statures (fractions of standing height) in the axes of the upright body: x to the
subject's own left, y up, z to the front. Segment lengths and joint heights follow Winter, Biomechanics and
Motor Control of Human Movement, figure 4.1 (after Drillis and Contini 1966): shank 0.246, thigh 0.245, ankle
height 0.039, upper arm 0.186, forearm 0.146, hand 0.108; points on the skin were placed around them by eye.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from skeltools import skeletons
from skeltools.demo.draws import generator

Array = NDArray[np.float64]
Offset = tuple[float, float, float]

LEFT, RIGHT = 1, -1
SIDES = (LEFT, RIGHT)
SIDE_NAMES = {LEFT: "left", RIGHT: "right"}

THIGH, SHANK, UPPER_ARM, FOREARM = 0.245, 0.246, 0.186, 0.146
ANKLE_HEIGHT = 0.039
BALL = (0.0, -0.028, 0.075)  # from the ankle to the ball of the foot

# name -> (parent, its origin in the parent). Paired segments are given for the left side.
_TRUNK: dict[str, tuple[str, Offset]] = {
    "pelvis": ("", (0.0, 0.0, 0.0)),
    "lumbar": ("pelvis", (0.0, 0.045, -0.012)),
    "thorax": ("lumbar", (0.0, 0.100, 0.0)),
    "neck": ("thorax", (0.0, 0.140, -0.008)),
    "head": ("neck", (0.0, 0.065, 0.014)),
}
_LIMBS: dict[str, tuple[str, Offset]] = {
    "clavicle": ("thorax", (0.014, 0.112, 0.020)),
    "upperarm": ("clavicle", (0.088, 0.012, -0.024)),
    "forearm": ("upperarm", (0.0, -UPPER_ARM, 0.0)),
    "hand": ("forearm", (0.0, -FOREARM, 0.0)),
    "fingers": ("hand", (0.0, -0.055, 0.0)),
    "thigh": ("pelvis", (0.050, -0.015, 0.0)),
    "shank": ("thigh", (0.0, -THIGH, 0.0)),
    "foot": ("shank", (0.0, -SHANK, 0.0)),
    "toes": ("foot", BALL),
}
_CENTRAL = frozenset(_TRUNK)


def sided(name: str, side: int) -> str:
    """Name of a segment or point on one side: ``sided("hand", LEFT)`` is ``left hand``."""
    return f"{SIDE_NAMES[side]} {name}"


def mirrored(offset: Offset, side: int) -> Offset:
    return (offset[0] * side, offset[1], offset[2])


@cache
def segments() -> dict[str, tuple[str, Offset]]:
    """All segments, parents first."""
    table = dict(_TRUNK)
    for name, (parent, offset) in _LIMBS.items():
        for side in SIDES:
            up = parent if parent in _CENTRAL else sided(parent, side)
            table[sided(name, side)] = (up, mirrored(offset, side))
    return table


@cache
def segment_index() -> dict[str, int]:
    return {name: index for index, name in enumerate(segments())}


# joint name -> (segment, offset). ``?`` stands for the side's prefix; offsets are given for the left.
_Table = dict[str, tuple[str, Offset]]
_O = (0.0, 0.0, 0.0)

_KINECT: _Table = {
    "SpineBase": ("pelvis", _O),
    "SpineMid": ("thorax", _O),
    "SpineShoulder": ("thorax", (0.0, 0.118, 0.002)),
    "Neck": ("neck", (0.0, 0.022, 0.006)),
    "Head": ("head", (0.0, 0.045, 0.012)),
    "Shoulder?": ("upperarm", _O),
    "Elbow?": ("forearm", _O),
    "Wrist?": ("hand", _O),
    "Hand?": ("hand", (0.0, -0.045, 0.0)),
    "HandTip?": ("fingers", (0.0, -0.045, 0.0)),
    "Thumb?": ("hand", (-0.006, -0.048, 0.028)),
    "Hip?": ("thigh", _O),
    "Knee?": ("shank", _O),
    "Ankle?": ("foot", _O),
    "Foot?": ("toes", (0.0, 0.004, -0.006)),
}
_SMPL: _Table = {
    "pelv": ("pelvis", (0.0, 0.005, -0.004)),
    "neck": ("neck", (0.0, 0.004, 0.0)),
    "head": ("head", (0.0, 0.004, 0.004)),
    "?hip": ("thigh", (-0.010, -0.006, 0.004)),
    "?kne": ("shank", (0.0, 0.004, -0.004)),
    "?ank": ("foot", (0.0, 0.004, -0.008)),
    "?toe": ("toes", (0.0, 0.002, 0.0)),
    "?cla": ("clavicle", (0.030, 0.0, -0.022)),
    "?sho": ("upperarm", (0.002, -0.004, 0.0)),
    "?elb": ("forearm", (0.0, 0.0, -0.004)),
    "?wri": ("hand", (0.0, -0.002, 0.0)),
}
_SMPL24: _Table = {
    **_SMPL,
    "spi1": ("lumbar", (0.0, 0.020, -0.004)),
    "spi2": ("lumbar", (0.0, 0.098, -0.008)),
    "spi3": ("thorax", (0.0, 0.030, -0.008)),
    "?han": ("hand", (0.0, -0.048, 0.0)),
}
_SMPLX: _Table = {
    **_SMPL,
    "bell": ("lumbar", (0.0, 0.022, -0.002)),
    "spin": ("lumbar", (0.0, 0.100, -0.006)),
    "thor": ("thorax", (0.0, 0.032, -0.006)),
    "jaw": ("head", (0.0, -0.004, 0.018)),
    "?eyehf": ("head", (0.018, 0.036, 0.046)),
    "nose": ("head", (0.0, 0.022, 0.068)),
    "?eye": ("head", (0.019, 0.037, 0.058)),
    "?ear": ("head", (0.044, 0.026, 0.0)),
    "?middle1": ("fingers", _O),
    "?middle": ("fingers", (0.0, -0.050, 0.0)),
    "?thu": ("hand", (-0.012, -0.062, 0.032)),
    "?to2": ("toes", (-0.016, -0.006, 0.034)),
    "?to3": ("toes", (0.022, -0.006, 0.016)),
    "?hee": ("foot", (0.0, -0.030, -0.032)),
}
_BERKELEY: _Table = {
    "head": ("head", (0.0, 0.098, 0.0)),
    "?head": ("head", (0.044, 0.060, 0.026)),
    "?back": ("thorax", (0.048, 0.076, -0.062)),
    "backl": ("lumbar", (0.0, 0.055, -0.062)),
    "backt": ("thorax", (0.0, 0.126, -0.050)),
    "?side": ("lumbar", (0.084, 0.050, 0.006)),
    "bell": ("lumbar", (0.0, 0.020, 0.072)),
    "chest": ("thorax", (0.0, 0.074, 0.076)),
    "?sho1": ("clavicle", (0.080, 0.036, -0.014)),
    "?sho2": ("upperarm", (0.030, -0.020, 0.0)),
    "?arm": ("upperarm", (0.028, -0.104, 0.004)),
    "?elb": ("forearm", (0.022, 0.002, -0.006)),
    "?wri": ("hand", (0.018, 0.004, 0.0)),
    "?han1": ("hand", (0.006, -0.044, 0.022)),
    "?han2": ("hand", (0.008, -0.050, 0.0)),
    "?han3": ("hand", (0.006, -0.044, -0.020)),
    "?hipb": ("pelvis", (0.040, 0.012, -0.062)),
    "?hipf": ("pelvis", (0.056, 0.026, 0.056)),
    "?hipl": ("pelvis", (0.088, 0.004, 0.002)),
    "?leg": ("thigh", (0.040, -0.130, 0.016)),
    "?kne": ("shank", (0.028, 0.004, 0.008)),
    "?ank": ("foot", (0.020, 0.002, -0.004)),
    "?hee": ("foot", (0.0, -0.026, -0.034)),
    "?foo": ("toes", (0.004, 0.006, 0.008)),
}
_TABLES = {
    "kinectv2_25": (_KINECT, {LEFT: "Left", RIGHT: "Right"}),
    "smpl_24": (_SMPL24, {LEFT: "l", RIGHT: "r"}),
    "smplx_42": (_SMPLX, {LEFT: "l", RIGHT: "r"}),
    "berkeley_mhad_43": (_BERKELEY, {LEFT: "l", RIGHT: "r"}),
}
CONVENTIONS = tuple(_TABLES)


@dataclass(frozen=True)
class Points:
    """V points fixed to segments: ``segment`` [V] indexes ``segments()``, ``offset`` [V, 3] in statures."""

    segment: NDArray[np.intp]
    offset: Array


@cache
def points(convention: str) -> Points:
    """The joints of a convention as points of the body, in the convention's order."""
    table, prefix = _TABLES[convention]
    places = dict(_expand(table, prefix))
    entries = [places[joint] for joint in skeletons.load(convention).joints]
    index = segment_index()
    return Points(np.array([index[name] for name, _ in entries]), np.array([offset for _, offset in entries]))


def _expand(table: _Table, prefix: dict[int, str]) -> list[tuple[str, tuple[str, Offset]]]:
    rows: list[tuple[str, tuple[str, Offset]]] = []
    for joint, (segment, offset) in table.items():
        if "?" not in joint:
            rows.append((joint, (segment, offset)))
            continue
        for side in SIDES:
            name = segment if segment in _CENTRAL else sided(segment, side)
            rows.append((joint.replace("?", prefix[side]), (name, mirrored(offset, side))))
    return rows


@dataclass(frozen=True)
class Body:
    """One subject's build. ``scale`` [S]: metres per stature of offset, for each segment."""

    subject: int
    stature: float
    """Metres."""
    scale: Array

    def of(self, segment: str) -> float:
        return float(self.scale[segment_index()[segment]])

    @property
    def ankle_height(self) -> float:
        return ANKLE_HEIGHT * self.of("left foot")

    @property
    def leg(self) -> float:
        """Distance from hip to ankle of the straight leg, metres."""
        return THIGH * self.of("left thigh") + SHANK * self.of("left shank")

    @property
    def pelvis_height(self) -> float:
        """Height of the pelvis above the floor with straight knees, metres."""
        return self.ankle_height + self.leg - segments()["left thigh"][1][1] * self.of("pelvis")


def body_of(subject: int, seed: int) -> Body:
    """A subject's body: stature 1.52 to 1.90 m and every segment up to 4 % longer or shorter than average.

    Left and right have equal lengths, so each pair is drawn once.
    """
    rng = generator(seed, "body", subject)
    stature = rng.uniform(1.52, 1.90)
    parts = [*_TRUNK, *_LIMBS]
    length = {name: stature * (1 + 0.04 * rng.uniform(-1, 1)) for name in parts}
    length["foot"] = length["toes"]
    return Body(subject, stature, np.array([length[_part(name)] for name in segments()]))


def _part(segment: str) -> str:
    return segment if segment in _CENTRAL else segment.split(" ", 1)[1]
