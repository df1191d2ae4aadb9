"""Two-person actions of NTU RGB+D. Each script returns the controls of the first and the second person.

Each person has their own stage; the stages face each other, ``gap`` apart. Units as in solo.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from skeltools.demo.body import LEFT, RIGHT, SIDES
from skeltools.demo.kinematics import Controls, Key
from skeltools.demo.motion import plateau, pulse, steps, wave
from skeltools.demo.takes import Take, act, held, near, rest, stand

Pair = tuple[Controls, Controls]


def punch(take: Take, other: Take) -> Pair:
    """The first person punches at the other's face once or twice; the other recoils."""
    controls, hand = stand(take), take.hand
    hits = [take.between(0.36, 0.44)] if take.rng.random() < 0.6 else [0.3, 0.58]
    guard = Key(0.0, "chest", near(take, 0.07, 0.02, 0.13), (0.5, -0.9, -0.4), curl=1.6)
    keys: list[Key] = []
    for hit in hits:
        face = near(take, -0.02, 0.87 * take.partner, take.gap - 0.14, spread=0.03)
        fist = Key(hit, "stage", face, (0.8, -0.6, -0.2), twist=-0.9, curl=1.6)
        keys += [held(guard, hit - 0.12), fist, held(guard, hit + 0.13)]
    thrust = np.sum([pulse(take.time, hit - 0.12, hit, hit + 0.14) for hit in hits], axis=0)
    controls.trunk[:, 1] -= hand * 0.35 * thrust
    controls.trunk[:, 0] += 0.18 * thrust
    controls.root[:, 2] += 0.05 * thrust
    return act(take, controls, keys, hand), _recoil(other, hits, hand)


def _recoil(take: Take, hits: Sequence[float], from_side: int) -> Controls:
    """The person who is hit leans back and turns the head a moment later."""
    controls, size = stand(take), take.about(1.0, 0.35)
    away = size * np.sum([pulse(take.time, hit - 0.03, hit + 0.09, hit + 0.35) for hit in hits], axis=0)
    controls.trunk[:, 0] -= 0.32 * away
    controls.trunk[:, 1] += from_side * 0.2 * away
    controls.head[:, 0] -= 0.25 * away
    controls.head[:, 1] += from_side * 0.5 * away
    controls.root[:, 2] -= 0.03 * away
    return controls


def shake_hands(take: Take, other: Take) -> Pair:
    """Both give the right hand; the hands meet half-way."""
    up, down = take.between(0.22, 0.3), take.between(0.72, 0.82)
    shaken = plateau(take.time, up, up + 0.08, down - 0.08, down)
    bob = take.about(0.022, 0.5) * shaken * wave(take.time, take.about(1.7, 0.3) * take.length)
    height = take.between(0.56, 0.63) * (take.stature + other.stature) / 2

    def give(person: Take) -> Controls:
        controls = stand(person)
        lean = plateau(person.time, 0.1, up, down, 0.95)
        controls.trunk[:, 0] += person.about(0.10, 0.8) * lean
        controls.trunk[:, 1] += 0.15 * lean
        middle = np.array([0.008, height / person.stature, person.gap / 2 - 0.045])
        palm = Key(up, "stage", middle + np.outer(bob, [0, 1, 0]), (0.4, -0.9, -0.4), curl=0.7)
        return act(person, controls, [palm, held(palm, down)], RIGHT)

    return give(take), give(other)


def hug(take: Take, other: Take) -> Pair:
    """Both walk up to each other and hug: left arm over the other's shoulder, right arm around the waist."""
    meet, leave = take.between(0.34, 0.4), take.between(0.68, 0.76)
    closest = 0.155 * (take.stature + other.stature) / 2

    def embrace(person: Take) -> Controls:
        way = (person.gap - closest / person.stature) / 2
        controls = _walk(person, stand(person), span=(0.05, meet), way=way, count=2)
        close = plateau(person.time, meet - 0.12, meet + 0.04, leave, leave + 0.14)
        controls.trunk[:, 0] += 0.16 * close
        controls.head[:, 1] -= 0.35 * close
        controls.head[:, 2] -= 0.1 * close
        controls.root[:, 0] -= 0.02 * close
        for side, high, elbow in ((LEFT, 0.80, 0.1), (RIGHT, 0.66, -0.5)):
            opened = Key(meet - 0.08, "chest", (0.14, high - 0.76, 0.20), (0.9, -0.4, -0.1))
            behind = (0.03, high * person.partner, person.gap - way + 0.03)
            around = Key(meet + 0.06, "stage", behind, (1.0, elbow, -0.1), flex=0.4, twist=-0.5)
            controls = act(person, controls, [opened, around, held(around, leave)], side)
        return controls

    return embrace(take), embrace(other)


def walk_towards(take: Take, other: Take) -> Pair:
    apart = take.between(0.42, 0.6) * (take.stature + other.stature) / 2

    def approach(person: Take) -> Controls:
        way = (person.gap - apart / person.stature) / 2
        span = (0.06, person.between(0.86, 0.95))
        return _walk(person, stand(person), span=span, way=way, count=3 if way > 0.55 else 2)

    return approach(take), approach(other)


def _walk(take: Take, controls: Controls, *, span: tuple[float, float], way: float, count: int) -> Controls:
    """Walk ``way`` statures forward in ``count`` steps; arms and shoulders swing opposite to the legs."""
    first = LEFT if take.rng.random() < 0.5 else RIGHT
    trunk, feet = steps(take.time, span, count, first)
    controls.root[:, 2] += way * trunk
    controls.root[:, 1] -= 0.008 * plateau(take.time, span[0], span[0] + 0.1, span[1] - 0.1, span[1])
    lift = take.about(0.045, 0.2)
    ahead = way * (feet[LEFT][:, 0] - feet[RIGHT][:, 0])
    controls.pelvis[:, 1] -= 0.35 * ahead
    controls.trunk[:, 1] += 0.55 * ahead
    moved, hands = {}, {}
    for side in SIDES:
        progress, high, pitch = feet[side].T
        shift = np.stack([0 * high, lift * high, way * progress], axis=1)
        moved[side] = replace(controls.feet[side], shift=shift, pitch=0.55 * pitch)
        hanging = rest(take, low=True)
        swing = -0.45 * side * np.outer(ahead, [0.0, 0.05, 1.0])
        hands[side] = (replace(hanging, offset=np.asarray(hanging.offset) + swing),)
    return replace(controls, feet=moved, hands=hands)
