"""The two text formats of PKU-MMD: skeletons of a whole video, and the table of its actions.

Skeletons: one line per frame, with 150 numbers separated by any white space (most lines begin with a blank):
joints 1..25 of body 1 as x y z, then those of body 2; an absent body is all zeros. Numbers are decoded
together, like those of NTU (``ntu_text``), in blocks that bound the memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from schemas import Finding, RawDataError
from skeltools.datasets.ntu_text import Tokens, as_number, decimals, to_float32, tokenise

JOINTS, BODIES = 25, 2
NUMBERS = BODIES * JOINTS * 3

_BLOCK = 256
"""Frames whose numbers are decoded together, so that the character tables stay within the cache."""
_REMEDY = "The file is damaged or no PKU-MMD skeleton: fetch it again"


def parse_skeletons(data: bytes, *, where: object = None) -> NDArray[np.float32]:
    """Parse skeletons into [F, 2, 25, 3] metres; a value that is not a finite number is not finite here.

    Lines without a number are not frames. Raises RawDataError with the line number.
    """
    if not data.strip():
        raise RawDataError("the file is empty", where=where, remedy=_REMEDY)
    tokens = tokenise(data)
    frames = None if tokens is None else _parse_quickly(tokens)
    return _parse_carefully(data, where) if frames is None else frames


def _parse_quickly(tokens: Tokens) -> NDArray[np.float32] | None:
    """Parse all lines together; None if a line does not have 150 fields, or one of them is not a number."""
    ends = np.flatnonzero(tokens.text == ord("\n"))
    in_line = np.diff(np.searchsorted(tokens.start, ends))
    if not ((in_line == NUMBERS) | (in_line == 0)).all():
        return None
    count = len(tokens.start) // NUMBERS
    frames = np.empty((count, NUMBERS), np.float32)
    for begin in range(0, count, _BLOCK):
        block = frames[begin : begin + _BLOCK]
        first = begin * NUMBERS
        values = decimals(tokens, np.arange(first, first + block.size))
        if values is None:
            return None
        block[:] = to_float32(values).reshape(block.shape)
    return frames.reshape(count, BODIES, JOINTS, 3)


def _parse_carefully(data: bytes, where: object) -> NDArray[np.float32]:
    frames = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        fields = line.split()
        if not fields:
            continue
        values = [as_number(field) for field in fields[: NUMBERS + 1]]
        known = [value for value in values if value is not None]
        if len(fields) != NUMBERS or len(known) != NUMBERS:
            odd = next((f for f, value in zip(fields, values, strict=False) if value is None), None)
            what = f"{len(fields)} fields" if odd is None else repr(odd[:20].decode("ascii", "replace"))
            raise RawDataError(
                f"line {number}: expected {NUMBERS} numbers (2 bodies x 25 joints x 3), found {what}",
                where=where,
                remedy=_REMEDY,
            )
        frames.append(to_float32(np.array(known)))
    return np.stack(frames).reshape(-1, BODIES, JOINTS, 3)


# --- actions ------------------------------------------------------------------------------------------------

CLASSES = 51


@dataclass(frozen=True)
class Action:
    """One row of a label file: frames ``start:end`` of the video, 0-based, end excluded."""

    ordinal: int
    """Position among the rows of the file, from 1; skipped rows count, so ids are stable."""
    label: int
    """0-based."""
    start: int
    end: int


SWAPPED = "start after end"


def parse_labels(text: str, file: str) -> tuple[list[Action], list[Finding]]:
    """Parse rows ``action, start, end, confidence``; confidence is optional, and blank lines are no rows.

    ``file``: its place, for the findings about rows.
    """
    actions: list[Action] = []
    findings: list[Finding] = []
    ordinal = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        ordinal += 1
        finding = partial(Finding, file=file, place=f"line {number}")
        fields = [field.strip() for field in line.split(",")]
        if len(fields) not in (3, 4) or not all(map(_is_integer, fields)):
            detail = f"'{line.strip()[:60]}', expected action,start,end,confidence as integers"
            findings.append(finding(problem="no row of an action", detail=detail, action="skipped"))
            continue
        label, start, end = map(int, fields[:3])
        if not 1 <= label <= CLASSES:
            detail = f"action {label}, expected 1..{CLASSES}"
            findings.append(finding(problem="unknown action", detail=detail, action="skipped"))
            continue
        if start > end:
            findings.append(finding(problem=SWAPPED, detail=f"{start} > {end}", action="exchanged"))
            start, end = end, start
        if start < 0:
            problem = "starts before the video"
            findings.append(finding(problem=problem, detail=f"frame {start}", action="cut to frame 0"))
            start = 0
        if end <= start:
            findings.append(finding(problem="empty action", detail=f"frames {start}:{end}", action="skipped"))
            continue
        actions.append(Action(ordinal, label - 1, start, end))
    return actions, findings


def _is_integer(field: str) -> bool:
    return field.isascii() and field.removeprefix("-").isdigit() and len(field) < 10
