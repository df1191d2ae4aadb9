"""An array of numbers in JSON, in the layout of dataset.yaml: nested lists, or an object that holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from schemas import SkeletonSpec
from skeltools.custom.clip_files import ClipFormat, Poses
from skeltools.custom.poses import of_array
from skeltools.custom.settings import Settings
from skeltools.formats import pose_json
from skeltools.formats.pose_json import Place
from skeltools.raw_items import RawItem

_AXES = 3
"""Fewest nested lists by which an array is recognised: frames, joints, coordinates."""


def holds(_file: Path, head: bytes) -> bool:
    start = pose_json.beginning(head)
    return _axes(start) >= _AXES or (isinstance(start, dict) and bool(_arrays(start)))


def _axes(value: Any) -> int:
    """Number of nested lists around a number or null; 0 around anything else."""
    axes = 0
    while isinstance(value, list) and value:
        axes, value = axes + 1, value[0]
    return axes if value is None or (isinstance(value, int | float) and not isinstance(value, bool)) else 0


def _arrays(data: dict[str, Any]) -> list[str]:
    return [key for key, value in data.items() if _axes(value) >= _AXES]


def read(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """Read the file's only array, or the one that ``key`` names. Raises RawDataError."""
    data, place = pose_json.content(item), Place(item.path)
    if isinstance(data, dict):
        names = _arrays(data)
        name = settings.key or (names[0] if len(names) == 1 else "")
        if name not in data:
            what = f"has no array '{name}'" if name else "expected one array"
            raise place.wrong(
                f"{what}; its keys are {', '.join(data)[:100]}", remedy="Name it as `key` in dataset.yaml"
            )
        data, place = data[name], place.at(name)
    return of_array(pose_json.numbers(data, place, "the array"), item, settings, spec)


ARRAYS = ClipFormat("json-array", (".json",), holds, read)
