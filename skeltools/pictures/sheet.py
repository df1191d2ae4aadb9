"""Where things stand in a picture: tiles of an animation, rows of a film strip, words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skeltools.pictures.design import Colours
from skeltools.pictures.stick import Flat, Marks, Place, Word, marks, pose_box

PAD = 10.0
TITLE = 20.0
"""Height of the line of words above a tile or row."""
FOOT = 24.0
WORDS, SMALL = 12.0, 10.0
"""Size of letters, in points of the picture."""

_LETTER = 0.62
"""Width of a letter of DejaVu Sans, as a share of its size: on the safe side of its mean."""

TALL, LESS_TALL = 300.0, 200.0
"""Height of the people in an animation of up to four tiles, and of more."""

WIDE = 691.0
"""Of a film strip: 7.2 inches, the text width of a page."""


@dataclass(frozen=True)
class Sheet:
    """Size of a picture, and the tile (left, top, width, height) of each track or of each pose."""

    width: float
    height: float
    tiles: tuple[tuple[float, float, float, float], ...]


def groups(flats: Sequence[Flat]) -> list[tuple[float, float]]:
    """Width and height in the plane that the tile of each track shows: one for all 3D tracks, so that they
    have one scale; 2D tracks, whose units are their own, each have theirs."""
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
    """A grid of tiles. Without a size it follows from what is shown; widths and heights are even."""
    number = len(flats)
    columns = number if number <= 4 else int(np.ceil(np.sqrt(1.5 * number)))
    rows = -(-number // columns)
    title, foot = (TITLE, FOOT) if words else (0.0, 0.0)
    if size is None:
        tall = TALL if number <= 4 else LESS_TALL
        shapes = groups(flats)
        wide = max(min(max(each[0] / each[1], 0.3), 2.0) * tall for each in shapes) + 2 * PAD
        least = max(_LETTER * WORDS * len(heading(flat)) for flat in flats) + 2 * PAD if words else 0.0
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
    """Where the plane of each track lies in its tile."""
    found = []
    for flat, (wide, tall), (x, y, width, height) in zip(flats, groups(flats), sheet.tiles, strict=True):
        scale = max(1e-9, min((width - 2 * PAD) / wide, (height - 2 * PAD) / tall))
        centre = (flat.box.left + flat.box.right) / 2
        below = (height - scale * tall) / 2
        found.append(Place(x + width / 2, y + height - below, scale, centre, flat.box.bottom))
    return found


def background(flats: Sequence[Flat], sheet: Sheet, places: Sequence[Place], colours: Colours) -> Marks:
    """What stays as it is in all frames: the floors."""
    made = Marks()
    for flat, place in zip(flats, places, strict=True):
        if flat.floor is not None:
            corners = place(flat.floor)
            ends = np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)
            made.lines += [(each, colours.line, 1.0) for each in ends]
    return made


def titles(flats: Sequence[Flat], sheet: Sheet, colours: Colours) -> list[Word]:
    found = []
    for flat, (x, y, width, height) in zip(flats, sheet.tiles, strict=True):
        found.append(Word(x + PAD, y - 4, heading(flat), colours.text, WORDS))
        if not flat.seen.any():
            found.append(Word(x + width / 2, y + height / 2, "nobody", colours.quiet, WORDS, "middle"))
    return found


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
    """One frame. ``title`` None: without words."""
    made = background(flats, sheet, places, colours)
    for flat, place in zip(flats, places, strict=True):
        here = own_frame(flat, frame, flats)
        add(made, marks(flat, here, place, colours, unit=unit(flat, place), names=names))
    if title is not None:
        made.words += titles(flats, sheet, colours)
        low = sheet.height - 8
        number = f"frame {frame}"
        room = int((sheet.width - 2 * PAD - _LETTER * SMALL * (len(number) + 2)) / (_LETTER * SMALL))
        made.words.append(Word(PAD, low, shortened(title, room), colours.quiet, SMALL))
        made.words.append(Word(sheet.width - PAD, low, number, colours.quiet, SMALL, "right"))
    return made


def own_frame(flat: Flat, frame: int, flats: Sequence[Flat]) -> int:
    """The frame of a track at a frame of the longest: each runs from the first to the last of the clock."""
    longest = max(len(each.points) for each in flats)
    return round(frame * (len(flat.points) - 1) / max(1, longest - 1))


def unit(flat: Flat, place: Place) -> float:
    """Width of a thin line: a person of 300 points has lines of one."""
    return float(np.clip(place.scale * flat.box.height / 300, 0.55, 3.0))


def add(made: Marks, more: Marks) -> None:
    made.lines += more.lines
    made.heads += more.heads
    made.dots += more.dots
    made.words += more.words


def shortened(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: max(0, letters - 1)].rstrip()}…"


# Film strip


def strip(
    flats: Sequence[Flat],
    frames: Sequence[int],
    colours: Colours,
    *,
    size: tuple[int, int] | None = None,
    title: str | None = None,
    names: bool = False,
) -> tuple[Sheet, Marks]:
    """A row of poses for each track, numbered below. ``title`` None: without words."""
    at = [[own_frame(flat, frame, flats) for frame in frames] for flat in flats]
    boxes = [[pose_box(flat, frame) for frame in chosen] for flat, chosen in zip(flats, at, strict=True)]
    spans = groups(flats)
    cells = [_cell(row, tall) for row, (_, tall) in zip(boxes, spans, strict=True)]
    solid = [cell for cell, flat in zip(cells, flats, strict=True) if flat.track.coordinates == "xyz"]
    cells = [
        max(solid) if flat.track.coordinates == "xyz" else cell
        for cell, flat in zip(cells, flats, strict=True)
    ]
    sheet = _strip_sheet(cells, spans, len(frames), size, words=title is not None)
    made = Marks()
    for flat, row, chosen, wide, (_, tall), tile in zip(
        flats, boxes, at, cells, spans, sheet.tiles, strict=True
    ):
        x, y, width, height = tile
        step = width / len(frames)
        scale = max(1e-9, min(step / wide, height / tall))
        low = y + height / 2 + scale * tall / 2
        if flat.view in ("front", "side") and flat.track.coordinates == "xyz":
            ends = np.array([[x, low + 1], [x + width, low + 1]])
            made.lines.append((ends, colours.line, 1.0))
        for column, (box, frame) in enumerate(zip(row, chosen, strict=True)):
            middle = x + (column + 0.5) * step
            place = Place(middle, low, scale, (box.left + box.right) / 2, flat.box.bottom)
            add(made, marks(flat, frame, place, colours, unit=unit(flat, place), names=names))
            if title is not None and flat.seen[chosen].any() and not flat.seen[frame].any():
                made.words.append(
                    Word(middle, y + height / 2, "nobody", colours.quiet, 0.8 * SMALL, "middle")
                )
        if title is not None:
            made.words.append(Word(x, y - 6, heading(flat), colours.text, SMALL))
        if not flat.seen[chosen].any():
            made.words.append(Word(x + width / 2, y + height / 2, "nobody", colours.quiet, SMALL, "middle"))
    if title is not None:
        made.words += _strip_words(sheet, frames, colours, title)
    return sheet, made


def _cell(boxes: Sequence[object], tall: float) -> float:
    return max([0.35 * tall, *(box.width for box in boxes)]) * 1.06  # type: ignore[attr-defined]


def _strip_sheet(
    cells: Sequence[float],
    spans: Sequence[tuple[float, float]],
    number: int,
    size: tuple[int, int] | None,
    *,
    words: bool,
) -> Sheet:
    rows = len(cells)
    title, foot = (TITLE, FOOT + 14) if words else (0.0, 0.0)
    if size is None:
        room = WIDE - 2 * PAD
        talls = [
            min(TALL, room / (wide * number) * tall) for wide, (_, tall) in zip(cells, spans, strict=True)
        ]
        most = max(
            wide * number * tall / span for wide, tall, (_, span) in zip(cells, talls, spans, strict=True)
        )
        width = min(WIDE, max(most + 2 * PAD, 340.0 if words else 0.0))
        height = PAD + sum(tall + title + PAD for tall in talls) + foot
    else:
        width, height = size
        left = max(1.0, height - PAD - foot - rows * (title + PAD))
        talls = [left / rows] * rows
    tops = np.cumsum([0.0, *(tall + title + PAD for tall in talls)])[:-1] + PAD + title
    return Sheet(
        width,
        height,
        tuple((PAD, float(top), width - 2 * PAD, tall) for top, tall in zip(tops, talls, strict=True)),
    )


def _strip_words(sheet: Sheet, frames: Sequence[int], colours: Colours, title: str) -> list[Word]:
    """Numbers of the frames, and the key, below the last row."""
    x, y, width, height = sheet.tiles[-1]
    step = width / len(frames)
    size = min(SMALL, 0.9 * step / (_LETTER * max(len(str(frame)) for frame in frames)))
    low = y + height + 14
    found = [
        Word(x + (column + 0.5) * step, low, str(frame), colours.quiet, size, "middle")
        for column, frame in enumerate(frames)
    ]
    room = int((sheet.width - 2 * PAD) / (_LETTER * SMALL))
    key = shortened(f"{title} · numbers: frames · hollow joints: right side", room)
    return [*found, Word(PAD, sheet.height - 8, key, colours.quiet, SMALL)]
