"""Tables exported by motion capture programs: OpenSim's TRC, OptiTrack Motive, Vicon Nexus, Qualisys.

Each has several rows of metadata before the numbers, with the names of the markers and mostly the unit. None
states which axis is up.

- ``.trc``: https://opensimconfluence.atlassian.net/wiki/spaces/OpenSim/pages/53089972/Marker+.trc+Files
- Motive: https://docs.optitrack.com/motive/data-export/data-export-csv
- Nexus: https://help.vicon.com, "ASCII file format"
- Qualisys: the manual of QTM, "TSV file formats"
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas import RawDataError, SkeletonSpec, regular
from skeltools.custom.clip_files import HEAD, ClipFormat, Poses
from skeltools.custom.markers import poses_of_points
from skeltools.custom.settings import Settings
from skeltools.raw_items import MAX_BYTES, RawItem, read_bytes

_ROWS = 40
"""Most rows of metadata."""
_SECTIONS = ("trajectories", "devices", "joints", "segments", "model outputs", "events")
"""Sections of Nexus's files; the first one holds the markers."""


@dataclass(frozen=True)
class _Table:
    """The location of the points in a table."""

    labels: list[str]
    columns: list[int]
    """The column of x for every label; y and z follow."""
    start: int
    """First row of numbers."""
    units: str
    stop: int | None = None
    frames: int | None = None
    """The number of frames declared in the file."""


def _reader(
    find: Callable[[list[str], str], _Table], usual: str
) -> Callable[[RawItem, Settings, SkeletonSpec], Poses]:
    def read(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
        """Read one clip. Raises RawDataError."""
        lines = read_bytes(item).decode("utf-8-sig", "replace").splitlines()
        separator = _separator("\n".join(lines[:8]), usual)
        try:
            table = find(lines, separator)
        except (ValueError, IndexError, csv.Error) as error:
            raise RawDataError(
                f"its rows of metadata are not as expected ({error})",
                where=item.where,
                remedy="Export it again",
            ) from error
        start, stop = _filled(lines, table.start, table.stop or len(lines), separator)
        rows = lines[start:stop]
        if not rows or not table.labels or (table.frames is not None and len(rows) < table.frames):
            raise RawDataError(
                f"has {len(rows)} frames of {len(table.labels)} points"
                + ("" if table.frames is None else f", but promises {table.frames}"),
                where=item.where,
                remedy="Export it again",
            )
        columns = [first + axis for first in table.columns for axis in range(3)]
        points = _numbers(rows, columns, separator, item, start + 1).reshape(len(rows), -1, 3)
        return poses_of_points(table.labels, points, item, settings, spec, units=table.units)

    return read


def _rate(find: Callable[[list[str], str], str], usual: str) -> Callable[[Path], float | None]:
    def rate(file: Path) -> float | None:
        """The frames per second in the rows of metadata. Raises ValueError or LookupError without them."""
        with regular.open_file(file) as opened:
            lines = opened.read(HEAD).decode("utf-8-sig", "replace").splitlines()
        try:
            return float(find(lines, _separator("\n".join(lines[:8]), usual)))
        except csv.Error:
            return None

    return rate


def _separator(text: str, usual: str) -> str:
    """The usual delimiter, or another if the first lines lack it: spreadsheets may rewrite the file."""
    return next((each for each in (usual, "\t", ",", ";") if each in text), usual)


def _filled(lines: list[str], start: int, stop: int, separator: str) -> tuple[int, int]:
    """The range of rows without blank ones at either end."""
    blank = f" {separator}"
    while start < stop and not lines[start].strip(blank):
        start += 1
    while start < stop and not lines[stop - 1].strip(blank):
        stop -= 1
    return start, stop


def _numbers(
    lines: list[str], columns: list[int], separator: str, item: RawItem, first: int
) -> NDArray[np.float64]:
    """Parse the given columns of a table's lines to [T, columns].

    ``first``: the first line's number in the file. An empty or missing field is NaN. Raises RawDataError.
    """
    if len(lines) * len(columns) * 8 > MAX_BYTES:
        raise RawDataError(
            f"{len(lines)} rows of {len(columns)} columns are too many for one clip", where=item.where
        )
    values = np.full((len(lines), len(columns)), np.nan)
    for row, line in enumerate(lines):
        fields = line.split(separator)
        for place, column in enumerate(columns):
            text = fields[column].strip() if column < len(fields) else ""
            try:
                if "_" in text:
                    raise ValueError(text)
                values[row, place] = float(text or "nan")
            except ValueError as error:
                raise RawDataError(
                    f"line {first + row}: expected a number, found '{text[:20]}'", where=item.where
                ) from error
    return values


def _cells(line: str, separator: str) -> list[str]:
    """Fields of one line, which may be quoted."""
    fields = next(csv.reader(io.StringIO(line), delimiter=separator), [])
    return [field.strip() for field in fields]


def _starts_with(*words: bytes) -> Callable[[Path, bytes], bool]:
    def holds(file: Path, head: bytes) -> bool:
        return head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(words)

    return holds


def _has_sections(file: Path, head: bytes) -> bool:
    first = head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0]
    return first.decode("ascii", "replace").strip(' ,"\r').casefold() in _SECTIONS


def _row(
    lines: list[str], what: str, fits: Callable[[list[str]], bool], separator: str, start: int = 0
) -> int:
    """Index of the first row of metadata that fits. Raises ValueError."""
    for row in range(start, min(len(lines), start + _ROWS)):
        if fits(_cells(lines[row], separator)):
            return row
    raise ValueError(f"no row {what}")


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 12 else None


# --- the programs -------------------------------------------------------------------------------------------


def _trc(lines: list[str], separator: str) -> _Table:
    """Rows: keys, values, marker names over three columns each, X1 Y1 Z1 ..., then numbers."""
    names = _row(lines, "Frame#", lambda cells: cells[:1] == ["Frame#"], separator)
    header = _trc_header(lines[:names], separator)
    cells = _cells(lines[names], separator)
    columns = [place for place in range(2, len(cells)) if cells[place]]
    if any(later - place < 3 for place, later in itertools.pairwise(columns)):
        columns = [2 + 3 * number for number in range(len(columns))]
    labels = [cell for cell in cells[2:] if cell]
    return _Table(
        labels, columns, names + 2, header.get("Units", ""), frames=_whole(header.get("NumFrames", ""))
    )


def _trc_header(lines: list[str], separator: str) -> dict[str, str]:
    keys = _row(lines, "DataRate", lambda cells: cells[:1] == ["DataRate"], separator)
    return dict(zip(_cells(lines[keys], separator), _cells(lines[keys + 1], separator), strict=False))


def _motive(lines: list[str], separator: str) -> _Table:
    """Rows: Type, Name and ID over every column, Rotation or Position, then Frame, Time, X, Y, Z, ..."""
    pairs = _motive_header(lines, separator)
    names = _row(lines, "Name", lambda cells: "Name" in cells[:2], separator)
    axes = _row(lines, "Frame", lambda cells: cells[:1] == ["Frame"], separator, names)
    kinds = _row(lines[:axes], "Position", lambda cells: "Position" in cells, separator, names)
    label, kind, axis = (_cells(lines[row], separator) for row in (names, kinds, axes))
    columns = [
        place
        for place in range(2, min(len(label), len(kind), len(axis)) - 2)
        if kind[place] == "Position"
        and [each[:1].upper() for each in axis[place : place + 3]] == ["X", "Y", "Z"]
    ]
    frames = _whole(pairs.get("Total Exported Frames", ""))
    units = pairs.get("Length Units", "")
    return _Table([label[place] for place in columns], columns, axes + 1, units, frames=frames)


def _motive_header(lines: list[str], separator: str) -> dict[str, str]:
    header = _cells(lines[0], separator)
    return dict(zip(header[::2], header[1::2], strict=False))


def _nexus(lines: list[str], separator: str) -> _Table:
    """Rows: Trajectories, the rate, names over three columns each, Frame, Sub Frame, X, Y, Z, ..., units."""
    title = _nexus_title(lines, separator)
    axes = _row(lines, "Frame", lambda cells: cells[:1] == ["Frame"], separator, title)
    label, axis, unit = (_cells(lines[row], separator) for row in (axes - 1, axes, axes + 1))
    columns = [
        place
        for place in range(2, min(len(label), len(axis) - 2))
        if label[place] and [each[:1].upper() for each in axis[place : place + 3]] == ["X", "Y", "Z"]
    ]
    start = axes + 2
    stop = next(
        (row for row in range(start, len(lines)) if not lines[row].strip(f" {separator}")), len(lines)
    )
    units = next((cell for cell in unit if cell), "")
    return _Table([label[place] for place in columns], columns, start, units, stop)


def _nexus_title(lines: list[str], separator: str) -> int:
    """The row of the section with the markers, or the number of rows."""
    return next(
        row
        for row, line in enumerate([*lines, "Trajectories"])
        if line.strip(f" {separator}").casefold() == _SECTIONS[0]
    )


def _qualisys(lines: list[str], separator: str) -> _Table:
    """Rows: keys with values, including MARKER_NAMES, possibly titles, then three columns per marker.

    Lengths are in millimetres, as QTM writes them.
    """
    names = _row(lines, "MARKER_NAMES", lambda cells: cells[:1] == ["MARKER_NAMES"], separator)
    labels = [cell for cell in _cells(lines[names], separator)[1:] if cell]
    header = _qualisys_header(lines[:names], separator)
    start = names + 1
    while start < len(lines) and not _is_number(lines[start].split(separator)[0]):
        start += 1
        if start > names + _ROWS:
            raise ValueError("no row of numbers")
    width = max(len(line.rstrip(f"{separator} ").split(separator)) for line in lines[start : start + 100])
    titles = [cell.casefold() for cell in _cells(lines[start - 1], separator)]
    lead = 2 if titles[:2] == ["frame", "time"] else width - 3 * len(labels)
    if lead not in (0, 1, 2):
        raise ValueError(f"{width} columns for {len(labels)} markers")
    columns = [lead + 3 * number for number in range(len(labels))]
    frames = _whole("".join(header.get("NO_OF_FRAMES", [])[:1]))
    return _Table(labels, columns, start, "mm", frames=frames)


def _qualisys_header(lines: list[str], separator: str) -> dict[str, list[str]]:
    return {cells[0]: cells[1:] for line in lines if (cells := _cells(line, separator))}


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _suite(
    name: str,
    suffixes: tuple[str, ...],
    holds: Callable[[Path, bytes], bool],
    find: Callable[[list[str], str], _Table],
    rate: Callable[[list[str], str], str],
    usual: str = ",",
) -> ClipFormat:
    return ClipFormat(name, suffixes, holds, _reader(find, usual), rate=_rate(rate, usual))


SUITES = (
    _suite(
        "trc", (".trc",), _starts_with(b"pathfiletype"), _trc,
        lambda lines, separator: _trc_header(lines, separator)["DataRate"], "\t",
    ),
    _suite(
        "motive", (".csv",), _starts_with(b"format version"), _motive,
        lambda lines, separator: _motive_header(lines, separator)["Export Frame Rate"],
    ),
    _suite(
        "nexus", (".csv",), _has_sections, _nexus,
        lambda lines, separator: _cells(lines[_nexus_title(lines, separator) + 1], separator)[0],
    ),
    _suite(
        "qualisys", (".tsv", ".txt"), _starts_with(b"no_of_frames"), _qualisys,
        lambda lines, separator: _qualisys_header(lines, separator)["FREQUENCY"][0], "\t",
    ),
)  # fmt: skip
