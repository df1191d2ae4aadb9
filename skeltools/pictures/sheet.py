"""The layout of a picture: tiles of an animation, rows of a film strip, words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skeltools.pictures.design import Colours
from skeltools.pictures.flat import Flat
from skeltools.pictures.stick import Marks, Place, Word, marks, spaced

PAD = 10.0
TITLE = 20.0
"""Height of the line of words above a tile or row."""
FOOT = 24.0
WORDS, SMALL = 12.0, 10.0
"""Font sizes, in points of the picture."""

LETTER = 0.62
"""Width of a letter of DejaVu Sans relative to the font size, slightly above its mean."""

TALL, LESS_TALL = 300.0, 200.0
"""Height of the people in an animation with up to four tiles, and with more."""


@dataclass(frozen=True)
class Sheet:
    """Size of a picture, and the tile (left, top, width, height) of each track."""

    width: float
    height: float
    tiles: tuple[tuple[float, float, float, float], ...]


def groups(flats: Sequence[Flat]) -> list[tuple[float, float]]:
    """Width and height in the plane that each track's tile shows. All 3D tracks share one size, and so one
    scale; each 2D track has its own, as its unit may differ."""
    solid = [flat.box for flat in flats if flat.track.coordinates == "xyz" and flat.seen.any()]
    whole = [flat.box for flat in flats if flat.track.coordinates == "xyz"]
    shared = solid or whole
    wide, tall = (max((getattr(box, side) for box in shared), default=1.0) for side in ("width", "height"))
    return [
        (wide, tall) if flat.track.coordinates == "xyz" else (flat.box.width, flat.box.height)
        for flat in flats
    ]


def heading(flat: Flat) -> str:
    """The line above a tile."""
    kind = {"joint": "", "bone": ", bones", "motion": f", motion x {flat.factor:g}"}[flat.track.kind]
    return flat.track.name + kind


# Animation


def tiles(flats: Sequence[Flat], size: tuple[int, int] | None, *, words: bool) -> Sheet:
    """A grid of tiles. Without ``size``, it follows from the content, with even width and height."""
    number = len(flats)
    columns = number if number <= 4 else int(np.ceil(np.sqrt(1.5 * number)))
    rows = -(-number // columns)
    title, foot = (TITLE, FOOT) if words else (0.0, 0.0)
    if size is None:
        tall = TALL if number <= 4 else LESS_TALL
        shapes = groups(flats)
        wide = max(min(max(each[0] / each[1], 0.3), 2.0) * tall for each in shapes) + 2 * PAD
        least = max(LETTER * WORDS * len(heading(flat)) for flat in flats) + 2 * PAD if words else 0.0
        least = max(least, 340 / columns if words else 0.0)
        width = _even(columns * max(wide, least))
        height = _even(rows * (tall + 2 * PAD + title) + foot)
    else:
        width, height = size
    cell_w, cell_h = width / columns, (height - foot) / rows
    places = [divmod(place, columns) for place in range(number)]
    return Sheet(
        width,
        height,
        tuple((column * cell_w, row * cell_h + title, cell_w, cell_h - title) for row, column in places),
    )


def _even(length: float) -> int:
    return 2 * int(np.ceil(length / 2))


def scales(flats: Sequence[Flat], sheet: Sheet) -> list[Place]:
    """The placement of each track's plane in its tile."""
    places = []
    for flat, (wide, tall), (x, y, width, height) in zip(flats, groups(flats), sheet.tiles, strict=True):
        scale = max(1e-9, min((width - 2 * PAD) / wide, (height - 2 * PAD) / tall))
        centre = (flat.box.left + flat.box.right) / 2
        below = (height - scale * tall) / 2
        places.append(Place(x + width / 2, y + height - below, scale, centre, flat.box.bottom))
    return places


def background(flats: Sequence[Flat], sheet: Sheet, places: Sequence[Place], colours: Colours) -> Marks:
    """The marks that are the same in all frames: the floors."""
    made = Marks()
    for flat, place in zip(flats, places, strict=True):
        if flat.floor is not None:
            corners = place(flat.floor)
            ends = np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)
            made.lines += [(each, colours.line, 1.0) for each in ends]
    return made


def titles(flats: Sequence[Flat], frame: int, sheet: Sheet, colours: Colours) -> list[Word]:
    words = []
    for flat, (x, y, width, height) in zip(flats, sheet.tiles, strict=True):
        words.append(Word(x + PAD, y - 4, heading(flat), colours.text, WORDS))
        if not flat.seen[own_frame(flat, frame, flats)].any():
            words.append(Word(x + width / 2, y + height / 2, "nobody", colours.quiet, WORDS, "middle"))
    return words


def animated(
    flats: Sequence[Flat],
    frame: int,
    sheet: Sheet,
    places: Sequence[Place],
    colours: Colours,
    *,
    title: str | None,
    names: bool = False,
) -> Marks:
    """The marks of one frame. ``title`` None: without words."""
    made = background(flats, sheet, places, colours)
    for flat, place in zip(flats, places, strict=True):
        here = own_frame(flat, frame, flats)
        add(made, marks(flat, here, place, colours, unit=unit(flat, place), names=names))
    made.words += spaced(made.names, sheet.width)
    if title is not None:
        made.words += titles(flats, frame, sheet, colours)
        low = sheet.height - 8
        number = f"frame {frame}"
        room = int((sheet.width - 2 * PAD - LETTER * SMALL * (len(number) + 2)) / (LETTER * SMALL))
        made.words.append(Word(PAD, low, shortened(title, room), colours.quiet, SMALL))
        made.words.append(Word(sheet.width - PAD, low, number, colours.quiet, SMALL, "right"))
    return made


def own_frame(flat: Flat, frame: int, flats: Sequence[Flat]) -> int:
    """The frame of a track at a frame of the longest track: each is stretched over the whole clock."""
    longest = max(len(each.points) for each in flats)
    return round(frame * (len(flat.points) - 1) / max(1, longest - 1))


def unit(flat: Flat, place: Place) -> float:
    """Width of a thin line: one point for a person of 300 points."""
    return float(np.clip(place.scale * flat.box.height / 300, 0.55, 3.0))


def add(made: Marks, more: Marks) -> None:
    made.lines += more.lines
    made.heads += more.heads
    made.dots += more.dots
    made.words += more.words
    made.names += more.names


def shortened(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: max(0, letters - 1)].rstrip()}…"
