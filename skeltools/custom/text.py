"""Read poses from text tables (``.csv``, ``.tsv``, ``.txt``): one row per frame, per joint, or by ``layout``.

Columns are matched by the names in the header if it names joints, else taken in file order. ``frames`` puts
rows with frame numbers, or of several people, into frames and bodies.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas import Finding, SkeletonSpec
from schemas.errors import near
from skeltools.custom import columns, delimited, frames, layouts, patterns
from skeltools.custom import settings as custom_settings
from skeltools.custom.clip_files import Poses
from skeltools.custom.columns import Header, Joints
from skeltools.custom.delimited import Table
from skeltools.custom.layouts import MAX_BODIES, wrong
from skeltools.custom.settings import Csv, Settings
from skeltools.files.unchanged import while_unchanged
from skeltools.raw_items import MAX_BYTES, RawItem, finding, read_bytes

SUFFIXES = (".csv", ".tsv", ".txt")

_SURPLUS = 4
"""Up to this many extra columns may be frame, time and labels."""
_WIDEST = 20_000
"""Headers of more columns are ignored: such a row is not a row of joints."""
_EMPTY = 0.2
"""Share of empty fields above which the delimiter is suspect."""
_SHOWN = 4
"""Most names that a finding shows."""
_LABELS = ("label", "labels", "class", "classname", "action", "actionlabel", "activity")
"""Names of columns that hold the class of a row."""
_ROLES: Final = ("frame", "body")
"""What columns besides the coordinates say of a row."""


def poses(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """Read the poses of a file; NaN where a value is missing. Raises RawDataError, with the likely cause."""
    csv = settings.csv
    table = _table(item, settings)
    if table.width <= csv.skip_columns + csv.skip_last:
        raise wrong(item, f"has {table.width} columns, none but those to skip")
    names = _joints(item, settings, spec)
    read = _long if csv.form == "long" else _wide
    made = read(table, item, settings, names)
    made = replace(made, findings=(*made.findings, *_labels(table, item, settings)))
    if not settings.coordinates.endswith("s"):
        return made
    return replace(made, values=made.values[..., :-1], score=made.values[..., -1])


def _table(item: RawItem, settings: Settings) -> Table:
    """The rows of the clip: all rows of the file, or those with its name."""
    if item.member is None:
        return _whole_table(item, settings.csv)
    table, members = _of_many(item, settings)
    rows = members.get(item.member, [])
    if not rows:
        raise wrong(item, f"has no row of clip '{item.member}'")
    return _of_rows(table, rows)


def _of_rows(table: Table, rows: Sequence[int]) -> Table:
    lines = tuple(table.lines[row] for row in rows)
    return replace(table, lines=lines, places=tuple(table.places[row] for row in rows))


def _whole_table(item: RawItem, csv: Csv) -> Table:
    text = delimited.decoded(read_bytes(replace(item, member=None)), item)
    return delimited.table(text, item, delimiter=csv.delimiter, skip_rows=csv.skip_rows)


def clips(path: Path, settings: Settings) -> list[str]:
    """Names of the clips in a file, from the columns ``csv.clip``. Raises RawDataError."""
    return list(_of_many(RawItem(path.stem, "", str(path)), settings)[1])


def _of_many(item: RawItem, settings: Settings) -> tuple[Table, dict[str, list[int]]]:
    try:
        return _members(item.path, settings.csv.model_dump_json(exclude_defaults=True))
    except OSError as error:
        raise wrong(item, f"cannot be read ({error.strerror})") from error


@while_unchanged(1)
def _members(path: str, csv_json: str) -> tuple[Table, dict[str, list[int]]]:
    """The table of a file, and the rows of each of its clips in order; cached, as clips are read in turn."""
    item, csv = RawItem(Path(path).stem, "", path), Csv.model_validate_json(csv_json)
    table = _whole_table(item, csv)
    at = _clip_columns(table, item, csv)
    rows_of: dict[str, list[int]] = {}
    for row, line in enumerate(table.lines):
        fields = table.fields(line)
        if len(fields) <= max(at):
            raise wrong(item, f"line {table.places[row]}: {len(fields)} fields, the first has {table.width}")
        name = "_".join(fields[column].strip() for column in at)
        if not name.strip("_"):
            raise wrong(item, f"line {table.places[row]}: no name of a clip")
        rows_of.setdefault(name, []).append(row)
    return table, rows_of


def _clip_columns(table: Table, item: RawItem, csv: Csv) -> list[int]:
    return [_column(table, name, item, "csv.clip") for name in csv.clip]


def _column(table: Table, name: str | int, item: RawItem, key: str) -> int:
    """Index of the column with this name, or number from 1."""
    names = [label.strip() for label in table.header[-1]] if table.header else []
    number = name - 1 if isinstance(name, int) else names.index(name) if name in names else -1
    if 0 <= number < table.width:
        return number
    has = f"it has {', '.join(names)[:100]}" if names else f"it has {table.width} columns, no header"
    raise wrong(item, f"{key}: no column {name}; {has}")


def _labels(table: Table, item: RawItem, settings: Settings) -> tuple[Finding, ...]:
    """A finding for a clip of a file of many whose column of labels is not used, as nothing names them."""
    keys = [columns.key(label) for label in table.header[-1]] if table.header else []
    at = next((n for n, key in enumerate(keys) if key in _LABELS), None)
    if item.member is None or at is None or settings.labels is not None:
        return ()
    if "label" in patterns.named(settings.pattern) or at in _clip_columns(table, item, settings.csv):
        return ()
    name = table.header[-1][at].strip()
    labels = list(dict.fromkeys(_cells(table, at)))
    clip = ", ".join(map(str, (*settings.csv.clip, name)))
    pattern = "(?P<id>.+)_(?P<label>[^_]+)" if "_" not in labels[0] else "(?P<id>[^_]+)_(?P<label>.+)"
    how = f"`csv: {{clip: [{clip}]}}` and `pattern: '{pattern}'` make it the class"
    if len(labels) > 1:
        how = "a clip has one label: cut it by a table with start and end, as `labels`"
    detail = f"column {name} says {', '.join(labels[:_SHOWN])}; {how}"
    return (finding(item, "column of labels not used", detail=detail, action="read without a label"),)


def _joints(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Joints:
    strange = sorted(settings.csv.joints.keys() - set(spec.joints))
    if strange:
        raise wrong(item, f"csv.joints: '{strange[0]}' is no joint of {spec.name}")
    naming = custom_settings.naming_of(settings, Path(item.settings))
    return Joints(spec, naming, settings.csv.joints)


# --- one row per frame --------------------------------------------------------------------------------------


def _wide(table: Table, item: RawItem, settings: Settings, joints: Joints) -> Poses:
    """The poses of a table with one row per frame, or per frame and person; values have the score, too."""
    layout = (settings.layout or layouts.DEFAULT).split()
    given = {
        role: _column(table, name, item, f"csv.columns.{role}")
        for role in _ROLES
        if (name := settings.csv.columns.get(role)) is not None
    }
    if len(set(given.values())) < len(given):
        raise wrong(item, "`csv.columns` names one column as frame and as body")
    aside = (*_clip_columns(table, item, settings.csv), *given.values())
    span = range(settings.csv.skip_columns, table.width - settings.csv.skip_last)
    columns_left = [column for column in span if column not in aside]
    if layout == ["TV", "C"]:
        table = _without_counts(table, joints.spec.num_joints, item)
    by_name = not settings.csv.by_order and len(layout) == 2 and "C" in layout[1]
    by_name &= len(columns_left) <= _WIDEST
    if len(layout) < 2 or layout[0] not in ("T", "TM", "MT"):
        instead = "write `csv: {form: long}` with a column that names the joints, or a row per frame"
        if given:
            raise wrong(
                item,
                f"`csv.columns` places rows of whole poses, layout '{settings.layout}' has others: {instead}",
            )
        values = _laid_out(table, columns_left, item, settings, joints, by_name=by_name)
        roles = _roles(table, None, columns_left, settings, by_name=True)
        people = (
            set(_cells(table, roles["body"])) if "body" in roles and "M" not in "".join(layout) else set()
        )
        if len(people) > 1:
            raise wrong(
                item, f"has rows of {len(people)} people, layout '{settings.layout}' is of one: {instead}"
            )
        return Poses(values)
    header = _named(table, columns_left, item, settings, joints) if by_name else None
    roles = _roles(table, header, columns_left, settings, by_name=by_name) | given
    if layout[0] != "T" and "body" in roles:
        settings = settings.model_copy(update={"layout": f"T {layout[1]}"})
    if header is not None:
        values = _by_name(table, header, columns_left, item, settings, joints)
        columns_left = [columns_left[n] for numbers in header.joints.values() for n in numbers]
    else:
        columns_left = [column for column in columns_left if column not in roles.values()]
        values = _laid_out(table, columns_left, item, settings, joints, by_name=by_name)
    return _in_frames(values, table, roles, columns_left, item, settings)


def _laid_out(
    table: Table, columns_left: list[int], item: RawItem, settings: Settings, joints: Joints, *, by_name: bool
) -> NDArray[np.float64]:
    """The poses [T, M, V, C] of these columns in the order that the layout says. ``by_name``: without those
    that the header calls frame or time."""
    layout = settings.layout or layouts.DEFAULT
    if by_name:
        of_joint = layout.split()[1] == "C"
        columns_left = _nameless(table, columns_left, of_joint, item, settings, joints)
    numbers = delimited.values(table, columns_left, item)
    if rows_named := _joint_column(table):
        numbers = _in_order(numbers, table, rows_named, item, settings, joints)
    if layouts.fitted(numbers.shape, layout, settings, joints.spec) is None:
        guess = next(_guesses(numbers, table, settings, joints.spec), "")
        raise layouts.misfit(numbers.shape, item, settings, joints.spec, guess)
    return layouts.laid_out(numbers, item, settings, joints.spec).astype(np.float64)


def _without_counts(table: Table, joints: int, item: RawItem) -> Table:
    """Remove the lines between frames that count the rows to follow, as in sensor dumps.

    A count of 0 is a frame without a body. Raises RawDataError if any other count is not the number of
    joints.
    """
    counts = [_count(table, line) for line in table.lines]
    if table.width < 2 or all(count is None for count in counts):
        return table
    size = (len(counts) + counts.count(0) * joints) * table.width * 8
    if size > MAX_BYTES:
        raise wrong(item, f"{size} bytes are too many for one clip (limit {MAX_BYTES})")
    lines: list[str] = []
    places: list[int] = []
    left = joints
    empty = (" " if table.delimiter == delimited.BLANKS else table.delimiter).join(["nan"] * table.width)
    for line, place, count in zip((*table.lines, "0"), (*table.places, 0), (*counts, 0), strict=True):
        if count is None:
            lines.append(line)
            places.append(place)
            left -= 1
            continue
        if left or count not in (0, joints):
            what = f"{joints - left} rows" if left else f"a count of {count}"
            where = f"line {place or table.places[-1]}"
            raise wrong(item, f"{where}: expected a row for each of {joints} joints a frame, found {what}")
        left = count
        if count == 0 and place:
            lines += [empty] * joints
            places += [place] * joints
    return replace(table, lines=tuple(lines), places=tuple(places))


def _count(table: Table, line: str) -> int | None:
    """The value of a line that holds a single whole number, else None."""
    fields = table.fields(line)
    return int(fields[0]) if len(fields) == 1 and fields[0].strip().isdecimal() else None


def _named(
    table: Table, columns_left: Sequence[int], item: RawItem, settings: Settings, joints: Joints
) -> Header | None:
    """The header of these columns if it names joints, else None. Raises RawDataError if it names joints but
    cannot be interpreted."""
    rows = [[row[column] for column in columns_left] for row in table.header]
    header = columns.read(rows, joints) if rows else None
    if header is not None and header.joints:
        return header
    for row in reversed(table.titles):
        for width, places in ((table.width, columns_left), (len(columns_left), range(len(columns_left)))):
            labels = columns.spread(row, width, settings.coordinates, joints)
            if labels:
                return columns.read([[labels[place] for place in places]], joints)
        if labels is not None:
            raise wrong(
                item,
                f"a row above the numbers names joints ({', '.join(row)[:60]}) but not each of {table.width} "
                "columns; `csv: {by_order: true}` takes them in the convention's order",
            )
    return None


def _nameless(
    table: Table, columns_left: list[int], of_joint: bool, item: RawItem, settings: Settings, joints: Joints
) -> list[int]:
    """The coordinate columns if no header names joints. ``of_joint``: each row is a joint."""
    if table.misfit:
        raise wrong(
            item,
            f"the row above the numbers has {table.misfit} fields, these have {table.width}: which column is "
            f"which? `csv: {{skip_rows: {table.places[0] - 1}}}` leaves it out",
        )
    if not table.header:
        return columns_left
    header = columns.read([[row[column] for column in columns_left] for row in table.header], joints)
    if of_joint:
        return [columns_left[n] for n in _of_a_joint(header, settings)]
    _check_nameless(header, item, joints)
    return [columns_left[n] for n in _in_turn(header, settings)]


def _check_nameless(header: Header, item: RawItem, joints: Joints) -> None:
    """Raise for a header of the long form, or one that names joints the convention lacks."""
    small = {columns.key(label) for label in header.labels}
    if {"x", "y"} <= small and small & {"joint", "jointname", "jointtype", "marker", "keypoint", "landmark"}:
        raise wrong(item, "has a column of joints: is a row a joint? `csv: {form: long}`")
    if len(header.unknown) > 1:
        named, wanted = ", ".join(header.unknown[:4]), ", ".join(joints.spec.joints[:4])
        raise wrong(
            item,
            f"its joints ({named}, ...) are none of {joints.spec.name} ({wanted}, ...): is it another "
            "convention? If they are called otherwise, give your convention `synonyms` or say `csv: {joints: "
            "{NAME: NAME IN THE FILE}}`; `csv: {by_order: true}` takes them in their order",
        )


def _of_a_joint(header: Header, settings: Settings) -> list[int]:
    """Columns of x, y, ... if each row is a joint; without such names, all but frame and time."""
    if all(header.nameless.count(axis) == 1 for axis in settings.coordinates):
        return [header.nameless.index(axis) for axis in settings.coordinates]
    return [n for n in range(len(header.labels)) if n not in header.frames]


def _joint_column(table: Table) -> int:
    """The column, from 1, that the header marks as the joint of each row; 0 if there is none."""
    names = [columns.key(name) for name in table.header[-1]] if table.header else []
    return next((n for n, name in enumerate(names) if name in _LONG["joint"]), -1) + 1


def _in_order(
    numbers: NDArray[np.float64], table: Table, column: int, item: RawItem, settings: Settings, joints: Joints
) -> NDArray[np.float64]:
    """Sort the rows of each frame into the convention's order, by the column that names their joints."""
    if settings.csv.by_order:
        return numbers
    count = joints.spec.num_joints
    if settings.layout != "TV C" or len(numbers) % count:
        raise wrong(item, f"names a joint in each of {len(numbers)} rows: `csv: {{form: long}}`")
    try:
        words = [table.fields(line)[column - 1].strip() for line in table.lines]
        known = {word: _joint(word, settings, joints) for word in dict.fromkeys(words)}
    except (ValueError, IndexError) as error:
        raise wrong(item, str(error)) from error
    places = np.array([known[word] for word in words]).reshape(-1, count)
    if (np.sort(places, axis=1) != np.arange(count)).any():
        raise wrong(item, "has not each joint once in every frame: `csv: {form: long}`")
    order = np.argsort(places, axis=1) + np.arange(0, len(numbers), count)[:, None]
    return numbers[order.ravel()]


def _in_turn(header: Header, settings: Settings) -> list[int]:
    """Columns without frame and time; if all others are called just x, y or z, each joint's in this order."""
    columns_left = [n for n in range(len(header.labels)) if n not in header.frames]
    axes = [header.nameless[n] for n in columns_left]
    wanted = settings.coordinates
    called = [n for n, axis in zip(columns_left, axes, strict=True) if axis and axis in wanted]
    if not called or not all(axes) or len(called) % len(wanted):
        return columns_left
    groups = [called[n : n + len(wanted)] for n in range(0, len(called), len(wanted))]
    if any(sorted(header.nameless[n] for n in group) != sorted(wanted) for group in groups):
        return columns_left
    return [next(n for n in group if header.nameless[n] == axis) for group in groups for axis in wanted]


def _by_name(
    table: Table,
    header: Header,
    columns_left: Sequence[int],
    item: RawItem,
    settings: Settings,
    joints: Joints,
) -> NDArray[np.float64]:
    """The poses [T, M, V, C] by the names in the header; other columns are left out."""
    wanted, spec = settings.coordinates, joints.spec
    bodies = list(dict.fromkeys(body for body, _, _ in header.joints))
    _check_names(header, bodies, item, settings, joints)
    places = [
        [[header.joints.get((body, joint, axis), ()) for axis in wanted] for joint in range(spec.num_joints)]
        for body in bodies
    ]
    copies = max(len(columns) for body in places for joint in body for columns in joint)
    chosen = [
        columns_left[columns[copy]] if copy < len(columns) else -1
        for body in places
        for copy in range(copies)
        for joint in body
        for columns in joint
    ]
    used = sorted({column for column in chosen if column >= 0})
    numbers = delimited.values(table, used, item)
    whole = np.full((len(numbers), len(chosen)), np.nan)
    for place, column in enumerate(chosen):
        if column >= 0:
            whole[:, place] = numbers[:, used.index(column)]
    return _of_layout(whole.reshape(len(numbers), -1, spec.num_joints, len(wanted)), item, settings)


def _of_layout(rows: NDArray[np.float64], item: RawItem, settings: Settings) -> NDArray[np.float64]:
    """Rows [R, M, V, C] as [T, M, V, C] if the layout says that several of them are a frame."""
    rows_axis = (settings.layout or layouts.DEFAULT).split()[0]
    if rows_axis == "T":
        return rows
    bodies = settings.bodies or 1
    if rows.shape[1] > 1 or len(rows) % bodies:
        raise wrong(item, f"{len(rows)} rows are not those of {bodies} bodies, as layout '{settings.layout}'")
    rows = rows[:, 0]
    if rows_axis == "TM":
        return rows.reshape(-1, bodies, *rows.shape[1:])
    return rows.reshape(bodies, -1, *rows.shape[1:]).swapaxes(0, 1)


def _check_names(
    header: Header, bodies: Sequence[str], item: RawItem, settings: Settings, joints: Joints
) -> None:
    """Raise unless every joint that is not left out has all coordinates exactly once for each body."""
    spec, wanted = joints.spec, settings.coordinates
    needed = _check_there(header.named, header.unknown, "the header has no", item, settings, spec)
    present = [v for v in needed if v in header.named]
    for body in bodies:
        for joint in present:
            lacking = [axis for axis in wanted if (body, joint, axis) not in header.joints]
            if lacking and not (len(bodies) > 1 and len(lacking) == len(wanted)):
                raise wrong(item, _lacking(spec.joints[joint], lacking, header, joint, body))
    counts = {len(numbers) for (_, joint, axis), numbers in header.joints.items() if axis in wanted}
    several = "M" in (settings.layout or "")
    if not several and (len(bodies) > 1 or counts != {1}):
        what = f"{len(bodies)} bodies" if len(bodies) > 1 else _twice(header, wanted, spec)
        raise wrong(item, f"the header names {what}. Several bodies? `layout: T MVC`")
    if len(counts) > 1:
        raise wrong(item, f"the header names {_twice(header, wanted, spec)}, but not all joints as often")
    if len(bodies) * max(counts) > MAX_BODIES:
        raise wrong(item, f"{len(bodies) * max(counts)} bodies, at most {MAX_BODIES} make sense")


def _check_there(
    present: Collection[int],
    others: Sequence[str],
    lack: str,
    item: RawItem,
    settings: Settings,
    spec: SkeletonSpec,
) -> list[int]:
    """The joints that are not left out. Raises RawDataError if one is not present, unless that is allowed.
    ``others``: names that are no joint. ``lack``: what precedes the names of those that are not there."""
    needed = [v for v, name in enumerate(spec.joints) if name not in settings.leave_out]
    gone = [spec.joints[v] for v in needed if v not in present]
    if not gone or (settings.never_seen == "keep" and len(gone) < len(needed)):
        return needed
    named, like = ", ".join(gone), near(gone[0], others, cutoff=0.5)
    example = f"{gone[0]}: {(like or others or ['NAME IN THE FILE'])[0]}"
    raise wrong(
        item,
        f"{lack} {named}"
        + (f"; it also names {', '.join(others[:8])}" if others else "")
        + f". Called otherwise? `csv: {{joints: {{{example}}}}}`. Not there? `leave_out: [{named}]`",
    )


def _twice(header: Header, wanted: str, spec: SkeletonSpec) -> str:
    place = next(p for p, numbers in header.joints.items() if len(numbers) > 1 and p[2] in wanted)
    labels = " and ".join(f"'{header.labels[column]}'" for column in header.joints[place][:2])
    return f"{place[2]} of {spec.joints[place[1]]} more than once ({labels})"


def _lacking(name: str, axes: Sequence[str], header: Header, joint: int, body: str) -> str:
    has = ", ".join(
        f"'{header.labels[columns[0]]}'"
        for (b, j, _), columns in header.joints.items()
        if (b, j) == (body, joint)
    )
    if axes == ["s"]:
        return (
            f"the header has no score of {name}, but coordinates say so; it has {has}. "
            "`csv: {by_order: true}` takes the columns in their order"
        )
    return f"the header has no {', '.join(axes)} of {name}; it has {has or 'none'}"


# --- frames and people of rows ------------------------------------------------------------------------------


def _roles(
    table: Table, header: Header | None, columns_left: Sequence[int], settings: Settings, *, by_name: bool
) -> dict[str, int]:
    """The columns of frame numbers and of people that the table names, among those without coordinates."""
    labels = list(table.header[-1]) if table.header else [""] * table.width
    used = set() if by_name else set(columns_left)
    if header is not None:
        for column, label in zip(columns_left, header.labels, strict=True):
            labels[column] = label
        used = {columns_left[n] for numbers in header.joints.values() for n in numbers}
    at = {columns.key(labels[n]): n for n in reversed(range(table.width)) if n not in used}
    return {
        role: at[name]
        for role in _ROLES
        if role not in settings.csv.columns and (name := next((n for n in _LONG[role] if n in at), None))
    }


def _in_frames(
    values: NDArray[np.float64],
    table: Table,
    roles: Mapping[str, int],
    used: Collection[int],
    item: RawItem,
    settings: Settings,
) -> Poses:
    """The poses of rows [R, M, V, C] in the frames and bodies that other columns give them."""
    numbers, findings = _numbers(table, roles, item, settings)
    people = _cells(table, roles["body"]) if "body" in roles and values.shape[1] == 1 else []
    if len(set(people)) < 2 and "body" not in settings.csv.columns:
        people = []
    if numbers is None:
        if people and len(set(people)) > 1:
            why = "".join(f" ({each.place}: {each.detail})" for each in findings)
            raise wrong(
                item,
                f"has rows of {len(set(people))} people, but no frame numbers{why}: which are of one frame? "
                "`csv: {columns: {frame: NAME}}` names the column of frames or times, "
                "`csv: {columns: {body: null}}` takes all rows for one person's",
            )
        return replace(_guessed(values, table, used, settings), findings=findings)
    if len(values) != len(numbers):
        each = numbers.reshape(
            values.shape[:2], order="F" if (settings.layout or "").startswith("MT") else "C"
        )
        odd = np.flatnonzero((each != each[:, :1]).any(axis=1))
        if odd.size:
            raise wrong(
                item,
                f"the rows of frame {each[odd[0], 0]:.15g} are not {values.shape[1]}, as layout "
                f"'{settings.layout}' says: `csv: {{columns: {{body: NAME}}}}` names the column of people",
            )
        numbers = each[:, 0]
    candidate = "" if people else _candidate(table, numbers, {*used, *roles.values()})
    lines = table.places if len(values) == len(table.places) else table.places[:: values.shape[1]]
    rows = frames.Rows(values, numbers, people, lines, settings.bodies == 1, candidate)
    made = frames.placed(rows, item)
    return replace(made, findings=(*findings, *made.findings))


def _cells(table: Table, column: int) -> list[str]:
    return [table.fields(line)[column].strip() for line in table.lines]


def _numbers(
    table: Table, roles: Mapping[str, int], item: RawItem, settings: Settings
) -> tuple[NDArray[np.float64] | None, tuple[Finding, ...]]:
    """[R] the numbers in the column of frames; None if there is none, or, with a finding, if it is not in
    the settings and holds something else than whole numbers."""
    if "frame" not in roles:
        return None, ()
    given = "frame" in settings.csv.columns
    cells = _cells(table, roles["frame"])
    read = [delimited.number(cell, table.decimal) for cell in cells]
    numbers = np.array([np.nan if value is None else value for value in read])
    good = np.isfinite(numbers) if given else frames.are_whole(numbers)
    if good.all():
        return numbers if np.abs(numbers).max(initial=0) < frames.EXACT else _ranks(cells, numbers), ()
    row = int(np.argmin(good))
    place, what = f"line {table.places[row]}", f"'{cells[row][:20]}' is no frame number"
    if given:
        raise wrong(item, f"{place}: {what}")
    return None, (
        finding(item, "frame numbers not used", place=place, detail=what, action="rows taken in their order"),
    )


def _ranks(cells: Sequence[str], numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """The order of numbers that float64 does not tell apart, such as nanoseconds since 1970; as times, which
    are not whole, since they only give the order."""
    exact = [int(cell) if cell.isdecimal() else number for cell, number in zip(cells, numbers, strict=True)]
    place = {value: rank for rank, value in enumerate(sorted(set(exact)))}
    return np.array([place[value] + 0.5 for value in exact])


_TRIED = 8
"""Most columns that are read whole to find what they hold; more take seconds in a table of many."""


def _candidate(table: Table, numbers: NDArray[np.float64], used: Collection[int]) -> str:
    """The first other column that tells the rows of each frame apart, as `csv.columns` calls it."""
    each, counts = np.unique(numbers, return_counts=True)
    repeated = each[counts > 1]
    if not repeated.size:
        return "NAME"
    sample = [table.fields(table.lines[row]) for row in np.flatnonzero(numbers == repeated[0])]
    apart = [
        n for n in range(table.width) if n not in used and len({row[n] for row in sample}) == len(sample)
    ]
    for column in apart[:_TRIED]:
        cells = _cells(table, column)
        if len(set(zip(numbers.tolist(), cells, strict=False))) == len(numbers) > len(set(cells)):
            name = table.header[-1][column].strip() if table.header else ""
            return name or str(column + 1)
    return "NAME"


def _guessed(values: NDArray[np.float64], table: Table, used: Collection[int], settings: Settings) -> Poses:
    """The poses of rows in turn, with the numbers of a column without a name that look like frame numbers,
    if segments might mean these."""
    made = Poses(values)
    if settings.labels is None or table.header or len(values) != len(table.lines):
        return made
    first, last = (table.fields(table.lines[row]) for row in (0, -1))
    others = [n for n in range(table.width) if n not in used and first[n].isdigit() and last[n].isdigit()]
    for column in others[:_TRIED]:
        numbers = np.array([delimited.number(cell, table.decimal) for cell in _cells(table, column)], float)
        if frames.are_whole(numbers).all() and (np.diff(numbers) >= 0).all() and numbers[0] < numbers[-1]:
            setting = f"`csv: {{columns: {{frame: {column + 1}}}}}`"
            return replace(made, numbers=numbers.astype(np.int64), uncounted=setting)
    return made


# --- likely causes of errors --------------------------------------------------------------------------------


def _guesses(
    numbers: NDArray[np.float64], table: Table, settings: Settings, spec: SkeletonSpec
) -> Iterator[str]:
    """Likely causes for numbers that do not fit the layout, the likeliest first."""
    empty = int(np.isnan(numbers[0]).sum())
    if table.delimiter != delimited.BLANKS and empty > _EMPTY * numbers.shape[1]:
        yield (
            f"{empty} of {numbers.shape[1]} fields are empty: two delimiters in a row? "
            "`csv: {delimiter: whitespace}`"
        )
    layout = (settings.layout or layouts.DEFAULT).split()
    guesses = list(layouts.guesses(numbers.shape, settings, spec))
    yield from (guess for guess in guesses if "score" in guess)
    if len(layout) == 2 and "C" in layout[1]:
        yield from _surplus(numbers, "V" in layout[1], "M" in layout[1], settings, spec)
    yield from (guess for guess in guesses if "score" not in guess)
    width, expected = numbers.shape[1], spec.num_joints * len(settings.coordinates)
    if 0 < expected - width <= 2:
        yield f"{width} = {expected} - {expected - width}: as if a column were missing"


def _surplus(
    numbers: NDArray[np.float64], joined: bool, several: bool, settings: Settings, spec: SkeletonSpec
) -> Iterator[str]:
    """Guesses for extra columns, possibly of rows with scores or of two bodies."""
    width, size = numbers.shape[1], len(settings.coordinates)
    for bodies in (1, 2) if joined else (1,):
        for score in (False, True)[: 1 if settings.coordinates.endswith("s") else 2]:
            expected = (spec.num_joints if joined else 1) * (size + score) * bodies
            if 0 < width - expected <= _SURPLUS:
                more = f" and `coordinates: {settings.coordinates}s`, a score of each joint" if score else ""
                more += " and `layout: T MVC`, two bodies" if bodies == 2 and not several else ""
                yield _leading(numbers, width, width - expected, settings.csv) + more


def _leading(numbers: NDArray[np.float64], width: int, count: int, csv: Csv) -> str:
    """Whether the extra columns come first or last: a time column increases."""
    counted = f"{width} = {width - count} + {count}: "
    if _rises(numbers[:, -1]) and not _rises(numbers[:, 0]):
        which = "is the last column" if count == 1 else f"are the last {count} columns"
        return f"{counted}{which} frame or time? `csv: {{skip_last: {csv.skip_last + count}}}`"
    which = "is the first column a frame number?"
    if count > 1:
        which = f"are the first {count} columns frame, time or labels?"
    return f"{counted}{which} `csv: {{skip_columns: {csv.skip_columns + count}}}`"


def _rises(column: NDArray[np.float64]) -> bool:
    with np.errstate(invalid="ignore"):
        return bool((np.diff(column) > 0).all()) and len(column) > 1


# --- one row per joint --------------------------------------------------------------------------------------

_LONG = {
    "frame": (
        *("frame", "frames", "frameid", "framenumber", "frameno", "framenr", "framenum", "frameindex"),
        "frameidx",
    ),
    "body": (
        *("body", "bodyid", "person", "personid", "personindex", "personidx", "pid", "trackingid", "trackid"),
        *("track", "skeleton", "skeletonid", "identity", "bodyindex", "bodyidx", "bodyindexid"),
    ),
    "joint": ("joint", "jointname", "jointid", "jointtype", "jointindex", "marker", "keypoint", "landmark"),
    "x": ("x", "posx", "positionx", "xposition", "px", "tx"),
    "y": ("y", "posy", "positiony", "yposition", "py", "ty"),
    "z": ("z", "posz", "positionz", "zposition", "pz", "tz"),
    "score": ("score", "confidence", "conf", "visibility", "trackingstate", "likelihood", "state"),
}
"""Recognised names of the columns that ``csv.columns`` does not set."""


def _long(table: Table, item: RawItem, settings: Settings, joints: Joints) -> Poses:
    """The poses of rows with frame, body, joint and coordinates, from the lowest frame on; values have the
    score, too. Rows of other joints than the convention's are ignored."""
    at = _columns(table, item, settings)
    table, findings = _of_convention(table, at["joint"], item, settings, joints)
    axes = [at["score" if axis == "s" else axis] for axis in settings.coordinates]
    points = delimited.values(table, axes, item)
    keys = _keys(table, item, at, settings, joints)
    people: dict[str, int] = {}
    who = np.array([people.setdefault(body, len(people)) for _, body, _ in keys], dtype=np.int64)
    numbers = np.array([frame for frame, _, _ in keys], dtype=object)
    first, last = int(numbers.min()), int(numbers.max())
    length, count = last - first + 1, joints.spec.num_joints
    if len(people) > MAX_BODIES or length * len(people) * count * len(axes) * 8 > MAX_BYTES:
        raise wrong(item, f"{len(people)} bodies in frames {first} to {last}: is the column of frames right?")
    which = np.array([joint for _, _, joint in keys], dtype=np.int64)
    flat = ((numbers - first).astype(np.int64) * len(people) + who) * count + which
    order = np.argsort(flat, kind="stable")
    twice = order[1:][flat[order][1:] == flat[order][:-1]]
    if twice.size:
        row = int(twice.min())
        name = joints.spec.joints[keys[row][2]]
        raise wrong(
            item, f"line {table.places[row]}: frame {keys[row][0]} has joint {name} of the body twice"
        )
    whole = np.full((length * len(people) * count, len(axes)), np.nan)
    whole[flat] = points
    of_file = first + np.arange(length) if abs(first) < frames.EXACT else None
    poses = whole.reshape(length, len(people), count, len(axes))
    return Poses(poses, numbers=of_file, findings=findings)


def _columns(table: Table, item: RawItem, settings: Settings) -> dict[str, int]:
    """Column of frame, joint, x, y, ..., and of body if there is one."""
    if table.misfit:
        raise wrong(
            item, f"line {table.places[0]}: {table.width} fields, the header above has {table.misfit}"
        )
    if not table.header:
        raise wrong(item, "has no header, which the long form needs")
    header = [name.strip() for name in table.header[-1]]
    keys = [columns.key(name) for name in header]
    at: dict[str, int] = {}
    for name, usual in _LONG.items():
        if name not in settings.csv.columns:
            column = next((keys.index(word) for word in usual if word in keys), -1)
        elif (given := settings.csv.columns[name]) is None:
            continue
        else:
            column = _column(table, given, item, f"csv.columns.{name}")
        if column >= 0:
            at[name] = column
    needed = ["frame", "joint", *("score" if axis == "s" else axis for axis in settings.coordinates)]
    lacking = [name for name in needed if name not in at]
    if lacking:
        raise wrong(item, f"has no column {', '.join(lacking)}; it has {', '.join(header)[:100]}")
    return at


def _of_convention(
    table: Table, column: int, item: RawItem, settings: Settings, joints: Joints
) -> tuple[Table, tuple[Finding, ...]]:
    """The rows whose joint the convention has, and a finding about others. A number that is none of a joint
    is left to be an error. Raises RawDataError if the others may be joints that are lacking."""
    cells = [fields[column].strip() for fields in map(table.fields, table.lines) if column < len(fields)]
    place: dict[str, int] = {}
    for name in dict.fromkeys(cells):
        with suppress(ValueError):
            place[name] = _joint(name, settings, joints)
    others = [name for name in dict.fromkeys(cells) if name and name not in place and not name.isdigit()]
    if not others or len(cells) < len(table.lines):
        return table, ()
    spec, ignored = joints.spec, set(others)
    _check_there(set(place.values()), others, "no row is of", item, settings, spec)
    rows = [row for row, name in enumerate(cells) if name not in ignored]
    detail = f"{len(others)} names, e.g. {', '.join(others[:_SHOWN])}, in {len(cells) - len(rows)} rows"
    row = finding(item, "rows of other joints", detail=f"{detail}; not of {spec.name}", action="ignored")
    return _of_rows(table, rows), (row,)


def _keys(
    table: Table, item: RawItem, at: dict[str, int], settings: Settings, joints: Joints
) -> list[tuple[int, str, int]]:
    """The (frame, body, joint) of each row."""
    known: dict[str, int] = {}
    keys = []
    for row, line in enumerate(table.lines):
        fields = table.fields(line)
        try:
            frame, word = _whole(fields[at["frame"]], table.decimal), fields[at["joint"]].strip()
            if word not in known:
                known[word] = _joint(word, settings, joints)
            keys.append((frame, fields[at["body"]].strip() if "body" in at else "", known[word]))
        except ValueError as error:
            raise wrong(item, f"line {table.places[row]}: {error} in '{line.strip()[:60]}'") from error
    return keys


def _whole(field: str, decimal: str) -> int:
    if (plain := field.strip()).lstrip("+-").isascii() and plain.lstrip("+-").isdigit():
        return int(plain)
    value = delimited.number(field, decimal)
    if value is None or not value.is_integer():
        raise ValueError(f"frame '{plain[:20]}' is no whole number")
    return int(value)


def _joint(word: str, settings: Settings, joints: Joints) -> int:
    if word.isdigit():
        number = int(word) - settings.csv.first_joint
        if 0 <= number < joints.spec.num_joints:
            return number
    place = joints.find(columns.words_of(word))
    if place < 0:
        raise ValueError(f"joint '{word[:40]}' is none of {joints.spec.name}")
    return place
