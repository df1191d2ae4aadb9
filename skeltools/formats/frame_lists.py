"""Lists of frames, as people's own scripts and several programs write them.

An entry is one person with the number or time of the frame, or a frame with its people:
``[{"frame": 0, "keypoints": [[x, y, score], ...]}, ...]``,
``{"frames": [{"frame_id": 0, "people": [{"track_id": 1, "keypoints": ...}, ...]}, ...]}``. Entries with one
number are people of one frame; times only put the frames in order. JSON Lines hold an entry a line.

Files of this form have:

- Azure Kinect, ``offline_processor``: ``frames`` of ``bodies`` with ``body_id`` and ``joint_positions``
  [32][3], and ``joint_names``
  (https://github.com/microsoft/Azure-Kinect-Samples/tree/master/body-tracking-samples/offline_processor);
- CMU Panoptic: a file a frame, ``body3DScene_00000100.json``, of ``bodies`` with ``id`` and ``joints19``: x,
  y, z in centimetres, and a score (https://github.com/CMU-Perceptual-Computing-Lab/panoptic-toolbox);
- mmskeleton: ``annotations`` with ``frame_index`` and ``person_id``
  (https://github.com/open-mmlab/mmskeleton/blob/master/doc/CUSTOM_DATASET.md);
- ZED's samples: time -> ``body_list`` of ``id``, ``keypoint`` and ``keypoint_confidence``.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from schemas import RawDataError, SkeletonSpec
from skeltools.custom.clip_files import HEAD, Clip, ClipFormat, Poses
from skeltools.custom.settings import Settings
from skeltools.formats import pose_json
from skeltools.formats.pose_json import Person, Place, key_of
from skeltools.raw_items import RawItem

LISTS = ("frames", "annotations", "data", "results", "sequence")
"""Keys of the list of frames or people in an object."""
_PEOPLE = ("people", "persons", "bodies", "bodylist", "instances", "skeletons", "detections")
_POINTS_2D = ("keypoints2d", "keypoint2d", "posekeypoints2d")
_CENTIMETRES = "joints19"
_POINTS = (
    "keypoints",
    "keypoint",
    "jointpositions",
    _CENTIMETRES,
    "joints",
    "kpts",
    "keypoints3d",
    *_POINTS_2D,
)
_SCORES = (
    "keypointscores",
    "kpscores",
    "keypointconfidence",
    "scores",
    "score",
    "confidences",
    "confidence",
    "conf",
)
_IDENTITY = ("trackid", "personid", "bodyid", "idx", "id")
_OF_POINT = {"x", "position"}
_NAMES = ("jointnames", "keypointnames")
_CLIP = ("videoid", "video", "videoname", "clip", "clipid", "sequence", "sequenceid")


def is_timed(entry: dict[str, Any]) -> bool:
    """Whether an object has the number or time of its frame."""
    return pose_json.frame_key(entry) is not None or pose_json.time_key(entry) is not None


def holds(file: Path, head: bytes) -> bool:
    start = pose_json.beginning(head)
    if isinstance(start, dict) and {"k4abt_sdk_version", "bone_list"} & start.keys():
        return True  # Azure Kinect's frames may follow behind the head
    if isinstance(start, dict) and _is_frame(start, file):
        return True
    first = next((entry for entry in _entries(start) if entry), None)
    if (
        not isinstance(first, dict)
        or pose_json.image_key(first)
        or not (_has_people(first) or _has_points(first))
    ):
        return False
    return isinstance(start, dict) or is_timed(first) or _has_people(first)


def _has_people(entry: dict[str, Any]) -> bool:
    key = key_of(entry, _PEOPLE)
    if key is None or not isinstance(entry[key], list):
        return key is not None and isinstance(entry[key], dict)
    return all(isinstance(somebody, dict | list) for somebody in entry[key][:1])


def _has_points(entry: dict[str, Any]) -> bool:
    """Whether an object has keypoints: numbers, points with x, or people who have keypoints."""
    key = key_of(entry, _POINTS)
    first = entry[key][0] if key is not None and isinstance(entry[key], list) and entry[key] else None
    if not isinstance(first, dict):
        return key is not None
    return bool(first.keys() & _OF_POINT) or key_of(first, _POINTS) is not None


def _is_frame(data: Any, file: Path) -> bool:
    """Whether an object is one frame or person, and not a list of them."""
    if not isinstance(data, dict) or "image_id" in data or _list_in(data) is not None:
        return False
    return _has_people(data) or (_has_points(data) and (is_timed(data) or pose_json.is_numbered(file)))


def _list_in(data: dict[str, Any]) -> list[Any] | None:
    key = key_of(data, LISTS)
    return data[key] if key is not None and isinstance(data[key], list) else None


def _entries(data: Any) -> list[Any]:
    """The frames or people of a file: its list, the list in an object, or an object's values by frame."""
    if not isinstance(data, dict):
        return data if isinstance(data, list) else []
    inner = _list_in(data)
    if inner is None and data and all(key.isdecimal() for key in data):
        return [_with_frame(entry, key) for key, entry in data.items()]
    return inner or []


def _with_frame(entry: Any, frame: str) -> dict[str, Any]:
    if not isinstance(entry, dict):
        return {"frame": frame, "people": entry}
    return entry if is_timed(entry) else {"frame": frame, **entry}


def clips(folder: Path, files: Sequence[Path]) -> list[Clip]:
    """Numbered files of one frame each together form a clip; any other file is a clip."""
    return pose_json.clips_of_both(folder, files, _is_image)


def _is_image(file: Path) -> bool:
    """Whether a file is one numbered frame: an object, or people who all have the same number or time."""
    if not pose_json.is_numbered(file):
        return False
    start = pose_json.start_of(file)
    if isinstance(start, list) and _is_one_moment(start):
        try:
            small = file.stat().st_size <= HEAD
            return small or _is_one_moment(pose_json.content(RawItem("", "", str(file))))
        except (RawDataError, OSError):
            return False
    return _is_frame(start, file)


def _is_one_moment(entries: Any) -> bool:
    """Whether all entries are people of one frame."""
    moments = {_moment(entry) for entry in entries} if isinstance(entries, list) else {""}
    return len(moments) <= 1 and "" not in moments


def _moment(entry: Any) -> str:
    key = (pose_json.frame_key(entry) or pose_json.time_key(entry)) if isinstance(entry, dict) else None
    return "" if key is None else f"{key}: {str(entry[key])[:40]}"


# --- reading ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Wanted:
    settings: Settings
    spec: SkeletonSpec


def read(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """Read one clip; joints named in the file are taken by name.

    Raises RawDataError, also where some entries have a number of their frame and others none, and for people
    of several videos.
    """
    place, wanted = Place(item.path), _Wanted(settings, spec)
    names: tuple[str, ...] = ()
    if _is_image(Path(item.path)):
        frames, panoptic = _of_images(item, wanted)
    else:
        data = pose_json.content(item)
        names = _names(data) if isinstance(data, dict) else ()
        entries = [data] if _is_frame(data, Path(item.path)) else _entries(data)
        frames, panoptic = _by_frame(entries, wanted, place), _is_panoptic(data)
    poses = pose_json.poses(_with_identities(frames), settings, spec, place, names=names)
    return replace(poses, units=0.01) if panoptic else poses


def _of_images(item: RawItem, wanted: _Wanted) -> tuple[dict[int, list[Person]], bool]:
    """The people of the frames, and whether the files are CMU Panoptic's."""
    frames: dict[int, list[Person]] = {}
    panoptic = False
    for number, file, data in pose_json.frame_contents(item, holds=_is_image):
        place = Place(file, f"frame {number}")
        entries = data if isinstance(data, list) else [data]
        frames[number] = [one for entry in entries for one in _people(entry, wanted, place)]
        panoptic |= _is_panoptic(data)
    return frames, panoptic


def _is_panoptic(data: Any) -> bool:
    bodies = data.get("bodies") if isinstance(data, dict) else None
    return isinstance(bodies, list) and any(
        isinstance(body, dict) and _CENTIMETRES in body for body in bodies
    )


def _by_frame(entries: Sequence[Any], wanted: _Wanted, place: Place) -> dict[int, list[Person]]:
    """Frame -> its people. Raises RawDataError."""
    frames: dict[int, list[Person]] = {}
    whole: set[int] = set()
    if any(isinstance(entry, dict) and is_timed(entry) for entry in entries):
        entries = [entry for entry in entries if entry]
    for i, (number, entry) in enumerate(zip(_numbers(entries, place), entries, strict=True)):
        here = place.at(f"entry {i + 1}, frame {number}")
        several = isinstance(entry, dict) and _has_people(entry)
        if number in whole or (several and number in frames):
            raise here.wrong("is there twice")
        whole |= {number} if several else set()
        frames.setdefault(number, []).extend(_people(entry, wanted, here))
    return frames


def _numbers(entries: Sequence[Any], place: Place) -> list[int]:
    """The frame of every entry: its number, the rank of its time, or its place in the list."""
    rows = [entry if isinstance(entry, dict) else {} for entry in entries]
    clips = {str(row[key])[:60]: i for i, row in enumerate(rows) if (key := key_of(row, _CLIP)) is not None}
    if len(clips) > 1:
        raise place.wrong(
            f"holds several clips: {', '.join(list(clips)[:4])}", remedy="Write a file for each"
        )
    for key_in, value in ((pose_json.frame_key, _number), (pose_json.time_key, _time)):
        keys = [key for row in rows if (key := key_in(row)) is not None]
        if not keys:
            continue
        if len(keys) < len(rows):
            lacking = next(i for i, row in enumerate(rows) if key_in(row) is None)
            raise place.wrong(
                f"entry {lacking + 1} has no {keys[0]}, others have", remedy="Write it into all"
            )
        values = [
            value(row[key], place.at(f"entry {i + 1}"), key)
            for i, (row, key) in enumerate(zip(rows, keys, strict=True))
        ]
        if value is _number:
            return [int(each) for each in values]
        ranks = {time: rank for rank, time in enumerate(sorted(set(values)))}
        return [ranks[time] for time in values]
    return list(range(len(entries)))


def _number(value: Any, place: Place, key: str) -> float:
    if (
        isinstance(value, str)
        and not value.isdecimal()
        and (number := pose_json.of_image(value)[1]) is not None
    ):
        value = number
    return pose_json.whole(value, place, key)


def _time(value: Any, place: Place, key: str) -> float:
    """A time as it is: nanoseconds since 1970 are more exact as an integer than as a float."""
    try:
        time = math.nan if isinstance(value, bool) else value if isinstance(value, int) else float(value)
        if not math.isfinite(time):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise place.wrong(
            f"{key} is {str(value)[:40]!r}, expected a number", remedy="Write `frame` into each entry"
        ) from None
    return time


def _names(data: dict[str, Any]) -> tuple[str, ...]:
    key = key_of(data, _NAMES)
    names = data[key] if key is not None and isinstance(data[key], list) else []
    return tuple(names) if all(isinstance(name, str) for name in names) else ()


def _people(entry: Any, wanted: _Wanted, place: Place) -> Iterator[Person]:
    """The people of an entry, which is a frame, one person, or a list of people; null is nobody."""
    if not entry:
        return
    if isinstance(entry, list):
        several = isinstance(entry[0], dict) or _depth(entry) > 2
        for i, each in enumerate(entry if several else [entry]):
            yield from _person(each, wanted, place.at(f"person {i + 1}"))
        return
    entry = pose_json.objects(entry, place, "it")
    key = key_of(entry, _PEOPLE)
    if key is None:
        yield from _person(entry, wanted, place)
        return
    people = entry[key] or []
    if isinstance(people, dict):
        people = [each if isinstance(each, dict) else {"keypoints": each} for each in people.values()]
        people = [{"track_id": id, **each} for id, each in zip(entry[key], people, strict=True)]
    people = pose_json.listed(people, place, key)
    for i, each in enumerate(people):
        yield from _person(each, wanted, place.at(f"person {i + 1}"))


def _person(somebody: Any, wanted: _Wanted, place: Place, *, one: bool = False) -> Iterator[Person]:
    """One person, or, unless ``one``, several whose keypoints are in one list; nobody for empty keypoints."""
    if isinstance(somebody, list):
        somebody = {"keypoints": somebody}
    somebody = pose_json.objects(somebody, place, "it")
    first = _POINTS_2D if wanted.settings.flat else ()
    key = key_of(somebody, (*first, *_POINTS))
    if key is None:
        if any(isinstance(value, list | dict) for value in somebody.values()):
            raise place.wrong(
                f"has no keypoints; its keys are {', '.join(somebody)[:100]}", remedy=pose_json.LINES
            )
        return
    points = somebody[key]
    if not points or points == [[]]:
        return
    score = _list_of(somebody, _SCORES)
    if not one and isinstance(points, list) and (_depth(points) > 2 or _are_people(points)):
        scores = score if score is not None and len(score) == len(points) else [None] * len(points)
        for i, (each, its) in enumerate(zip(points, scores, strict=True)):
            each = {"keypoints": each, "scores": its} if isinstance(each, list) else each
            yield from _person(each, wanted, place.at(f"person {i + 1}"), one=True)
        return
    track = _identity(somebody, place)
    yield pose_json.instance(points, score, wanted.settings, wanted.spec, place, track=track)


def _list_of(somebody: dict[str, Any], names: Sequence[str]) -> list[Any] | None:
    key = key_of({key: value for key, value in somebody.items() if isinstance(value, list)}, names)
    return None if key is None else somebody[key]


def _identity(somebody: dict[str, Any], place: Place) -> int | None:
    """The person's number; a checksum of a name; None if there is none, or it is negative."""
    key = key_of(somebody, _IDENTITY)
    value = None if key is None else somebody[key]
    if isinstance(value, str) and not value.isdecimal():
        return zlib.crc32(value.encode("utf-8", "replace"))
    number = -1 if value is None else pose_json.whole(value, place, str(key))
    return None if number < 0 else number


def _are_people(points: list[Any]) -> bool:
    first = next((each for each in points if each), None)
    return isinstance(first, dict) and _has_points(first)


def _depth(value: Any) -> int:
    """How deep lists are nested, along the first value of each that is not empty."""
    depth = 0
    while isinstance(value, list):
        depth += 1
        value = next((each for each in value if each not in ([], None)), None)
    return depth


def _with_identities(frames: dict[int, list[Person]]) -> dict[int, list[Person]]:
    """Without identities if none is in two frames: then they number the entries."""
    ids = [one.track for people in frames.values() for one in people if one.track is not None]
    if len(frames) > 1 and len(set(ids)) == len(ids):
        return {number: [replace(one, track=None) for one in people] for number, people in frames.items()}
    return frames


FRAMES = ClipFormat("frames", pose_json.SUFFIXES, holds, read, clips)
