"""Colours of people in pictures, on light and dark ground; ``design.css`` has them as variables.

They are based on the palette of Okabe and Ito ("Color Universal Design", 2008), which colour-blind readers
can distinguish: blue is a person's left, orange the right, arms are lighter than legs, and the rest is grey.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

LIGHT = {
    "trunk": "#59626b",
    "left_arm": "#2f9bd6",
    "left_leg": "#0072b2",
    "right_arm": "#e08a00",
    "right_leg": "#d55e00",
}
"""Body part -> colour on white."""

DARK = {
    "trunk": "#a4adb6",
    "left_arm": "#8fd0f5",
    "left_leg": "#3f9fdc",
    "right_arm": "#ffb84d",
    "right_leg": "#f5803e",
}
"""Body part -> colour on ``#14171a``."""

PERSONS = ("#16191d", "#b0478a", "#008a65", "#8a6d00")
"""Colours of joints and names, by the body's place on axis M; the fifth body has the first colour again."""

PERSONS_DARK = ("#eceff1", "#e79ac7", "#4fd1a5", "#e3c75c")


@dataclass(frozen=True)
class Colours:
    """All colours of one picture, as ``#rrggbb``; the names are those of ``design.css``."""

    parts: Mapping[str, str]
    persons: tuple[str, ...]
    ground: str | None
    """None: transparent."""
    text: str
    quiet: str
    line: str
    warn: str


WHITE = Colours(LIGHT, PERSONS, "#ffffff", "#16191d", "#59626b", "#d5d9dd", "#8a4b00")
BLACK = Colours(DARK, PERSONS_DARK, "#14171a", "#eceff1", "#a4adb6", "#3a4148", "#ffc266")
CLEAR = Colours(LIGHT, PERSONS, None, "#16191d", "#59626b", "#d5d9dd", "#8a4b00")
GROUNDS = {"white": WHITE, "dark": BLACK, "transparent": CLEAR}


def css() -> str:
    """The text of ``design.css``."""
    return files("skeltools.pictures").joinpath("design.css").read_text(encoding="utf-8")
