"""PKU-MMD, parts I and II: long videos as skeleton text, cut into actions by their label files.

A sample is one action. Its id is the video, the view and the position of its row in the label file, from 1:
``0002-L_003``, ``A01N01-L_012``. Cameras are numbered L 1, M 2, R 3 (left, middle, right). Part I numbers its
videos, which becomes ``setup``, and does not identify the subjects; in part II ``setup`` is the sequence aa
and ``subject`` is nn of AaaNnn.

Frames are ``start:end``, 0-based, end excluded. The data set does not specify this; the public loaders that
give reasons agree on it (a start of 0 occurs, so it is not 1-based; an end may equal the number of frames).
The text has no body ids, and bodies may change places in it: bodies are linked by distance (``tracking``), at
most two people at a time. Kinect v2 camera space is the canonical frame.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import Finding, RawDataError, regular
from skeltools import framewise, tracking
from skeltools.datasets import pkummd_text, splits
from skeltools.datasets.dataset import Dataset
from skeltools.datasets.pkummd_lists import given_halves, is_list
from skeltools.datasets.splits import Rule
from skeltools.files.unchanged import while_unchanged
from skeltools.framewise import Action
from skeltools.raw_items import (
    ZIP_ERRORS,
    Found,
    Listing,
    Raw,
    RawItem,
    Reader,
    all_finite,
    finding,
    read_bytes,
    search,
    skipped,
)
from skeltools.sequence import Joints, Mask, SkeletonSequence

CONVENTION = "kinectv2_25"
CAMERAS = {"L": 1, "M": 2, "R": 3}

MAX_TRACKS = 32
"""Most tracks of one action that are stored, the longest ones; more arise from noise alone."""

_SUFFIXES = (".txt", ".csv")
_OF_ANY_PART = re.compile(r"(\d{4}|A\d\dN\d\d)-[LMR]", re.ASCII)
_HEAD = 128
"""Bytes to read to tell a label file, which has commas, from skeletons, if suffix and folder do not."""


Part = re.Pattern[str]
"""Names of the videos of one part: groups ``setup``, ``view`` and, where it has it, ``subject``."""


def fields(video: str, part: Part) -> dict[str, int] | None:
    """Parse ``A01N02-L`` into fields of SkeletonSequence; None for names that are not of this part."""
    match = part.fullmatch(video)
    if match is None:
        return None
    numbers = {name: int(value) for name, value in match.groupdict().items() if name != "view"}
    return {**numbers, "camera": CAMERAS[match["view"]]}


# --- discovery ----------------------------------------------------------------------------------------------


def discover(raw: Raw, part: Part, *, uncut: bool = False) -> Listing:
    """List all actions of folders, of the zip files in them, or of zip files; reads labels and lists.

    Skeletons and their labels may be in different places. ``uncut``: a sample is a whole video, whose actions
    label its frames.
    """
    files, findings = search(raw, _SUFFIXES)
    skeletons, labels = _first_of_each(files, part, findings)
    items: list[RawItem] = []
    for video in sorted(skeletons.keys() | labels.keys()):
        if video not in labels:
            findings.append(skipped(skeletons[video].place, "skeletons without labels"))
        elif video not in skeletons:
            findings.append(skipped(labels[video].place, "labels without skeletons"))
        else:
            found_actions = _actions(video, skeletons[video], labels[video], part, findings)
            items += [_recording(video, skeletons[video], part, found_actions)] if uncut else found_actions
    by_video, rules, problems = given_halves(
        {file.place: read_bytes(_whole(file)) for file in files if is_list(file.place)},
        {video: fields(video, part) or {} for video in skeletons.keys() & labels.keys()},
        pattern=part,
    )
    videos = {item.id: item.id if uncut else item.id.rpartition("_")[0] for item in items}
    halves = {
        name: {id: half[video] for id, video in videos.items() if video in half}
        for name, half in by_video.items()
    }
    return Listing(tuple(items), (*findings, *problems), halves=halves, rules=rules)


def _first_of_each(
    files: Iterable[Found], part: Part, findings: list[Finding]
) -> tuple[dict[str, Found], dict[str, Found]]:
    """Video -> skeleton file, video -> label file; of several files, the first by path."""
    kinds: dict[str, dict[str, Found]] = {"skeleton": {}, "label": {}}
    for file in files:
        kind = _kind_by_name(file)
        if part.fullmatch(file.stem):
            first = kinds[kind or _kind_by_head(file)].setdefault(file.stem, file)
            if first is not file:
                detail = f"kept {first.place}"
                findings.append(skipped(file.place, "duplicate file of a video", detail))
        elif kind and not is_list(file.place) and not _OF_ANY_PART.fullmatch(file.stem):
            findings.append(skipped(file.place, "unknown file name"))
    return kinds["skeleton"], kinds["label"]


def _kind_by_name(file: Found) -> str | None:
    """Kind by the nearest folder that states it (PKU_Skeleton_Renew, Train_Label_PKU_final), or by suffix."""
    for folder in reversed(re.split("/|::", file.place.lower())[:-1]):
        says = [kind for kind in ("label", "skeleton") if kind in folder]
        if len(says) == 1:
            return says[0]
    return "label" if (file.member or file.path).lower().endswith(".csv") else None


def _kind_by_head(file: Found) -> str:
    """Kind by content: labels have commas.

    An unreadable file counts as skeletons, whose reader reports the problem.
    """
    try:
        if file.member is None:
            with regular.open_file(file.path) as opened:
                head = opened.read(_HEAD)
        else:
            with zipfile.ZipFile(file.path) as archive, archive.open(file.member) as member:
                head = member.read(_HEAD)
    except ZIP_ERRORS:
        return "skeleton"
    return "label" if b"," in head else "skeleton"


def _whole(file: Found) -> RawItem:
    return RawItem(file.stem, CONVENTION, file.path, file.member, file.size)


def _actions(
    video: str, skeletons: Found, labels: Found, part: Part, findings: list[Finding]
) -> list[RawItem]:
    try:
        text = read_bytes(_whole(labels)).decode("utf-8-sig", "replace")
    except RawDataError as error:
        findings.append(skipped(labels.place, "unreadable file", error.message))
        return []
    actions, problems = pkummd_text.parse_labels(text, labels.place)
    findings += problems
    if not actions:
        findings.append(skipped(labels.place, "no action in the label file"))
    named = fields(video, part) or {}
    return [
        RawItem(
            f"{video}_{action.ordinal:03}",
            CONVENTION,
            skeletons.path,
            skeletons.member,
            skeletons.size,
            (("label", action.label), ("start", action.start), ("end", action.end), *named.items()),
        )
        for action in actions
    ]


def _recording(video: str, skeletons: Found, part: Part, actions: Iterable[RawItem]) -> RawItem:
    """The whole video that contains these actions."""
    rows = [dict(item.details) for item in actions]
    marks = framewise.details(Action(each["label"], each["start"], each["end"]) for each in rows)
    named = fields(video, part) or {}
    return RawItem(
        video, CONVENTION, skeletons.path, skeletons.member, skeletons.size, (*marks, *named.items())
    )


# --- reading ------------------------------------------------------------------------------------------------


def read(item: RawItem) -> SkeletonSequence:
    """Read one action or whole video, with at most two people at a time, linked by distance.

    ``order`` is the place in the file. A body whose joints are all zero, or not all finite (a finding), is
    absent in that frame. An end beyond the video is cut (a finding). Raises RawDataError, with the line where
    there is one.
    """
    values, actions = framewise.taken(item.details)
    known: dict[str, Any] = values
    video = _video(item.path, item.member, item.size)
    if isinstance(video, RawDataError):
        raise video
    start, end = known.pop("start", 0), known.pop("end", len(video))
    frames = video[start:end]
    if not len(frames):
        raise RawDataError(
            f"frames {start}:{end} of the action {item.id} are beyond the video, which has {len(video)}",
            where=item.where,
            remedy="Is the label file that of this video?",
        )
    finite = all_finite(frames)
    there = finite & frames.any(axis=(2, 3))
    if not there.any():
        raise RawDataError(f"no body in any frame of {item.id} ({start}:{end})", where=item.where)
    joints, present, order = _tracks(frames, there)
    return SkeletonSequence(
        item.id,
        CONVENTION,
        joints,
        present,
        order,
        tuple(range(present.shape[1])),
        findings=(*_beyond(item, actions, len(video)), *_findings(item, (start, end, len(video)), ~finite)),
        **known,
    )


def _findings(item: RawItem, window: tuple[int, int, int], bad: Mask) -> tuple[Finding, ...]:
    start, end, frames = window
    rows = []
    if end > frames:
        rows.append(
            finding(
                item,
                "ends after the video",
                place=item.id,
                detail=f"frame {end}, the video has {frames}",
                action="cut to the video",
            )
        )
    if bad.any():
        detail = f"{bad.sum()} poses, the first in frame {start + np.flatnonzero(bad.any(axis=1))[0] + 1}"
        rows.append(finding(item, "not a number", place=item.id, detail=detail, action="treated as absent"))
    return tuple(rows)


def _beyond(item: RawItem, actions: Iterable[Action], frames: int) -> tuple[Finding, ...]:
    """Finding on the actions of a whole video that end after it."""
    beyond = [action for action in actions if action.end is not None and action.end > frames]
    if not beyond:
        return ()
    detail = f"{len(beyond)} actions, e.g. to frame {beyond[0].end}, the video has {frames}"
    return (finding(item, "ends after the video", place=item.id, detail=detail, action="cut to the video"),)


@while_unchanged(2)
def _video(path: str, member: str | None, size: int) -> NDArray[np.float32] | RawDataError:
    """[F, 2, 25, 3]: the parsed video, cached because its actions are read one after the other.

    The error of a damaged file is cached too, as it has as many actions as a sound one.
    """
    item = RawItem("", CONVENTION, path, member, size)
    try:
        return pkummd_text.parse_skeletons(read_bytes(item), where=item.where)
    except RawDataError as error:
        return error


def _tracks(frames: Joints, there: Mask) -> tuple[Joints, Mask, NDArray[np.int8]]:
    """Bodies [T, 2, 25, 3], seen [T, 2] -> joints [T, M, 25, 3], present and order [T, M] of the people."""
    frame, slot = np.nonzero(there)
    number = _people(frames[frame, slot], there)
    tracks = np.sort(tracking.longest(number, MAX_TRACKS))
    place = tracking.slots(number, tracks)
    has_place = place >= 0
    at = (frame[has_place], place[has_place])
    present = np.zeros((len(frames), len(tracks)), np.bool_)
    order = np.full(present.shape, -1, np.int8)
    joints = np.zeros((*present.shape, *frames.shape[2:]), np.float32)
    present[at] = True
    order[at] = slot[has_place]
    joints[at] = frames[frame[has_place], slot[has_place]]
    return joints, present, order


def _people(poses: Joints, there: Mask) -> NDArray[np.int64]:
    """Assign a person to each pose, [P].

    A sensor that loses somebody for long does not see a third person afterwards. ``tracking.link`` begins a
    new track after a second or a leap. The first two tracks are two people; each later one continues the
    nearest person who is not seen in any of its frames, and is somebody new only if there is none.
    """
    people = there.sum(axis=1)
    if _steady(poses, there):
        return np.tile(np.arange(people[0]), len(there))
    frame = np.nonzero(there)[0]
    number = tracking.link(poses, people)
    person = np.zeros(number.max() + 1, np.int64)
    seen: list[set[int]] = []
    last: list[Joints] = []
    for track in range(len(person)):
        of = np.flatnonzero(number == track)
        when = set(frame[of].tolist())
        free = [i for i in range(len(seen)) if not seen[i] & when] if len(seen) >= pkummd_text.BODIES else []
        if free:
            distance = [np.linalg.norm(last[i] - poses[of[0]], axis=-1).mean() for i in free]
            person[track] = free[int(np.argmin(distance))]
            seen[person[track]] |= when
            last[person[track]] = poses[of[-1]]
        else:
            person[track] = len(seen)
            seen.append(when)
            last.append(poses[of[-1]])
    return person[number]


def _steady(poses: Joints, there: Mask) -> bool:
    """Whether every frame has bodies in the same places, and ``tracking.link`` would leave them there.

    Nearly all actions are like this, and the check takes a tenth of the time of linking frame by frame.
    """
    if (there != there[0]).any():
        return False
    bodies = poses.reshape(len(there), -1, *poses.shape[1:])
    step = bodies[1:, :, None] - bodies[:-1, None]
    distance = np.linalg.norm(step, axis=-1).mean(axis=-1)
    unchanged = np.diagonal(distance, axis1=1, axis2=2)
    exchanged = np.diagonal(distance[:, ::-1], axis1=1, axis2=2)
    cheaper = bodies.shape[1] == 1 or (unchanged.sum(axis=1) < exchanged.sum(axis=1)).all()
    return bool((unchanged <= tracking.GATE).all() and cheaper)


# --- the data sets ------------------------------------------------------------------------------------------

PART_1 = re.compile(r"(?P<setup>\d{4})-(?P<view>[LMR])", re.ASCII)
"""Videos ``0002-L``, 1076 of them."""
PART_2 = re.compile(r"A(?P<setup>\d{2})N(?P<subject>\d{2})-(?P<view>[LMR])", re.ASCII)
"""Videos ``A01N02-L`` (sequence, subject, view), 1009 of them."""

READERS = {
    "pkummd1": Reader(partial(discover, part=PART_1), read),
    "pkummd2": Reader(partial(discover, part=PART_2), read),
    "pkummd1-uncut": Reader(partial(discover, part=PART_1, uncut=True), read),
    "pkummd2-uncut": Reader(partial(discover, part=PART_2, uncut=True), read),
}

PKU1_TEST_VIDEOS = range(291, 335)
"""The test list of part I in gen_v1.py of Adamink/ViewAdaptiveLSTM."""
_XVIEW = splits.rule("camera", (2, 3), 3)
"""Cameras L 1, M 2, R 3, as in the official cross-view_v2.txt of part II; part I has the same rule."""


def _part(
    part: int, *, rules: dict[str, Rule], video: str, example: str, numeral: str, folders: str
) -> Dataset:
    names = (f"pku-mmd-{part}", f"pku-mmd-v{part}", f"pku-mmd{part}", f"pkummd-{part}", f"pkummd{part}",
             f"pkummdv{part}", f"pku-v{part}", "pku-mmd", "pkummd")  # fmt: skip
    return Dataset(
        name=f"pku-mmd-{part}",
        title=f"PKU-MMD part {numeral}",
        reader=f"pkummd{part}",
        published="pkummd",
        convention="kinectv2_25",
        num_classes=51,
        bodies=2,
        rules=rules,
        folder_names=tuple(dict.fromkeys((*names, *(name.replace("-", "_") for name in names)))),
        file_pattern=video + r"-[LMR]\.(txt|csv)",
        example=example,
        hint=(
            "PKU-MMD is free for research at https://github.com/ECHO960/PKU-MMD: put the "
            f"skeletons ({folders}, unpacked or not) into raw/pku-mmd-{part}/, "
            "and the official split files beside them"
        ),
        id_pattern=video + r"-[LMR]_\d{3,}",
        uncut_reader=f"pkummd{part}-uncut",
        uncut_pattern=video + "-[LMR]",
        metrabs=True,
        mirrored=True,
        axes=(
            "Kinect camera space as recorded: x to the sensor's left, y up, z forward, metres; "
            "bodies linked by distance, at most two at a time: the text has no body ids"
        ),
    )


DATASETS = (
    _part(
        1,
        rules={
            "xsub": Rule(
                "setup",
                frozenset(range(1, 365)) - frozenset(PKU1_TEST_VIDEOS),
                frozenset(PKU1_TEST_VIDEOS),
                words="train: the other videos; test: videos 0291 to 0334",
            ),
            "xview": _XVIEW,
        },
        video=r"\d{4}",
        example="0002-L.txt",
        numeral="I",
        folders="PKU_Skeleton_Renew and Train_Label_PKU_final",
    ),
    _part(
        2,
        rules={
            # The official cross-subject_v2.txt, which this rule equals name by name.
            "xsub": splits.rule("subject", (1, 4, 5, 6, 8, 9, 10, 11, 12, 13), 13),
            "xview": _XVIEW,
        },
        video=r"A\d{2}N\d{2}",
        example="A01N01-L.txt",
        numeral="II",
        folders="skeleton and label",
    ),
)
