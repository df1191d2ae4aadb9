"""MVNX: motion of the 23 segments of Xsens MVN, in XML.

Described in the MVN user manual (Xsens, "MVNX: MVN Open XML format"): ``position`` of a frame holds x, y and
z of the origin of every segment, in metres, z up; ``joints`` list which segments are connected. Frames of any
type but ``normal`` are calibration poses and are left out.
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas import RawDataError, SkeletonSpec, regular
from skeltools.custom.clip_files import HEAD, Z_UP, ClipFormat, Poses
from skeltools.custom.rigs import MAX_JOINTS, check_same, spec_of_rig
from skeltools.custom.settings import OF_FILES, Settings
from skeltools.raw_items import MAX_BYTES, RawItem, read_bytes


def _holds(file: Path, head: bytes) -> bool:
    return b"<mvnx" in head


def read(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """Read one clip. Raises RawDataError."""
    segments, edges, frames = parse(read_bytes(item), item.where)
    if settings.convention == OF_FILES:
        check_same(segments, _parents(segments, edges), spec, item)
    if not frames:
        raise RawDataError("has no normal frame", where=item.where, remedy="Export it again with positions")
    values = np.stack(frames).reshape(len(frames), 1, len(segments), 3)
    return Poses(values, joints=segments, units=1.0, axes=Z_UP)


def convention(file: Path) -> SkeletonSpec:
    """The skeleton of a file: segments, by their origins, connected by its joints. Raises RawDataError."""
    segments, edges, _ = parse(read_bytes(RawItem(file.stem, "", str(file))), str(file))
    parents = _parents(segments, edges)
    if any(up >= v for v, up in enumerate(parents)) or parents.count(-1) != 1:
        raise RawDataError("its joints make no tree of its segments", where=file)
    return spec_of_rig(segments, parents, kind="mvnx", source=file.name, axes=Z_UP)


def _parents(segments: tuple[str, ...], edges: list[tuple[str, str]]) -> list[int]:
    """[V] the parent of each segment; -1 if no joint leads to it."""
    at = {name: v for v, name in enumerate(segments)}
    parents = [-1] * len(segments)
    for up, down in edges:
        if up in at and down in at and parents[at[down]] < 0:
            parents[at[down]] = at[up]
    return parents


def parse(
    data: bytes, where: str
) -> tuple[tuple[str, ...], list[tuple[str, str]], list[NDArray[np.float64]]]:
    """Segment names, the joints as (parent, child) pairs, and the positions [V * 3] of each frame.

    Raises RawDataError, also for XML with entity or document type definitions, which may expand without
    limit.
    """
    if re.search(rb"<!\s*(DOCTYPE|ENTITY)", data, re.IGNORECASE):
        raise RawDataError("is XML with definitions of its own, which are not read", where=where)
    segments: list[str] = []
    edges: list[tuple[str, str]] = []
    frames: list[NDArray[np.float64]] = []
    try:
        for _, element in ET.iterparse(io.BytesIO(data)):
            kind = element.tag.rpartition("}")[2]
            if kind == "segment" and len(segments) < MAX_JOINTS:
                segments.append(element.get("label", ""))
            elif kind == "joint":
                ends = [(part.text or "").split("/")[0].strip() for part in element]
                edges += [(ends[0], ends[1])] if len(ends) == 2 else []
            elif kind == "frame" and element.get("type", "normal") == "normal":
                frames.append(_frame(element, len(segments), len(frames) + 1))
            if kind in ("frame", "frames"):
                element.clear()
            if len(frames) * len(segments) * 24 > MAX_BYTES:
                raise ValueError("too many frames for one clip")
    except (ET.ParseError, ValueError, LookupError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RawDataError(
            f"cannot be read as MVNX ({reason})", where=where, remedy="Export it again"
        ) from error
    if len(set(segments)) < len(segments) or len(segments) < 2 or not all(map(str.isprintable, segments)):
        raise RawDataError("has no segments, or two of one name", where=where, remedy="Export it again")
    return tuple(segments), edges, frames


def _frame(element: ET.Element, size: int, number: int) -> NDArray[np.float64]:
    position = next((part for part in element if part.tag.rpartition("}")[2] == "position"), None)
    words = [] if position is None else (position.text or "").split()
    if len(words) != 3 * size or any("_" in word for word in words):
        raise ValueError(f"frame {number} has {len(words)} coordinates of {size} segments")
    return np.array([float(word) for word in words])


def rate(file: Path) -> float | None:
    """Frames per second, the attribute ``frameRate`` of ``subject``."""
    with regular.open_file(file) as opened:
        match = re.search(rb"""<subject\s[^>]*?\bframeRate\s*=\s*["']([\d.]+)["']""", opened.read(4 * HEAD))
    return None if match is None else float(match[1])


MVNX = ClipFormat("mvnx", (".mvnx",), _holds, read, rate=rate, convention=convention)
