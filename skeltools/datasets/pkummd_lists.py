"""The official split files of PKU-MMD (cross-subject.txt, cross-view_v2.txt, ...), with both lists used.

A video in neither list is unused. Videos in both, names that are no video, and subjects or cameras that a
list puts into both halves are findings.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

from schemas import Finding

_NAME = re.compile(r"cross[-_ ]?(subject|view)(?:[-_ ]?v?[12])?\.txt", re.IGNORECASE)
_PROTOCOLS = {"subject": ("xsub", "subject"), "view": ("xview", "camera")}
"""Word in the file name -> protocol, and the field that must not be in both halves."""

Halves = dict[str, dict[str, int]]


def is_list(place: str) -> bool:
    return _NAME.fullmatch(re.split("/|::", place)[-1]) is not None


def given_halves(
    files: Mapping[str, bytes], videos: Mapping[str, Mapping[str, int]], *, pattern: re.Pattern[str]
) -> tuple[Halves, dict[str, str], list[Finding]]:
    """Protocol -> video -> 1 train, 2 test; protocol -> rule in words; findings.

    ``files``: place -> content. ``videos``: the existing ones, with their fields. Lists whose names are those
    of another part (no name fits ``pattern``) are ignored.
    """
    halves: Halves = {}
    rules: dict[str, str] = {}
    findings: list[Finding] = []
    for place, content in sorted(files.items()):
        match = _NAME.fullmatch(re.split("/|::", place)[-1])
        lists = _parse(content.decode("utf-8-sig", "replace"))
        if match is None or lists is None:
            detail = "expected four lines: a heading, training names, a heading, test names"
            findings.append(_finding(place, "no split list", detail, "not used"))
            continue
        names = [name for half in lists for name in half]
        if not any(pattern.fullmatch(name) for name in names):
            continue
        protocol, field = _PROTOCOLS[match[1].lower()]
        if protocol in halves:
            findings.append(_finding(place, "second split list", f"of {protocol}", "not used"))
            continue
        rules[protocol] = f"official list {re.split('/|::', place)[-1]}"
        halves[protocol], problems = _checked(place, lists, videos, field=field, pattern=pattern)
        findings += problems
    return halves, rules, findings


def _parse(text: str) -> tuple[list[str], list[str]] | None:
    """(training, test) names of a split file; None if it is not one.

    It has four lines: a heading, names, a heading, names. They are identified by position alone, because the
    headings are spelt in several ways. Names are separated by commas; a trailing comma is ignored.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) != 4:
        return None
    train, test = ([name.strip() for name in lines[i].split(",") if name.strip()] for i in (1, 3))
    return (train, test) if train and test else None


def _checked(
    place: str,
    lists: tuple[list[str], list[str]],
    videos: Mapping[str, Mapping[str, int]],
    *,
    field: str,
    pattern: re.Pattern[str],
) -> tuple[dict[str, int], list[Finding]]:
    train, test = map(set, lists)
    findings = [
        _finding(place, "no name of a video", f"'{name[:40]}'", "ignored")
        for name in sorted(train | test)
        if not pattern.fullmatch(name)
    ]
    for name in sorted(train & test):
        findings.append(_finding(place, "video in both halves", name, "not used"))
    for name in sorted(videos.keys() - train - test):
        findings.append(_finding(place, "video in neither half", name, "not used"))
    absent = sorted(name for name in (train | test) - videos.keys() if pattern.fullmatch(name))
    if absent:
        detail = f"{len(absent)} of {len(train | test)}, e.g. {absent[0]}"
        findings.append(_finding(place, "listed videos that are not there", detail, "left out"))
    half = dict.fromkeys(train - test, 1) | dict.fromkeys(test - train, 2)
    sides = defaultdict(set)
    for name, named in videos.items():
        if name in half and field in named:
            sides[named[field]].add(half[name])
    for value in sorted(value for value, both in sides.items() if len(both) == 2):
        findings.append(_finding(place, f"{field} in both halves", f"{field} {value}", "kept as listed"))
    return half, findings


def _finding(place: str, problem: str, detail: str, action: str) -> Finding:
    return Finding(file=place, problem=problem, detail=detail, action=action)
