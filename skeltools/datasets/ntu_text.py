"""Parse the text of a Kinect ``.skeleton`` file into arrays.

    number of frames
    per frame: number of bodies, then per body
        10 fields: body id (17 digits), 6 states, lean x, lean y, tracking state
        number of joints (25)
        25 lines of 12 fields: x y z (metres), depth x y, colour x y, orientation w x y z, tracking state

There are two parsers, which agree. The quick one finds all tokens of the file at once with NumPy, checks that
every line begins where the format says, and decodes only the three of twelve columns that are kept. Whatever
does not fit exactly goes to the careful one, which reads line by line and can describe the line at which it
stops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from schemas import RawDataError

JOINTS = 25
BODY_FIELDS = 10
JOINT_FIELDS = 12
MAX_ID = 2**64 - 1
"""Largest tracking id; Kinect's ids are unsigned 64-bit integers."""

_BODY_TOKENS = BODY_FIELDS + 1 + JOINTS * JOINT_FIELDS
_EXACT_DIGITS = 15
"""Integers of up to this many digits, and powers of ten up to 22, are exact in float64.

Their quotient is therefore rounded once, as by ``float`` (Clinger, "How to read floating point numbers
accurately", PLDI 1990).
"""

_BLOCK = 2**16
"""Characters examined together.

With small intermediate arrays, and one array larger than all others together (``edge``), malloc keeps its
memory between clips; returning and fetching it again cost as much as the parsing.
"""

_POWERS = np.array([10.0**k for k in range(_EXACT_DIGITS + 1)])


@dataclass(frozen=True)
class Bodies:
    """All bodies of a file in file order; B bodies over all frames."""

    frames: int
    frame: NDArray[np.int64]
    """[B]: frame of the body."""
    place: NDArray[np.int64]
    """[B]: position among the bodies of its frame."""
    ids: list[int]
    joints: NDArray[np.float32]
    """[B, V, 3] metres; a value that is not a finite number in the file is not finite here."""
    extra_line: int = 0
    """Line at which data continue after the last frame; 0 if they do not."""


def parse(data: bytes, *, where: object = None, joints: int = JOINTS) -> Bodies:
    """Parse the text; raises RawDataError with the line number when ``data`` is not in the format, with this
    number of joints V."""
    quick = _parse_quickly(data) if joints == JOINTS else None
    return _parse_carefully(data, where, joints) if quick is None else quick


# --- quick --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tokens:
    """Tokens of a text: token i of ``data`` is ``data[start[i]:stop[i]]``."""

    data: bytes
    text: NDArray[np.uint8]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]

    def __getitem__(self, i: int) -> bytes:
        return self.data[self.start[i] : self.stop[i]]


def tokenise(data: bytes) -> Tokens | None:
    """Find all tokens; None if there are control characters, which ``bytes.split`` treats specially."""
    data = b"\n" + data.rstrip() + b"\n" + b" " * (_EXACT_DIGITS + 2)  # so that the last token has a window
    text = np.frombuffer(data, np.uint8)
    edge = np.empty(len(text), np.int64)
    count = 0
    for begin in range(0, len(text) - 1, _BLOCK):
        block = text[begin : begin + _BLOCK + 1]  # one character more: the edge between two blocks
        blank = block <= ord(" ")
        if np.count_nonzero(blank) != sum(np.count_nonzero(block == code) for code in b" \n\r"):
            return None
        here = np.flatnonzero(blank[:-1] != blank[1:])
        np.add(here, begin + 1, out=edge[count : count + len(here)])
        count += len(here)
    return Tokens(data, text, edge[:count:2], edge[1:count:2])


def _parse_quickly(data: bytes) -> Bodies | None:
    """Parse a text without anything unusual; None for any other."""
    tokens = tokenise(data)
    plan = None if tokens is None else _plan(tokens)
    if tokens is None or plan is None:
        return None
    heads, frame, place, body = plan
    if not _lines_begin_as_planned(tokens, heads, body):
        return None
    ids = [_unsigned(tokens[i]) for i in body.tolist()]
    joints = (body + BODY_FIELDS + 1)[:, None] + JOINT_FIELDS * np.arange(JOINTS)
    values = decimals(tokens, (joints[..., None] + np.arange(3)).ravel())
    if values is None or any(i is None or i > MAX_ID for i in ids):
        return None
    known = [i for i in ids if i is not None]
    return Bodies(len(heads), frame, place, known, to_float32(values).reshape(-1, JOINTS, 3))


def _plan(tokens: Tokens) -> tuple[NDArray[np.int64], ...] | None:
    """Tokens of frame lines; frame, place and first token of each body; None if they do not add up."""
    count = len(tokens.start)
    total = _unsigned(tokens[0]) if count else None
    if total is None or total > count:
        return None
    heads, bodies, token = [], [], 1
    for frame in range(total):
        number = _unsigned(tokens[token]) if token < count else None
        if number is None or number * _BODY_TOKENS > count - token:
            return None
        heads.append(token)
        bodies += [(frame, place, token + 1 + place * _BODY_TOKENS) for place in range(number)]
        token += 1 + number * _BODY_TOKENS
    if token != count:
        return None
    table = np.array(bodies, dtype=np.int64).reshape(-1, 3)
    return np.array(heads, dtype=np.int64), table[:, 0], table[:, 1], table[:, 2]


def _lines_begin_as_planned(tokens: Tokens, heads: NDArray[np.int64], body: NDArray[np.int64]) -> bool:
    """Whether line breaks precede exactly the planned tokens, and each body has 25 joints."""
    number = body + BODY_FIELDS
    joints = number[:, None] + 1 + JOINT_FIELDS * np.arange(JOINTS)
    first = np.concatenate([[0], heads, body, number, joints.ravel()])
    at = tokens.start[number]
    return bool(
        np.count_nonzero(tokens.text == ord("\n")) == len(first) + 1
        and (tokens.text[tokens.start[first] - 1] == ord("\n")).all()
        and (tokens.stop[number] - at == 2).all()
        and (tokens.text[at] == ord("2")).all()
        and (tokens.text[at + 1] == ord("5")).all()
    )


def decimals(tokens: Tokens, which: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Values of tokens, exactly as ``float`` reads them; None if one is not a number.

    Plain decimals, which are nearly all, are decoded together: characters as a matrix with one row per
    column.
    """
    start = tokens.start[which]
    length = (tokens.stop[which] - start).clip(max=255).astype(np.uint8)
    width = min(int(length.max(initial=1)), _EXACT_DIGITS + 2)
    column = np.arange(width, dtype=np.uint8)[:, None]
    chars = np.ascontiguousarray(sliding_window_view(tokens.text, width)[start].T)
    digit = chars ^ np.uint8(ord("0"))
    is_digit = (digit < 10) & (column < length)
    is_dot = (chars == ord(".")) & (column < length)
    digits, dots = is_digit.sum(axis=0, dtype=np.uint8), is_dot.sum(axis=0, dtype=np.uint8)
    negative = chars[0] == ord("-")
    plain = (digits + dots + negative == length) & (dots <= 1) & (digits > 0) & (digits <= _EXACT_DIGITS)

    mantissa = np.zeros(len(which))
    for row, mask in zip(digit, is_digit, strict=True):
        mantissa = np.where(mask, mantissa * 10 + row, mantissa)
    before_dot = (is_dot * column).sum(axis=0, dtype=np.uint8)
    decimals = (length - np.uint8(1) - before_dot) * (plain & (dots == 1))
    values = mantissa / _POWERS.take(decimals)
    np.negative(values, where=negative, out=values)
    for i in np.flatnonzero(~plain).tolist():
        value = as_number(tokens[which[i]])
        if value is None:
            return None
        values[i] = value
    return values


# --- careful ------------------------------------------------------------------------------------------------


def _parse_carefully(data: bytes, where: object, size: int) -> Bodies:
    if not data.strip():
        raise _wrong("the file is empty", where)
    lines = data.rstrip().split(b"\n")
    take = _line_taker(lines, where)
    total = take("the number of frames", _count)
    if total > len(data) // 2:
        raise _wrong(f"line 1: promises {total} frames, but {len(data)} bytes cannot hold them", where)
    ids, places, joints, read = [], [], [], 1
    for frame in range(total):
        of = f" of frame {frame + 1} of {total}"
        number = take(f"the number of bodies{of}", _count)
        for place in range(number):
            ids.append(take(f"the {BODY_FIELDS} fields of a body{of}", _body_id))
            take(f"the number of joints, {size},{of}", lambda fields: _count(fields) == size or None)
            joints.append([take(f"the {JOINT_FIELDS} fields of a joint{of}", _joint) for _ in range(size)])
            places.append((frame, place))
        read += 1 + number * (2 + size)
    table = np.array(places, dtype=np.int64).reshape(-1, 2)
    values = to_float32(np.array(joints, dtype=np.float64).reshape(-1, size, 3))
    return Bodies(total, table[:, 0], table[:, 1], ids, values, read + 1 if len(lines) > read else 0)


def _line_taker(lines: list[bytes], where: object) -> Callable[[str, Callable[[list[bytes]], Any]], Any]:
    """Return a function that takes the next line and parses its fields, or reports what was expected."""
    numbered = enumerate(lines, start=1)

    def take(expected: str, parse_fields: Callable[[list[bytes]], Any]) -> Any:
        number, line = next(numbered, (0, b""))
        if number == 0:
            raise _wrong(f"truncated: ends with line {len(lines)}, before {expected}", where)
        fields = line.split()
        value = parse_fields(fields)
        if value is None:
            what = f"{_shown(fields)}{' and the end of the file' if number == len(lines) else ''}"
            raise _wrong(f"line {number}: expected {expected}, found {what}", where)
        return value

    return take


def _wrong(message: str, where: object) -> RawDataError:
    remedy = "The file is damaged or no NTU skeleton: fetch it again"
    return RawDataError(message, where=where, remedy=remedy)


def _count(fields: list[bytes]) -> int | None:
    return _unsigned(fields[0]) if len(fields) == 1 else None


def _body_id(fields: list[bytes]) -> int | None:
    body = _unsigned(fields[0]) if len(fields) == BODY_FIELDS else None
    return None if body is None or body > MAX_ID else body


def _joint(fields: list[bytes]) -> list[float] | None:
    values = [as_number(field) for field in fields[:3]]
    known = [value for value in values if value is not None]
    return known if len(fields) == JOINT_FIELDS and len(known) == 3 else None


def _shown(fields: list[bytes]) -> str:
    text = b" ".join(fields)
    if not text:
        return "an empty line"
    if not (text.isascii() and text.decode().isprintable()):
        return "binary data"
    return f"{len(fields)} fields: '{text[:40].decode()}'" if len(fields) > 1 else f"'{text[:40].decode()}'"


# --- fields -------------------------------------------------------------------------------------------------


def _unsigned(token: bytes) -> int | None:
    """Parse an unsigned integer without float64, in which ids of 17 digits would merge."""
    return int(token) if token.isdigit() and len(token) <= 20 else None


def as_number(token: bytes) -> float | None:
    """As ``float``, but Microsoft's ``-1.#IND`` and the like are nan, and Python's ``1_0`` is no number."""
    if b"#" in token:
        return float("nan") if token.lstrip(b"-")[:3] == b"1.#" else None
    try:
        return None if b"_" in token else float(token)
    except ValueError:
        return None


def to_float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # 1e300 becomes infinite, and is then treated like nan
        return values.astype(np.float32)
