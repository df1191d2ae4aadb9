"""Shared code of the JSON pose formats: parsing within limits, the people of every frame, and their arrays.

JSON is parsed by the standard library. ``NaN`` and ``Infinity``, which many programs write, are accepted as
numbers; ``null`` in place of a number is NaN.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import RawDataError, SkeletonSpec, regular
from skeltools import skeletons
from skeltools.custom.clip_files import HEAD, Clip, Poses, clip_of_file
from skeltools.custom.settings import Settings
from skeltools.files.unchanged import while_unchanged
from skeltools.raw_items import MAX_BYTES, RawItem, read_bytes

MAX_PEOPLE = 100
"""Most people in a frame; estimators find a few dozen at most."""

_MAX_NUMBER = 10**15
"""Largest number of a frame or person: days on a nanosecond clock."""

_PARTS: dict[tuple[int, str], range | tuple[int, ...]] = {
    (133, "coco_wholebody_65"): (*range(23), *range(91, 133)),
    (133, "coco_17"): range(17),
    (136, "halpe_26"): range(26),
    (136, "coco_17"): range(17),
    (26, "coco_17"): range(17),
}
"""(number of keypoints in a file, convention) -> the convention's keypoints. COCO-WholeBody: 17 of the body,
6 of the feet, 68 of the face, 21 of each hand (https://github.com/jin-s13/COCO-WholeBody). Halpe: 26 of body
and feet, of which the first 17 are COCO's, then 68 of the face and 42 of the hands
(https://github.com/Fang-Haoshu/Halpe-FullBody)."""

_USUAL = {
    133: "coco_wholebody_65",
    136: "halpe_26",
    26: "halpe_26",
    25: "openpose_25",
    18: "openpose_18",
    17: "coco_17",
    15: "openpose_mpi_15",
    33: "mediapipe_33",
    21: "openpose_hand_21",
}
"""Number of keypoints per person -> the usual convention."""


SUFFIXES = (".json", ".jsonl")
"""Of JSON, and of JSON Lines: one value a line, together a list."""

LINES = "`skeltools docs your-data` has the lines of dataset.yaml for every format"


# --- parsing ------------------------------------------------------------------------------------------------


def content(item: RawItem) -> Any:
    """Parse the item's file. Raises RawDataError if it is too large or not JSON."""
    return parsed(read_bytes(replace(item, member=None)), where=item.path)


def parsed(data: bytes, *, where: str | Path) -> Any:
    """Parse JSON. Raises RawDataError for invalid JSON, or for data that would take too much memory."""
    try:
        regular.check_values(data)
    except ValueError as error:
        raise RawDataError(str(error), where=where, remedy="Split it into clips") from error
    try:
        return _value_or_lines(data)
    except RecursionError:
        raise RawDataError("is nested too deep", where=where) from None
    except ValueError as error:  # UnicodeDecodeError and integers of thousands of digits are ValueErrors
        reason = " ".join(str(error).split())[:200]
        raise RawDataError(f"is not valid JSON: {reason}", where=where, remedy="Write it again") from error


def _value_or_lines(data: bytes) -> Any:
    """The value of JSON, or the list of the values of JSON Lines. Raises ValueError."""
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
    values = []
    for number, line in enumerate(data.decode(json.detect_encoding(data)).splitlines(), start=1):
        try:
            values += [json.loads(line)] if line.strip() else []
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number}: {error}") from error
    return values


def start_of(file: Path) -> Any:
    """The parsed beginning of a file; None if it cannot be read or is not JSON."""
    try:
        with regular.open_file(file) as opened:
            return beginning(opened.read(HEAD))
    except (OSError, ValueError):
        return None


_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?$)|[\[\]{}]', re.DOTALL)
_COMMA = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?$)|,', re.DOTALL)
"""Both patterns match strings as well, so that brackets and commas inside them are skipped."""


@lru_cache(maxsize=1)
def beginning(head: bytes) -> Any:
    """Parse the first bytes of a JSON file, without the value that is cut off; None if they are not JSON.

    JSON Lines are the list of the lines that are complete.
    """
    text = head.decode("utf-8", "ignore").lstrip("\ufeff \t\r\n")
    if text[:1] not in ("[", "{"):
        return None
    still_open, end = "", 0
    for match in _BRACKET.finditer(text):
        token = match[0]
        if token in ("[", "{"):
            still_open += "]" if token == "[" else "}"
        elif token in ("]", "}"):
            still_open = still_open[:-1]
        else:
            continue
        end = match.end()
        if not still_open:
            break
    if still_open:
        end = max(end, _last_comma(text, end))
    try:
        if not still_open and text[end:].lstrip()[:1] in ("[", "{"):
            return [json.loads(line) for line in text.splitlines()[:-1] if line.strip()]
        return json.loads(text[:end] + still_open[::-1])
    except (ValueError, RecursionError):
        return None


def _last_comma(text: str, start: int) -> int:
    """Position of the last comma outside of strings, -1 if there is none."""
    if '"' not in text[start:]:
        return text.rfind(",", start)
    return max((match.start() for match in _COMMA.finditer(text, start) if match[0] == ","), default=-1)


# --- values -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A position in a file, for messages."""

    where: str | Path
    words: str = ""

    def at(self, more: str) -> Place:
        return Place(self.where, f"{self.words}, {more}" if self.words else more)

    def wrong(self, message: str, *, remedy: str = "Mend the file, or write it again") -> RawDataError:
        text = f"{self.words}: {message}" if self.words else message
        return RawDataError(text, where=self.where, remedy=remedy)


def objects(value: Any, place: Place, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise place.wrong(f"{what} is {_kind(value)}, expected an object")
    return value


def listed(value: Any, place: Place, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise place.wrong(f"{what} is {_kind(value)}, expected a list")
    return value


def whole(value: Any, place: Place, what: str) -> int:
    """Parse a whole number: an integer, a float without a fraction, or digits as text."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,16}", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _MAX_NUMBER:
        raise place.wrong(f"{what} is {str(value)[:40]!r}, expected a whole number")
    return value


def numbers(value: Any, place: Place, what: str) -> NDArray[np.float64]:
    """Convert a list of numbers, or nested lists of equal length, to an array; null is NaN."""
    listed(value, place, what)
    try:
        array = np.array(value)
        if array.dtype.kind == "O":  # null, or integers beyond 64 bits
            array = _with_nulls(array)
        if array.size and array.dtype.kind not in "fiu":
            raise TypeError
        return array.astype(np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise place.wrong(f"{what} is no list of numbers, or not of one length") from None


def _with_nulls(array: NDArray[Any]) -> NDArray[np.float64]:
    values = [np.nan if value is None else value for value in array.ravel().tolist()]
    if not all(isinstance(value, int | float) for value in values):
        raise TypeError
    return np.array([float(value) for value in values]).reshape(array.shape)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", type(None): "null"}
    return names.get(type(value), "a number")


_FRAME = ("frame", "frameid", "frameindex", "frameidx", "framenumber", "framenum", "frameno")
_TIME = ("timestamp", "timestampusec", "timestampus", "timestampms", "timestampns", "time", "timems")
_IMAGE = ("imagename", "image", "imagepath", "filename", "framename", "framepath")


def key_of(entry: dict[str, Any], names: Sequence[str]) -> str | None:
    """The first key of an object among ``names``, which are in lower case and without underscores."""
    plain = {key.casefold().replace("_", ""): key for key in entry}
    return next((plain[name] for name in names if name in plain), None)


def frame_key(entry: dict[str, Any]) -> str | None:
    """The key that numbers an object's frame (``frame``, ``frame_id``, ``frameIndex``, ...)."""
    return key_of(entry, _FRAME)


def time_key(entry: dict[str, Any]) -> str | None:
    """The key of a frame's time (``timestamp``, ``timestamp_ms``, ...), in any unit."""
    return key_of(entry, _TIME)


def image_key(entry: dict[str, Any]) -> str | None:
    """The key of the image of a person: COCO's ``image_id``, or one that holds the name of a file."""
    if "image_id" in entry:
        return "image_id"
    key = None if frame_key(entry) else key_of(entry, _IMAGE)
    return key if key is not None and isinstance(entry[key], str) else None


# --- people -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    """One person in one frame."""

    values: NDArray[np.float64]
    """[V, 2] or [V, 3] as stored; NaN where a joint was not seen."""
    score: NDArray[np.float64] | None = None
    """[V]."""
    track: int | None = None
    """The person's identity, if the file has it."""


Frames = Mapping[int, Sequence[Person]]
"""Frame number -> its people; missing frames have none."""


def person(
    values: NDArray[np.float64],
    score: NDArray[np.float64] | None,
    track: int | None = None,
) -> Person:
    """A person of ``values`` [V, 2 or 3] and ``score`` [V]. A joint with score 0, or at zero, is unseen."""
    unseen = np.asarray((values == 0).all(axis=1))
    if score is not None:
        unseen |= score == 0
    return Person(np.where(unseen[:, None], np.nan, values), score, track)


def scored(value: Any, size: int, place: Place, what: str, *, track: int | None = None) -> Person:
    """A person of ``size`` - 1 coordinates and a score per joint, as a flat list or one list per joint."""
    array = numbers(value, place, what)
    if not array.size or array.ndim > 2 or array.size % size or (array.ndim == 2 and array.shape[1] != size):
        raise place.wrong(f"{what} has {array.size} numbers, expected {size} for each joint")
    array = array.reshape(-1, size)
    return person(array[:, :-1], array[:, -1], track)


def instance(
    points: Any,
    score: Any,
    settings: Settings,
    spec: SkeletonSpec,
    place: Place,
    *,
    track: int | None = None,
) -> Person:
    """A person of keypoints as a list of lists, a flat list, objects with x and y, or lists of all x and y.

    Keypoints with names, the keys of an object or ``name`` of each, are taken by them. Without a ``score``
    [V], the last of four numbers is one, or of three if ``coordinates`` are xys.
    """
    if isinstance(points, dict) and isinstance(points.get("x"), list):
        points, score = _columns(points, place)
    points, score = _in_order(points, score, spec, place)
    points = [_row(point) for point in listed(points, place, "keypoints")]
    array = numbers(points, place, "keypoints")
    array = array[0] if array.ndim == 3 and len(array) == 1 else array  # a person of MMPose's older 3D demos
    scores = None if score is None else np.squeeze(numbers(score, place, "its scores"))
    if array.ndim == 1 and array.size:
        array = array.reshape(-1, _width(array.size, scores, settings, spec, place))
    if array.ndim != 2 or array.shape[1] not in (2, 3, 4):
        raise place.wrong(f"keypoints have shape {array.shape}, expected 2 to 4 numbers for each joint")
    if scores is not None and scores.shape != array.shape[:1]:
        raise place.wrong(f"{scores.size} scores of {len(array)} keypoints")
    if scores is None and array.shape[1] == (3 if settings.coordinates == "xys" else 4):
        return person(array[:, :-1], array[:, -1], track)
    return person(array[:, :3], scores, track)


def _in_order(points: Any, score: Any, spec: SkeletonSpec, place: Place) -> tuple[Any, Any]:
    """Keypoints with names, and their scores, in the convention's order, null for those that are missing.

    Others are returned as they are.
    """
    by_name = points
    if isinstance(points, list) and all(
        isinstance(each, dict) and isinstance(each.get("name"), str) for each in points
    ):
        by_name = {each["name"]: each for each in points}
    if not isinstance(by_name, dict) or not by_name:
        return points, score
    names = list(by_name)
    known = _named(names, spec)
    if not known and by_name is points:
        raise place.wrong(
            f"its keypoints ({', '.join(names)[:60]}) are none of {spec.name} "
            f"({', '.join(spec.joints)[:60]})",
            remedy="Name the convention of the file in dataset.yaml, or give yours `synonyms`",
        )
    rows = {joint: _row(by_name[names[at]]) for joint, at in known.items()}
    width = max((len(row) for row in rows.values() if isinstance(row, list)), default=0)
    if not rows:
        return points, score
    if isinstance(score, list) and len(score) == len(names):
        score = [score[known[joint]] if joint in known else None for joint in spec.joints]
    return [rows.get(joint, [None] * width) for joint in spec.joints], score


def _row(point: Any) -> Any:
    """x, y, z and score of a point given as an object; other values as they are."""
    if not isinstance(point, dict):
        return point
    at = point["position"] if isinstance(point.get("position"), dict) else point
    score = next((point[key] for key in ("score", "confidence", "visibility", "conf") if key in point), None)
    row = [at.get(axis) for axis in "xyz" if axis in at]
    return row if score is None else [*row, score]


def _columns(points: dict[str, Any], place: Place) -> tuple[list[Any], Any]:
    """Convert Ultralytics' {x: [...], y: [...], visible: [...]} to [x, y] of every keypoint, and scores."""
    x, y = (listed(points.get(axis), place, f"keypoints.{axis}") for axis in "xy")
    if len(x) != len(y):
        raise place.wrong(f"{len(x)} x and {len(y)} y of keypoints")
    return [list(point) for point in zip(x, y, strict=True)], points.get("visible")


def _width(
    size: int, scores: NDArray[np.float64] | None, settings: Settings, spec: SkeletonSpec, place: Place
) -> int:
    """How many numbers of a flat list belong to one joint."""
    likely = len(settings.coordinates)
    counts = (scores.size,) if scores is not None else (spec.num_joints,)
    widths = [width for width in (likely, 2, 3, 4) if size == width * counts[0]]
    width = widths[0] if widths else likely
    if size % width:
        raise place.wrong(f"{size} numbers of keypoints, expected {width} for each joint")
    return width


# --- arrays -------------------------------------------------------------------------------------------------


def poses(
    frames: Frames,
    settings: Settings,
    spec: SkeletonSpec,
    place: Place,
    *,
    names: Sequence[str] = (),
    fractions: bool = False,
) -> Poses:
    """Collect all people in one array, from the first to the last frame.

    ``names``: the file's keypoint names, if it has them. ``fractions``: coordinates are fractions of the
    image, converted to pixels if the settings have its size. Raises RawDataError: nobody, too many people or
    frames, keypoints of another convention, or 2D poses where the settings have 3D.
    """
    joints, size = _common(frames, place)
    if size == 2 and not settings.flat:
        raise place.wrong(
            "holds 2D poses: say `coordinates: xys` and `image_size: [width, height]` in dataset.yaml",
            remedy=LINES,
        )
    wanted, keypoints = _wanted(joints, names, spec, place)
    size = 2 if settings.flat else 3
    first, last = min(frames), max(frames)
    most = max(len(there) for there in frames.values())
    if most > MAX_PEOPLE:
        raise place.wrong(f"{most} people in a frame, at most {MAX_PEOPLE} make sense")
    shape = (last - first + 1, most, len(keypoints))
    if shape[0] * most * len(keypoints) * (size + 1) * 8 > 2 * MAX_BYTES:
        raise place.wrong(f"frames {first} to {last} of up to {most} people are too many for one clip")
    values, score = np.full((*shape, size), np.nan), np.full(shape, np.nan)
    for number, there in frames.items():
        for i, somebody in enumerate(there):
            values[number - first, i] = somebody.values[keypoints, :size]
            if somebody.score is not None:
                score[number - first, i] = somebody.score[keypoints]
    if fractions and settings.image_size is not None:
        values *= np.array((*settings.image_size, settings.image_size[0]), np.float64)[:size]
    return Poses(
        values,
        score if all(p.score is not None for there in frames.values() for p in there) else None,
        joints=wanted,
        zero_is_unseen=True,
        linked=most == 1 and not _has_identities(frames),
        track=_tracks(frames, first, shape[:2]) if _has_identities(frames) else None,
    )


def _common(frames: Frames, place: Place) -> tuple[int, int]:
    """Number of keypoints and of coordinates, which all people must share."""
    shapes = {somebody.values.shape: number for number, there in frames.items() for somebody in there}
    if not shapes:
        raise place.wrong("nobody is in any frame")
    if len(shapes) > 1:
        (one, here), (other, there) = list(shapes.items())[:2]
        raise place.wrong(
            f"{one[0]} keypoints of {one[1]} coordinates in frame {here}, "
            f"{other[0]} of {other[1]} in frame {there}"
        )
    joints, size = next(iter(shapes))
    return int(joints), int(size)


def _wanted(
    count: int, names: Sequence[str], spec: SkeletonSpec, place: Place
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Names of the joints to read, empty for the convention's own order, and the indices of their keypoints.

    The file's names take precedence over its order; if none is a joint of the convention, the number of
    keypoints decides.
    """
    if len(names) == count and (known := _named(names, spec)):
        same = count == spec.num_joints and all(spec.joints.index(j) == at for j, at in known.items())
        return (() if same else tuple(names)), np.arange(count)
    if count == spec.num_joints:
        return (), np.arange(count)
    if (count, spec.name) in _PARTS:
        return (), np.array(_PARTS[count, spec.name])
    hint = f"; is its convention {_USUAL[count]}?" if count in _USUAL else ""
    raise place.wrong(
        f"a person has {count} keypoints, {spec.name} has {spec.num_joints} joints{hint}", remedy=LINES
    )


def _named(names: Sequence[str], spec: SkeletonSpec) -> dict[str, int]:
    """Joint of the convention -> index of the keypoint with its name."""
    at = {name.casefold(): place for place, name in enumerate(names)}
    called = skeletons.naming(spec.name).synonyms if spec.name in skeletons.names() else {}
    known = {
        joint: next((at[n.casefold()] for n in (joint, *called.get(joint, ())) if n.casefold() in at), -1)
        for joint in spec.joints
    }
    return {joint: place for joint, place in known.items() if place >= 0}


def _has_identities(frames: Frames) -> bool:
    """Whether the file identifies every person, and nobody occurs twice in a frame."""
    ids = [[somebody.track for somebody in there] for there in frames.values()]
    return all(None not in here and len(set(here)) == len(here) for here in ids)


def _tracks(frames: Frames, first: int, shape: tuple[int, int]) -> NDArray[np.int64]:
    out = np.full(shape, -1, np.int64)
    for number, there in frames.items():
        out[number - first, : len(there)] = np.array([somebody.track for somebody in there], np.int64)
    return out


# --- numbered frames ----------------------------------------------------------------------------------------

Numbering = Callable[[str], tuple[str, int | None]]
"""Stem of a frame's file -> (clip name, frame number)."""

_NUMBERED = re.compile(r"(.*?)[ _.\-]*([0-9]{1,15})", re.DOTALL)


def numbered(stem: str) -> tuple[str, int | None]:
    """Split the stem of a frame's file into clip name and frame number: ``walk_p1_000012`` is frame 12 of
    ``walk_p1``. The number is None if the stem does not end in one."""
    match = _NUMBERED.fullmatch(stem)
    return (stem, None) if match is None else (match[1], int(match[2]))


def is_numbered(file: Path) -> bool:
    """Whether a file may be one frame: JSON whose name ends in a number."""
    return file.suffix.lower() == SUFFIXES[0] and numbered(file.stem)[1] is not None


def of_image(name: str) -> tuple[str, int | None]:
    """Split the name of an image file into clip (its folder, and its name before the number) and frame."""
    *folders, file = _plain(name)
    clip, number = numbered(file)
    return "/".join((*folders, *((clip,) if clip else ()))), number


def of_video(name: str) -> str:
    """The clip name for a video file or folder."""
    return "/".join(_plain(name))


def _plain(name: str) -> list[str]:
    """The parts of a path without ``.`` and ``..``, the last one without suffix."""
    parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".", "..")] or [""]
    return [*parts[:-1], re.sub(r"\.[A-Za-z]{2,4}[0-9]?$", "", parts[-1])]


def clips(folder: Path, files: Sequence[Path], number: Numbering) -> list[Clip]:
    """Group single-frame files into clips, by folder and the name before the number.

    If a folder has only one such name, the clip is named after the folder. ``member`` is the clip's name, for
    findings: file names of frames are the same in all folders.
    """
    groups: dict[tuple[Path, str], list[Path]] = {}
    for file in files:
        groups.setdefault((file.parent, number(file.stem)[0]), []).append(file)
    names_in = Counter(parent for parent, _ in groups)
    made = []
    for (parent, prefix), frames in groups.items():
        place = parent.relative_to(folder).as_posix()
        if place == ".":
            name = prefix or frames[0].stem
        else:
            name = place if not prefix or names_in[parent] == 1 else f"{place}/{prefix}"
        size = sum(frame.stat().st_size for frame in frames)
        first = min(frames, key=lambda frame: number(frame.stem)[1] or 0)
        made.append(Clip(name, first, name, size))
    return made


def clips_of_both(folder: Path, files: Sequence[Path], is_frame: Callable[[Path], bool]) -> list[Clip]:
    """Clips of a mixture of numbered single-frame files, which form clips, and files that are a clip each."""
    frames = [file for file in files if is_frame(file)]
    whole = sorted(set(files) - set(frames))
    return [*clips(folder, frames, numbered), *(clip_of_file(folder, file) for file in whole)]


def frame_contents(
    item: RawItem, number: Numbering = numbered, holds: Callable[[Path], bool] = lambda _: True
) -> Iterator[tuple[int, Path, Any]]:
    """(frame, file, content) in order, for the clip that starts at the item's file.

    Raises RawDataError for a duplicate frame, too many bytes, or a file that is not JSON.
    """
    first = Path(item.path)
    files: dict[int, Path] = {}
    size = 0
    try:
        for frame, name in _of_folder(first.parent, number).get(number(first.stem)[0], ()):
            file = first.parent / name
            if not holds(file):
                continue
            if (other := files.setdefault(frame, file)) is not file:
                raise RawDataError(f"frame {frame} is there twice, also as {other.name}", where=file)
            size += file.stat().st_size
    except OSError as error:
        raise RawDataError(f"cannot be read ({error.strerror})", where=item.path) from error
    if size > MAX_BYTES:
        raise RawDataError(f"{size} bytes are too many for one clip (limit {MAX_BYTES})", where=item.path)
    for frame, file in files.items():
        yield frame, file, content(replace(item, path=str(file)))


@while_unchanged(4)
def _of_folder(folder: Path, number: Numbering) -> dict[str, list[tuple[int, str]]]:
    """Clip name -> sorted (frame, file) pairs; cached, as a folder may hold thousands of clips."""
    by_clip: dict[str, list[tuple[int, str]]] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() == ".json" and not file.name.startswith(".") and file.is_file():
            clip, frame = number(file.stem)
            by_clip.setdefault(clip, []).append((frame or 0, file.name))
    return {clip: sorted(frames) for clip, frames in by_clip.items()}
