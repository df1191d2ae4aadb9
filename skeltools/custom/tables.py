"""What names and tables tell of a user's clips: id, label, subject, ..., and the splits made of them."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas import ConfigError, Finding
from skeltools.custom.poses import rows
from skeltools.custom.settings import FIELDS, Selector, Settings, Split

UNLABELLED = "unlabelled"
"""The one class of data without labels."""

ALL = "all"
"""The one split of data without splits: everything trains."""

_MAX = 2**15 - 1
_TRAIN, _TEST = 1, 2


@dataclass(frozen=True)
class Clip:
    id: str
    fields: tuple[tuple[str, int], ...]
    """``label`` and those of FIELDS that are known."""


@dataclass(frozen=True)
class Told:
    clips: dict[str, Clip]
    """By the clip's name; those about which something is wrong are left out, with a finding."""
    classes: tuple[str, ...]


@dataclass
class _Texts:
    """What was found as text, before labels are numbered."""

    id: str
    values: dict[str, str] = field(default_factory=dict)


def fields_of(
    path: Path,
    settings: Settings,
    names: Mapping[str, str],
    findings: list[Finding],
    labels: Mapping[str, str] | None = None,
) -> Told:
    """``names``: name of every clip -> its file, for findings. The table goes before the names, and these
    before ``labels``: name of a clip -> the class that its file tells."""
    texts = _by_pattern(path, settings, names, findings)
    for name in (labels or {}).keys() & texts.keys():
        texts[name].values.setdefault("label", (labels or {})[name])
    if settings.labels is not None:
        _by_table(path, settings.labels, texts, names, findings)
    labelled = any("label" in told.values for told in texts.values())
    labelled |= "label" in re.compile(settings.pattern or "").groupindex
    classes, number = _classes(path, settings, texts) if labelled else ((UNLABELLED,), {})
    clips = {}
    for name, told in texts.items():
        fields = {} if labelled else {"label": 0}
        problem = ""
        for key in FIELDS:
            if key in told.values:
                fields[key], wrong = _whole_number(key, told.values[key])
                problem = problem or wrong
        if labelled and "label" not in told.values:
            problem = problem or "no label: neither name nor table tells one"
        elif labelled:
            text = told.values["label"]
            fields["label"] = number.get(text, -1)
            problem = problem or ("" if text in number else _no_class(text, classes, settings))
        if problem:
            _skip(findings, names[name], "clip not described", f"{told.id}: {problem}")
        else:
            clips[name] = Clip(told.id, tuple(sorted(fields.items())))
    if not clips:
        last = findings[-1].detail if findings else ""
        raise ConfigError(f"none of {len(names)} clips is described well, e.g. {last}", where=path)
    return Told(clips, classes)


def _skip(findings: list[Finding], file: str, problem: str, detail: str) -> None:
    findings.append(Finding(file=file, problem=problem, detail=detail, action="skipped"))


def _by_pattern(
    path: Path, settings: Settings, names: Mapping[str, str], findings: list[Finding]
) -> dict[str, _Texts]:
    """A pattern with a slash is for the whole name, one without for what follows its last slash."""
    if settings.pattern is None:
        return {name: _Texts(name.replace("/", "_")) for name in names}
    pattern, texts = re.compile(settings.pattern), {}
    for name, file in names.items():
        match = pattern.fullmatch(name if "/" in settings.pattern else name.rpartition("/")[2])
        if match is None:
            _skip(findings, file, "name does not fit the pattern", f"'{name}', pattern '{settings.pattern}'")
            continue
        values = {key: value for key, value in match.groupdict().items() if value is not None}
        texts[name] = _Texts(values.pop("id", name.replace("/", "_")), values)
    if not texts:
        example = next(iter(names))
        raise ConfigError(
            f"pattern: none of {len(names)} clips fits '{settings.pattern}', e.g. '{example}'",
            where=path,
            remedy="The pattern must fit the whole name without suffix; with a / in it, the folders, too",
        )
    return texts


def _by_table(
    path: Path, labels: str, texts: dict[str, _Texts], names: Mapping[str, str], findings: list[Finding]
) -> None:
    """Add what the rows of a table tell to the clips of their ids."""
    table = path.parent / labels
    try:
        header, *lines = rows(table.read_bytes(), ",") or [[]]
    except (OSError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"labels: cannot read {labels} ({reason})", where=path) from error
    header = [name.strip() for name in header]
    wanted = [name for name in header if name in ("label", *FIELDS)]
    if "id" not in header or not wanted:
        raise ConfigError(
            f"the table needs the column id and some of label, {', '.join(FIELDS)}; "
            f"it has {', '.join(header)[:100] or 'nothing'}",
            where=table,
        )
    by_id = {told.id: told for told in texts.values()}
    met: set[str] = set()
    for number, row in enumerate(lines, start=2):
        cells = {name: value.strip() for name, value in zip(header, row, strict=False)}
        id = cells.get("id", "")
        problem = "row of the table twice" if id in met else "" if id in by_id else "row without a clip"
        met.add(id)
        if problem:
            place = f"row {number}"
            findings.append(Finding(file=labels, place=place, problem=problem, detail=id, action="ignored"))
        else:
            by_id[id].values |= {name: cells[name] for name in wanted if cells.get(name)}
    if not met & by_id.keys():
        example = next(iter(by_id), "")
        raise ConfigError(f"no row has the id of a clip; clips are called like '{example}'", where=table)
    for name in [name for name, told in texts.items() if told.id not in met and "label" in wanted]:
        if "label" not in texts[name].values:
            _skip(findings, names[name], "clip without a row", f"{texts.pop(name).id} is not in {labels}")


def _whole_number(key: str, text: str) -> tuple[int, str]:
    if text.isascii() and text.isdigit() and int(text) <= _MAX:
        return int(text), ""
    return -1, f"{key} '{text[:20]}' is no whole number from 0 to {_MAX}: let the group hold the digits alone"


# --- classes ------------------------------------------------------------------------------------------------


def _classes(
    path: Path, settings: Settings, texts: dict[str, _Texts]
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Class names, and the class of every text that stands for one."""
    found = sorted({told.values["label"] for told in texts.values() if "label" in told.values}, key=_numeric)
    if settings.label_base is None:
        classes = settings.classes or tuple(found)
        return classes, {name: label for label, name in enumerate(classes)}
    numbers = {text: int(text) - settings.label_base for text in found if re.fullmatch(r"-?\d{1,6}", text)}
    most = max(numbers.values(), default=-1)
    classes = settings.classes or tuple(str(label + settings.label_base) for label in range(most + 1))
    if not classes or most > _MAX:
        example = found[0] if found else ""
        raise ConfigError(
            f"label_base: labels are no numbers from {settings.label_base}, e.g. '{example}'", where=path
        )
    return classes, {text: label for text, label in numbers.items() if 0 <= label < len(classes)}


def _numeric(text: str) -> tuple[int, str]:
    """Numbers by their value, then names."""
    return (int(text), "") if re.fullmatch(r"\d{1,9}", text) else (10**9, text)


def _no_class(text: str, classes: tuple[str, ...], settings: Settings) -> str:
    if settings.label_base is not None:
        last = settings.label_base + len(classes) - 1
        return f"label '{text[:40]}', expected a number from {settings.label_base} to {last}"
    close = difflib.get_close_matches(text, classes, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"unknown class '{text[:40]}'; {hint}known: {', '.join(classes)[:200]}"


# --- splits -------------------------------------------------------------------------------------------------

Halves = dict[str, dict[str, int]]


def list_files(settings: Settings) -> list[str]:
    selectors = [half for split in settings.splits.values() for half in (split.train, split.test) if half]
    return [half.list for half in selectors if half.list is not None]


def halves_of(
    path: Path, settings: Settings, clips: Mapping[str, tuple[str, Mapping[str, int]]]
) -> tuple[Halves, dict[str, str], list[Finding]]:
    """Split -> id -> 1 train, 2 test; split -> rule in words. ``clips``: id -> (name, fields)."""
    findings: list[Finding] = []
    if not settings.splits:
        return {ALL: dict.fromkeys(clips, _TRAIN)}, {ALL: "train: everything; no test half"}, findings
    halves: Halves = {}
    rules: dict[str, str] = {}
    for name, split in settings.splits.items():
        train = _selected(path, f"splits.{name}.train", split.train, clips, findings)
        rest = clips.keys() - train
        test = _selected(path, f"splits.{name}.test", split.test, clips, findings) if split.test else rest
        for id in sorted(train & test):
            findings.append(
                Finding(file=path.name, problem=f"in both halves of {name}", detail=id, action="not used")
            )
        if not test - train:
            raise ConfigError(f"splits.{name}: every clip is in train, none is left for test", where=path)
        halves[name] = dict.fromkeys(sorted(train - test), _TRAIN) | dict.fromkeys(
            sorted(test - train), _TEST
        )
        rules[name] = _in_words(split)
    return halves, rules, findings


def _selected(
    path: Path,
    place: str,
    selector: Selector,
    clips: Mapping[str, tuple[str, Mapping[str, int]]],
    findings: list[Finding],
) -> set[str]:
    kept = set(clips)
    for key in FIELDS:
        if (values := getattr(selector, key)) is not None:
            kept &= {id for id, (_, fields) in clips.items() if fields.get(key) in values}
    if selector.pattern is not None:
        pattern = re.compile(selector.pattern)
        kept &= {id for id, (name, _) in clips.items() if pattern.fullmatch(name)}
    if selector.list is not None:
        kept &= _listed(path, place, selector.list, clips, findings)
    if not kept:
        raise ConfigError(
            f"{place}: selects none of {len(clips)} clips; {_there(selector, clips)}", where=path
        )
    return kept


def _listed(path: Path, place: str, file: str, clips: Iterable[str], findings: list[Finding]) -> set[str]:
    try:
        lines = (path.parent / file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{place}.list: cannot read {file} ({error})", where=path) from error
    ids = {line.strip() for line in lines if line.strip() and not line.startswith("#")}
    for id in sorted(ids - set(clips)):
        findings.append(Finding(file=file, problem="listed clip is not there", detail=id, action="ignored"))
    return ids


def _there(selector: Selector, clips: Mapping[str, tuple[str, Mapping[str, int]]]) -> str:
    """What the clips have of that by which was selected."""
    told = []
    for key in FIELDS:
        if getattr(selector, key) is not None:
            values = sorted({fields[key] for _, fields in clips.values() if key in fields})
            told.append(f"{key}s are {', '.join(map(str, values))[:80]}" if values else f"no {key} is known")
    example = next(iter(clips))
    return "; ".join(told) or f"clips are called like '{clips[example][0]}' and have ids like '{example}'"


def _in_words(split: Split) -> str:
    def words(selector: Selector) -> str:
        parts = []
        for key in selector.model_fields_set:
            value = getattr(selector, key)
            parts.append(f"{key} {', '.join(map(str, value)) if isinstance(value, tuple) else value}")
        return " and ".join(sorted(parts))

    return f"train: {words(split.train)}; test: {words(split.test) if split.test else 'the others'}"
