"""Put the rows of a table into frames by the numbers they give, and into bodies by the people they name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas import Finding
from skeltools.custom.clip_files import Poses
from skeltools.custom.layouts import MAX_BODIES, wrong
from skeltools.raw_items import MAX_BYTES, RawItem, finding

LONGEST = 10
"""Gaps that would make a clip more than this many times as long as the frames it has are closed."""
_UNKNOWN = {"", "-1", "nan", "na", "none", "null"}
"""What a column of people holds where a tracker did not know whose pose it is."""
EXACT = 2**53
"""Whole numbers up to this one are exact as float64."""


@dataclass(frozen=True)
class Rows:
    """The rows of a table, each the poses of one frame."""

    values: NDArray[np.float64]
    """[R, M, V, C]: coordinates and score."""
    numbers: NDArray[np.float64]
    """[R] frame numbers, or times, in any order."""
    people: Sequence[str]
    """[R] whose row it is; empty: the table does not say."""
    lines: Sequence[int]
    """[R] line in the file, from 1."""
    one_person: bool
    """Whether the user says that all rows are one person's."""
    candidate: str
    """The column that could tell people apart, as `csv.columns.body` calls it, for a message."""


def placed(rows: Rows, item: RawItem) -> Poses:
    """The poses [T, M, V, C], C with the score, sorted by frame; frames without a row are NaN.

    The lowest number is the first frame, and the greatest common divisor of the differences is one frame, so
    that 0, 2, 4, ... are consecutive. Times, which are not whole, and numbers with gaps that would make the
    clip ``LONGEST`` times as long only give the order. Several people become tracks; where some rows do not
    say whose they are, all are linked by position. Raises RawDataError for two rows of a frame without a
    column that says whose they are, and for too many people.
    """
    known = {name: number for number, name in enumerate(dict.fromkeys(rows.people))}
    who = np.array([known[name] for name in rows.people] or [0] * len(rows.numbers), dtype=np.int64)
    nobody = np.array([name.casefold() in _UNKNOWN for name in rows.people] or [False] * len(who))
    who[nobody] = len(known) + np.arange(nobody.sum())  # each may be anybody
    order = np.lexsort((who, rows.numbers))
    order, findings = _once(order, who, rows, item)
    findings += _sorted(order, who, rows, item)
    values, who = rows.values[order], who[order]
    frames, numbers, gaps = _frames(rows.numbers[order], values[0].nbytes, item)
    findings += gaps
    place = np.arange(len(frames)) - np.searchsorted(frames, frames)
    length, bodies = int(frames[-1]) + 1, int(place.max()) + 1
    if bodies > MAX_BODIES or length * bodies * values[0].nbytes > MAX_BYTES:
        raise wrong(item, f"{bodies} people in a frame, {length} frames: is the column of people right?")
    whole = np.full((length, bodies, *values.shape[1:]), np.nan)
    whole[frames, place] = values
    whole = whole.reshape(length, -1, *values.shape[2:])
    if len(known) < 2 or nobody.any():
        return Poses(whole, linked=bodies == 1, numbers=numbers, findings=tuple(findings))
    track = np.full((length, bodies), -1)
    track[frames, place] = who
    return Poses(whole, linked=False, track=track, numbers=numbers, findings=tuple(findings))


def _once(
    order: NDArray[np.int64], who: NDArray[np.int64], rows: Rows, item: RawItem
) -> tuple[NDArray[np.int64], list[Finding]]:
    """The rows in ``order`` without those that repeat a frame of a person."""
    numbers = rows.numbers[order]
    repeated = np.zeros(len(order), dtype=bool)
    repeated[1:] = (numbers[1:] == numbers[:-1]) & (np.diff(who[order]) == 0)
    if not repeated.any():
        return order, []
    at = np.flatnonzero(repeated)
    first, second = (rows.values[order[n]].reshape(len(at), -1) for n in (at - 1, at))
    alike = ((first == second) | (np.isnan(first) & np.isnan(second))).all(axis=1)
    odd = at if alike.all() else at[~alike]
    place, before = odd[0], odd[0] - 1
    lines = f"lines {rows.lines[order[before]]} and {rows.lines[order[place]]}"
    what = f"frame {numbers[place]:.15g} in {lines}"
    if not alike.all() and not rows.one_person and len(set(rows.people)) < 2:
        raise wrong(
            item,
            f"{what} has different poses. Several people? `csv: {{columns: {{body: {rows.candidate}}}}}` "
            "names their column. Several clips? `csv: {clip: NAME}` names theirs. One person? `bodies: 1` "
            "takes the first row of a frame. `csv: {columns: {frame: null}}` takes all rows in their order",
        )
    same = "equal rows" if alike.all() else "different poses"
    detail = f"{len(at)} rows, e.g. {what}: {same}"
    return order[~repeated], [finding(item, "frame twice", detail=detail, action="the first row is used")]


def _sorted(order: NDArray[np.int64], who: NDArray[np.int64], rows: Rows, item: RawItem) -> list[Finding]:
    """A finding if the rows of a person are not in the order of their frames."""
    taken = np.sort(order)
    by_person = taken[np.argsort(who[taken], kind="stable")]
    steps = np.diff(rows.numbers[by_person])
    back = np.flatnonzero((steps < 0) & (np.diff(who[by_person]) == 0))
    if not back.size:
        return []
    first, second = by_person[back[0]], by_person[back[0] + 1]
    numbers = f"frame {rows.numbers[second]:.15g} follows frame {rows.numbers[first]:.15g}"
    place = f"line {rows.lines[second]}"
    return [finding(item, "rows out of order", place=place, detail=numbers, action="sorted by frame")]


def _frames(
    numbers: NDArray[np.float64], size: int, item: RawItem
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None, list[Finding]]:
    """Index of the frame of each row, from sorted numbers; the number of each frame, None for times; and
    findings about gaps. ``size``: bytes of a row."""
    each, ranks = np.unique(numbers, return_inverse=True)
    if not are_whole(each).all():
        return ranks, None, []
    whole = each.astype(np.int64)
    step = int(np.gcd.reduce(np.diff(whole))) if len(whole) > 1 else 1
    places = (whole - whole[0]) // step
    length = int(places[-1]) + 1
    missing = length - len(whole)
    if not missing:
        return ranks, whole, []
    gap = int(np.argmax(np.diff(whole)))
    between = f"between {whole[gap]} and {whole[gap + 1]}"
    if length > LONGEST * len(whole) or length * size > MAX_BYTES:
        detail = f"{len(whole)} frames are numbered {whole[0]} to {whole[-1]}, the longest gap is {between}"
        row = finding(item, "frame numbers far apart", detail=detail, action="sorted, and the gaps closed")
        return ranks, whole, [row]
    detail = f"{missing} of {length}, most of them {between}"
    row = finding(item, "frames without a row", detail=detail, action="nobody is present in them")
    return places[ranks], whole[0] + step * np.arange(length), [row]


def are_whole(numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of them can be frame numbers: whole, and exact."""
    with np.errstate(invalid="ignore"):
        return np.asarray((numbers == np.floor(numbers)) & (np.abs(numbers) < EXACT))
