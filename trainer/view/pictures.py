"""Prepared clips as scenes of the viewer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from schemas import SkeletonSpec

Array = NDArray[np.float32]


def scene(
    id: str,
    title: str,
    spec: SkeletonSpec,
    joints: Tensor,
    *,
    turn: Array,
    stream: str = "joint",
    values: Tensor | None = None,
    taken: Tensor | None = None,
    facts: Mapping[str, str] | None = None,
    flat: bool = False,
) -> dict[str, Any]:
    """A scene of one prepared clip, joints [3, T, V, M], in the format of the page.

    ``values`` [3, T, V, M]: its bones or motions. ``taken`` [T, V] bool: joints to mark. ``turn``: see
    ``skeltools.pictures.upright``. Bodies that are never present are left out. Lengths are the recipe's,
    which need not be metres.
    """
    from skeltools.pictures.scene import Scene, Track, to_json

    placed = _placed(joints)
    present = (placed != 0).any(axis=(2, 3))
    there = present.any(axis=0)
    there[0] = True
    turned = placed[:, there] @ turn.T
    track = Track(
        spec.name,
        spec,
        turned,
        present[:, there],
        kind=stream,  # type: ignore[arg-type]
        vectors=None if stream == "joint" or values is None else _placed(values)[:, there] @ turn.T,
        shade=None if taken is None else _every_body(taken, int(there.sum())),
        coordinates="xy" if flat and not turned[..., 2].any() else "xyz",
    )
    return {**to_json(Scene(id, (track,), title=title, facts=facts or {})), "unit": ""}


def _placed(x: Tensor) -> Array:
    """[3, T, V, M] -> [T, M, V, 3]."""
    return x.detach().cpu().permute(1, 3, 2, 0).contiguous().numpy()


def _every_body(taken: Tensor, bodies: int) -> Array:
    """[T, V] -> [T, M, V]."""
    marked = taken.cpu().numpy().astype(np.float32)[:, None]
    return np.repeat(marked, bodies, axis=1)
