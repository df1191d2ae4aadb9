"""MediaPipe: landmarks of every frame as commonly saved to JSON; MediaPipe itself defines no file format.

A frame is a list of landmarks, or an object that holds them under the names of MediaPipe's results
(``pose_landmarks``, ``poseLandmarks``, ``pose_world_landmarks``, ...), for one person or a list of people;
null or an empty value is a frame without a person. A landmark is {x, y, z, visibility} or a list of these
values.

``landmarks`` are fractions of the image size, with z in fractions of its width; ``world_landmarks`` are
metres from the midpoint of the hips. x points right in the image, y down, z away from the camera (smaller is
nearer): https://ai.google.dev/edge/mediapipe/solutions/vision/pose_landmarker
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from schemas import RawDataError, SkeletonSpec
from skeltools.custom.clip_files import Clip, ClipFormat, Poses
from skeltools.custom.settings import Settings
from skeltools.formats import pose_json
from skeltools.formats.pose_json import Frames, Person, Place
from skeltools.raw_items import RawItem

_IMAGE = (
    "pose_landmarks",
    "poseLandmarks",
    "hand_landmarks",
    "handLandmarks",
    "multi_hand_landmarks",
    "multiHandLandmarks",
    "landmarks",
    "keypoints",
)
_WORLD = (
    "pose_world_landmarks",
    "poseWorldLandmarks",
    "hand_world_landmarks",
    "handWorldLandmarks",
    "multi_hand_world_landmarks",
    "multiHandWorldLandmarks",
    "world_landmarks",
    "worldLandmarks",
    "keypoints3D",
)
_HANDS = tuple(
    (
        f"{side}_hand_world_landmarks",
        f"{side}HandWorldLandmarks",
        f"{side}_hand_landmarks",
        f"{side}HandLandmarks",
    )
    for side in ("left", "right")
)
_HAND = 21
_UNSAID = ("landmarks", "keypoints")
"""Names that do not identify the kind of landmarks if no others are present."""
_LISTS = ("frames", "data", "results", "poses")
_NUMBER = ("frame", "frame_id", "frame_index", "frame_number", "frameIndex", "frameNumber")
_SCORE = ("visibility", "v", "score", "confidence", "presence")

_BELOW_ZERO = 0.25
"""Share of negative x and y from which landmarks are taken as metres from the centre of the body: there, half
are negative, while landmarks outside the image are rare."""

_FRACTIONS = 5.0
"""Coordinates beyond this many times the image size are pixels."""


def holds(_file: Path, head: bytes) -> bool:
    start = pose_json.beginning(head)
    if isinstance(start, dict):
        inner = _list_of_frames(start)
        if inner is None and all(key.isdigit() for key in start):
            inner = list(start.values())
        return _any(start) or (inner is not None and any(map(_is_frame, inner[:50])))
    return isinstance(start, list) and (_is_points(start) or any(map(_is_frame, start)))


def _list_of_frames(data: dict[str, Any]) -> list[Any] | None:
    return next((data[key] for key in _LISTS if isinstance(data.get(key), list)), None)


def _is_frame(frame: Any) -> bool:
    if isinstance(frame, dict):
        return _any(frame)
    people = next((entry for entry in frame if entry), None) if isinstance(frame, list) else None
    return _is_points(frame) or (isinstance(people, list) and _is_points(people))


def _any(frame: dict[str, Any]) -> bool:
    """Whether an object holds landmarks; ``keypoints`` alone may belong to another format."""
    values = [frame[key] for key in (*_IMAGE[:-1], *_WORLD, *_HANDS[0], *_HANDS[1]) if key in frame]
    return any(value is None or isinstance(value, list | dict) for value in values)


def _is_points(points: Any) -> bool:
    first = points[0] if isinstance(points, list) and points else None
    return isinstance(first, dict) and "x" in first and ("y" in first or len(first) == 1)


def clips(folder: Path, files: Sequence[Path]) -> list[Clip]:
    """Numbered single-frame files together form a clip; any other file is a clip."""
    return pose_json.clips_of_both(folder, files, _is_image)


def _is_image(file: Path) -> bool:
    """Whether a file is one numbered frame."""
    if not pose_json.is_numbered(file):
        return False
    start = pose_json.start_of(file)
    if isinstance(start, dict):
        return _list_of_frames(start) is None and _any(start)
    return _is_points(start)


# --- reading ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Wanted:
    """Which landmarks of a frame are preferred: ``world``, or those in the image."""

    spec: SkeletonSpec
    world: bool


def read(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """Read world landmarks, or those in the image if the settings have 2D coordinates or an image size."""
    place = Place(item.path)
    wanted = _Wanted(spec, world=not settings.flat and settings.image_size is None)
    frames: dict[int, list[Person]] = {}
    said: set[bool | None] = set()
    for i, (number, frame) in enumerate(_all_frames(item, place)):
        here = place.at(f"frame {number}")
        if number in frames:
            raise here.wrong(f"is there twice, also as entry {i + 1}")
        kind, frames[number] = _hands(frame, wanted, here)
        if not frames[number]:
            kind, people = _landmarks(frame, wanted)
            frames[number] = list(_people(people, wanted, here))
        said |= {kind} if frames[number] else set()
    kinds = {_is_world(frames) if world is None else world for world in said}
    if len(kinds) > 1:
        raise place.wrong("some frames have landmarks in the image only, others world landmarks only")
    world = next(iter(kinds), wanted.world)
    if world != wanted.world:
        raise _other_kind(world, place)
    poses = pose_json.poses(frames, settings, spec, place, fractions=not world and _are_fractions(frames))
    return replace(poses, units=1.0, axes=("right", "down", "forward")) if world else poses


def _other_kind(world: bool, place: Place) -> RawDataError:
    if world:
        return place.wrong(
            "holds world landmarks only, in metres: say `coordinates: xyzs` in dataset.yaml, and leave "
            "image_size out",
            remedy=pose_json.LINES,
        )
    return place.wrong(
        "holds landmarks in fractions of the image only: say `image_size: [width, height]` in dataset.yaml, "
        "and `coordinates: xys` for 2D poses",
        remedy=pose_json.LINES,
    )


def _all_frames(item: RawItem, place: Place) -> Iterator[tuple[int, Any]]:
    if not _is_image(Path(item.path)):
        yield from _frames(pose_json.content(item), place)
        return
    for number, _, data in pose_json.frame_contents(item, holds=_is_image):
        yield number, data


def _frames(data: Any, place: Place) -> Iterator[tuple[int, Any]]:
    """(frame number, content) of every frame."""
    if isinstance(data, dict):
        inner = _list_of_frames(data)
        if inner is None and data and all(key.isdigit() for key in data):
            yield from ((pose_json.whole(key, place, "a frame"), frame) for key, frame in data.items())
            return
        data = _one_or_many(data) if inner is None else inner
    data = pose_json.listed(data, place, "the list of frames")
    if _is_points(data):
        yield 0, data
        return
    for i, frame in enumerate(data):
        key = next((key for key in _NUMBER if key in frame), None) if isinstance(frame, dict) else None
        yield i if key is None else pose_json.whole(frame[key], place.at(f"entry {i + 1}"), key), frame


def _one_or_many(data: dict[str, Any]) -> list[Any]:
    """Split an object of landmarks into frames: its lists may be over all frames, not people of one frame."""
    lists = {key: data[key] for key in (*_IMAGE, *_WORLD) if _is_list_of_people(data.get(key))}
    if not lists:
        return [data]
    last = max(len(value) for value in lists.values())
    return [{key: value[i] for key, value in lists.items() if i < len(value)} for i in range(last)]


def _is_list_of_people(value: Any) -> bool:
    first = next((entry for entry in value if entry), None) if isinstance(value, list) else None
    return isinstance(first, list) and isinstance(first[0], dict | list)


def _landmarks(frame: Any, wanted: _Wanted) -> tuple[bool | None, Any]:
    """(whether they are world landmarks, or None if unknown; the landmarks of one or several people)."""
    if not isinstance(frame, dict) or "landmark" in frame:
        return None, frame
    kinds = ((True, _WORLD), (False, _IMAGE))
    for world, keys in kinds if wanted.world else kinds[::-1]:
        key = next((key for key in keys if frame.get(key)), None)
        if key is not None:
            alone = key in _UNSAID and not any(frame.get(other) for other in _WORLD)
            return (None if alone else world), frame[key]
    return None, None


def _hands(frame: Any, wanted: _Wanted, place: Place) -> tuple[bool | None, list[Person]]:
    """The hands in Holistic's results, left before right, for a convention of one hand."""
    people: list[Person] = []
    world = False
    one_hand = isinstance(frame, dict) and wanted.spec.num_joints == _HAND
    for side, keys in enumerate(_HANDS if one_hand else ()):
        by_choice = keys if wanted.world else (*keys[2:], *keys[:2])
        if key := next((key for key in by_choice if frame.get(key)), None):
            world = key in keys[:2]
            people.append(replace(_person(frame[key], wanted, place.at(key)), track=side))
    return world, people


def _people(landmarks: Any, wanted: _Wanted, place: Place) -> Iterator[Person]:
    if not landmarks:
        return
    if isinstance(landmarks, dict):
        yield _person(landmarks, wanted, place)
        return
    entries = pose_json.listed(landmarks, place, "landmarks")
    several = isinstance(entries[0], list) and entries[0] and isinstance(entries[0][0], list | dict)
    several = several or (isinstance(entries[0], dict) and "landmark" in entries[0]) or entries[0] == []
    for i, points in enumerate(entries if several else [entries]):
        if points:
            yield _person(points, wanted, place.at(f"person {i + 1}"))


def _person(points: Any, wanted: _Wanted, place: Place) -> Person:
    """Parse landmarks given as objects, as lists, as one flat list of numbers, or by name."""
    if isinstance(points, dict):
        points = points["landmark"] if "landmark" in points else _by_name(points, wanted.spec, place)
    points = pose_json.listed(points, place, "landmarks")
    if points and isinstance(points[0], dict):
        points = [_numbers(point, place.at(f"landmark {i + 1}")) for i, point in enumerate(points)]
    array = pose_json.numbers(points, place, "landmarks")
    if array.ndim == 1:
        each, rest = divmod(array.size, wanted.spec.num_joints)
        if rest:
            raise place.wrong(f"{array.size} numbers are not {wanted.spec.num_joints} landmarks")
        array = array.reshape(wanted.spec.num_joints, each)
    if array.ndim != 2 or array.shape[1] not in (2, 3, 4, 5):
        raise place.wrong(f"landmarks of shape {array.shape}, expected x, y, z and visibility of each")
    score = array[:, 3] if array.shape[1] > 3 and not np.isnan(array[:, 3]).all() else None
    return pose_json.person(array[:, :3], score)


def _by_name(points: dict[str, Any], spec: SkeletonSpec, place: Place) -> list[Any]:
    at = {name.casefold(): point for name, point in points.items()}
    if missing := [joint for joint in spec.joints if joint.casefold() not in at]:
        raise place.wrong(f"has no landmark {', '.join(missing[:4])}; it has {', '.join(list(points)[:4])}")
    return [at[joint.casefold()] for joint in spec.joints]


def _numbers(point: Any, place: Place) -> list[Any]:
    """x, y, z, score; None where missing."""
    point = pose_json.objects(point, place, "it")
    if "x" not in point or "y" not in point:
        raise place.wrong("has no x or y")
    score = next((point[key] for key in _SCORE if key in point), None)
    return [point["x"], point["y"], point.get("z"), score]


# --- detecting the kind of landmarks ------------------------------------------------------------------------


def _is_world(frames: Frames) -> bool:
    values = _plane(frames)
    return bool(values.size) and float((values < 0).mean()) >= _BELOW_ZERO


def _are_fractions(frames: Frames) -> bool:
    values = _plane(frames)
    return not values.size or float(np.abs(values).max()) <= _FRACTIONS


def _plane(frames: Frames) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The finite x and y of all people."""
    each = [somebody.values[:, :2].ravel() for there in frames.values() for somebody in there]
    values = np.concatenate(each) if each else np.zeros(0)
    return values[np.isfinite(values)]


MEDIAPIPE = ClipFormat("mediapipe", pose_json.SUFFIXES, holds, read, clips)
