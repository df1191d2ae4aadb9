"""Performances: who acts, how and where on the floor, as seen at once by the three cameras of a setup."""

from __future__ import annotations

import numpy as np

from schemas import unknown
from skeltools.demo.actions import ACTIONS, Action
from skeltools.demo.body import LEFT, RIGHT, Array, Body, body_of
from skeltools.demo.draws import generator
from skeltools.demo.kinematics import Controls, Pose, pose
from skeltools.demo.takes import Style, Take

FRAME_RATE = 30.0
"""Frames per second of a Kinect v2."""
SIDE_CAMERA = np.radians(45.0)
"""NTU's cameras are 45 degrees apart; subjects face one of the outer two (Shahroudy et al., CVPR 2016)."""


def style_of(subject: int, seed: int) -> Style:
    """A subject's style of movement. Nine in ten are right-handed."""
    rng = generator(seed, "style", subject)
    return Style(
        tempo=rng.uniform(0.85, 1.25),
        reach=rng.uniform(0.8, 1.2),
        hand=LEFT if rng.random() < 0.1 else RIGHT,
        stoop=rng.uniform(-0.02, 0.14),
        stance=rng.uniform(0.048, 0.085),
        flare=rng.uniform(0.75, 1.4),
        knees=rng.uniform(0.0, 1.0),
        unrest=rng.uniform(0.6, 1.5),
    )


def perform(action: int, subject: int, repetition: int = 1, *, seed: int = 0) -> tuple[Pose, ...]:
    """Perform an action, in world metres: y up, origin on the floor between the cameras, z towards camera 1.

    Returns one pose, or two for two-person actions; ``pose.joints(convention)`` is [T, V, 3]. The same
    arguments give the same motion, whatever was performed before. Raises UsageError for an unknown action.
    """
    if action not in ACTIONS:
        raise unknown("demo action", str(action), [str(known) for known in ACTIONS])
    rng = generator(seed, "performance", action, subject, repetition)
    script = ACTIONS[action]
    partner = subject + int(rng.integers(1, 7))
    cast = (subject,) if script.duo is None else (subject, partner)
    bodies = [body_of(who, seed) for who in cast]
    takes = _takes(script, bodies, [style_of(who, seed) for who in cast], rng)
    facing = SIDE_CAMERA * (1 if repetition % 2 else -1) + np.radians(rng.uniform(-35, 35))
    spot = np.array([rng.uniform(-0.35, 0.35), 0.0, rng.uniform(-0.35, 0.35)])
    played: tuple[Controls, ...]
    if script.duo is not None:
        played = script.duo(takes[0], takes[1])
    else:
        assert script.solo is not None
        played = (script.solo(takes[0]),)
    poses = [pose(body, controls) for body, controls in zip(bodies, played, strict=True)]
    return _placed(poses, takes, facing, spot, rng)


def _takes(script: Action, bodies: list[Body], styles: list[Style], rng: np.random.Generator) -> list[Take]:
    """One take per person over the same frames: standing briefly, the action, standing again."""
    length = script.seconds / styles[0].tempo * rng.uniform(0.88, 1.12)
    before, after = rng.uniform(0.15, 0.55), rng.uniform(0.10, 0.40)
    frames = round((before + length + after) * FRAME_RATE)
    seconds: Array = np.arange(frames) / FRAME_RATE
    gap = rng.uniform(*script.gap)
    time = _warped((seconds - before) / length, 0.0 if script.free_fall else rng.uniform(-0.4, 0.4))
    hands = [style.hand if rng.random() < 0.8 else -style.hand for style in styles]
    return [
        Take(
            time=time,
            seconds=seconds,
            length=length,
            rng=rng,
            style=style,
            hand=hand,
            stature=body.stature,
            gap=gap / body.stature,
            partner=other.stature / body.stature,
        )
        for body, other, style, hand in zip(bodies, bodies[::-1], styles, hands, strict=True)
    ]


def _warped(time: Array, amount: float) -> Array:
    """Warp time 0..1 to an uneven pace: ``1 + amount`` at both ends, ``1 - amount`` in the middle."""
    return np.asarray(time + amount * np.sin(2 * np.pi * np.clip(time, 0, 1)) / (2 * np.pi))


def _placed(
    poses: list[Pose], takes: list[Take], facing: float, spot: Array, rng: np.random.Generator
) -> tuple[Pose, ...]:
    """Place the persons on the floor: one faces ``facing``; two face each other, side-on to camera 1."""
    if len(poses) == 1:
        return (poses[0].moved(facing, spot),)
    across = np.pi / 2 + np.radians(rng.uniform(-30, 30))
    ahead = np.array([np.sin(across), 0.0, np.cos(across)]) * takes[0].gap * takes[0].stature / 2
    return poses[0].moved(across, spot - ahead), poses[1].moved(across + np.pi, spot + ahead)
