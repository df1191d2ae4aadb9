"""A palette of 256 colours for a picture: its colours, and steps between each of them and the ground."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from skeltools.pictures.design import Colours

Numbers = NDArray[np.float64]
Pixels = NDArray[np.uint8]

CLEAR = 0
"""Index of the transparent colour, or of the ground if there is one."""

_SOLID = 128
"""Opacity from which a pixel is drawn in formats without partial transparency."""


def indexed(pixels: Pixels, colours: Colours) -> Pixels:
    """Convert [H, W, 4] to [H, W], the index of each pixel's colour in ``palette``."""
    numbers = _table(*_inks(colours))[_codes(pixels[..., :3])]
    if colours.ground is None:
        numbers[pixels[..., 3] < _SOLID] = CLEAR
    return numbers


def palette(colours: Colours) -> Pixels:
    """The palette [256, 3]."""
    filled = np.zeros((256, 3), np.uint8)
    mixed = np.rint(_mixed(*_inks(colours)))
    filled[: len(mixed)] = mixed
    return filled


def _inks(colours: Colours) -> tuple[str, ...]:
    """The ground, or an empty text, and all other colours."""
    more = (colours.text, colours.quiet, colours.line, colours.warn)
    inks = dict.fromkeys([*colours.parts.values(), *colours.persons, *more])
    return (colours.ground or "", *inks)


def _rgb(text: str) -> list[int]:
    return [int(text[place : place + 2], 16) for place in (1, 3, 5)]


@cache
def _mixed(ground: str, *inks: str) -> Numbers:
    """The ground, then each ink in steps up to the ink itself."""
    back = np.array(_rgb(ground or "#ffffff"), float)
    pure = np.array([_rgb(ink) for ink in inks], float)
    shares = np.linspace(0, 1, 255 // len(inks) + 1)[1:, None, None]
    return np.concatenate([back[None], (back + shares * (pure - back)).reshape(-1, 3)])


@cache
def _table(ground: str, *inks: str) -> Pixels:
    """The closest colour for each code [32768]; the ground and the inks map exactly to themselves."""
    mixed, code = _mixed(ground, *inks), np.arange(1 << 15)
    looked = np.stack([code >> 10, code >> 5 & 31, code & 31], axis=1) * (255 / 31)
    first = 0 if ground else 1  # opaque pixels never map to the transparent colour
    distance = ((looked[:, None] - mixed[None, first:]) ** 2).sum(axis=2)
    table = (distance.argmin(axis=1) + first).astype(np.uint8)
    exact = [*range(len(mixed) - len(inks), len(mixed)), *([0] if ground else [])]
    table[_codes(np.rint(mixed[exact]).astype(np.uint8))] = exact
    return table


def _codes(pixels: Pixels) -> NDArray[np.uint16]:
    """Codes [...] of colours [..., 3]: five bits per channel."""
    red, green, blue = np.moveaxis(pixels, -1, 0).astype(np.uint16) >> 3
    return (red << 10 | green << 5 | blue).astype(np.uint16)
