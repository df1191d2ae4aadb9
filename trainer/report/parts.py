"""What a report is made of. Sections say nothing of HTML or Markdown: ``page`` writes both from these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """A vector drawing and what it says in words."""

    name: str
    """Unique in the page; letters, digits and dashes: the id of the drawing and the stem of its file."""
    title: str
    svg: str
    """An ``<svg>`` element without XML declaration, its ids prefixed with ``name``."""
    alt: str
    """The drawing for those who do not see it: what is drawn, and its main figures."""
    caption: str
    """How to read it and how it was computed."""
    wide: bool = False
    """Too much for half of a page: on a telephone it is moved sideways."""
    scenes: str = ""
    """What moves in it, as JSON that ``skeltools.pictures.scene`` describes: a list of scenes."""


@dataclass(frozen=True)
class Table:
    """Rows of text. Columns whose cells are figures are ``numeric`` and stand to the right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    caption: str = ""
    folded: bool = False
    """Long and seldom read: shown when asked for."""
    half: bool = False
    """Narrow: it may stand beside a drawing."""


@dataclass(frozen=True)
class Note:
    """Something to know (``info``), to beware of (``warning``), or missing, and the command that makes it."""

    text: str
    command: str = ""
    kind: Literal["missing", "warning", "info"] = "missing"


Part = Figure | Table | Note


@dataclass(frozen=True)
class Section:
    name: str
    """Anchor in the page."""
    title: str
    parts: tuple[Part, ...]
    intro: str = ""
    """How all of its parts are read."""


@dataclass(frozen=True)
class Page:
    title: str
    sections: tuple[Section, ...]
    tool: str
    verdicts: tuple[str, ...] = ()
    """What it all comes to, a sentence for each run."""
    facts: tuple[tuple[str, str], ...] = ()
    """Seed, device, time, versions, command: (what, value), a value of several lines where runs differ."""

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
    """A fraction as a percentage without its sign; a dash for None."""
    return "–" if value is None else f"{100 * value:.{digits}f}"
