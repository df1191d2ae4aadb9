"""Parse text tables: detect the delimiter and the first row of numbers, then read the numbers.

Spreadsheets, motion capture suites and scripts write the same table in many ways: fields separated by commas,
semicolons, tabs or runs of blanks, decimal points or commas, comments, titles above the header. Settings in
dataset.yaml take precedence; everything else is inferred from the lines themselves.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from schemas import RawDataError
from skeltools.custom.layouts import wrong
from skeltools.raw_items import MAX_BYTES, RawItem

BLANKS = "whitespace"
"""The delimiter setting for any run of blanks and tabs."""

_REMARKS = ("#", "%")
_GUESSES = (
    *((";", "."), (";", ","), ("\t", "."), ("\t", ","), (",", ".")),
    *((BLANKS, "."), (BLANKS, ","), (",", ","), ("|", ".")),
)
"""(delimiter, decimal mark), in order of preference where several fit a file equally well."""
_SAMPLE = 20
"""Half the number of lines used to detect the delimiter: from the middle of a file, or all of a short one."""
_HEAD = 100
"""Number of lines searched for the first row of numbers."""
_NOTE = 3
"""Up to this many whole numbers alone in a line above a table are a note, such as frame and joint counts."""
_NEAR = 4
"""A row of words and numbers is a title if another row of words follows within this many rows."""
_COUNTED = 6
"""A first row of at least this many consecutive whole numbers, 0 1 2 ..., is a header as pandas writes it."""
_NOTHING = frozenset(
    {
        *("", "na", "n/a", "null", "none", "nan", "-nan"),
        *("nan(ind)", "-nan(ind)", "-1.#ind", "1.#qnan", "-1.#qnan"),
    }
)
"""Spellings of a missing number, including those of C's ``printf`` on Windows."""


_BRACKETS = re.compile(r"[(\[]\s*-?[\d.]+(?:e[-+]?\d+)?[\s,;]+-?[\d.][^()\[\]]*[)\]]", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """A text table, split into its header and its rows of numbers."""

    header: tuple[tuple[str, ...], ...]
    """Rows of words above the numbers, with one field per column; the last is nearest to the numbers."""
    titles: tuple[tuple[str, ...], ...]
    """Fields of every row of words above the numbers, or of the last comment there, however many."""
    misfit: int
    """Number of fields in the row of words right above the numbers if it does not match the rows, else 0."""
    lines: tuple[str, ...]
    """Rows of numbers, at least one."""
    places: tuple[int, ...]
    """Line number of each row in the file, from 1."""
    delimiter: str
    decimal: str
    open_end: bool
    """Whether every row ends in a trailing delimiter."""

    @property
    def width(self) -> int:
        return len(self.fields(self.lines[0]))

    def fields(self, line: str) -> list[str]:
        cells = fields_of(line, self.delimiter)
        return cells[:-1] if self.open_end and not cells[-1].strip() else cells


def decoded(data: bytes, item: RawItem) -> str:
    """Decode UTF-8, or UTF-16 with a byte order mark. Raises RawDataError for data that is not text."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    if b"\0" in data:
        raise RawDataError("is no text: it has zero bytes", where=item.where, remedy="Write it again as text")
    return data.decode("utf-8-sig", "replace")


def holds_numbers(head: bytes) -> bool:
    """Whether the beginning of a file is empty or contains a row of at least two numbers."""
    coding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    lines = [re.split(r"[;,|\s]+", line.strip()) for line in head.decode(coding, "replace").splitlines()]
    return not any(map(any, lines)) or any(len(fields) > 1 and _numbers(fields) for fields in lines)


def rows(data: bytes, delimiter: str) -> list[list[str]]:
    """Rows of a small table without blank lines. Raises ``csv.Error``."""
    text = data.decode("utf-8-sig", "replace")
    table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return [row for row in table if any(field.strip() for field in row)]


def fields_of(line: str, delimiter: str) -> list[str]:
    """Split a line into its fields, which may be quoted; an empty line has one."""
    if delimiter == BLANKS:
        return line.split() or [""]
    if delimiter == " ":
        line = line.strip(" ")
    if '"' in line:
        try:
            return next(csv.reader([line], delimiter=delimiter, skipinitialspace=delimiter != " "), [""])
        except csv.Error:
            pass
    return line.split(delimiter)


def number(field: str, decimal: str = ".") -> float | None:
    """Parse a field as a number: NaN if it is missing, None if it is any other word."""
    field = field.strip().strip('"')
    if field.lower() in _NOTHING:
        return float("nan")
    try:
        return None if "_" in field else float(field.replace(",", ".") if decimal == "," else field)
    except ValueError:
        return None


# --- delimiter, header and rows -----------------------------------------------------------------------------


def table(text: str, item: RawItem, *, delimiter: str | None = None, skip_rows: int | None = None) -> Table:
    """Parse a text into header and rows. ``skip_rows``: number of lines to skip above the header; None:
    detect it. Raises RawDataError for a file without a row of numbers."""
    every = enumerate(re.split(r"\r\n|\n|\r", text), start=1)
    lines = [(place, line) for place, line in every if place > (skip_rows or 0) and line.strip()]
    written = [(place, line) for place, line in lines if not _is_remark(line)]
    if not written:
        raise wrong(item, "holds nothing but remarks" if lines else "the file is empty")
    middle = 0 if len(written) <= 2 * _SAMPLE else len(written) // 2
    sample = [line for _, line in written[middle : middle + 2 * _SAMPLE]]
    mark, decimal = marks_of(sample, delimiter)
    width = _usual([fields_of(line, mark) for line in sample], decimal)
    head = [fields_of(line, mark) for _, line in written[:_HEAD]]
    start = _start(head, width, decimal)
    if start == len(written):
        raise wrong(item, f"holds nothing but a header{_other_delimiter(sample, mark) or _joined(sample)}")
    remarks = [line for place, line in lines if place < written[start][0] and _is_remark(line)]
    titles = [fields for fields in head[:start] if not _numbers(fields, decimal) or _is_counted(fields)]
    above = tuple(map(tuple, titles))
    if not titles and remarks:
        noted = fields_of(remarks[-1].strip().lstrip("".join(_REMARKS)).strip(), mark)
        above = (tuple(noted),)
        titles = [noted] if len(noted) == width and not _numbers(noted, decimal) else []
    body = written[start:]
    while len(body) > 1 and not body[-1][1].strip(' \t"' + mark[: len(mark) == 1]):
        body.pop()
    return replace(_cut(titles, body, mark, decimal), titles=above)


def _other_delimiter(sample: Sequence[str], mark: str) -> str:
    """A hint for the error message if a delimiter other than the given one turns the lines into numbers."""
    better, decimal = marks_of(sample)
    if better == mark or not any(_numbers(fields_of(line, better), decimal) for line in sample):
        return ""
    name = {"\t": '"\\t"'}.get(better, better if better == BLANKS else f"'{better}'")
    return f", with '{mark}' between fields; they are numbers with `csv: {{delimiter: {name}}}`"


def _joined(sample: Sequence[str]) -> str:
    """A hint for the error message if a field of the last line holds several numbers in brackets."""
    cell = _BRACKETS.search(sample[-1])
    if cell is None:
        return ""
    return (
        f": its fields hold several numbers, such as '{cell[0][:40]}'. Write each into a column of its own, "
        "named nose_x, nose_y, ..."
    )


def _is_remark(line: str) -> bool:
    return line.lstrip().startswith(_REMARKS)


def marks_of(sample: Sequence[str], delimiter: str | None = None) -> tuple[str, str]:
    """The delimiter (the given one, if any) and decimal mark with which most fields parse as numbers."""
    guesses = [guess for guess in _GUESSES if delimiter in (None, guess[0])]
    if delimiter is not None and not guesses:
        guesses = [(delimiter, "."), (delimiter, ",")]
    if delimiter is None and any("\t\t" in line for line in sample) and _even(sample, BLANKS):
        guesses = [guess for guess in guesses if guess[0] != "\t"]
    return max(guesses, key=lambda guess: _explained(sample, *guess))


def _even(sample: Sequence[str], delimiter: str) -> bool:
    return len({len(fields_of(line, delimiter)) for line in sample}) == 1


def _usual(split: list[list[str]], decimal: str) -> int:
    """The most common number of fields among the rows of numbers."""
    sizes = [len(fields) for fields in split if _numbers(fields, decimal)] or [len(f) for f in split]
    return Counter(sizes).most_common(1)[0][0]


def _explained(sample: Sequence[str], delimiter: str, decimal: str) -> tuple[float, int]:
    """Share and count of the fields that parse as numbers, over the rows of numbers."""
    split = [fields_of(line, delimiter) for line in sample]
    split = [row for row in split if len(row) > 1 or delimiter == BLANKS]
    fields = [f for row in split if _numbers(row, decimal) for f in row if f.strip()]
    good = sum(number(field, decimal) is not None for field in fields)
    return good / max(1, len(fields)), good


def _numbers(fields: Sequence[str], decimal: str = ".") -> bool:
    """Whether most of the non-empty fields in a row are numbers."""
    there = [field for field in fields if field.strip()]
    return 2 * sum(number(field, decimal) is not None for field in there) > len(there)


def _is_counted(fields: Sequence[str]) -> bool:
    """Whether a row counts 0 1 2 ... or 1 2 3 ..., maybe after an empty field, as pandas numbers columns."""
    there = fields[1:] if fields and not fields[0].strip() else fields
    if len(there) < _COUNTED or there[0].strip() not in ("0", "1"):
        return False
    first = int(there[0])
    return [field.strip() for field in there] == [str(first + place) for place in range(len(there))]


def _start(head: list[list[str]], width: int, decimal: str) -> int:
    """Index of the first row of numbers. Shorter rows above it are notes if words lie between, or if they
    hold a few whole numbers; all others count as rows, so that a damaged one is reported and not lost."""
    is_row = [_numbers(fields, decimal) and not _is_counted(fields) for fields in head]
    for n, fields in enumerate(head[:-1]):
        worded = any(number(field, decimal) is None for field in fields)
        is_row[n] &= not worded or all(is_row[n + 1 : n + 1 + _NEAR])
    full = next((n for n, fields in enumerate(head) if is_row[n] and len(fields) == width), None)
    if full is None:
        return next((n for n, numeric in enumerate(is_row) if numeric), len(head))
    start = full
    while start and is_row[start - 1]:
        start -= 1
    while start < full and len(head[start]) <= min(_NOTE, width // 2) and _whole(head[start]):
        start += 1
    return start


def _whole(fields: Sequence[str]) -> bool:
    return all(field.strip().isdecimal() for field in fields)


def _cut(titles: list[list[str]], body: list[tuple[int, str]], mark: str, decimal: str) -> Table:
    """Build the table from ``body`` and ``titles``, the rows of words above it."""
    lines = tuple(line for _, line in body)
    width = len(fields_of(lines[0], mark))
    nearest = titles[-1] if titles else []
    if mark == BLANKS and len(nearest) > width and not len(nearest) % width:
        words = len(nearest) // width
        nearest = [" ".join(nearest[n : n + words]) for n in range(0, len(nearest), words)]
        titles = [*titles[:-1], nearest]
    open_end = (
        mark not in (BLANKS, " ")
        and width > 1
        and not (len(nearest) == width and nearest[-1].strip())
        and all(line.rstrip(" ").endswith(mark) for line in lines)
        and any(len(last := fields_of(line, mark)) > 1 and last[-2].strip() for line in lines[:_SAMPLE])
    )
    width -= open_end
    trimmed = [row[:width] if not any(f.strip() for f in row[width:]) else row for row in titles]
    fit = bool(trimmed) and len(trimmed[-1]) == width
    header = [(*row, *[""] * (width - len(row))) for row in trimmed if width < 2 * len(row) <= 2 * width]
    misfit = len(trimmed[-1]) if trimmed and not fit and 2 * len(trimmed[-1]) > width else 0
    places = tuple(place for place, _ in body)
    return Table(tuple(header) if fit else (), (), misfit, lines, places, mark, decimal, open_end)


# --- numbers ------------------------------------------------------------------------------------------------


def values(grid: Table, columns: Sequence[int], item: RawItem) -> NDArray[np.float64]:
    """The given columns of all rows as [rows, columns]; NaN where a value is missing.

    Raises RawDataError for a row of a different length, a word, or too many numbers for one clip.
    """
    size = len(grid.lines) * grid.width * 8
    if size > MAX_BYTES:
        raise wrong(item, f"{size} bytes are too many for one clip (limit {MAX_BYTES})")
    whole = _quickly(grid)
    return _field_by_field(grid, columns, item) if whole is None else whole[:, list(columns)]


def _quickly(grid: Table) -> NDArray[np.float64] | None:
    """All columns, if numpy can parse every field."""
    lines = [line.replace(",", ".") for line in grid.lines] if grid.decimal == "," else list(grid.lines)
    if grid.open_end:
        lines = [line.rstrip(" ")[:-1] for line in lines]
    elif grid.delimiter == " ":
        lines = [line.strip(" ") for line in lines]
    delimiter = None if grid.delimiter == BLANKS else grid.delimiter
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about rows without any field; they are reported below
            whole = np.loadtxt(lines, delimiter=delimiter, comments=None, ndmin=2)
    except (ValueError, TypeError):
        return None
    return whole if whole.shape == (len(lines), grid.width) else None


def _field_by_field(grid: Table, columns: Sequence[int], item: RawItem) -> NDArray[np.float64]:
    width = grid.width
    made = np.empty((len(grid.lines), len(columns)))
    for row, line in enumerate(grid.lines):
        fields = grid.fields(line)
        if len(fields) != width:
            what = f"expected numbers, found {len(fields)} fields, the first has {width}"
            raise wrong(item, f"line {grid.places[row]}: {what}{_cause(grid, line)}")
        parsed = [number(fields[column], grid.decimal) for column in columns]
        if None in parsed:
            raise wrong(item, _word(grid, row, columns[parsed.index(None)]))
        made[row] = parsed
    return made


def _cause(grid: Table, line: str) -> str:
    """The likely reason why a row has a different number of fields from the first."""
    common = Counter(len(grid.fields(line)) for line in grid.lines[:_HEAD]).most_common(1)[0][0]
    if common != grid.width:
        return (
            f"; most have {common}. Is the first no row of the table? `csv: {{skip_rows: {grid.places[0]}}}`"
        )
    return "; it is the last, as if writing had been cut short" if line == grid.lines[-1] else ""


def _word(grid: Table, row: int, column: int) -> str:
    name = " ".join(filter(None, (titles[column].strip() for titles in grid.header)))
    field = grid.fields(grid.lines[row])[column].strip()
    where = f"column {column + 1}" + (f" ({name[:40]})" if name else "")
    return f"line {grid.places[row]}: expected numbers, found '{field[:20]}' in {where}"
