"""OpenPose: one JSON file per frame, ``CLIP_000000000012_keypoints.json``, with people in arbitrary order.

``people[].pose_keypoints_2d`` is a flat list of x, y, score of every keypoint; with ``--3d``,
``pose_keypoints_3d`` is x, y, z, score; a keypoint that was not found is 0, 0, 0. Hands are separate fields:
https://github.com/CMU-Perceptual-Computing-Lab/openpose/blob/master/doc/02_output.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from schemas import RawDataError, SkeletonSpec
from skeltools.custom.clip_files import Clip, ClipFormat, Poses
from skeltools.custom.settings import Settings
from skeltools.formats import pose_json
from skeltools.formats.pose_json import Person, Place
from skeltools.raw_items import RawItem

_FIELD = re.compile(r"(pose|body|face|hand_left|hand_right)_keypoints(_[23]d)?")
_HANDS = ("hand_left", "hand_right")
_HAND = 21
_PARTS = (("pose",), ("pose", *_HANDS), ("pose", *_HANDS, "face"))
"""What a convention may cover, in this order: the body, with both hands, with the face."""


def holds(_file: Path, head: bytes) -> bool:
    start = pose_json.beginning(head)
    if not isinstance(start, dict):
        return False
    people = start.get("people")
    if people is None or people == []:
        return "version" in start and ("people" in start or "part_candidates" in start)
    first = people[0] if isinstance(people, list) and people else None
    return isinstance(first, dict) and ("person_id" in first or any(map(_FIELD.fullmatch, first)))


def clips(folder: Path, files: Sequence[Path]) -> list[Clip]:
    return pose_json.clips(folder, files, _numbered)


def _numbered(stem: str) -> tuple[str, int | None]:
    return pose_json.numbered(stem.removesuffix("_keypoints"))


def read(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """Read all frames of the clip that starts at the item's file; a frame without a file has no people."""
    frames: dict[int, list[Person]] = {}
    for number, file, data in pose_json.frame_contents(item, _numbered):
        frames[number] = _people_of_frame(data, settings, spec, Place(file, f"frame {number}"))
    if any(somebody.values.shape[1] == 3 for there in frames.values() for somebody in there):
        frames = {n: [p for p in there if p.values.shape[1] == 3] for n, there in frames.items()}
    fractions = _fractions(frames, settings, item)
    return pose_json.poses(frames, settings, spec, Place(item.path), fractions=fractions)


def _people_of_frame(data: Any, settings: Settings, spec: SkeletonSpec, place: Place) -> list[Person]:
    data = pose_json.objects(data, place, "the frame")
    persons: list[Person] = []
    for i, somebody in enumerate(pose_json.listed(data.get("people"), place, "people")):
        here = place.at(f"person {i + 1}")
        persons += _people(pose_json.objects(somebody, here, "it"), settings, spec, here)
    return persons


def _people(
    somebody: dict[str, Any], settings: Settings, spec: SkeletonSpec, place: Place
) -> Iterator[Person]:
    """A person's keypoints for the convention. For a convention of one hand, each hand is a person, left
    before right; the hands are identified as track 0 and 1, which is unique with a single person only."""
    fields = {name: _part(somebody, name, settings, place) for name in _PARTS[-1]}
    parts = {name: part for name, part in fields.items() if part is not None}
    if spec.num_joints == _HAND and not ("pose" in parts and len(parts["pose"].values) == _HAND):
        yield from (replace(parts[hand], track=i) for i, hand in enumerate(_HANDS) if hand in parts)
        return
    if not parts:
        return
    for names in _PARTS:
        chosen = [parts[name] for name in names if name in parts]
        if len(chosen) == len(names) and sum(len(part.values) for part in chosen) == spec.num_joints:
            yield _joined(chosen)
            return
    yield _joined([parts.get("pose") or next(iter(parts.values()))])


def _part(somebody: dict[str, Any], name: str, settings: Settings, place: Place) -> Person | None:
    """The keypoints of one field, in 3D if the settings ask for it and the file has them; None if empty."""
    names = (f"{name}_keypoints_2d", f"{name}_keypoints")
    if not settings.flat and (solid := somebody.get(f"{name}_keypoints_3d")):
        return pose_json.scored(solid, 4, place, f"{name}_keypoints_3d")
    field = next((field for field in names if somebody.get(field)), None)
    return None if field is None else pose_json.scored(somebody[field], 3, place, field)


def _joined(parts: Sequence[Person]) -> Person:
    scores = [part.score for part in parts if part.score is not None]
    if len({part.values.shape[1] for part in parts}) > 1:
        parts = [replace(part, values=part.values[:, :2]) for part in parts]
    return Person(np.concatenate([part.values for part in parts]), np.concatenate(scores))


def _fractions(frames: dict[int, list[Person]], settings: Settings, item: RawItem) -> bool:
    """Whether coordinates are fractions of an image of known size (``--keypoint_scale 3``).

    Raises RawDataError for a range of -1 to 1 (``--keypoint_scale 4``).
    """
    everybody = [somebody.values for there in frames.values() for somebody in there]
    if settings.image_size is None or not everybody or not settings.flat:
        return False
    with np.errstate(invalid="ignore"):
        values = np.concatenate([each.ravel() for each in everybody])
        values = values[np.isfinite(values)]
    if not values.size or np.abs(values).max() > 1:
        return False
    if values.min() < 0:
        raise RawDataError(
            "coordinates are from -1 to 1, not pixels: say `units: [x, y, 1]`, metres per unit, in "
            "dataset.yaml, and leave image_size out",
            where=item.path,
            remedy=pose_json.LINES,
        )
    return True


OPENPOSE = ClipFormat("openpose", (".json",), holds, read, clips)
