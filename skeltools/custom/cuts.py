"""Cut clips out of recordings: rows of a table with start and end, and windows of equal length.

The cut is determined during discovery (``RawItem.details``: ``start`` and ``end``, frames from 0 or numbers
of the file's own, end excluded) and made when a clip is read. Only these frames of an array are read, so a
recording may exceed the size limit of a clip; others are read once for all of their clips.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from schemas import Finding, RawDataError, SkeletonSpec
from skeltools.custom.clip_files import Poses
from skeltools.custom.layouts import DEFAULT
from skeltools.custom.settings import Settings, Windows
from skeltools.files.unchanged import while_unchanged
from skeltools.raw_items import MAX_BYTES, RawItem, finding

ARRAYS = (".npy", ".npz", ".h5", ".hdf5")
MAX_WINDOWS = 100_000
"""Most windows of a recording: more indicate a damaged header or a mistaken stride."""
COLUMNS = ("start", "end")
REMEDY = (
    "Cut the recording: a table with the columns start and end, or windows: {length: ...} in dataset.yaml"
)

_MAX_FRAME = 10**9
_NUMBERS = "frame_numbers"
_LATE = "ends after the recording"
_CUT = "cut to the recording"
_BELONG = "Do start and end belong to this file, in the unit that `segments` says?"
_NUMBER = re.compile(r"\d{1,9}(\.\d{0,9})?", re.ASCII)

Window = tuple[int, int | None]
"""First frame, and the one after the last; None: to the end of the recording."""
Read = Callable[[RawItem, Settings, SkeletonSpec], Poses]


# --- rows of a table ----------------------------------------------------------------------------------------


def window_of_row(cells: Mapping[str, str], settings: Settings, rate: float | None) -> tuple[Window, str]:
    """The frames that a row of the table gives, and a description of its error, or an empty text.

    An empty cell means the beginning or the end of the recording. ``rate``: its frames per second, if known.
    """
    values: list[int | None] = []
    for column in COLUMNS:
        text = cells.get(column, "")
        value, wrong = _frame(column, text, settings, rate) if text else (None, "")
        if wrong:
            return (0, None), wrong
        values.append(value)
    start, end = values[0] or 0, values[1]
    if end is not None and end <= start:
        return (0, None), f"frames {start} to {end} are none: the end is not after the start"
    return (start, end), ""


def _frame(column: str, text: str, settings: Settings, rate: float | None) -> tuple[int, str]:
    """Convert a cell to a frame from 0, or a number of the file's own, ends excluded; seconds are rounded to
    the nearest frame."""
    how = settings.segments
    if not _NUMBER.fullmatch(text):
        return 0, f"{column} '{text[:20]}' is no number from 0"
    value = float(text)
    if how.unit == "seconds":
        if rate is None:
            return 0, "its file states no rate: say how many frames a second has, by `fps` in dataset.yaml"
        frame = math.floor(value * rate + 0.5)
        return (frame, "") if frame < _MAX_FRAME else (0, f"{column} {text[:20]} is beyond any recording")
    if value != int(value):
        return 0, f"{column} '{text[:20]}' is no frame; seconds need segments: {{unit: seconds}} and fps"
    frame = int(value) - how.first + (column == "end" and how.end == "inclusive")
    return (frame, "") if frame >= 0 else (0, f"{column} {text[:20]} is before frame {how.first}")


# --- windows ------------------------------------------------------------------------------------------------


def windows(frames: int, how: Windows) -> list[Window]:
    """Windows of a recording; one shorter than a window is a single window. Leftover frames are dropped.

    Raises RawDataError for more than ``MAX_WINDOWS``.
    """
    stride = how.stride or how.length
    count = max(0, frames - how.length) // stride + 1
    if count > MAX_WINDOWS:
        message = f"{frames} frames make {count} windows (limit {MAX_WINDOWS})"
        raise RawDataError(message, remedy="Give windows a longer stride")
    return [(first * stride, min(first * stride + how.length, frames)) for first in range(count)]


# --- reading ------------------------------------------------------------------------------------------------


def details(window: Window | None) -> tuple[tuple[str, int], ...]:
    """A window in the form of ``RawItem.details``."""
    if window is None:
        return ()
    start, end = window
    return (("start", start),) if end is None else (("start", start), ("end", end))


def window_of(item: RawItem) -> Window | None:
    """The frames of this clip; None: all frames of its file."""
    known = dict(item.details)
    return (known["start"], known.get("end")) if "start" in known else None


def is_array(item: RawItem, settings: Settings) -> bool:
    """Whether the clip's frames can be read alone: from an array with a separate axis for frames."""
    return Path(item.path).suffix.lower() in ARRAYS and "T" in (settings.layout or DEFAULT).split()


def slices(shape: tuple[int, ...], item: RawItem, settings: Settings) -> tuple[slice, ...]:
    """The slices of an array of this shape to read. Raises RawDataError for frames that do not exist."""
    window = window_of(item)
    axis = len(shape) if window is None else time_axis(settings)
    if window is None or axis >= len(shape):
        return (slice(None),) * len(shape)
    if settings.segments.unit == _NUMBERS:
        raise _without_numbers(item)
    taken = _inside(window, shape[axis], item)
    return (*(slice(None),) * axis, taken, *(slice(None),) * (len(shape) - axis - 1))


def time_axis(settings: Settings) -> int:
    """The axis of arrays that counts frames."""
    return (settings.layout or DEFAULT).split().index("T")


def check_size(shape: tuple[int, ...], itemsize: int, item: RawItem) -> None:
    """Raise RawDataError for more bytes than a clip may have, before memory is allocated."""
    size = math.prod(shape) * itemsize
    if size > MAX_BYTES:
        message = f"{size} bytes are too many for one clip (limit {MAX_BYTES})"
        raise RawDataError(message, where=item.where, remedy=REMEDY)


def check_text(item: RawItem) -> None:
    """Raise RawDataError for a text file above the size limit."""
    if item.size > MAX_BYTES:
        raise RawDataError(
            f"{item.size} bytes are too many for one file of text (limit {MAX_BYTES})",
            where=item.where,
            remedy="Write it as .npy or HDF5: of these only the frames of a clip are read",
        )


def of_poses(read: Read, item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """The clip's frames of a file that is read whole; cached, as clips of a recording are read in turn."""
    window = window_of(item)
    if window is None:
        return read(item, settings, spec)
    whole = replace(item, id="", details=tuple(pair for pair in item.details if pair[0] == "settings"))
    poses = _read_whole(item.path, _Recording(read, whole, settings, spec))
    if isinstance(poses, RawDataError):
        raise poses
    by_number = settings.segments.unit == _NUMBERS
    hint = _otherwise(poses, settings) or _BELONG
    length = len(poses.values)
    taken = _by_number(window, poses, item) if by_number else _inside(window, length, item, hint)
    score = None if poses.score is None else poses.score[taken]
    track = None if poses.track is None else poses.track[taken]
    numbers = None if poses.numbers is None else poses.numbers[taken]
    noticed = (*poses.findings, *_of_numbers(window, poses, item, settings))
    return replace(
        poses, values=poses.values[taken], score=score, track=track, numbers=numbers, findings=noticed
    )


@dataclass(frozen=True)
class _Recording:
    read: Read
    item: RawItem
    settings: Settings = field(compare=False)
    spec: SkeletonSpec = field(compare=False)


@while_unchanged(1)
def _read_whole(_path: str, recording: _Recording) -> Poses | RawDataError:
    """Read a recording. The error of a damaged file is cached as well, as each of its clips asks for it."""
    try:
        return recording.read(recording.item, recording.settings, recording.spec)
    except RawDataError as error:
        return error


def _inside(window: Window, frames: int, item: RawItem, hint: str = _BELONG) -> slice:
    start, end = window
    if start >= frames:
        raise RawDataError(
            f"begins at frame {start} of {item.id}, but the recording has {frames} frames",
            where=item.where,
            remedy=hint,
        )
    return slice(start, end)


def _by_number(window: Window, poses: Poses, item: RawItem) -> slice:
    """The frames that have these numbers in the file. Raises RawDataError if none does."""
    if poses.numbers is None or poses.uncounted:
        raise _without_numbers(item, poses.uncounted)
    start, end = window
    first, last = int(poses.numbers[0]), int(poses.numbers[-1])
    begin, stop = np.searchsorted(poses.numbers, (start, last + 1 if end is None else end)).tolist()
    if begin >= stop:
        raise RawDataError(
            f"frames {start} to {last if end is None else end} of {item.id} are not there: "
            f"the file's are numbered {first} to {last}",
            where=item.where,
            remedy=_BELONG,
        )
    return slice(begin, stop)


def _without_numbers(item: RawItem, setting: str = "") -> RawDataError:
    return RawDataError(
        "`segments` is in frame_numbers, but no column of the file is known to hold them",
        where=item.where,
        remedy=f"{setting or '`csv: {columns: {frame: NAME}}`'} names it, for text",
    )


def _of_numbers(window: Window, poses: Poses, item: RawItem, settings: Settings) -> tuple[Finding, ...]:
    """Findings about segments of a file with frame numbers: an end after the last of them, or segments that
    count frames which the file numbers otherwise."""
    numbers = poses.numbers
    if numbers is None:
        return ()
    last = int(numbers[-1])
    if (
        settings.segments.unit == _NUMBERS
        and window[1] is not None
        and window[1] > 2 * last + 1 - int(numbers[-2:][0])
    ):
        detail = f"frames {window[0]} to {window[1] - 1} of {item.id}, which ends with frame {last}"
        return (finding(item, _LATE, detail=detail, action=_CUT),)
    detail = _otherwise(poses, settings)
    action = "counted as `segments` says"
    return (finding(item, "frames counted, not numbered", detail=detail, action=action),) if detail else ()


def _otherwise(poses: Poses, settings: Settings) -> str:
    """What to write if segments, which count frames, mean the file's own numbers; empty if both agree."""
    numbers, by_table = poses.numbers, settings.labels is not None and settings.windows is None
    if numbers is None or not by_table or settings.segments.unit != "frames":
        return ""
    first, last = int(numbers[0]), int(numbers[-1])
    if first in (0, 1) and (np.diff(numbers) == 1).all():
        return ""
    also = f" and {poses.uncounted}" if poses.uncounted else ""
    return (
        f"start and end count frames from {settings.segments.first}, and the file numbers them {first} to "
        f"{last}. Are they such numbers? `segments: {{unit: frame_numbers}}`{also}"
    )


def findings(item: RawItem, frames: int, settings: Settings) -> tuple[Finding, ...]:
    """Findings about a clip of which ``frames`` frames exist."""
    window = window_of(item)
    if window is None or window[1] is None or settings.segments.unit == _NUMBERS:
        return ()
    missing = window[1] - window[0] - frames
    if missing <= 0:
        return ()
    detail = f"{missing} of {window[1] - window[0]} frames of {item.id}"
    return (finding(item, _LATE, detail=detail, action=_CUT),)
