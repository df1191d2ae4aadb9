"""The content of one picture: a clip in one or several conventions, or several views of it, on one clock.

A scene consists of plain arrays. ``to_json`` converts it for the viewer's page and documents the layout.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from schemas import Finding, SkeletonSpec
from skeltools.pictures.sides import parts, sides

if TYPE_CHECKING:
    from skeltools.opened import Clip

Kind = Literal["joint", "bone", "motion"]

FORMAT = 1
"""Version of the JSON layout."""

STEPS = 32_767
"""Largest number of a coordinate in JSON: a room of 6.5 m is resolved to 0.1 mm, a pixel of any screen."""


@dataclass(frozen=True, eq=False)
class Track:
    """People in one skeleton convention: T frames, M bodies, V joints. Unseen joints may have any value."""

    name: str
    spec: SkeletonSpec
    joints: NDArray[np.float32]
    """[T, M, V, 3] in canonical axes: x to the sensor's left, y up, z away from it."""
    present: NDArray[np.bool_]
    """[T, M]."""
    unseen: NDArray[np.bool_] | None = None
    """[T, M, V]: unseen joints of seen bodies."""
    kind: Kind = "joint"
    vectors: NDArray[np.float32] | None = None
    """[T, M, V, 3]: a bone from the parent to the joint, or a motion from the joint to its next position."""
    shade: NDArray[np.float32] | None = None
    """[T, M, V] in 0..1: the emphasis of each joint, such as a mask or an activation."""
    coordinates: Literal["xyz", "xy"] = "xyz"


@dataclass(frozen=True)
class Stretch:
    """Frames ``start`` to ``stop - 1`` with a name: a class in an untrimmed recording, or a prediction."""

    start: int
    stop: int
    name: str
    score: float | None = None


@dataclass(frozen=True, eq=False)
class Scene:
    """One picture. Tracks of different lengths share one clock: each is stretched to the longest."""

    id: str
    tracks: tuple[Track, ...]
    title: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Facts shown beside the picture: class, subject, camera."""
    fps: float | None = None
    findings: tuple[Finding, ...] = ()
    ribbons: Mapping[str, tuple[Stretch, ...]] = field(default_factory=dict)
    """Name of a row below the clock -> its stretches, such as labels or predictions."""


def of_clips(
    clips: Sequence[Clip],
    kind: Kind = "joint",
    *,
    findings: Sequence[Finding] = (),
    classes: Sequence[str] = (),
) -> Scene:
    """A scene of one clip; ``clips`` are its versions in one or several conventions of the store.

    ``classes``: the store's class names, for the frame labels of an untrimmed recording.
    """
    first = clips[0]
    facts = {
        "class": first.class_name,
        "subject": first.subject,
        "camera": first.camera,
        "setup": first.setup,
        "repetition": first.repetition,
    }
    return Scene(
        first.id,
        tuple(track(clip, kind) for clip in clips),
        title=first.class_name or first.id,
        facts={name: str(value) for name, value in facts.items() if value is not None},
        findings=tuple(findings),
        ribbons=_labels(first, classes),
    )


def track(clip: Clip, kind: Kind = "joint") -> Track:
    """Convert a clip to a track. ``bone`` and ``motion`` are derived from its joints, as streams are."""
    flat = "xy" if clip.joints.size and not clip.joints[..., 2].any() else "xyz"
    return Track(
        clip.convention,
        clip.spec,
        clip.joints,
        clip.present,
        clip.unseen,
        kind,
        _vectors(clip, kind),
        coordinates=flat,  # type: ignore[arg-type]
    )


def _vectors(clip: Clip, kind: Kind) -> NDArray[np.float32] | None:
    if kind == "joint":
        return None
    if kind == "bone":
        return clip.joints - clip.joints[:, :, list(clip.spec.parents)]
    moved = np.zeros_like(clip.joints)
    moved[:-1] = np.diff(clip.joints, axis=0)
    return moved


def _labels(clip: Clip, classes: Sequence[str]) -> dict[str, tuple[Stretch, ...]]:
    if clip.frame_labels is None or not len(clip.frame_labels):
        return {}
    labels = clip.frame_labels.tolist()
    cuts = [0, *(place for place in range(1, len(labels)) if labels[place] != labels[place - 1]), len(labels)]
    names = {label: classes[label] if label < len(classes) else str(label) for label in set(labels)}
    return {"labels": tuple(Stretch(a, b, names[labels[a]]) for a, b in pairwise(cuts) if labels[a] >= 0)}


def to_json(scene: Scene) -> dict[str, Any]:
    """The scene as values for JSON; no number is NaN or infinite.

    ``tracks[i]`` has ``name``, ``kind``, ``frames`` T, ``bodies`` M, ``joints`` (V names), ``parents`` (V
    numbers, the centre's is its own), ``parts`` and ``sides`` (V words), ``coordinates``, and arrays in
    base64, little-endian and in C order: ``positions`` int16 [T, M, V, 3] with ``scale`` and ``origin`` [3]
    (a coordinate is ``origin + scale * number``), ``seen`` uint8 [T, M, V] (1: draw it), and where given
    ``vectors`` int16 [T, M, V, 3] with ``vector_scale`` and ``shade`` uint8 [T, M, V] (255 is 1.0).
    """
    return {
        "format": FORMAT,
        "id": scene.id,
        "title": scene.title or scene.id,
        "facts": dict(scene.facts),
        "fps": scene.fps,
        "frames": max((len(each.joints) for each in scene.tracks), default=0),
        "tracks": [track_json(each) for each in scene.tracks],
        "findings": [each.model_dump(exclude_defaults=True) for each in scene.findings],
        "ribbons": {
            name: [[each.start, each.stop, each.name, each.score] for each in stretches]
            for name, stretches in scene.ribbons.items()
        },
    }


def seen(track: Track) -> NDArray[np.bool_]:
    """[T, M, V]: joints that can be drawn: finite, seen, and of a present body."""
    drawn = track.present[:, :, None] & np.isfinite(track.joints).all(axis=-1)
    return drawn if track.unseen is None else drawn & ~track.unseen


def track_json(track: Track) -> dict[str, Any]:
    """A track in the layout of ``to_json``."""
    spec, drawn = track.spec, seen(track)
    positions, scale, origin = _quantised(track.joints, drawn)
    content: dict[str, Any] = {
        "name": track.name,
        "kind": track.kind,
        "frames": track.joints.shape[0],
        "bodies": track.joints.shape[1],
        "joints": list(spec.joints),
        "parents": list(spec.parents),
        "parts": list(parts(spec)),
        "sides": list(sides(spec)),
        "coordinates": track.coordinates,
        "positions": _text(positions),
        "scale": scale,
        "origin": origin,
        "seen": _text(drawn.astype(np.uint8)),
    }
    if track.vectors is not None:
        finite = drawn & np.isfinite(track.vectors).all(axis=-1)
        vectors = np.where(finite[..., None], track.vectors, 0).astype(np.float64)
        size = float(np.abs(vectors).max(initial=0)) / STEPS or 1.0
        content |= {"vectors": _text(np.rint(vectors / size).astype("<i2")), "vector_scale": size}
    if track.shade is not None:
        content["shade"] = _text(np.rint(np.clip(np.nan_to_num(track.shade), 0, 1) * 255).astype(np.uint8))
    return content


def _quantised(
    joints: NDArray[np.float32], drawn: NDArray[np.bool_]
) -> tuple[NDArray[np.int16], float, list[float]]:
    """Quantise coordinates around the centre of the drawn joints: (numbers, scale, origin); others are 0."""
    points = joints[drawn].astype(np.float64)
    if not len(points):
        return np.zeros(joints.shape, dtype="<i2"), 1.0, [0.0, 0.0, 0.0]
    low, high = points.min(axis=0), points.max(axis=0)
    origin = (low + high) / 2
    scale = float((high - low).max()) / (2 * STEPS) or 1.0
    numbers = np.zeros(joints.shape, dtype="<i2")
    numbers[drawn] = np.rint((points - origin) / scale)
    return numbers, scale, origin.tolist()


def _text(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
