"""NTU RGB+D 60 and 120: ``SsssCcccPpppRrrrAaaa.skeleton``, one text file a clip, in folders or the official
zip.

Kinect v2 camera space is the canonical frame, so coordinates are taken as they are. Format: NTU's own
``read_skeleton_file.m`` (shahroudy/NTURGB-D); see ``ntu_text``.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from schemas import Finding, RawDataError
from skeltools.readers import ntu_text
from skeltools.readers.items import Listing, RawItem, all_finite, finding, known, read_bytes
from skeltools.readers.items import discover as discover_files
from skeltools.sequence import Sequence

CONVENTION = "kinectv2_25"
MAX_TRACKS = 100
"""Body ids of one clip. Kinect tracks six people and takes a new id when it loses one; a damaged file of many
ids would need memory of frames x ids."""

_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})", re.ASCII)


def fields(name: str) -> dict[str, int] | None:
    """What ``S001C002P003R001A050`` says, as fields of Sequence; None for other names."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    setup, camera, subject, repetition, action = map(int, match.groups())
    if action == 0:
        return None
    return {
        "setup": setup,
        "camera": camera,
        "subject": subject,
        "repetition": repetition,
        "label": action - 1,
    }


def discover(raw: Path) -> Listing:
    """All ``.skeleton`` files of a folder, of the zip files in it, or of one zip file, by name only."""
    return discover_files(raw, ".skeleton", convention=CONVENTION, fields=fields)


def read(item: RawItem) -> Sequence:
    """One clip: a slot on axis M for every body id, in order of first appearance.

    A body whose joints are all zero, or not all finite (a finding), is absent in that frame. ``order`` is its
    place in the file, absent ones counted. Raises RawDataError, with the line where there is one.
    """
    bodies = ntu_text.parse(read_bytes(item), where=item.where)
    finite = all_finite(bodies.joints)
    seen = finite & bodies.joints.any(axis=(1, 2))
    first = _first_in_frame(bodies)
    slots: dict[int, int] = {}
    keep = np.flatnonzero(seen & first)
    slot = [slots.setdefault(bodies.ids[i], len(slots)) for i in keep.tolist()]
    _check(len(slots), bodies, item)

    frame = bodies.frame[keep]
    present = np.zeros((bodies.frames, len(slots)), np.bool_)
    present[frame, slot] = True
    order = np.full(present.shape, -1, np.int8)
    order[frame, slot] = bodies.place[keep]
    joints = np.zeros((*present.shape, ntu_text.JOINTS, 3), np.float32)
    joints[frame, slot] = bodies.joints[keep]
    return Sequence(
        item.id,
        CONVENTION,
        joints,
        present,
        order,
        tuple(slots),
        findings=_findings(item, bodies, first, finite),
        **known(fields(item.id)),
    )


def _first_in_frame(bodies: ntu_text.Bodies) -> np.ndarray:
    """[B] bool: False where an earlier body of the same frame has the same id."""
    met: set[tuple[int, int]] = set()
    first = []
    for key in zip(bodies.frame.tolist(), bodies.ids, strict=True):
        first.append(key not in met)
        met.add(key)
    return np.array(first, dtype=np.bool_)


def _check(tracks: int, bodies: ntu_text.Bodies, item: RawItem) -> None:
    if tracks == 0:
        raise RawDataError(f"no body in any frame ({bodies.frames} frames)", where=item.where)
    if tracks > MAX_TRACKS or bodies.place.max() > np.iinfo(np.int8).max:
        raise RawDataError(
            f"{tracks} body ids, up to {bodies.place.max() + 1} bodies in a frame: more than a sensor gives",
            where=item.where,
            remedy="The file is damaged: fetch it again",
        )


def _findings(
    item: RawItem, bodies: ntu_text.Bodies, first: np.ndarray, finite: np.ndarray
) -> tuple[Finding, ...]:
    found = []
    if not first.all():
        times = f"{(~first).sum()} times"
        place = f"frame {bodies.frame[~first][0] + 1}"
        found.append(
            finding(item, "body id twice in a frame", place=place, detail=times, action="kept the first")
        )
    if not finite.all():
        times = f"{(~finite).sum()} poses"
        place = f"frame {bodies.frame[~finite][0] + 1}"
        found.append(finding(item, "not a number", place=place, detail=times, action="treated as absent"))
    if bodies.extra_line:
        place = f"line {bodies.extra_line}"
        found.append(finding(item, "data after the last frame", place=place, action="ignored"))
    return tuple(found)
