"""Kinetics-skeleton, as published by the authors of ST-GCN, and other data in its form: one JSON file per
clip.

``data[].skeleton[]`` has ``pose`` (x, y of 18 joints, fractions of an image of 340 x 256) and ``score``, for
at most five people per frame, in arbitrary order; ``frame_index`` counts from 1. ``label`` is the name of the
class and ``label_index`` its number: https://github.com/yysijie/st-gcn/blob/master/OLD_README.md
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from schemas import RawDataError, SkeletonSpec, regular
from skeltools.custom.clip_files import Clip, ClipFormat, Poses, clip_of_file
from skeltools.custom.settings import Settings
from skeltools.formats import pose_json
from skeltools.formats.pose_json import Person, Place
from skeltools.raw_items import RawItem

_TAIL = 1024
"""Number of bytes at a file's end searched for label and label_index, which are written last."""


def holds(_file: Path, head: bytes) -> bool:
    start = pose_json.beginning(head)
    data = start.get("data") if isinstance(start, dict) else None
    if not isinstance(data, list):
        return False
    if not data:
        return "label_index" in start
    return isinstance(data[0], dict) and ("skeleton" in data[0] or data[0].keys() == {"frame_index"})


def clips(folder: Path, files: Sequence[Path]) -> list[Clip]:
    return [clip_of_file(folder, file, label=_label(file)) for file in files]


def _label(file: Path) -> str | None:
    """The class stored in a file; None if it has none or is damaged, which is reported when it is read."""
    try:
        with regular.open_file(file) as opened:
            opened.seek(max(0, os.fstat(opened.fileno()).st_size - _TAIL))
            tail = opened.read(_TAIL)
        end = _after_data(tail)
        if end is None:
            end = pose_json.content(RawItem("", "", str(file)))
    except (OSError, ValueError, RawDataError):
        return None
    return label_of(end)


def _after_data(tail: bytes) -> Any:
    """The keys after the last list of a file; None if they cannot be parsed."""
    _, bracket, rest = tail.rpartition(b"]")
    try:
        keys = json.loads(b"{" + rest.strip().lstrip(b",")) if bracket else None
    except (ValueError, RecursionError):
        return None
    return keys or None


def label_of(data: Any) -> str | None:
    """The name of the class, or else its number as text."""
    if not isinstance(data, dict):
        return None
    name, number = data.get("label"), data.get("label_index")
    if isinstance(name, str) and name.strip():
        return name.strip()
    for value in (name, number):
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return str(value)
    return None


def read(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    place = Place(item.path)
    data = pose_json.objects(pose_json.content(item), place, "the file")
    frames: dict[int, list[Person]] = {}
    for i, frame in enumerate(pose_json.listed(data.get("data"), place, "data")):
        here = place.at(f"entry {i + 1} of data")
        frame = pose_json.objects(frame, here, "it")
        number = pose_json.whole(frame.get("frame_index", i + 1), here, "frame_index")
        if number in frames:
            raise here.wrong(f"frame {number} is there twice")
        frames[number] = _people(frame, place.at(f"frame {number}"))
    return pose_json.poses(frames, settings, spec, place, fractions=True)


def _people(frame: dict[str, Any], place: Place) -> list[Person]:
    people = []
    for i, somebody in enumerate(pose_json.listed(frame.get("skeleton", []), place, "skeleton")):
        here = place.at(f"person {i + 1}")
        somebody = pose_json.objects(somebody, here, "it")
        pose = pose_json.numbers(somebody.get("pose"), here, "pose").reshape(-1)
        score = pose_json.numbers(somebody.get("score"), here, "score").reshape(-1)
        if not len(score) or len(pose) % len(score) or len(pose) // len(score) not in (2, 3):
            raise here.wrong(f"pose has {len(pose)} numbers for {len(score)} scores, expected 2 for each")
        people.append(pose_json.person(pose.reshape(len(score), -1), score))
    return people


KINETICS = ClipFormat("kinetics-skeleton", (".json",), holds, read, clips)
