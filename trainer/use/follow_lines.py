"""Lines of a stream: one frame of JSON per line, and one JSON answer per window.

A line is ``{"joints": ..., "t": 12.5}``, with or without the time, or the joints alone. Joints are [V][3] of
one person or [M][V][3]; ``null`` stands for a coordinate, joint, person or frame that is not seen.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from schemas import RawDataError, SkeletonSpec, UsageError
from trainer.use.answers import Answer, as_records
from trainer.use.follow import FollowedWindow, Frame

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254}
"""Unit -> metres."""
_DIRECTIONS = {
    "left": (1, 0, 0),
    "right": (-1, 0, 0),
    "up": (0, 1, 0),
    "down": (0, -1, 0),
    "forward": (0, 0, 1),
    "backward": (0, 0, -1),
}
"""Directions as seen from the sensor, in the axes of a store."""
_LONGEST = 2**20
"""Maximum bytes per line: ten people of 133 joints take a tenth of it."""
_FORM = 'A line is {"joints": [[x, y, z], ...]}, null where a joint is not seen'
_OF_CLIPS = ("id", "label", "convention")
"""Fields that the record of a clip has and an answer has not."""
OnProblem = Callable[[str], None]


def lines_of(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a stream as they arrive; raises RawDataError for a line that is too long."""
    number = 0
    while line := stream.readline(_LONGEST + 1):
        number += 1
        if len(line) > _LONGEST:
            raise RawDataError(
                f"has more than {_LONGEST} bytes", where=f"line {number}", remedy="Write a frame on each line"
            )
        yield line


def turn(units: str, axes: str) -> NDArray[np.float64]:
    """[3, 3]: coordinates @ turn are metres in the axes of a store; ``axes``: directions of x, y and z.

    Raises UsageError for axes that are not three different ones.
    """
    names = [name.strip() for name in axes.split(",")]
    rows = np.array([_DIRECTIONS.get(name, (0, 0, 0)) for name in names], dtype=np.float64)
    if len(names) != 3 or not (np.abs(rows).sum(axis=0) == 1).all():
        raise UsageError(
            f"'{axes}' are not three axes",
            where="--axes",
            remedy=f"Say where x, y and z point, as left,up,forward. Known: {', '.join(_DIRECTIONS)}",
        )
    return rows * UNITS[units]


def frames_of_lines(
    lines: Iterable[bytes], spec: SkeletonSpec, turned: NDArray[np.float64], *, on_problem: OnProblem
) -> Iterator[Frame]:
    """Frames in canonical axes and metres; blank lines and an incomplete last line are reported and skipped.

    Raises RawDataError, with the number of the line, for anything else that is not a frame of ``spec``, and
    for a stream without frames.
    """
    number = count = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            on_problem(f"line {number}: blank, left out. Write null for a frame in which nobody is seen")
            continue
        try:
            content = json.loads(line, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            if not line.endswith(b"\n"):
                on_problem(f"line {number}: the stream stops in the middle of it; it is left out")
                break
            reason = str(error).split(":")[0] or "too deep"
            raise _wrong(f"is no JSON: {reason}", number, _FORM) from error
        count += 1
        yield _frame(content, spec, turned, number)
    if not count:
        raise RawDataError("the stream is empty", where="the stream", remedy=_FORM)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number, write null")


def _wrong(problem: str, number: int, remedy: str) -> RawDataError:
    return RawDataError(problem, where=f"line {number}", remedy=remedy)


def _frame(content: Any, spec: SkeletonSpec, turned: NDArray[np.float64], number: int) -> Frame:
    t = None
    if isinstance(content, dict):
        if "joints" not in content:
            raise _wrong(f"has no joints, only {', '.join(map(str, content)) or 'nothing'}", number, _FORM)
        t, content = content.get("t"), content["joints"]
        if t is not None and not _is_number(t):
            raise _wrong(f"the time t is {t!r}"[:80], number, "Give a number, or leave it out")
    if content is not None and not isinstance(content, list):
        raise _wrong(f"its joints are of type {type(content).__name__}", number, _FORM)
    people = [_person(each, spec, number) for each in _people(content or [])]
    return Frame(_metres(people, turned, number) if people else None, t)


def _metres(people: list[list[list[float]]], turned: NDArray[np.float64], number: int) -> NDArray[np.float32]:
    """[M, V, 3] in the axes of a store; raises RawDataError for coordinates that overflow float32."""
    with np.errstate(over="ignore"):
        pose = (np.array(people, dtype=np.float64) @ turned).astype(np.float32)
    if np.isinf(pose).any():
        raise _wrong("a coordinate is too large for float32", number, "Coordinates are metres, or --units")
    return pose


def _people(content: Sequence[Any]) -> Sequence[Any]:
    """[M] people; a single person without the outer list is wrapped in one."""
    first = next((each for each in content if each is not None), None)
    if first is None:  # nobody, or one person with no joint seen
        return []
    inner = next((each for each in first if each is not None), None) if isinstance(first, list) else None
    wrapped = isinstance(first, list) and (isinstance(inner, list) or (inner is None and len(first) > 3))
    return content if wrapped else [content]


def _person(given: Any, spec: SkeletonSpec, number: int) -> list[list[float]]:
    """[V][3], NaN where nothing is seen."""
    if given is None:
        return [[math.nan] * 3] * spec.num_joints
    if not isinstance(given, list) or len(given) != spec.num_joints:
        count = f"{len(given)} joints" if isinstance(given, list) else "no list of joints"
        raise _wrong(
            f"{count}, but {spec.name} has {spec.num_joints}: {', '.join(spec.joints[:3])}, ...",
            number,
            "Write null for a joint that is not seen, and the others in the order of `skeltools skeletons`",
        )
    return [_joint(each, place, spec, number) for place, each in enumerate(given)]


def _joint(given: Any, place: int, spec: SkeletonSpec, number: int) -> list[float]:
    if given is None or (isinstance(given, list) and len(given) == 3 and None in given):
        return [math.nan] * 3
    if not isinstance(given, list) or len(given) != 3 or not all(map(_is_number, given)):
        raise _wrong(f"joint {spec.joints[place]} is {given!r}"[:100] + ", expected [x, y, z]", number, _FORM)
    return [float(value) for value in given]


def _is_number(value: Any) -> bool:
    """Whether a value is a finite number; 1e400 is not."""
    try:
        return not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        return False


def as_line(window: FollowedWindow, *, top: int) -> str:
    """The answer for a window, without a line break."""
    record: dict[str, Any] = {"start": window.start, "end": window.stop}
    if window.times != (None, None):
        record["t"] = list(window.times)
    if window.said is None:
        record |= {"class": None, "problem": "nobody is seen"}
    else:
        (said,) = as_records(Answer(("",), (None,), window.said), top=top)
        record |= {name: value for name, value in said.items() if name not in _OF_CLIPS}
    return json.dumps(record, ensure_ascii=False)
