"""Lists of people with the image of each: AlphaPose's results, and COCO's results and annotations.

AlphaPose: ``alphapose-results.json``, a list of {image_id, category_id, keypoints, score, box, idx}, or
grouped by image in the forms of ``--format open`` and ``cmu``; ``keypoints`` is x, y, score of every
keypoint, ``idx`` the identity if people were tracked: https://github.com/MVIG-SJTU/AlphaPose, its page on
output.

COCO: ``annotations`` of ``images``, with the names of the keypoints in ``categories``; ``keypoints`` is x, y,
v, where v = 0 marks an unlabelled keypoint; results are a list of {image_id, category_id, keypoints, score}:
https://cocodataset.org/#format-data. ``video_id``, ``vid_id``, ``frame_id`` and ``track_id`` are used by
PoseTrack and video tools.

A file holds one clip, or several: one per video, or one per folder and name of its images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from schemas import RawDataError, SkeletonSpec
from skeltools.custom.clip_files import Clip, ClipFormat, Poses
from skeltools.custom.settings import Settings
from skeltools.files.unchanged import while_unchanged
from skeltools.formats import frame_lists, pose_json
from skeltools.formats.pose_json import Person, Place
from skeltools.raw_items import RawItem

_PLAIN = "alphapose-results"
"""The name of every AlphaPose file; the clip is named after the folder instead."""


@dataclass
class _Found:
    """The contents of a file, by clip."""

    clips: dict[str, dict[int, list[Person]]] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    def add(self, clip: str, frame: int, somebody: Person | None = None) -> None:
        there = self.clips.setdefault(clip, {}).setdefault(frame, [])
        if somebody is not None:
            there.append(somebody)


# --- detection ----------------------------------------------------------------------------------------------


def holds_alphapose(_file: Path, head: bytes) -> bool:
    start = pose_json.beginning(head)
    if isinstance(start, list) and start:
        return _is_result(start[0]) and not _is_coco(start[0])
    if isinstance(start, dict) and start:
        name, first = next(iter(start.items()))
        if name.casefold() in frame_lists.LISTS:
            return False
        people = (
            next((first[key] for key in _BY_IMAGE if key in first), None)
            if isinstance(first, dict)
            else first
        )
        somebody = people[0] if isinstance(people, list) and people else None
        return isinstance(somebody, dict) and any(key in somebody for key in _KEYPOINTS)
    return False


def holds_coco(_file: Path, head: bytes) -> bool:
    start = pose_json.beginning(head)
    if isinstance(start, list):
        return bool(start) and _is_result(start[0]) and _is_coco(start[0])
    if not isinstance(start, dict):
        return False
    return (
        ("annotations" in start and not _are_of_frames(start["annotations"]))
        or _is_image(start.get("images"))
        or bool(_names(start.get("categories")))
        or ("videos" in start and "categories" in start)
    )


def _are_of_frames(annotations: Any) -> bool:
    """Whether annotations say their frame in place of their image."""
    first = annotations[0] if isinstance(annotations, list) and annotations else None
    return isinstance(first, dict) and frame_lists.is_timed(first) and not pose_json.image_key(first)


def _is_result(entry: Any) -> bool:
    return isinstance(entry, dict) and "keypoints" in entry and pose_json.image_key(entry) is not None


def _is_coco(entry: dict[str, Any]) -> bool:
    return isinstance(entry.get("image_id"), int) and not {"idx", "box"} & entry.keys()


def _is_image(images: Any) -> bool:
    first = images[0] if isinstance(images, list) and images else None
    return isinstance(first, dict) and "file_name" in first


# --- clips --------------------------------------------------------------------------------------------------


def clips(folder: Path, files: Sequence[Path]) -> list[Clip]:
    """One clip named after the file, or, if it holds several, those named in it, below the file's folder."""
    made: list[Clip] = []
    for file in files:
        size = file.stat().st_size
        try:
            names = list(_results_of(file).clips)
        except RawDataError:
            names = []  # listed as one clip, whose reading reports the error
        place = file.relative_to(folder).with_suffix("")
        if len(names) <= 1:
            plain = place.name == _PLAIN and len(place.parts) > 1
            place = place.parent if plain else place
            made.append(Clip(place.as_posix(), file, place.as_posix() if plain else None, size))
        else:
            made += [
                Clip((place.parent / (name or place.name)).as_posix(), file, name, size // len(names))
                for name in names
            ]
    return made


def read(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    results = _results_of(Path(item.path))
    if len(results.clips) <= 1:
        frames = next(iter(results.clips.values()), {})
        return pose_json.poses(frames, settings, spec, Place(item.path), names=results.names)
    place = Place(item.path, f"clip {item.member}")
    if item.member not in results.clips:
        raise place.wrong("is not in the file any more")
    return pose_json.poses(results.clips[item.member], settings, spec, place, names=results.names)


def _results_of(file: Path) -> _Found:
    try:
        return _parsed(str(file))
    except OSError as error:
        raise RawDataError(f"cannot be read ({error.strerror})", where=file) from error


@while_unchanged(1)
def _parsed(path: str) -> _Found:
    """The clips of a file; cached while they are read in turn."""
    data = pose_json.content(RawItem("", "", path))
    place = Place(path)
    if isinstance(data, list):
        return _results(data, place)
    data = pose_json.objects(data, place, "the file")
    return _annotated(data, place) if "annotations" in data or "images" in data else _by_image(data, place)


# --- results ------------------------------------------------------------------------------------------------


def _results(entries: list[Any], place: Place) -> _Found:
    results = _Found()
    for i, entry in enumerate(entries):
        here = place.at(f"entry {i + 1}")
        entry = pose_json.objects(entry, here, "it")
        clip, frame = _image(_name_of(entry, here), here)
        results.add(clip, frame, _somebody(entry, here))
    return results


def _name_of(entry: dict[str, Any], place: Place) -> Any:
    """The image of a person: its name or number. Raises RawDataError if there is none."""
    key = pose_json.image_key(entry)
    if key is None or entry[key] is None:
        raise place.wrong(f"has no image_id; its keys are {', '.join(entry)[:100]}")
    return entry[key]


def _image(name: Any, place: Place) -> tuple[str, int]:
    """(clip, frame) of an image_id, which is a number or the name of an image file."""
    if not isinstance(name, str):
        return "", pose_json.whole(name, place, "image_id")
    clip, frame = pose_json.of_image(name)
    return clip, 0 if frame is None else frame


_KEYPOINTS = ("keypoints", "pose_keypoints_2d", "joints")
"""Names of the list of x, y, score in AlphaPose's own form, OpenPose's and CMU's."""
_BY_IMAGE = ("people", "bodies")


def _by_image(data: dict[str, Any], place: Place) -> _Found:
    """Parse ``--format open`` and ``cmu``, and the files of AlphaPose's trackers: image -> people."""
    results = _Found()
    for name, people in data.items():
        here = place.at(f"image {name[:60]}")
        clip, frame = _image(name, here)
        results.add(clip, frame)
        if isinstance(people, dict):
            people = next((people[key] for key in _BY_IMAGE if key in people), None)
        for i, entry in enumerate(pose_json.listed(people, here, "its people")):
            there = here.at(f"person {i + 1}")
            results.add(clip, frame, _somebody(pose_json.objects(entry, there, "it"), there))
    return results


def _somebody(entry: dict[str, Any], place: Place) -> Person:
    field = next((field for field in _KEYPOINTS if field in entry), "keypoints")
    track = _track(entry, place)
    scores = entry.get("kp_scores", entry.get("keypoint_scores"))
    points = entry.get(field)
    if isinstance(scores, list) and isinstance(points, list):
        values = pose_json.numbers(points, place, field)
        score = pose_json.numbers(scores, place, "kp_scores").reshape(-1)
        if not len(score) or values.size not in (2 * len(score), 3 * len(score)):
            raise place.wrong(f"{values.size} numbers of {field} and {len(score)} scores")
        return pose_json.person(values.reshape(len(score), -1), score, track)
    return pose_json.scored(points, 3, place, field, track=track)


def _track(entry: dict[str, Any], place: Place) -> int | None:
    track = next((entry[key] for key in ("track_id", "idx") if entry.get(key) is not None), None)
    if isinstance(track, list):  # AlphaPose writes [3.0], and [[3.0], [3.0]] where it merged detections
        ids = np.unique(pose_json.numbers(track, place, "idx"))
        track = float(ids[0]) if len(ids) == 1 else None
    return None if track is None else pose_json.whole(track, place, "idx or track_id")


# --- annotations --------------------------------------------------------------------------------------------


def _annotated(data: dict[str, Any], place: Place) -> _Found:
    results = _Found(names=_names(data.get("categories")))
    images = dict(_images(data, place))
    for clip, frame in images.values():
        results.add(clip, frame)
    for i, entry in enumerate(pose_json.listed(data.get("annotations"), place, "annotations")):
        here = place.at(f"annotation {i + 1}")
        entry = pose_json.objects(entry, here, "it")
        name = _name_of(entry, here)
        image = _key(name, here, "image_id")
        if images and image not in images:
            raise here.wrong(f"image {image} is not among images")
        clip, frame = images[image] if images else _image(name, here)
        if entry.get("keypoints"):
            results.add(clip, frame, _somebody(entry, here.at(f"image {image}")))
    return results


def _key(value: Any, place: Place, what: str) -> str:
    return value if isinstance(value, str) else str(pose_json.whole(value, place, what))


def _images(data: dict[str, Any], place: Place) -> Iterator[tuple[str, tuple[str, int]]]:
    """(image, (clip, frame)) pairs; raises RawDataError for two images of the same frame."""
    videos = _videos(data.get("videos"))
    taken: dict[tuple[str, int], str] = {}
    for i, image in enumerate(pose_json.listed(data.get("images", []), place, "images")):
        here = place.at(f"image {i + 1}")
        image = pose_json.objects(image, here, "it")
        id = _key(image.get("id", image.get("file_name")), here, "id")
        name = image.get("file_name")
        clip, frame = pose_json.of_image(name) if isinstance(name, str) else ("", None)
        video = next((image[key] for key in ("video_id", "vid_id") if image.get(key) is not None), None)
        if video is not None:
            video = _key(video, here, "video_id")
            clip = videos.get(video, video)
        number = next((image[key] for key in _FRAME if image.get(key) is not None), frame)
        at = clip, i if number is None else pose_json.whole(number, here, "frame_id")
        if (other := taken.setdefault(at, id)) != id:
            raise here.wrong(f"is frame {at[1]} of a clip, and so is image {other}")
        yield id, at


_FRAME = ("frame_id", "frame_index", "frame_number")


def _videos(videos: Any) -> dict[str, str]:
    """Id -> name of the videos that have one."""
    entries = [entry for entry in videos if isinstance(entry, dict)] if isinstance(videos, list) else []
    named = {str(entry.get("id")): entry.get("name", entry.get("file_name")) for entry in entries}
    plain = {id: pose_json.of_video(name) for id, name in named.items() if isinstance(name, str)}
    return {id: name for id, name in plain.items() if name}


def _names(categories: Any) -> tuple[str, ...]:
    """Names of the keypoints of the first category that has any."""
    for category in categories if isinstance(categories, list) else ():
        names = category.get("keypoints") if isinstance(category, dict) else None
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return tuple(names)
    return ()


ALPHAPOSE = ClipFormat("alphapose", pose_json.SUFFIXES, holds_alphapose, read, clips)
COCO = ClipFormat("coco", pose_json.SUFFIXES, holds_coco, read, clips)
