"""Make the splits of a user's clips that dataset.yaml describes: by fields, patterns of names, and lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from schemas import ConfigError, Finding, regular
from skeltools.custom import patterns
from skeltools.custom.settings import FIELDS, Selector, Settings, Split
from skeltools.custom.tables import MOST_TABLE

ALL = "all"
"""The only split of data without splits: every clip is in train."""

_TRAIN, _TEST = 1, 2

Halves = dict[str, dict[str, int]]


def list_files(settings: Settings) -> list[str]:
    selectors = [half for split in settings.splits.values() for half in (split.train, split.test) if half]
    return [half.list for half in selectors if half.list is not None]


def halves_of(
    path: Path,
    settings: Settings,
    clips: Mapping[str, tuple[str, Mapping[str, int]]],
    recordings: Mapping[str, str] | None = None,
) -> tuple[Halves, dict[str, str], list[Finding]]:
    """Make the splits: split -> id -> 1 (train) or 2 (test), split -> rule in words, and findings.

    ``clips``: id -> (name, fields). ``recordings``: id of a cut clip -> id of its recording, which lists may
    use instead.
    """
    if not settings.splits:
        return {ALL: dict.fromkeys(clips, _TRAIN)}, {ALL: "train: everything; no test half"}, []
    whole: dict[str, list[str]] = {}
    for id, recording in (recordings or {}).items():
        whole.setdefault(recording, []).append(id)
    findings: list[Finding] = []
    halves: Halves = {}
    rules: dict[str, str] = {}
    for name, split in settings.splits.items():
        train = _selected(path, f"splits.{name}.train", split.train, clips, whole, findings)
        rest = clips.keys() - train
        place = f"splits.{name}.test"
        test = _selected(path, place, split.test, clips, whole, findings) if split.test else rest
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
    whole: Mapping[str, list[str]],
    findings: list[Finding],
) -> set[str]:
    ids = set(clips)
    for key in FIELDS:
        if (values := getattr(selector, key)) is not None:
            wanted = set(values)
            ids &= {id for id, (_, fields) in clips.items() if fields.get(key) in wanted}
    if selector.pattern is not None:
        names = [name for name, _ in clips.values()]
        matches = patterns.match(selector.pattern, names, where=f"{path}: {place}.pattern")
        ids &= {id for id, groups in zip(clips, matches, strict=True) if groups is not None}
    if selector.list is not None:
        ids &= _listed(path, place, selector.list, clips, whole, findings)
    if not ids:
        raise ConfigError(
            f"{place}: selects none of {len(clips)} clips; {_there(selector, clips)}", where=path
        )
    return ids


def _listed(
    path: Path,
    place: str,
    file: str,
    clips: Iterable[str],
    whole: Mapping[str, list[str]],
    findings: list[Finding],
) -> set[str]:
    """Ids listed in a file; the id of a recording stands for all of its clips."""
    try:
        data = regular.read(path.parent / file, most=MOST_TABLE)
        lines = data.decode("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{place}.list: cannot read {file} ({error})", where=path) from error
    ids = {line.strip() for line in lines if line.strip() and not line.startswith("#")}
    for recording in ids & whole.keys():
        ids |= set(whole[recording])
    for id in sorted(ids - set(clips) - whole.keys()):
        findings.append(Finding(file=file, problem="listed clip is not there", detail=id, action="ignored"))
    return ids


def _there(selector: Selector, clips: Mapping[str, tuple[str, Mapping[str, int]]]) -> str:
    """The values that the clips have for the selected fields, for an error message."""
    texts = []
    for key in FIELDS:
        if getattr(selector, key) is not None:
            values = sorted({fields[key] for _, fields in clips.values() if key in fields})
            texts.append(f"{key}s are {', '.join(map(str, values))[:80]}" if values else f"no {key} is known")
    example = next(iter(clips))
    return "; ".join(texts) or f"clips are called like '{clips[example][0]}' and have ids like '{example}'"


def _in_words(split: Split) -> str:
    def words(selector: Selector) -> str:
        parts = []
        for key in selector.model_fields_set:
            value = getattr(selector, key)
            parts.append(f"{key} {', '.join(map(str, value)) if isinstance(value, tuple) else value}")
        return " and ".join(sorted(parts))

    return f"train: {words(split.train)}; test: {words(split.test) if split.test else 'the others'}"
