"""Elements of a report, independent of HTML and Markdown; ``page`` writes both from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """A vector drawing and its description in words."""

    name: str
    """Unique in the page, of letters, digits and dashes: the id of the drawing and the stem of its file."""
    title: str
    svg: str
    """An ``<svg>`` element without XML declaration, its ids prefixed with ``name``."""
    alt: str
    """Text alternative of the drawing: what is drawn, and its main figures."""
    caption: str
    """How to read the drawing and how it was computed."""
    wide: bool = False
    """Too wide for half a page: phones scroll it sideways."""
    scenes: str = ""
    """Its animation, as JSON that ``skeltools.pictures.scene`` describes: a list of scenes."""


@dataclass(frozen=True)
class Table:
    """Rows of text; columns of figures are ``numeric`` and right-aligned."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    caption: str = ""
    folded: bool = False
    """Long and seldom read: collapsed until opened."""
    half: bool = False
    """Narrow enough to stand beside a drawing."""


@dataclass(frozen=True)
class Note:
    """Information (``info``), a caution (``warning``), or what is missing and the command that creates it."""

    text: str
    command: str = ""
    kind: Literal["missing", "warning", "info"] = "missing"


Part = Figure | Table | Note


@dataclass(frozen=True)
class Section:
    name: str
    """Its anchor in the page."""
    title: str
    parts: tuple[Part, ...]
    intro: str = ""
    """How to read its parts."""


@dataclass(frozen=True)
class Page:
    title: str
    sections: tuple[Section, ...]
    tool: str
    verdicts: tuple[str, ...] = ()
    """The conclusions, one sentence for each run."""
    facts: tuple[tuple[str, str], ...] = ()
    """Seed, device, time, versions, command: (name, value); the value has several lines if runs differ."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        return tuple(part for part in self.parts if isinstance(part, Figure))

    @property
    def notes(self) -> tuple[Note, ...]:
        return tuple(part for part in self.parts if isinstance(part, Note))

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(part for section in self.sections for part in section.parts)


def percent(value: float | None, *, digits: int = 1) -> str:
    """A fraction as a percentage without the percent sign; a dash for None."""
    return "–" if value is None else f"{100 * value:.{digits}f}"


def interval(ends: tuple[float, float] | None) -> str:
    """Both ends in percent; a dash for None."""
    return "–" if ends is None else f"{percent(ends[0])} to {percent(ends[1])}"
