"""A take: who acts, at what pace, and the motion of the body apart from the action itself.

Scripts start from ``stand`` and move arms through keys with ``act``. They randomise how the action is done
(how often, how wide, where the other arm rests), never what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skeltools.demo.body import SIDES, Array
from skeltools.demo.kinematics import Controls, Foot, Key
from skeltools.demo.motion import drift, path


@dataclass(frozen=True)
class Style:
    """Properties of a subject that are constant over all takes."""

    tempo: float
    """Speed relative to the average."""
    reach: float
    """Size of gestures relative to the average."""
    hand: int
    """The hand that acts in most takes."""
    stoop: float
    """Forward lean of trunk and head, radians."""
    stance: float
    """Half the distance between the feet, statures."""
    flare: float
    """How far the elbows stick out, relative to the average."""
    knees: float
    """How to bend down: 0 with the back, 1 with the knees."""
    unrest: float
    """Size of the involuntary motion, relative to the average."""


@dataclass(frozen=True)
class Take:
    """One person in one performance."""

    time: Array
    """[T]: the action takes place over 0..1; before and after, the person stands."""
    seconds: Array
    """[T]"""
    length: float
    """Duration of 0..1 in seconds."""
    rng: np.random.Generator
    style: Style
    hand: int
    """The side that acts in this take."""
    stature: float
    """Metres."""
    gap: float = 0.0
    """Two-person actions: initial distance between the persons, statures."""
    partner: float = 1.0
    """Two-person actions: the partner's stature divided by one's own."""

    def about(self, value: float, spread: float = 0.15) -> float:
        """``value``, varied by up to ``spread`` times itself."""
        return float(value * (1 + spread * self.rng.uniform(-1, 1)))

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def zeros(self, *channels: int) -> Array:
        return np.zeros((len(self.time), *channels))


def stand(take: Take) -> Controls:
    """Stand upright with small involuntary motion and resting arms: the start of every script."""
    style, rng = take.style, take.rng
    unrest = style.unrest
    sway = drift(rng, take.seconds, unrest * np.array([0.004, 0.001, 0.004]))
    trunk = drift(rng, take.seconds, unrest * np.array([0.03, 0.05, 0.02]))
    trunk += [style.stoop + rng.uniform(-0.05, 0.05), rng.uniform(-0.15, 0.15), rng.uniform(-0.04, 0.04)]
    head = drift(rng, take.seconds, unrest * np.array([0.08, 0.14, 0.03]))
    head += [0.3 * style.stoop + rng.uniform(-0.1, 0.2), rng.uniform(-0.3, 0.3), 0.0]
    flat = Foot(take.zeros(3), take.zeros(), yaw=rng.uniform(0.03, 0.25))
    return Controls(
        time=take.time,
        root=sway + np.array([rng.uniform(-0.02, 0.02), -0.002, 0.0]) + _weight_shift(take),
        pelvis=drift(rng, take.seconds, unrest * np.array([0.015, 0.02, 0.01])),
        trunk=trunk,
        head=head,
        hands={side: (rest(take),) for side in SIDES},
        feet=dict.fromkeys(SIDES, flat),
        stance=style.stance,
    )


def _weight_shift(take: Take) -> Array:
    """[T, 3] statures: in half of the takes, the weight shifts from one leg to the other at some time."""
    at, size = take.between(0.0, 0.8), take.between(-0.025, 0.025) * (take.rng.random() < 0.5)
    return path(take.time, [(at, (0.0, 0.0, 0.0)), (at + 0.25, (size, 0.0, 0.0))])


def rest(take: Take, *, low: bool = False) -> Key:
    """A hanging arm; unless ``low``, about one in three is on the belly, in the pocket or on the hip."""
    shake = drift(take.rng, take.seconds, take.style.unrest * np.array([0.006, 0.004, 0.010]))
    kinds, shares = ("hanging", "belly", "pocket", "hip"), (0.64, 0.14, 0.14, 0.08)
    kind = "hanging" if low else take.rng.choice(kinds, p=shares)
    if kind == "belly":
        return Key(0.0, "chest", shake + np.array([-0.01, -0.045, 0.115]), (0.8, -0.5, -0.3), flex=0.2)
    if kind == "pocket":
        return Key(0.0, "pelvis", shake + np.array([0.105, 0.02, 0.02]), (0.7, -0.1, -0.8))
    if kind == "hip":
        return Key(0.0, "pelvis", shake + np.array([0.105, 0.06, -0.02]), (1.0, -0.1, -0.5), flex=0.7)
    out = 0.03 * take.style.flare + take.between(0.0, 0.025)
    place = np.array([out, take.between(-0.325, -0.305), take.between(0.0, 0.06)])
    return Key(0.0, "hang", shake + place, twist=take.between(-0.6, 0.1))


def act(take: Take, controls: Controls, keys: Sequence[Key], side: int) -> Controls:
    """Move one arm from rest through ``keys`` and back to rest."""
    before = controls.hands[side][0]
    flare = take.style.flare
    spread = [replace(key, pole=(key.pole[0] * flare, key.pole[1], key.pole[2])) for key in keys]
    home = max(1.0, keys[-1].time + 0.22)
    arm = (before, *spread, replace(before, time=home, bow=keys[0].bow))
    return replace(controls, hands={**controls.hands, side: arm})


def held(key: Key, until: float) -> Key:
    """The same position at a later time."""
    return replace(key, time=until, bow=0.0)


def near(take: Take, *place: float, spread: float = 0.015) -> Array:
    """[3]: a position with a small random error."""
    return np.array(place) + take.rng.uniform(-spread, spread, 3)
