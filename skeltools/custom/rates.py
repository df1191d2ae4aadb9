"""Frames per second: what files state, against ``fps`` of the settings and against each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from schemas import Finding
from skeltools.custom.settings import Settings

_ROUNDING = 0.02
"""Rates that differ by at most this share are one rate, written differently: 29.97 and 30, or a frame time of
0.017 s for 60. The nearest rates in use, 24 and 25, differ by 4 %."""
_EXAMPLES = 3

SEVERAL = "files of several frame rates"
"""The finding's problem for a set of which the files state several rates."""


def used(stated: Mapping[str, float], settings: Settings) -> dict[str, float]:
    """The frames per second of each clip whose file states them: those of the file, except for rounding."""
    fps = settings.fps
    return {name: rate if fps is None or not _same(rate, fps) else fps for name, rate in stated.items()}


def findings(path: Path, stated: Mapping[str, float], settings: Settings) -> Iterator[Finding]:
    """One finding for files that contradict ``fps``, and one for files of several rates."""
    groups: dict[float, list[str]] = {}
    for name, rate in stated.items():
        known = next((other for other in groups if _same(rate, other)), rate)
        groups.setdefault(known, []).append(name)
    others = {rate: names for rate, names in groups.items() if settings.fps and not _same(rate, settings.fps)}
    if others:
        yield Finding(
            file=path.name,
            problem="another frame rate than fps",
            detail=f"fps is {settings.fps:g}, but files state {_listed(others)}: leave `fps` out",
            action="each file's own rate is used",
        )
    if len(groups) > 1:
        yield Finding(
            file=path.name,
            problem=SEVERAL,
            detail=_listed(groups),
            action="kept; frames are not resampled",
        )


def _same(rate: float, other: float) -> bool:
    return abs(rate - other) <= _ROUNDING * max(rate, other)


def _listed(groups: Mapping[float, list[str]]) -> str:
    parts = []
    for rate, names in sorted(groups.items(), key=lambda pair: -len(pair[1])):
        more = ", ..." if len(names) > _EXAMPLES else ""
        parts.append(f"{rate:.6g} in {len(names)} ({', '.join(names[:_EXAMPLES])}{more})")
    return "; ".join(parts[:8])
