"""MMPose: ``predictions/*.json`` of its inferencer and demos, one file per clip.

A video is a list of frames, ``{frame_id, instances}``; an image, or a frame of older versions, is a list of
instances. The demos put the list into ``instance_info``, next to ``meta_info`` with the keypoint names.
``Results.to_json`` of Ultralytics is also a list of instances. An instance has ``keypoints`` (x, y or x, y, z
each), ``keypoint_scores``, ``bbox``, ``bbox_score``, and a ``track_id`` if people were tracked:
https://mmpose.readthedocs.io/en/latest/user_guides/inference.html

Instances with the number, time or image of their frame are another format (``frame_lists``,
``image_results``). A list of instances without any may be the people of one image or the frames of one
person; it is read as the former only if nothing speaks for the latter.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from schemas import RawDataError, SkeletonSpec
from skeltools.custom.clip_files import Clip, ClipFormat, Poses
from skeltools.custom.settings import Settings
from skeltools.formats import frame_lists, pose_json
from skeltools.formats.pose_json import Person, Place
from skeltools.raw_items import RawItem


def holds(_file: Path, head: bytes) -> bool:
    start = pose_json.beginning(head)
    if isinstance(start, dict):
        return "instance_info" in start or "keypoint_id2name" in (start.get("meta_info") or ())
    first = next((entry for entry in start if entry), None) if isinstance(start, list) else None
    if isinstance(first, list):
        return _is_instance(first[0])
    return isinstance(first, dict) and ("instances" in first or _is_instance(first))


def _is_instance(entry: Any) -> bool:
    if not isinstance(entry, dict) or "keypoints" not in entry:
        return False
    return not frame_lists.is_timed(entry) and pose_json.image_key(entry) is None


def clips(folder: Path, files: Sequence[Path]) -> list[Clip]:
    """Numbered files of one image each together form a clip; any other file is a clip."""
    return pose_json.clips_of_both(folder, files, _is_image)


def _is_image(file: Path) -> bool:
    """Whether a file is one numbered frame: a list of instances, alone or in instance_info."""
    return pose_json.is_numbered(file) and _is_one_frame(pose_json.start_of(file))


def _is_one_frame(entries: Any) -> bool:
    if isinstance(entries, dict):
        shown = entries.get("instance_info")
        entries = None if "meta_info" in entries and not shown else shown
    first = next((entry for entry in entries if entry), None) if isinstance(entries, list) else None
    return (isinstance(first, dict) and "instances" not in first) or entries == []


def read(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    place = Place(item.path)
    if _is_image(Path(item.path)):
        return pose_json.poses(_of_images(item, settings, spec), settings, spec, place)
    data = pose_json.content(item)
    names: Sequence[str] = ()
    if isinstance(data, dict):
        names = _names(data.get("meta_info"))
        data = data.get("instance_info")
    entries = pose_json.listed(data, place, "the list of frames")
    frames: dict[int, list[Person]] = {}
    for number, people in _frames(entries, settings, place):
        here = place.at(f"frame {number}")
        if number in frames:
            raise here.wrong("is there twice")
        frames[number] = _people(people, settings, spec, here)
    if len(entries) > 1 and len(frames) == 1 and not _is_of_image(entries, frames[0]):
        raise _ambiguous(len(entries), place)
    return pose_json.poses(frames, settings, spec, place, names=names)


def _frames(entries: list[Any], settings: Settings, place: Place) -> Iterator[tuple[int, list[Any]]]:
    """(frame number, people) pairs. A list of instances is one frame, unless the layout is frames first."""
    first = next((entry for entry in entries if entry), None)
    if isinstance(first, dict) and "instances" not in first:
        one_each = (settings.layout or "").startswith("T") and "M" not in str(settings.layout)
        yield from enumerate([entry] for entry in entries) if one_each else [(0, entries)]
        return
    for i, entry in enumerate(entries):
        here = place.at(f"entry {i + 1}")
        if isinstance(entry, list):
            yield i, entry
            continue
        entry = pose_json.objects(entry, here, "it")
        number = pose_json.whole(entry.get("frame_id", i), here, "frame_id")
        yield number, pose_json.listed(entry.get("instances"), place.at(f"frame {number}"), "instances")


def _of_images(item: RawItem, settings: Settings, spec: SkeletonSpec) -> dict[int, list[Person]]:
    frames = {}
    for number, file, data in pose_json.frame_contents(item, holds=_is_image):
        place = Place(file, f"frame {number}")
        people = pose_json.listed(data.get("instance_info") if isinstance(data, dict) else data, place, "it")
        frames[number] = _people(people, settings, spec, place)
        if _is_motion(frames[number]):
            raise _ambiguous(len(people), Place(file))
    return frames


def _people(people: list[Any], settings: Settings, spec: SkeletonSpec, place: Place) -> list[Person]:
    return [_person(each, settings, spec, place.at(f"person {i + 1}")) for i, each in enumerate(people)]


def _person(somebody: Any, settings: Settings, spec: SkeletonSpec, place: Place) -> Person:
    somebody = pose_json.objects(somebody, place, "it")
    track = somebody.get("track_id")
    known = None if track is None else pose_json.whole(track, place, "track_id")
    score = somebody.get("keypoint_scores")
    return pose_json.instance(somebody.get("keypoints"), score, settings, spec, place, track=known)


# --- frames or people? --------------------------------------------------------------------------------------

_OF_IMAGE = ({"bbox", "bbox_score"}, {"box", "class"})
"""Keys that MMPose and Ultralytics write into each person of an image."""
_FEWEST, _NEAR = 5, 0.2
"""So many people never stand so close: each within this share of a body's size of the one before."""


def _is_of_image(entries: list[Any], people: list[Person]) -> bool:
    return any(keys <= entry.keys() for keys in _OF_IMAGE for entry in entries[:1]) and not _is_motion(people)


def _is_motion(people: list[Person]) -> bool:
    """Whether people follow each other in a list as the poses of one person do in time."""
    if len(people) < _FEWEST or len({one.values.shape for one in people}) > 1:
        return False
    poses = np.stack([one.values for one in people])
    if np.isnan(poses).all():
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a pose, or a pair of them, without any joint
        size = np.nanmedian(np.nanmax(poses, axis=1) - np.nanmin(poses, axis=1), axis=0).max()
        steps = np.nanmedian(np.linalg.norm(np.diff(poses, axis=0), axis=-1), axis=1)
    return bool(np.nanmax(steps, initial=0) < _NEAR * size)


def _ambiguous(count: int, place: Place) -> RawDataError:
    return place.wrong(
        f"a list of {count} poses without the number of their frame may be {count} frames of one person, or "
        f"{count} people in one image",
        remedy='Write `frame` into each entry: [{"frame": 0, "keypoints": ...}, ...]; or, for frames of one '
        "person in a file whose name does not end in a number, say `layout: T V C` in dataset.yaml",
    )


def _names(meta: Any) -> tuple[str, ...]:
    """Names of the keypoints in order; empty if the file has none."""
    names = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(names, dict):
        return ()
    ordered = [names.get(str(i)) for i in range(len(names))]
    return tuple(name for name in ordered if isinstance(name, str)) if None not in ordered else ()


MMPOSE = ClipFormat("mmpose", pose_json.SUFFIXES, holds, read, clips)
