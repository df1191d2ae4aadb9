"""Poses as stick figures, seen from the front, whatever a recipe has done to the axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from numpy.typing import NDArray

from schemas import SkeletonSpec

Array = NDArray[np.float32]

_LEVELS = 8
"""Steps of size and shade of a joint, from no strength to all of it."""


@dataclass(frozen=True)
class View:
    """Which coordinates point to the right and up in the drawing, and with which sign."""

    across: int
    across_sign: float
    up: int
    up_sign: float

    def flat(self, joints: Array) -> Array:
        """[3, ...] -> [2, ...]: to the right, up."""
        return np.stack([self.across_sign * joints[self.across], self.up_sign * joints[self.up]])


def front(spec: SkeletonSpec, poses: Array) -> View:
    """The view in which the bodies of poses [n, 3, T, V, M] stand upright, their left at our right.

    Recipes turn clips: CrosSCLR's makes the spine parallel to z, ours keeps y. So the axes are read from the
    poses: up is where the shoulders are above the legs, across is the line of the shoulders. A convention
    without shoulders is seen along z.
    """
    bodies = np.moveaxis(poses, (1, 3), (-2, -1)).reshape(-1, 3, poses.shape[3])
    bodies = bodies[(bodies != 0).any(axis=(1, 2))]
    if not len(bodies) or spec.shoulders is None:
        return View(0, 1.0, 1, 1.0)
    mean = bodies.mean(axis=0)
    left, right = spec.shoulders
    parts = spec.body_parts or {}
    legs = [*parts.get("left_leg", ()), *parts.get("right_leg", ())] or [spec.center]
    upward = (mean[:, left] + mean[:, right]) / 2 - mean[:, legs].mean(axis=1)
    up = int(np.abs(upward).argmax())
    # People turn: the mean length of the shoulder line, not its mean, says which axis it lies on.
    widths = np.abs(bodies[:, :, left] - bodies[:, :, right]).mean(axis=0)
    widths[up] = -1
    across = int(widths.argmax())
    sign = float(np.sign(mean[across, left] - mean[across, right])) or 1.0
    return View(across, sign, up, float(np.sign(upward[up])) or 1.0)


def present(pose: Array) -> list[int]:
    """The bodies of a pose [3, V, M] that are there: absent ones are zero."""
    return [body for body in range(pose.shape[2]) if (pose[:, :, body] != 0).any()]


def draw_clip(
    axes: Axes,
    clip: Array,
    spec: SkeletonSpec,
    view: View,
    *,
    frames: Sequence[int],
    strength: Array | None = None,
) -> None:
    """Frames of a clip [3, T, V, M] side by side. ``strength`` [T, V, M] in 0..1: how large joints are.

    The second body is drawn with dashed bones.
    """
    flat = view.flat(clip[:, list(frames)])  # [2, F, V, M]
    bodies = [present(clip[:, frame]) for frame in frames]
    width = _width(flat, bodies)
    for place, frame in enumerate(frames):
        for body in bodies[place]:
            points = flat[:, place, :, body] + np.array([[place * width], [0]], dtype=np.float32)
            points[0] -= flat[0, place][:, bodies[place]].mean()
            _draw_body(
                axes,
                points,
                spec,
                dashed=body > 0,
                strength=None if strength is None else strength[frame, :, body],
            )
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xticks=[], yticks=[])
    axes.margins(0.06)


def _width(flat: Array, bodies: Sequence[Sequence[int]]) -> float:
    """Room for the widest of the poses."""
    spans = [np.ptp(flat[0, place][:, there]) for place, there in enumerate(bodies) if there]
    tall = [np.ptp(flat[1, place][:, there]) for place, there in enumerate(bodies) if there]
    return float(max([*spans, 0.35 * max(tall, default=1.0)], default=1.0)) * 1.08


def _draw_body(
    axes: Axes, points: Array, spec: SkeletonSpec, *, dashed: bool, strength: Array | None
) -> None:
    gap = np.full((2, 1), np.nan, dtype=np.float32)
    bones = np.concatenate([part for edge in spec.edges for part in (points[:, list(edge)], gap)], axis=1)
    dashes = (0, (2, 1.2)) if dashed else "-"
    axes.plot(*bones, color="#444444", linewidth=0.9, linestyle=dashes, solid_capstyle="round")
    if strength is None:
        return
    for level in range(_LEVELS + 1):
        chosen = np.round(strength * _LEVELS) == level
        share = level / _LEVELS
        axes.plot(
            *points[:, chosen],
            linestyle="none",
            marker="o",
            markersize=1.5 + 5.5 * share,
            color=colormaps["YlOrBr"](0.25 + 0.65 * share),
            markeredgecolor="black",
            markeredgewidth=0.35,
            zorder=3 + share,
        )


def spread_frames(total: int, shown: int) -> list[int]:
    """``shown`` frames of ``total``, evenly spread, without the ends.

    >>> spread_frames(50, 5)
    [5, 15, 25, 35, 45]
    """
    return [int((place + 0.5) * total / shown) for place in range(min(shown, total))]
