"""One-person actions of NTU RGB+D, written for the left hand; ``take.hand`` is the hand that acts.

Positions are in statures, angles in radians, times in shares of the action; all were chosen by eye from the
classes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skeltools.demo.body import LEFT, RIGHT, SIDES, Array
from skeltools.demo.kinematics import Controls, Key
from skeltools.demo.motion import ease, path, plateau, quintic, soft_positive, wave
from skeltools.demo.takes import Take, act, held, near, rest, stand

GRAVITY = 9.81
"""Metres per second squared."""


def drink(take: Take) -> Controls:
    controls = stand(take)
    up, down = take.between(0.2, 0.32), take.between(0.7, 0.82)
    sips = plateau(take.time, up, up + 0.15, down - 0.12, down)
    mouth = near(take, 0.040, -0.070, 0.125) + sips[:, None] * np.array([0.0, 0.035, -0.004])
    pole = (take.about(0.55, 0.4), -0.8, 0.1)
    cup = Key(up, "head", mouth, pole, flex=0.25, curl=1.2, bow=0.08)
    controls.head[:, 0] -= take.about(0.38, 0.4) * sips
    controls.trunk[:, 0] -= 0.06 * sips
    return act(take, controls, [cup, held(cup, down)], take.hand)


def brush_teeth(take: Take) -> Controls:
    controls = stand(take)
    up, down = take.between(0.2, 0.3), take.between(0.78, 0.86)
    on = plateau(take.time, up - 0.02, up + 0.08, down - 0.06, down)
    cycles = take.about(2.6, 0.25) * take.length
    mouth = take.zeros(3) + near(take, 0.05, -0.045, 0.115)
    mouth[:, 0] += take.about(0.024, 0.35) * on * wave(take.time, cycles)
    mouth[:, 2] += 0.008 * on * wave(take.time, cycles, 0.25)
    pole = (take.about(0.9, 0.3), -0.45, 0.0)
    brush = Key(up, "head", mouth, pole, flex=0.3, curl=1.3, bow=0.08)
    controls.head[:, 0] += take.about(0.10, 0.8) * on
    return act(take, controls, [brush, held(brush, down)], take.hand)


def salute(take: Take) -> Controls:
    controls = stand(take)
    up, down = take.between(0.26, 0.36), take.between(0.6, 0.76)
    pole = (1.0, take.between(-0.35, 0.1), 0.1)
    brow = Key(up, "head", near(take, 0.115, 0.025, 0.065), pole, twist=-0.9, curl=0.05, bow=0.08)
    controls.trunk[:, 0] -= 0.04 * plateau(take.time, 0.05, up, down, 0.95)
    return act(take, controls, [brow, held(brow, down)], take.hand)


def wave_hand(take: Take) -> Controls:
    controls = stand(take)
    up, down = take.between(0.22, 0.34), take.between(0.72, 0.84)
    on = plateau(take.time, up - 0.03, up + 0.08, down - 0.08, down)
    cycles = take.about(1.5, 0.3) * take.length
    width = take.about(0.055, 0.4) * take.style.reach
    place = take.zeros(3) + near(take, 0.10, take.between(0.02, 0.17), 0.12)
    place[:, 0] += width * on * wave(take.time, cycles)
    place[:, 1] -= 0.25 * width * on * (0.5 - 0.5 * wave(take.time, 2 * cycles, 0.25))  # an arc, not a line
    aloft = Key(up, "hang", place, (0.7, -1.0, -0.1), twist=-1.3, curl=0.1, bow=0.12)
    controls.trunk[:, 2] -= take.hand * 0.05 * on
    return act(take, controls, [aloft, held(aloft, down)], take.hand)


def clap(take: Take) -> Controls:
    controls = stand(take)
    up, down = take.between(0.18, 0.28), take.between(0.76, 0.86)
    on = plateau(take.time, up - 0.03, up + 0.08, down - 0.08, down)
    cycles = take.about(1.9, 0.3) * take.length
    apart = take.about(0.075, 0.4) * take.style.reach * (1 - on * (0.5 + 0.5 * wave(take.time, cycles)))
    height, ahead = take.between(-0.04, 0.06), take.between(0.15, 0.21)
    place = np.stack([0.024 + apart, height + 0.2 * apart, np.full_like(apart, ahead)], axis=1)
    for side in SIDES:
        palm = Key(up, "chest", place, (0.6, -0.9, -0.4), twist=-0.1 * side, curl=0.1)
        controls = act(take, controls, [palm, held(palm, down)], side)
    return controls


def cross_hands(take: Take) -> Controls:
    """Cross the forearms in front of the chest, some people twice."""
    controls = stand(take)
    up, down = take.between(0.3, 0.42), take.between(0.62, 0.78)
    height, ahead = take.between(0.02, 0.12), take.between(0.16, 0.22)
    twice = take.rng.random() < 0.35
    for side in SIDES:
        front = ahead + 0.012 * side * take.hand  # one forearm lies on the other
        wide = Key(0.55 * up, "chest", near(take, 0.09, height - 0.05, ahead), (0.8, -0.7, -0.3), twist=-0.6)
        place = near(take, -0.055, height, front, spread=0.008)
        crossed = Key(up, "chest", place, (0.8, -0.7, -0.2), twist=-0.9, curl=0.15)
        again = [held(wide, (up + down) / 2)] if twice else []
        controls = act(take, controls, [wide, crossed, *again, held(crossed, down)], side)
    return controls


def throw(take: Take) -> Controls:
    """Wind up behind the ear, release, and follow through to the other side."""
    controls, hand = stand(take), take.hand
    back, release = take.between(0.32, 0.38), take.between(0.55, 0.60)
    through, high = release + 0.16, take.between(-0.02, 0.13)
    behind, ahead = near(take, 0.15, high + 0.04, -0.06), near(take, 0.04, high + 0.06, 0.27)
    keys = [
        Key(back, "hang", behind, (0.9, -0.3, -0.6), twist=-1.0, flex=-0.3, curl=1.3, bow=0.05),
        Key(release, "hang", ahead, (0.9, -0.5, -0.3), twist=-0.9, flex=0.3, curl=0.3),
        Key(through, "hang", near(take, -0.07, -0.17, 0.21), (0.9, -0.5, -0.3), twist=-0.6),
    ]
    turn = path(take.time, [(0.1, 0.0), (back, 1.0), (release + 0.05, -0.7), (0.95, 0.0)])
    controls.trunk[:, 1] += hand * take.about(0.35, 0.3) * turn
    controls.pelvis[:, 1] += hand * take.about(0.12, 0.5) * turn
    controls.trunk[:, 0] += path(take.time, [(0.1, 0.0), (back, -0.10), (through, 0.22), (0.95, 0.0)])
    controls.root[:, 2] += path(take.time, [(0.1, 0.0), (back, -0.02), (through, 0.04), (0.95, 0.0)])
    return act(take, controls, keys, hand)


def pick_up(take: Take) -> Controls:
    """Bend with the knees or the back, depending on the person, and come up with the object in hand."""
    controls, knees = stand(take), take.style.knees
    low, leave, end = take.between(0.38, 0.46), take.between(0.5, 0.58), take.between(0.85, 0.95)
    depth = take.about(1.1, 0.08) * plateau(take.time, 0.05, low, leave, end)
    controls.trunk[:, 0] += (0.85 - 0.35 * knees) * depth
    controls.pelvis[:, 0] += (0.70 - 0.25 * knees) * depth
    controls.head[:, 0] -= 0.25 * depth
    controls.root[:, 1] -= (0.03 + 0.20 * knees) * depth
    controls.root[:, 2] -= (0.09 + 0.02 * knees) * depth
    grip = Key(low, "stage", near(take, 0.06, 0.11, 0.17), (0.8, 0.1, -0.5), curl=0.4, twist=-0.4)
    hold = Key(end, "chest", near(take, 0.06, -0.12, 0.17), curl=1.2)
    controls = replace(controls, hands={side: (rest(take, low=True),) for side in SIDES})
    return act(take, controls, [grip, replace(grip, time=leave, curl=1.2), hold], take.hand)


def sit_down(take: Take) -> Controls:
    start, end = take.between(0.08, 0.2), take.between(0.66, 0.8)
    controls = _seated(take, ease((take.time - start) / (end - start)))
    return _hands_to_lap(take, controls, stand_until=start, lap_at=end + 0.1)


def stand_up(take: Take) -> Controls:
    start, end = take.between(0.15, 0.28), take.between(0.72, 0.86)
    controls = _seated(take, 1 - ease((take.time - start) / (end - start)))
    return _hands_to_lap(take, controls, stand_until=end, lap_at=start - 0.08)


def _seated(take: Take, down: Array) -> Controls:
    """Seated where ``down`` [T] is 1, standing where it is 0, leaning forward in between."""
    controls = stand(take)
    way = (4 * down * (1 - down)) ** 2
    controls.root[:, 1] += take.between(-0.27, -0.235) * down
    controls.root[:, 2] += take.between(-0.22, -0.19) * down
    controls.pelvis[:, 0] += take.about(0.42) * way - 0.08 * down
    controls.trunk[:, 0] += take.about(0.50) * way + take.between(-0.05, 0.2) * down
    controls.head[:, 0] -= 0.25 * way
    return controls


def _hands_to_lap(take: Take, controls: Controls, *, stand_until: float, lap_at: float) -> Controls:
    """Let the hands hang while standing; when seated, most people put them on the thighs."""
    uses_lap = take.rng.random() < 0.7
    hands = {}
    for side in SIDES:
        hanging = replace(rest(take, low=True), time=stand_until)
        place = near(take, 0.075, 0.045, 0.17)
        lap = Key(lap_at, "pelvis", place, (0.8, -0.5, -0.6), twist=-0.9)
        hands[side] = tuple(sorted((hanging, lap), key=lambda key: key.time)) if uses_lap else (hanging,)
    return replace(controls, hands=hands)


def kick(take: Take) -> Controls:
    """Swing one leg back and forward past the other; the arms swing in opposition."""
    controls, side = stand(take), take.hand
    back, hit = take.between(0.26, 0.34), take.between(0.46, 0.52)
    home, end = hit + 0.2, hit + 0.34
    high, far = take.about(0.17, 0.35) * take.style.reach, take.about(0.385, 0.12)
    way = [(back, (0, 0.07, -0.15)), (hit, (0, high, far)), (home, (0, 0.04, 0.02))]
    shift = path(take.time, [(0.1, (0, 0, 0)), *way, (end, (0, 0, 0))])
    pitch = path(take.time, [(0.08, 0.0), (back, 0.8), (hit, 0.35), (home, 0.1), (end, 0.0)])
    lean = plateau(take.time, 0.0, back, home, 1.0)
    swing = path(take.time, [(0.1, 0.0), (back, -1.0), (hit, 1.0), (end, 0.0)])
    controls.root[:, 0] -= side * (take.style.stance - 0.012) * lean
    controls.root[:, 1] -= 0.012 * lean
    controls.pelvis[:, 0] -= 0.12 * swing
    controls.trunk[:, 0] += path(take.time, [(0.1, 0.0), (back, 0.12), (hit, 0.02), (end, 0.0)])
    controls.trunk[:, 1] += side * 0.15 * swing
    foot = replace(controls.feet[side], shift=shift, pitch=pitch)
    controls = replace(controls, feet={**controls.feet, side: foot})
    for arm in SIDES:
        forward = swing if arm == -side else -swing
        place = np.array([0.09, -0.29, 0.02]) + forward[:, None] * np.array([0.0, 0.009, 0.09])
        balance = Key(back, "hang", place)
        controls = act(take, controls, [balance, held(balance, home)], arm)
    return controls


def jump(take: Take) -> Controls:
    """Crouch, push off, fly and land; the arms swing from back to front."""
    controls = stand(take)
    flight, off = take.between(0.34, 0.46), take.between(0.42, 0.48)
    second = 1 / take.length  # as a share of time
    land, low = off + flight * second, off - 0.32 * second
    height = _flight(take, off=off, flight=flight, depth=take.about(0.15, 0.25))
    bent = np.clip(-height / 0.15, 0, 1.3)
    controls.root[:, 1] += height
    controls.root[:, 2] -= 0.05 * bent
    controls.trunk[:, 0] += 0.45 * bent
    controls.pelvis[:, 0] += 0.25 * bent
    lift = soft_positive(height - _HEELS_UP, 0.012) * (height > -0.05)
    pointed = plateau(take.time, *(off + np.array([-0.12, 0.04, flight - 0.02, flight + 0.08]) * second))
    foot = replace(controls.feet[LEFT], shift=np.outer(lift, [0, 1, 0]), pitch=0.55 * pointed)
    controls = replace(controls, feet={LEFT: foot, RIGHT: foot})
    top = take.between(0.9, 2.4)
    turn = path(take.time, [(0.0, 0.1), (low, -0.7), (off + 0.05, top), (land + 0.1, 0.6), (1.0, 0.1)])
    place = np.stack([np.full_like(turn, 0.06), -0.29 * np.cos(turn), 0.29 * np.sin(turn)], axis=1)
    for side in SIDES:
        swing = Key(low, "hang", place, (0.6, -0.2, -0.8))
        controls = act(take, controls, [swing, held(swing, land + 0.1)], side)
    return controls


_HEELS_UP = 0.022
"""How much higher the pelvis is when the toes leave the floor than in standing, statures."""


def _flight(take: Take, *, off: float, flight: float, depth: float) -> Array:
    """[T] statures: pelvis height relative to standing; in the air a parabola, v = g t / 2 at take-off."""
    speed, fall = GRAVITY * flight / 2 / take.stature, -GRAVITY / take.stature
    seconds, leave = take.time * take.length, off * take.length
    land, low = leave + flight, leave - 0.32
    settle, absorbed = land + 0.34, -0.7 * depth
    height = path(seconds, [(low - 0.5, 0.0), (low, -depth)])
    for span, begin, end in (
        ((low, leave), (-depth, 0.0, 0.0), (_HEELS_UP, speed, fall)),
        ((leave, land), (_HEELS_UP, speed, fall), (_HEELS_UP, -speed, fall)),
        ((land, settle), (_HEELS_UP, -speed, fall), (absorbed, 0.0, 0.0)),
    ):
        inside = (seconds >= span[0]) & (seconds < span[1])
        height[inside] = quintic(seconds[inside], span, begin, end)
    after = seconds >= settle
    height[after] = path(seconds[after], [(settle, absorbed), (settle + 0.45, 0.0)])
    return height
