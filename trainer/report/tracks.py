"""Prepared clips as people to draw: upright, whatever a recipe has done to the axes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from schemas import SkeletonSpec

if TYPE_CHECKING:
    from skeltools.pictures.scene import Kind, Track

Array = NDArray[np.float32]


def upright(spec: SkeletonSpec, poses: Array) -> Array:
    """A rotation [3, 3] that turns poses [n, 3, T, V, M] upright, as ``skeltools.pictures.upright`` does."""
    from skeltools.pictures.upright import turn

    return turn(spec, np.moveaxis(poses, (1, 3), (-1, -2)).reshape(-1, poses.shape[3], 3))


def track(
    name: str,
    clip: Array,
    spec: SkeletonSpec,
    turn: Array,
    *,
    kind: Kind = "joint",
    vectors: Array | None = None,
    shade: Array | None = None,
    flat: bool = False,
) -> Track:
    """A clip [3, T, V, M], rotated by ``turn``.

    ``vectors`` [3, T, V, M]: its bones or motions. ``shade`` [T, V, M] in 0..1 highlights joints. ``flat``:
    the poses are 2D. Bodies that are zero are absent: they are encoded, but not drawn.
    """
    from skeltools.pictures.scene import Track

    joints = np.moveaxis(clip, (0, 3), (3, 1))  # [T, M, V, 3]
    present = (joints != 0).any(axis=(2, 3))
    there = present.any(axis=0)
    there[0] = True
    turned = joints[:, there] @ turn.T
    return Track(
        name,
        spec,
        turned,
        present[:, there],
        kind=kind,
        vectors=None if vectors is None else np.moveaxis(vectors, (0, 3), (3, 1))[:, there] @ turn.T,
        shade=None if shade is None else np.moveaxis(shade, 2, 1)[:, there],
        coordinates="xy" if flat and not turned[..., 2].any() else "xyz",
    )


def scene(
    tracks: Sequence[Track], id: str = "", title: str = "", facts: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Clips on a common clock in the player's format, without a unit of length.

    A recipe may have changed the scale, so coordinates need not be metres.
    """
    from skeltools.pictures.scene import Scene, to_json

    return to_json(Scene(id, tuple(tracks), title=title, facts=facts or {})) | {"unit": ""}


def scenes(tracks: Sequence[Track]) -> str:
    """A list of one ``scene``, as JSON for a drawing of the report."""
    return json.dumps([scene(tracks)], separators=(",", ":"))
