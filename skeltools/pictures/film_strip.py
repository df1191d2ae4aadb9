"""The layout of a film strip: one row of poses per track."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from skeltools.pictures.design import Colours
from skeltools.pictures.flat import Box, Flat, pose_box
from skeltools.pictures.sheet import (
    FOOT,
    LETTER,
    PAD,
    SMALL,
    TALL,
    TITLE,
    Sheet,
    add,
    groups,
    heading,
    own_frame,
    shortened,
    unit,
)
from skeltools.pictures.sides import sides
from skeltools.pictures.stick import Marks, Place, Word, marks, spaced

WIDE = 691.0
"""Width of a film strip: 7.2 inches, the text width of a page."""

_NARROW = 340.0
"""Minimum width of a strip with words, which would not fit otherwise."""


@dataclass(frozen=True, eq=False)
class Row:
    """The content of a row, in the plane of its track."""

    flat: Flat
    frames: tuple[int, ...]
    boxes: tuple[Box, ...]
    """Bounds of each pose."""
    wide: float
    """Width of the space for one pose."""
    tall: float

    @property
    def solid(self) -> bool:
        """Whether the track is 3D; all 3D rows share one scale."""
        return self.flat.track.coordinates == "xyz"


def strip(
    flats: Sequence[Flat],
    frames: Sequence[int],
    colours: Colours,
    *,
    size: tuple[int, int] | None = None,
    title: str | None = None,
    names: bool = False,
) -> tuple[Sheet, Marks]:
    """One row of poses per track, with frame numbers below. ``title`` None: without words."""
    rows, words = _rows(flats, frames), title is not None
    sheet = _sheet(rows, len(frames), size, words=words)
    made = Marks()
    for row, tile in zip(rows, sheet.tiles, strict=True):
        add(made, _poses(row, tile, colours, words=words, names=names))
        if words:
            made.words.append(Word(tile[0], tile[1] - 6, heading(row.flat), colours.text, SMALL))
    made.words += spaced(made.names, sheet.width)
    if title is not None:
        made.words += _numbers(sheet, frames, colours)
        made.words.append(_key(sheet, _caption(rows, title), colours))
    return sheet, made


def _rows(flats: Sequence[Flat], frames: Sequence[int]) -> list[Row]:
    rows = []
    for flat, (_, tall) in zip(flats, groups(flats), strict=True):
        own = tuple(own_frame(flat, frame, flats) for frame in frames)
        boxes = tuple(pose_box(flat, frame) for frame in own)
        wide = 1.06 * max(0.35 * tall, *(box.width for box in boxes))
        rows.append(Row(flat, own, boxes, wide, tall))
    widest = max((row.wide for row in rows if row.solid), default=1.0)
    return [replace(row, wide=widest) if row.solid else row for row in rows]


def _sheet(rows: Sequence[Row], number: int, size: tuple[int, int] | None, *, words: bool) -> Sheet:
    title, foot = (TITLE, FOOT + 14) if words else (0.0, 0.0)
    if size is None:
        room = WIDE - 2 * PAD
        talls = [min(TALL, room / (row.wide * number) * row.tall) for row in rows]
        used = max(row.wide * number * tall / row.tall for row, tall in zip(rows, talls, strict=True))
        width = min(WIDE, max(used + 2 * PAD, _NARROW if words else 0.0))
        height = PAD + sum(tall + title + PAD for tall in talls) + foot
    else:
        width, height = size
        talls = [max(1.0, height - PAD - foot - len(rows) * (title + PAD)) / len(rows)] * len(rows)
    tops = np.cumsum([0.0, *(tall + title + PAD for tall in talls)])[:-1] + PAD + title
    tiles = [(PAD, float(top), width - 2 * PAD, tall) for top, tall in zip(tops, talls, strict=True)]
    return Sheet(width, height, tuple(tiles))


def _poses(
    row: Row, tile: tuple[float, float, float, float], colours: Colours, *, words: bool, names: bool
) -> Marks:
    x, y, width, height = tile
    step = width / len(row.frames)
    scale = max(1e-9, min(step / row.wide, height / row.tall))
    low = y + (height + scale * row.tall) / 2
    made = Marks()
    if row.flat.view in ("front", "side") and row.solid:
        made.lines.append((np.array([[x, low + 1], [x + width, low + 1]]), colours.line, 1.0))
    for column, (box, frame) in enumerate(zip(row.boxes, row.frames, strict=True)):
        place = Place(x + (column + 0.5) * step, low, scale, (box.left + box.right) / 2, row.flat.box.bottom)
        add(made, marks(row.flat, frame, place, colours, unit=unit(row.flat, place), names=names))
    if words:
        made.words += _absent(row, tile, colours)
    return made


def _absent(row: Row, tile: tuple[float, float, float, float], colours: Colours) -> Iterator[Word]:
    """The word "nobody" in each empty frame, or once if all are empty."""
    x, y, width, height = tile
    there = np.asarray(row.flat.seen[list(row.frames)].any(axis=(1, 2)))
    places = [0.5] if not there.any() else (np.flatnonzero(~there) + 0.5) / len(there)
    for place in places:
        yield Word(x + place * width, y + height / 2, "nobody", colours.quiet, 0.8 * SMALL, "middle")


def _numbers(sheet: Sheet, frames: Sequence[int], colours: Colours) -> Iterator[Word]:
    """The frame numbers, below the last row."""
    x, y, width, height = sheet.tiles[-1]
    step = width / len(frames)
    size = min(SMALL, 0.9 * step / (LETTER * max(len(str(frame)) for frame in frames)))
    for column, frame in enumerate(frames):
        yield Word(x + (column + 0.5) * step, y + height + 14, str(frame), colours.quiet, size, "middle")


def _caption(rows: Sequence[Row], title: str) -> str:
    """The title and a legend."""
    sided = any("right" in sides(row.flat.track.spec) for row in rows)
    return f"{title} · numbers: frames{' · hollow joints: right side' if sided else ''}"


def _key(sheet: Sheet, text: str, colours: Colours) -> Word:
    room = int((sheet.width - 2 * PAD) / (LETTER * SMALL))
    return Word(PAD, sheet.height - 8, shortened(text, room), colours.quiet, SMALL)
