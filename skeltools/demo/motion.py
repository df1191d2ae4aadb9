"""Motion over time: smooth paths through keys, oscillations, involuntary drift, and steps.

The path between two keys is the minimum-jerk quintic for the given end states, the classic model of reaching
movements: Flash and Hogan, The coordination of arm movements, J. Neuroscience 5(7), 1985.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from skeltools.demo.body import LEFT, RIGHT, Array

Vector = tuple[float, float, float]


def ease(progress: ArrayLike) -> Array:
    """Minimum-jerk progress 0..1 at a time in 0..1; constant outside."""
    x = np.clip(np.asarray(progress, dtype=np.float64), 0.0, 1.0)
    return x**3 * (10.0 - 15.0 * x + 6.0 * x**2)


def path(time: Array, keys: Sequence[tuple[float, ArrayLike]]) -> Array:
    """A path [T] or [T, C] through (time, value) keys, at rest at each key, constant before and after."""
    values = [np.asarray(value, dtype=np.float64) for _, value in keys]
    shape = (-1,) + (1,) * values[0].ndim
    track = np.broadcast_to(values[0], time.shape + values[0].shape).copy()
    segments = zip(pairwise(start for start, _ in keys), pairwise(values), strict=True)
    for (start, end), (before, after) in segments:
        track += ease((time - start) / (end - start)).reshape(shape) * (after - before)
    return track


def pulse(time: Array, start: float, top: float, end: float) -> Array:
    """[T]: rises from 0 to 1 at ``top`` and returns to 0."""
    return path(time, [(start, 0.0), (top, 1.0), (end, 0.0)])


def plateau(time: Array, start: float, full: float, leave: float, end: float) -> Array:
    """[T]: rises from 0, is 1 between ``full`` and ``leave``, and returns to 0."""
    return path(time, [(start, 0.0), (full, 1.0), (leave, 1.0), (end, 0.0)])


def quintic(time: Array, span: tuple[float, float], begin: Vector, end: Vector) -> Array:
    """[T]: the quintic between two (position, velocity, acceleration) states; valid only inside ``span``."""
    length = span[1] - span[0]
    x = (time - span[0]) / length
    p0, v0, a0 = begin[0], begin[1] * length, begin[2] * length**2 / 2
    gap = end[0] - p0 - v0 - a0
    speed = end[1] * length - v0 - 2 * a0
    bend = end[2] * length**2 / 2 - a0
    c3, c4, c5 = 10 * gap - 4 * speed + bend, -15 * gap + 7 * speed - 2 * bend, 6 * gap - 3 * speed + bend
    return p0 + x * (v0 + x * (a0 + x * (c3 + x * (c4 + x * c5))))


def wave(time: Array, cycles: float, phase: float = 0.0) -> Array:
    """[T]: a sine with ``cycles`` periods over time 0..1."""
    return np.sin(2 * np.pi * (cycles * time + phase))


def drift(rng: np.random.Generator, seconds: Array, scale: ArrayLike) -> Array:
    """[T, C]: smooth involuntary motion, the sum of three slow sines (0.15 to 0.8 Hz) per channel.

    ``scale`` [C] is its standard deviation in the channel's unit.
    """
    size = np.asarray(scale, dtype=np.float64)
    rate = rng.uniform(0.15, 0.8, (3, 1, size.size))
    phase = rng.uniform(0, 1, (3, 1, size.size))
    waves = np.sin(2 * np.pi * (rate * seconds[None, :, None] + phase))
    return waves.sum(axis=0) * size * np.sqrt(2 / 3)


def soft_positive(x: ArrayLike, width: float) -> Array:
    """``max(0, x)`` with the corner rounded over about ``width``."""
    value = np.asarray(x, dtype=np.float64)
    return 0.5 * (value + np.sqrt(value**2 + width**2))


def steps(time: Array, span: tuple[float, float], count: int, first: int) -> tuple[Array, dict[int, Array]]:
    """A walk of ``count`` steps over a distance of 1, within ``span`` of the time.

    Returns the progress of the trunk [T] 0..1, and per side (progress, lift, pitch) [T, 3]: lift peaks at 1
    in the middle of a swing, pitch at 1 (heel up) in its first half and at -0.4 (toes up) before landing. A
    foot lands where the trunk will be in the middle of the foot's next stance.
    """
    share = (time - span[0]) / (span[1] - span[0])
    feet = {side: np.zeros((len(time), 3)) for side in (LEFT, RIGHT)}
    stood = {LEFT: 0.0, RIGHT: 0.0}
    for step in range(count):
        side = first if step % 2 == 0 else -first
        swing = np.clip((share * count - step + 0.12) / 1.24, 0.0, 1.0)  # swings overlap a little
        land = float(_advance(min((step + 1.5) / count, 1.0)))
        feet[side][:, 0] += ease(swing) * (land - stood[side])
        feet[side][:, 1] += np.sin(np.pi * swing) ** 2
        feet[side][:, 2] += pulse(swing, 0.0, 0.3, 0.65) - 0.4 * pulse(swing, 0.5, 0.8, 1.0)
        stood[side] = land
    return _advance(share), feet


def _advance(share: ArrayLike) -> Array:
    """Progress of the trunk: accelerates, walks steadily, slows down."""
    x = np.clip(np.asarray(share, dtype=np.float64), 0.0, 1.0)
    return 0.5 * ease(x) + 0.5 * (x - np.sin(2 * np.pi * x) / (2 * np.pi))
