"""Interpret the header of a table: which columns are joint coordinates, frame or time, or anything else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise, takewhile

from schemas import Naming, SkeletonSpec


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_FRAMES = _set(
    "frame frames frameno framenr framenum framenumber frameid frameindex subframe time timestamp timestamps "
    "timesec times timecode t ts ms sec secs seconds index idx sample samples unnamed0"
)
"""Names of columns that hold frame numbers or times."""
_COUNTING = _set("no nr num number id count s us ns 0")
"""Words that may follow those."""
_SCORES = _set(
    "score scores conf confidence likelihood visibility visible state tracked trackingstate prob probability "
    "presence"
)
_SHORT_SCORES = _set("s c p v")
"""Score, confidence, probability, visibility; only as the last word or before a number: ``hip_c``, ``v1``."""
_OTHER = _set(
    "rot rotation rotations quat quaternion orientation angle angles euler velocity vel acceleration acc "
    "qx qy qz qw rx ry rz rotx roty rotz speed residual error"
)
"""A column with one of these words is not a position."""
_NOISE = _set(
    "position positions pos translation trans coord coordinate coordinates loc location joint joints marker "
    "bone keypoint landmark kp world global mm cm"
)
"""Words that carry no information in a name."""
_UNITS = re.compile(
    r"[(\[](mm|cm|m|(?:milli|centi)?met(?:re|er)s?|px|pixels?|s|ms|seconds)[)\]]", re.IGNORECASE
)
_BODY = re.compile(r"(?:person|people|body|player|user|subject|skeleton|human|p|b|s)?\d{1,3}")
_NUMBERED = re.compile(r"(?:joint|j|kp|keypoint|landmark|point|marker|m|p)?(\d{1,3})")
_BETWEEN = re.compile(
    r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])"
)
_SIDES = {"left": "left", "l": "left", "lft": "left", "right": "right", "r": "right", "rt": "right"}


_TITLES = 8
"""Most rows of a header that are considered."""


Place = tuple[str, int, str]
"""(body, joint, axis)."""


@dataclass(frozen=True)
class Column:
    """A possible meaning of a label: ``words`` name a joint (maybe of a ``body``), ``axis`` is in "xyzs"."""

    words: tuple[str, ...]
    axis: str
    body: str = ""


def is_frame(label: str) -> bool:
    """Whether a column holds frame numbers or times."""
    words = words_of(_UNITS.sub(" ", label))
    behind = set(words[1:]) <= _FRAMES | _COUNTING
    return "".join(words) in _FRAMES or bool(words and words[0] in _FRAMES and behind)


def key(name: str) -> str:
    """Normalise a name: lower case, no blanks or punctuation."""
    return "".join(re.findall(r"[^\W_]+", name.casefold()))


def words_of(label: str) -> list[str]:
    """Split a label into lower-case words: ``leftHip1_X`` -> left, hip, 1, x."""
    parts = re.findall(r"[^\W_]+", label)
    return [word.casefold() for part in parts for word in _BETWEEN.split(part)]


def meanings(label: str) -> Iterator[Column]:
    """Possible meanings of a label, the likeliest first; none if it is not a coordinate."""
    label = _UNITS.sub(" ", label.strip().strip('"'))
    before, colon, behind = label.rpartition(":")
    words = words_of(label)
    if _OTHER & set(words):
        return
    yield from _split(words)
    if colon and (body := key(before)):
        yield from (Column(c.words, c.axis, body) for c in _split(words_of(behind)) if c.words)
        parts = before.split(":")
        if len(parts) > 1 and len(words := words_of(behind)) == 1:
            yield from (
                Column(c.words, c.axis, key(parts[0]))
                for c in _split([*words_of(parts[-1]), *words])
                if c.words
            )


def _split(words: list[str]) -> Iterator[Column]:
    """Split words into name and axis; the axis is the last word, the first, another, or the last letter."""
    places = [len(words) - 1, 0, *range(len(words) - 2, 0, -1)] if words else []
    for place in dict.fromkeys(places):
        short = place == len(words) - 1 or (len(words) == 2 and words[1].isdigit())
        axis = _axis(words[place], short=short)
        if axis:
            yield Column(tuple(words[:place] + words[place + 1 :]), axis)
    if words and len(words[-1]) > 1 and words[-1][-1] in "xyz":
        yield Column((*words[:-1], words[-1][:-1]), words[-1][-1])


def _axis(word: str, *, short: bool) -> str:
    if word in _SCORES or (short and word in _SHORT_SCORES):
        return "s"
    match = re.fullmatch(r"(?:t|p|pos|position|trans|loc)?([xyz])(?:pos|position|mm)?", word)
    return match[1] if match else ""


# --- joints -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Joints:
    """Finds the joints of a convention by any of their names.

    ``own_names``: joint -> its name in the files, as set by the user.
    """

    spec: SkeletonSpec
    naming: Naming
    own_names: Mapping[str, str]

    @cached_property
    def _exactly(self) -> dict[str, int]:
        """Joints by name; proper names take precedence over synonyms: Kinect v2's Neck is not COCO's neck."""
        names = {key(self.own_names.get(joint, joint)): v for v, joint in enumerate(self.spec.joints)}
        for place, joint in enumerate(self.spec.joints):
            if joint not in self.own_names:
                for name in self.naming.synonyms.get(joint, ()):
                    names.setdefault(key(name), place)
        return names

    @cached_property
    def _sided(self) -> dict[str, int]:
        """Joints by side and the rest of the name: LeftHip, hip_l and HipLeft are the same."""
        names: dict[str, int] = {}
        for place, joint in enumerate(self.spec.joints):
            if joint not in self.own_names:
                name = _of_side(words_of(joint))
                names[name] = place if names.get(name, place) == place else -1
        return names

    def find(self, words: Sequence[str]) -> int:
        """Index of the joint with this name, or -1."""
        exact = self._exactly.get("".join(words))
        return self._sided.get(_of_side(list(words)), -1) if exact is None else exact

    def place(self, column: Column) -> tuple[str, int]:
        """(body, index of the joint or -1) of a column, also without noise words or with a body's number."""
        for words in (column.words, tuple(word for word in column.words if word not in _NOISE)):
            if (joint := self.find(words)) >= 0:
                return column.body, joint
            for size in range(1, min(3, len(words))):
                for body, rest in ((words[:size], words[size:]), (words[-size:], words[:-size])):
                    if _BODY.fullmatch("".join(body)) and (joint := self.find(rest)) >= 0:
                        return column.body or "".join(body), joint
        return column.body, -1


def _of_side(words: list[str]) -> str:
    if not any(word in _SIDES for word in words) and words and words[0][:4] in ("left", "righ"):
        side = "left" if words[0].startswith("left") else "right"
        words = [side, words[0].removeprefix(side), *words[1:]]
    sides = [_SIDES[word] for word in words if word in _SIDES]
    rest = "".join(word for word in words if word not in _SIDES)
    return f"{sides[0]} {rest}" if len(sides) == 1 else "".join(words)


# --- a header -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Header:
    """The meaning of a table's columns, as far as its header gives it."""

    labels: tuple[str, ...]
    """A label for each column."""
    joints: Mapping[Place, tuple[int, ...]]
    """(body, joint, axis) -> its columns."""
    unknown: tuple[str, ...]
    """Names with coordinates that are not joints of the convention."""
    nameless: tuple[str, ...]
    """Axis of each column that is named just x, y, z or a score; '' for the others."""
    frames: tuple[int, ...]
    """Columns with frame numbers or times."""

    @property
    def named(self) -> frozenset[int]:
        return frozenset(joint for _, joint, _ in self.joints)


def read(rows: Sequence[Sequence[str]], joints: Joints) -> Header:
    """Interpret the rows of a header: use the row that names most joints, or two rows together, as motion
    capture suites write names above coordinates. ``rows`` have one field per column; the last is nearest to
    the numbers."""
    rows = rows[-_TITLES:]
    single = [list(row) for row in reversed(rows)]
    single += [
        [f"{name} {axis}" for name, axis in zip(_filled(upper), lower, strict=True)]
        for low in range(len(rows) - 1, 0, -1)
        for upper, lower in ((rows[up], rows[low]) for up in range(low - 1, -1, -1))
    ]
    other = [any(_OTHER & set(words_of(row[column])) for row in rows) for column in range(len(rows[0]))]
    headers = [_header(labels, other, joints) for labels in single]
    return max(headers, key=lambda header: len(header.joints))


def spread(row: Sequence[str], width: int, coordinates: str, joints: Joints) -> list[str] | None:
    """Labels of all columns for a row that names joints without x, y, z.

    Each joint is named once, or above all of its columns, possibly after frame and time. None: the row names
    no joints; empty: their number does not match the columns.
    """
    names = [name for name, _ in groupby(field.strip() for field in row if field.strip())]
    lead = list(takewhile(is_frame, names))
    named = names[len(lead) :]
    if len(named) < 2 or 2 * sum(joints.find(words_of(name)) >= 0 for name in named) <= len(named):
        return None
    if len(lead) + len(named) * len(coordinates) != width:
        return []
    return lead + [f"{name} {axis}" for name in named for axis in coordinates]


def _filled(row: Sequence[str]) -> list[str]:
    """Fill empty fields with the name to their left, which spans all coordinates of a joint."""
    filled, last = [], ""
    for field in row:
        last = field.strip() or last
        filled.append(last)
    return filled


def _header(labels: Sequence[str], other: Sequence[bool], joints: Joints) -> Header:
    places: dict[Place, tuple[int, ...]] = {}
    unknown: dict[str, list[int]] = {}
    nameless = [""] * len(labels)
    for column, label in enumerate(labels):
        known = [] if other[column] or is_frame(label) else list(meanings(label))
        body_joint = next((hit for each in known if (hit := joints.place(each))[1] >= 0), None)
        if body_joint is not None:
            axis = next(each.axis for each in known if joints.place(each)[1] >= 0)
            places[*body_joint, axis] = (*places.get((*body_joint, axis), ()), column)
        elif known and known[0].words:
            unknown.setdefault(" ".join(known[0].words), []).append(column)
        elif known:
            nameless[column] = known[0].axis
    places = _whole_bodies(places)
    frames = tuple(n for n, label in enumerate(labels) if is_frame(label) or (n == 0 and not label.strip()))
    if not places and (numbered := _by_number(labels, other, joints.spec.num_joints)):
        places, unknown = numbered, {}
    odd = tuple(name for name, columns in unknown.items() if len(columns) > 1)
    return Header(tuple(labels), places, odd, tuple(nameless), frames)


def _whole_bodies(
    places: Mapping[Place, tuple[int, ...]],
) -> dict[Place, tuple[int, ...]]:
    """Drop bodies that have less than half as many joints as another: Spine1 is not body 1 of Spine."""
    joints: dict[str, set[int]] = {}
    for body, joint, _ in places:
        joints.setdefault(body, set()).add(joint)
    most = max(map(len, joints.values()), default=0)
    return {place: columns for place, columns in places.items() if 2 * len(joints[place[0]]) >= most}


def _by_number(labels: Sequence[str], other: Sequence[bool], count: int) -> dict[Place, tuple[int, ...]]:
    """Columns by joint if all joints are numbered from 0 or 1 on; else empty."""
    numbered: dict[tuple[int, str], list[int]] = {}
    for column, label in enumerate(labels):
        for each in () if other[column] or is_frame(label) else meanings(label):
            match = _NUMBERED.fullmatch("".join(each.words))
            if match:
                numbered.setdefault((int(match[1]), each.axis), []).append(column)
                break
    numbers = sorted({number for number, axis in numbered if axis == "x"})
    numbered = {place: at for place, at in numbered.items() if place[0] in numbers}
    if len(numbers) != count or not numbers or numbers[0] not in (0, 1):
        return {}
    if any(high - low != 1 for low, high in pairwise(numbers)):
        return {}
    return {("", number - numbers[0], axis): tuple(columns) for (number, axis), columns in numbered.items()}
