"""Read the ids, labels and other fields of a user's clips from names and tables."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from schemas import ConfigError, Finding, regular
from schemas.errors import near
from skeltools.custom import cuts, patterns
from skeltools.custom.delimited import rows
from skeltools.custom.settings import FIELDS, Settings
from skeltools.framewise import Action
from skeltools.raw_items import skipped

MOST_TABLE = 256 * 2**20
"""Most bytes of a table of labels or a list of clips."""

NO_LABEL = "some clips have no label"
CASE_ALONE = "classes that differ only in case"
NO_CLIP = "classes that no clip has"

_KEPT = "kept: they pre-train, protocols leave them out"
_EXAMPLES = 3
"""Number of clips named by a finding about many."""
_HINTS = 100
"""Only this many findings suggest a similar class: the search takes time proportional to the classes."""
_DELIMITERS = ",;\t"
_MAX = 2**15 - 1
_CODE = re.compile(r"([A-Za-z]+)[ _-]?(\d{1,9})", re.ASCII)
"""A field with letters before its number."""
_UNKNOWN = -1
"""The label of an unlabelled clip."""


@dataclass(frozen=True)
class Clip:
    id: str
    fields: tuple[tuple[str, int], ...]
    """``label``, -1 if there is none, and those of FIELDS that are known."""
    window: cuts.Window | None = None
    """The frames of its file that the clip covers; None: all."""
    actions: tuple[Action, ...] = ()
    """The actions in a recording that stays whole."""


@dataclass(frozen=True)
class Described:
    clips: dict[str, tuple[Clip, ...]]
    """Clips by the name of their file or array; those with an error are left out and reported as findings."""
    classes: tuple[str, ...]
    """Empty if no clip has a label."""
    ids: dict[str, str]
    """Name of a file or array -> its id, which is the prefix of its clips' ids."""


@dataclass(frozen=True)
class _Part:
    """One clip of a file, its fields as text."""

    id: str
    values: Mapping[str, str]
    window: cuts.Window | None = None


@dataclass
class _Texts:
    """The fields of a file as text, before labels are numbered."""

    id: str
    values: dict[str, str] = field(default_factory=dict)
    why: str = ""
    """Why it has no label, if the table has labels but none for this file."""
    rate: float | None = None
    """Frames per second, if known."""
    rows: int = 0
    """Number of table rows that cut it, including invalid ones."""
    segments: list[_Part] = field(default_factory=list)

    @property
    def parts(self) -> list[_Part]:
        """The clips of the file: one, or one per row. A single row without start and end is all of it."""
        if not self.rows:
            return [_Part(self.id, self.values)]
        if self.rows == 1 and [part.window for part in self.segments] == [(0, None)]:
            return [_Part(self.id, {**self.values, **self.segments[0].values})]
        return [replace(part, values={**self.values, **part.values}) for part in self.segments]


def fields_of(
    path: Path,
    settings: Settings,
    names: Mapping[str, str],
    findings: list[Finding],
    labels: Mapping[str, str] | None = None,
    rates: Mapping[str, float] | None = None,
) -> Described:
    """Collect the fields of all clips. The table takes precedence over names, and names over ``labels``.

    ``names``: name of every clip -> its file, for findings. ``labels``: name of a clip -> the class stored in
    its file. ``rates``: name of a clip -> the frames per second of its file, by default ``fps``. A clip
    without a label gets -1, or is skipped with ``unlabelled: skip``; each reason is one finding.
    """
    texts = _by_pattern(path, settings, names, findings)
    for name, entry in texts.items():
        entry.rate = (rates or {}).get(name, settings.fps)
    own = {name: label for name, label in (labels or {}).items() if name in texts}
    for name, label in own.items():
        texts[name].values.setdefault("label", label)
    labelled = bool(own) or "label" in patterns.named(settings.pattern)
    if settings.labels is not None:
        labelled |= _by_table(path, settings, texts, names, findings)
    parts = {name: entry.parts for name, entry in texts.items()}
    values = [part.values for each in parts.values() for part in each]
    is_none = _says_none(settings, {each["label"] for each in values if "label" in each})
    classes, number = _classes(path, settings, values, is_none, findings)
    findings += _alike(path, classes)
    clips: dict[str, tuple[Clip, ...]] = {}
    without: dict[str, list[str]] = {}
    for name, entry in texts.items():
        made = []
        for part in parts[name]:
            hint = len(findings) < _HINTS
            fields, problem = _numbers(part.values, number, classes, is_none, settings, hint=hint)
            if problem:
                findings.append(skipped(names[name], "clip not described", f"{part.id}: {problem}"))
                continue
            if labelled and fields["label"] == _UNKNOWN:
                why = entry.why or "neither name nor table tells one"
                why = f"their label is {_UNKNOWN}" if "label" in part.values else why
                without.setdefault(why, []).append(part.id)
                if settings.unlabelled == "skip":
                    continue
            made.append(Clip(part.id, tuple(sorted(fields.items())), part.window))
        if made:
            clips[name] = (_whole(entry.id, made),) if settings.uncut else tuple(made)
    findings += _without(path, settings, without, sum(map(len, parts.values())))
    if not clips:
        last = findings[-1].detail if findings else ""
        raise ConfigError(f"none of {len(names)} clips is described well, e.g. {last}", where=path)
    return Described(clips, classes, {name: entry.id for name, entry in texts.items()})


def _whole(id: str, parts: list[Clip]) -> Clip:
    """Join the parts of a recording: its frames keep the parts' labels, and it has the fields they share."""
    if [part.window for part in parts] == [None]:
        return parts[0]
    shared = set.intersection(*(set(part.fields) for part in parts))
    fields = {**dict(sorted(shared)), "label": _UNKNOWN}
    actions = [Action(dict(part.fields)["label"], *part.window) for part in parts if part.window is not None]
    return Clip(id, tuple(sorted(fields.items())), actions=tuple(actions))


def _numbers(
    values: Mapping[str, str],
    number: Mapping[str, int],
    classes: tuple[str, ...],
    is_none: Callable[[str], bool],
    settings: Settings,
    *,
    hint: bool,
) -> tuple[dict[str, int], str]:
    """Convert label and fields to numbers; the second value describes an error, or is empty. ``hint``:
    suggest the most similar class for an unknown one."""
    fields = {"label": _UNKNOWN}
    problem = ""
    for key in FIELDS:
        if key in values:
            fields[key], wrong = _whole_number(key, values[key])
            problem = problem or wrong
    text = values.get("label")
    if text is not None and not is_none(text):
        fields["label"] = number.get(text, _UNKNOWN)
        problem = problem or ("" if text in number else _no_class(text, classes, settings, hint=hint))
    return fields, problem


def _says_none(settings: Settings, texts: set[str]) -> Callable[[str], bool]:
    """A function that recognises labels meaning "no label": -1 among numbers from 0 on, as in many tables."""
    numbered = settings.label_base is not None and settings.label_base >= 0
    if settings.label_base is None:
        values = [_integer(text) for text in (*texts, *(settings.classes or ()))]
        from_zero = [value for value in values if value is not None and value >= 0]
        marks = [text for text in texts if _integer(text) == _UNKNOWN]
        numbered = bool(from_zero) and len(from_zero) + len(marks) == len(values)
    return lambda text: numbered and _integer(text) == _UNKNOWN


def _alike(path: Path, classes: tuple[str, ...]) -> list[Finding]:
    """One finding for each group of classes whose names differ only in case, most likely a typing error."""
    groups: dict[str, list[str]] = {}
    for name in classes:
        groups.setdefault(name.casefold(), []).append(name)
    return [
        Finding(file=path.name, problem=CASE_ALONE, detail=", ".join(group), action="kept, each a class")
        for group in groups.values()
        if len(group) > 1
    ]


def _without(path: Path, settings: Settings, without: Mapping[str, list[str]], total: int) -> list[Finding]:
    """One finding for each reason why clips have no label."""
    action = "skipped" if settings.unlabelled == "skip" else _KEPT
    return [
        Finding(
            file=settings.labels or path.name,
            problem=NO_LABEL,
            detail=f"{len(ids)} of {total}: {why}, e.g. {', '.join(ids[:_EXAMPLES])}",
            action=action,
        )
        for why, ids in without.items()
    ]


def _by_pattern(
    path: Path, settings: Settings, names: Mapping[str, str], findings: list[Finding]
) -> dict[str, _Texts]:
    """Match the pattern against whole names if it contains a slash, else after their last slash."""
    if settings.pattern is None:
        return {name: _Texts(name.replace("/", "_")) for name in names}
    candidates = [name if "/" in settings.pattern else name.rpartition("/")[2] for name in names]
    matches = patterns.match(settings.pattern, candidates, where=f"{path}: pattern")
    texts = {}
    for (name, file), groups in zip(names.items(), matches, strict=True):
        if groups is None:
            detail = f"'{name}', pattern '{patterns.short(settings.pattern)}'"
            findings.append(skipped(file, "name does not fit the pattern", detail))
            continue
        values = {key: value for key, value in groups.items() if value is not None}
        texts[name] = _Texts(values.pop("id", name.replace("/", "_")), values)
    if not texts:
        shown = f"'{patterns.short(settings.pattern)}', e.g. '{next(iter(names))}'"
        raise ConfigError(
            f"pattern: none of {len(names)} clips fits {shown}",
            where=path,
            remedy="The pattern must fit the whole name without suffix; with a / in it, the folders, too",
        )
    return texts


# --- the table ----------------------------------------------------------------------------------------------


def _by_table(
    path: Path,
    settings: Settings,
    texts: dict[str, _Texts],
    names: Mapping[str, str],
    findings: list[Finding],
) -> bool:
    """Add the fields of a table's rows to the files they refer to. Returns whether the table has labels.

    With a column ``start`` or ``end``, each row is a clip, named by the id and the row's position among the
    rows with that id, from 1. Invalid rows count, so that the ids of the others do not change.
    """
    labels = settings.labels or ""
    table = path.parent / labels
    header, lines = _read_table(path, labels)
    wanted = [name for name in header if name in ("label", *FIELDS)]
    cut = [name for name in cuts.COLUMNS if name in header]
    column = next((name for name in ("id", "file") if name in header), "")
    if not column or not (wanted or cut):
        raise ConfigError(
            f"the table needs the column id or file and some of label, {', '.join(FIELDS)}; "
            f"it has {', '.join(header)[:100] or 'nothing'}",
            where=table,
        )
    find = _finder(texts, names)
    columns = {name: {row[n].strip() for row in lines if n < len(row)} for n, name in enumerate(header)}
    digits = {name: _digits(columns[name]) for name in wanted if name in FIELDS}
    ids: set[str] = set()
    for number, row in enumerate(lines, start=2):
        cells = {name: value.strip() for name, value in zip(header, row, strict=False)}
        id = cells.get(column, "")
        entry = find(id)
        values = {name: cells[name] for name in wanted if not _is_empty(cells.get(name, ""), settings)}
        values |= {name: digits[name][text] for name, text in values.items() if text in digits.get(name, ())}
        place = f"row {number}"
        if entry is not None and (cut or entry.id not in ids):
            ids.add(entry.id)
            if cut:
                _add_segment(entry, cells, values, settings, findings, place)
            else:
                entry.values |= values
            continue
        problem = "row without a clip" if entry is None else "row of the table twice"
        hint = "" if entry is None else "; columns start and end would cut a recording into clips"
        findings.append(
            Finding(file=labels, place=place, problem=problem, detail=f"{id}{hint}", action="ignored")
        )
    if not ids:
        example = next((entry.id for entry in texts.values()), "")
        raise ConfigError(f"no row has the id of a clip; clips are called like '{example}'", where=table)
    for entry in texts.values():
        entry.why = "their label is empty" if entry.id in ids else f"no row in {labels}"
    return "label" in wanted


def _add_segment(
    entry: _Texts,
    cells: Mapping[str, str],
    values: Mapping[str, str],
    settings: Settings,
    findings: list[Finding],
    place: str,
) -> None:
    entry.rows += 1
    window, wrong = cuts.window_of_row(cells, settings, entry.rate)
    if not wrong:
        entry.segments.append(_Part(f"{entry.id}_{entry.rows:03}", values, window))
        return
    problem = "segment not described"
    detail, file = f"{entry.id}: {wrong}", settings.labels or ""
    findings.append(Finding(file=file, place=place, problem=problem, detail=detail, action="skipped"))


def _is_empty(cell: str, settings: Settings) -> bool:
    """Whether a cell is empty; ``nan``, which some programs write instead, counts unless it is a class."""
    return not cell or (cell.lower() == "nan" and cell not in (settings.classes or ()))


def _read_table(path: Path, labels: str) -> tuple[list[str], list[list[str]]]:
    """Header in lower case, and rows; the delimiter is the one that occurs most often in the header."""
    try:
        data = regular.read(path.parent / labels, most=MOST_TABLE)
        first = data.lstrip()[:10_000].split(b"\n", 1)[0].decode("utf-8", "replace")
        header, *lines = rows(data, max(_DELIMITERS, key=first.count)) or [[]]
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"labels: cannot read {labels} ({reason})", where=path) from error
    return [name.strip().lower() for name in header], lines


def _finder(texts: Mapping[str, _Texts], names: Mapping[str, str]) -> Callable[[str], _Texts | None]:
    """A function that finds the clip a cell refers to: by id, path below the folder or file name, with or
    without suffix."""
    by_id = {entry.id: entry for entry in texts.values()}
    others: dict[str, list[_Texts]] = {}
    for name, entry in texts.items():
        file = names[name]
        for alias in {name, file, name.rpartition("/")[2], file.rpartition("/")[2]}:
            others.setdefault(alias, []).append(entry)

    def find(cell: str) -> _Texts | None:
        among = others.get(cell.replace("\\", "/").removeprefix("./"), [])
        return by_id.get(cell) or (among[0] if len(among) == 1 else None)

    return find


def _integer(text: str) -> int | None:
    """Parse a whole number of up to nine digits, also as ``3.0``, which tables with empty cells write."""
    match = re.fullmatch(r"(-?\d{1,9})(\.0*)?", text, re.ASCII)
    return int(match[1]) if match else None


def _whole_number(key: str, text: str) -> tuple[int, str]:
    value = _integer(text)
    if value is not None and 0 <= value <= _MAX:
        return value, ""
    return -1, (
        f"{key} '{text[:20]}' is no whole number from 0 to {_MAX}: let the group hold the digits alone, or "
        "write numbers into the table, where letters before them must be the same in all rows"
    )


def _digits(texts: set[str]) -> dict[str, str]:
    """The digits of each text like ``P01``; none if letters differ, since P01 and C01 are two."""
    codes = {text: code for text in texts if (code := _CODE.fullmatch(text))}
    if len({code[1].casefold() for code in codes.values()}) > 1:
        return {}
    return {text: code[2] for text, code in codes.items()}


# --- classes ------------------------------------------------------------------------------------------------


def _classes(
    path: Path,
    settings: Settings,
    values: Iterable[Mapping[str, str]],
    is_none: Callable[[str], bool],
    findings: list[Finding],
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Class names, and the class of every label text; both are empty if nothing is labelled."""
    labels = (each["label"] for each in values if "label" in each)
    texts = sorted({text for text in labels if not is_none(text)}, key=_numeric)
    if settings.label_base is None or not texts:
        classes = settings.classes or tuple(texts)
        return classes, {name: label for label, name in enumerate(classes)}
    base = settings.label_base
    numbers = {text: value - base for text in texts if (value := _integer(text)) is not None}
    most = max(numbers.values(), default=-1)
    if most > _MAX or (most < 0 and settings.classes is None):
        message = f"label_base: labels are no numbers from {base}, e.g. '{texts[0]}'"
        raise ConfigError(message, where=path)
    classes = settings.classes or tuple(str(label + base) for label in range(most + 1))
    absent = sorted(set(range(len(classes))) - set(numbers.values()))
    if absent and settings.classes is None:
        findings.append(_absent(path, [classes[label] for label in absent], len(classes)))
    return classes, {text: label for text, label in numbers.items() if 0 <= label < len(classes)}


def _absent(path: Path, names: list[str], classes: int) -> Finding:
    detail = f"{len(names)} of {classes}: {', '.join(names[:_EXAMPLES])}"
    more = ", ..." if len(names) > _EXAMPLES else ""
    return Finding(
        file=path.name, problem=NO_CLIP, detail=f"{detail}{more}", action="kept, their numbers as names"
    )


def _numeric(text: str) -> tuple[int, str]:
    """Sort key: numbers by value, then names."""
    return (int(text), "") if re.fullmatch(r"\d{1,9}", text) else (10**9, text)


def _no_class(text: str, classes: tuple[str, ...], settings: Settings, *, hint: bool) -> str:
    if settings.label_base is not None:
        last = settings.label_base + len(classes) - 1
        return f"label '{text[:40]}', expected a number from {settings.label_base} to {last}"
    close = near(text, classes) if hint else []
    meant = f"did you mean '{close[0]}'? " if close else ""
    return f"unknown class '{text[:40]}'; {meant}known: {', '.join(classes[:200])[:200]}"
