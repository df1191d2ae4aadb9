"""NTU RGB+D 60 and 120: one text file ``SsssCcccPpppRrrrAaaa.skeleton`` per clip.

The files are in folders or in the official zip; a clip without text may be ``.skeleton.npy`` (see
``ntu_npy``). Kinect v2 camera space is the canonical frame, so coordinates are taken as they are. Format:
NTU's own ``read_skeleton_file.m`` (shahroudy/NTURGB-D); see ``ntu_text``.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from schemas import Finding, RawDataError
from skeltools.datasets import ntu_npy, ntu_text, splits
from skeltools.datasets.dataset import Dataset
from skeltools.datasets.splits import Rule
from skeltools.raw_items import (
    Found,
    Listing,
    Raw,
    RawItem,
    Reader,
    all_finite,
    finding,
    first_of_each,
    known,
    read_bytes,
    roots_of,
    search,
    skipped,
)
from skeltools.sequence import SkeletonSequence

CONVENTION = "kinectv2_25"
MAX_TRACKS = 100
"""Most body ids of one clip.

Kinect tracks six people and takes a new id when it loses one; a damaged file with many ids would need memory
of frames x ids.
"""

_TEXT, _NPY = ".skeleton", ".skeleton.npy"
_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})", re.ASCII)


def fields(name: str) -> dict[str, int] | None:
    """Parse ``S001C002P003R001A050`` into fields of SkeletonSequence; None for other names."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    setup, camera, subject, repetition, action = map(int, match.groups())
    if action == 0:
        return None
    named = {"setup": setup, "camera": camera, "subject": subject, "repetition": repetition}
    return {**named, "label": action - 1}


def discover(raw: Raw) -> Listing:
    """List all ``.skeleton`` files of folders, of the zip files in them, or of zip files, by name only.

    A ``.skeleton.npy`` counts only if its clip has no text, because it lacks the ids of the bodies.
    """
    files, findings = search(raw, (_TEXT, _NPY))
    items: list[RawItem] = []
    for file in files:
        if fields(_id(file)) is None:
            findings.append(skipped(file.place, "unknown file name"))
        else:
            items.append(RawItem(_id(file), CONVENTION, file.path, file.member, file.size))
    texts = {item.id for item in items if not _is_npy(item)}
    clips = (item for item in items if not (_is_npy(item) and item.id in texts))
    unique, twice = first_of_each(clips, roots_of(raw))
    return Listing(unique, (*findings, *twice))


def _id(file: Found) -> str:
    """The name without its suffix, which may be in upper case."""
    name = Path(file.member or file.path).name
    return name[: -len(_NPY if name.lower().endswith(_NPY) else _TEXT)]


def _is_npy(item: RawItem) -> bool:
    return (item.member or item.path).lower().endswith(_NPY)


def read(item: RawItem) -> SkeletonSequence:
    """Read one clip, with a slot on axis M for each body id, in order of first appearance.

    A body whose joints are all zero, or not all finite (a finding), is absent in that frame. ``order`` is its
    place in the file, counting absent bodies. Raises RawDataError, with the line where there is one.
    """
    parse = ntu_npy.parse if _is_npy(item) else ntu_text.parse
    bodies = parse(read_bytes(item), where=item.where)
    finite = all_finite(bodies.joints)
    with np.errstate(invalid="ignore"):  # NaNs with some bit patterns signal when they are read
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
    return SkeletonSequence(
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
    seen: set[tuple[int, int]] = set()
    first = []
    for key in zip(bodies.frame.tolist(), bodies.ids, strict=True):
        first.append(key not in seen)
        seen.add(key)
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
    rows = []
    if not first.all():
        times = f"{(~first).sum()} times"
        place = f"frame {bodies.frame[~first][0] + 1}"
        rows.append(
            finding(item, "body id twice in a frame", place=place, detail=times, action="kept the first")
        )
    if not finite.all():
        times = f"{(~finite).sum()} poses"
        place = f"frame {bodies.frame[~finite][0] + 1}"
        rows.append(finding(item, "not a number", place=place, detail=times, action="treated as absent"))
    if bodies.extra_line:
        place = f"line {bodies.extra_line}"
        rows.append(finding(item, "data after the last frame", place=place, action="ignored"))
    return tuple(rows)


# --- the data sets ------------------------------------------------------------------------------------------

# fmt: off
NTU120_TRAIN_SUBJECTS = (
    1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38, 45, 46, 47, 49, 50, 52, 53,
    54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89, 91, 92, 93, 94, 95, 97, 98, 100, 103,
)
# fmt: on
NTU60_TRAIN_SUBJECTS = tuple(subject for subject in NTU120_TRAIN_SUBJECTS if subject <= 40)
"""Shahroudy et al. (CVPR 2016) and the authors' README; for NTU RGB+D 120 Liu et al. (PAMI 2019)."""


def _part(
    name: str, title: str, *, setups: int, num_classes: int, rules: dict[str, Rule], archives: str
) -> Dataset:
    size = name.removeprefix("ntu")
    return Dataset(
        name=name,
        title=title,
        reader="ntu",
        published="ntu",
        convention="kinectv2_25",
        num_classes=num_classes,
        bodies=2,
        rules=rules,
        folder_names=(
            name,
            f"ntu-{size}",
            f"ntu_{size}",
            f"nturgbd{size}",
            f"nturgbd_{size}",
            f"nturgb+d{size}",
        ),
        file_pattern=r"S\d{3}C\d{3}P\d{3}R\d{3}A\d{3}\.skeleton(\.npy)?",
        example="SsssCcccPpppRrrrAaaa.skeleton",
        hint=(
            f"{title} is free for research on request at https://rose1.ntu.edu.sg/dataset/actionRecognition: "
            f"put the 3D skeletons ({archives}, unpacked or not) into raw/{name}/ and MeTRAbs poses, if any, "
            f"into raw/{name}/metrabs/<convention>/. Without the data: "
            f"`skeltools demo raw/` writes a small built-in set in the same formats"
            + ("" if name == "ntu60" else ", for `skeltools convert ntu60`")
        ),
        setups=setups,
        metrabs=True,
        mirrored=True,
    )


READERS = {"ntu": Reader(discover, read)}

DATASETS = (
    _part(
        "ntu60",
        "NTU RGB+D",
        setups=17,
        num_classes=60,
        rules={
            "xsub": splits.rule("subject", NTU60_TRAIN_SUBJECTS, 40),
            "xview": splits.rule("camera", (2, 3), 3),
        },
        archives="nturgbd_skeletons_s001_to_s017.zip",
    ),
    _part(
        "ntu120",
        "NTU RGB+D 120",
        setups=32,
        num_classes=120,
        rules={
            "xsub": splits.rule("subject", NTU120_TRAIN_SUBJECTS, 106),
            "xset": splits.rule("setup", range(2, 33, 2), 32),
        },
        archives="nturgbd_skeletons_s001_to_s017.zip and nturgbd_skeletons_s018_to_s032.zip",
    ),
)
