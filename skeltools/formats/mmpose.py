"""MMPose: ``predictions/*.json`` of its inferencer and demos, one file per clip.

A video is a list of frames, ``{frame_id, instances}``; an image, or a frame of older versions, is a list of
instances. The demos put the list into ``instance_info``, next to ``meta_info`` with the keypoint names.
``Results.to_json`` of Ultralytics is also a list of instances. An instance has ``keypoints`` (x, y or x, y, z
each), ``keypoint_scores``, and a ``track_id`` if people were tracked:
https://mmpose.readthedocs.io/en/latest/user_guides/inference.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from schemas import SkeletonSpec
from skeltools.custom.clip_files import Clip, ClipFormat, Poses
from skeltools.custom.settings import Settings
from skeltools.formats import pose_json
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
    return isinstance(entry, dict) and "keypoints" in entry and "image_id" not in entry


def clips(folder: Path, files: Sequence[Path]) -> list[Clip]:
    """Numbered files of one image each together form a clip; any other file is a clip."""
    return pose_json.clips_of_both(folder, files, _is_image)


def _is_image(file: Path) -> bool:
    """Whether a file is one numbered frame: a list of instances, alone or in instance_info."""
    return pose_json.numbered(file.stem)[1] is not None and _is_one_frame(pose_json.start_of(file))


def _is_one_frame(entries: Any) -> bool:
    if isinstance(entries, dict):
        shown = entries.get("instance_info")
        entries = None if "meta_info" in entries and not shown else shown
    first = next((entry for entry in entries if entry), None) if isinstance(entries, list) else None
    return (isinstance(first, dict) and "instances" not in first) or entries == []


def read(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    place = Place(item.path)
    if _is_image(Path(item.path)):
        return pose_json.poses(_of_images(item), settings, spec, place)
    data = pose_json.content(item)
    names: Sequence[str] = ()
    if isinstance(data, dict):
        names = _names(data.get("meta_info"))
        data = data.get("instance_info")
    entries = pose_json.listed(data, place, "the list of frames")
    frames: dict[int, list[Person]] = {}
    for number, people in _frames(entries, place):
        here = place.at(f"frame {number}")
        if number in frames:
            raise here.wrong("is there twice")
        frames[number] = [_person(somebody, here.at(f"person {i + 1}")) for i, somebody in enumerate(people)]
    return pose_json.poses(frames, settings, spec, place, names=names)


def _frames(entries: list[Any], place: Place) -> Iterator[tuple[int, list[Any]]]:
    """(frame number, people) pairs. A list of instances is one frame."""
    first = next((entry for entry in entries if entry), None)
    if isinstance(first, dict) and "instances" not in first:
        yield 0, entries
        return
    for i, entry in enumerate(entries):
        here = place.at(f"entry {i + 1}")
        if isinstance(entry, list):
            yield i, entry
            continue
        entry = pose_json.objects(entry, here, "it")
        number = pose_json.whole(entry.get("frame_id", i), here, "frame_id")
        yield number, pose_json.listed(entry.get("instances"), place.at(f"frame {number}"), "instances")


def _of_images(item: RawItem) -> dict[int, list[Person]]:
    frames = {}
    for number, file, data in pose_json.frame_contents(item, holds=_is_image):
        place = Place(file, f"frame {number}")
        people = pose_json.listed(data.get("instance_info") if isinstance(data, dict) else data, place, "it")
        frames[number] = [_person(somebody, place.at(f"person {i + 1}")) for i, somebody in enumerate(people)]
    return frames


def _person(somebody: Any, place: Place) -> Person:
    somebody = pose_json.objects(somebody, place, "it")
    points, score = somebody.get("keypoints"), somebody.get("keypoint_scores")
    if isinstance(points, dict):
        points, score = _columns(points, place)
    points = pose_json.numbers(points, place, "keypoints")
    track = somebody.get("track_id")
    known = None if track is None else pose_json.whole(track, place, "track_id")
    points = points[0] if points.ndim == 3 and len(points) == 1 else points  # a person of older 3D demos
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise place.wrong(f"keypoints have shape {points.shape}, expected (joints, 2) or (joints, 3)")
    if score is None:
        return pose_json.person(points, None, known)
    scores = np.squeeze(pose_json.numbers(score, place, "keypoint_scores"))
    if scores.shape != points.shape[:1]:
        raise place.wrong(f"{scores.size} keypoint_scores of {len(points)} keypoints")
    return pose_json.person(points, scores, known)


def _columns(points: dict[str, Any], place: Place) -> tuple[list[Any], Any]:
    """Convert Ultralytics' {x: [...], y: [...], visible: [...]} to [x, y] of every keypoint, and scores."""
    x, y = (pose_json.listed(points.get(axis), place, f"keypoints.{axis}") for axis in "xy")
    if len(x) != len(y):
        raise place.wrong(f"{len(x)} x and {len(y)} y of keypoints")
    return [list(point) for point in zip(x, y, strict=True)], points.get("visible")


def _names(meta: Any) -> tuple[str, ...]:
    """Names of the keypoints in order; empty if the file has none."""
    names = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(names, dict):
        return ()
    ordered = [names.get(str(i)) for i in range(len(names))]
    return tuple(name for name in ordered if isinstance(name, str)) if None not in ordered else ()


MMPOSE = ClipFormat("mmpose", (".json",), holds, read, clips)
