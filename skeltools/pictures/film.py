"""Animations: marks drawn by OpenCV with 2 x 2 supersampling, written as a video or an animated image."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from cv2.utils import logging as log
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from schemas import SkelError, UsageError
from skeltools.pictures import palette
from skeltools.pictures.design import Colours
from skeltools.pictures.stick import Marks, Word

Pixels = NDArray[np.uint8]
"""[H, W, 4]: red, green, blue, opacity."""

FINER = 2
"""A picture is drawn this many times as large, then scaled down, for smooth lines."""

_BITS = 4
"""Fractional bits of OpenCV's coordinates, in sixteenths of a pixel."""

_BLUR = 1.4
"""Pixels by which OpenCV's antialiasing widens areas, as measured by the coverage of lines of known width."""

_LEAST = 20
"""Shortest frame in milliseconds: browsers slow down GIFs with shorter ones."""

_MOST = 1 << 30
"""Most bytes of all frames of a GIF, WebP or APNG together, which Pillow holds in memory."""


def draw(marks: Marks, size: tuple[int, int], ground: str | None) -> Pixels:
    """Draw marks on a picture of ``size`` (width, height); the alpha is not premultiplied."""
    width, height = size
    back = (0, 0, 0, 0) if ground is None else _colour(ground)
    fine = np.empty((height * FINER, width * FINER, 4), np.uint8)
    fine[:] = back
    for ends, colour, thick in marks.lines:
        _line(fine, ends, colour, thick)
    for corners, colour in marks.heads:
        cv2.fillConvexPoly(fine, np.array(_points(corners)), _colour(colour), cv2.LINE_AA, _BITS)
    for middle, colour, radius, hollow in marks.dots:
        _dot(fine, middle, colour, radius, back if hollow else None)
    small: Any = cv2.resize(fine, size, interpolation=cv2.INTER_AREA)
    _write_words(small, marks.words)
    return small if ground is not None else _divided(small)


def _line(fine: Pixels, ends: NDArray[Any], colour: str, width: float) -> None:
    """Draw a line as a polygon, since OpenCV's line widths are whole pixels."""
    along = ends[1] - ends[0]
    length = float(np.hypot(*along))
    more = width - _BLUR / FINER
    if length < 1e-9:
        return
    if more <= 0:
        start, stop = _points(ends)
        cv2.line(fine, start, stop, _colour(colour), 1, cv2.LINE_AA, _BITS)
        return
    across = 0.5 * more / length * np.array([-along[1], along[0]])
    corners = np.stack([ends[0] + across, ends[1] + across, ends[1] - across, ends[0] - across])
    cv2.fillConvexPoly(fine, np.array(_points(corners)), _colour(colour), cv2.LINE_AA, _BITS)


def _dot(fine: Pixels, middle: NDArray[Any], colour: str, radius: float, inside: Any) -> None:
    place, scale = _points(middle[None])[0], FINER << _BITS
    blur = 0.25 * _BLUR / FINER
    cv2.circle(fine, place, round((radius - blur) * scale), _colour(colour), -1, cv2.LINE_AA, _BITS)
    if inside is not None:
        cv2.circle(fine, place, max(1, round((0.55 * radius - blur) * scale)), inside, -1, cv2.LINE_AA, _BITS)


def _points(points: NDArray[Any]) -> list[tuple[int, int]]:
    """Convert to OpenCV's fixed-point coordinates, where pixel 0 is centred at 0, clipped to a safe range."""
    fixed = np.rint(((points * FINER) - 0.5) * (1 << _BITS)).clip(-(2**24), 2**24)
    return [(int(x), int(y)) for x, y in fixed]


def _colour(text: str) -> tuple[int, int, int, int]:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16), 255


def _divided(pixels: Pixels) -> Pixels:
    """Undo the premultiplication of colours that OpenCV blended with a transparent black ground."""
    cover = np.maximum(pixels[..., 3:], 1).astype(np.uint16)
    colours = (pixels[..., :3].astype(np.uint16) * 255 + cover // 2) // cover
    return np.concatenate([np.minimum(colours, 255).astype(np.uint8), pixels[..., 3:]], axis=2)


# Words


@cache
def _font(size: float) -> ImageFont.FreeTypeFont:
    from matplotlib import get_data_path

    return ImageFont.truetype(os.path.join(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


@cache
def _stencil(text: str, size: float) -> tuple[NDArray[np.uint8], int]:
    """Coverage [h, w] of each pixel by a line of text, and the text's height above the baseline."""
    font = _font(size)
    left, top, right, bottom = font.getbbox(text, anchor="ls")
    image = Image.new("L", (max(1, int(right - left) + 2), max(1, int(bottom - top) + 2)))
    ImageDraw.Draw(image).text((1 - left, 1 - top), text, fill=255, font=font, anchor="ls")
    return np.asarray(image), int(1 - top)


def _write_words(pixels: Pixels, words: Sequence[Word]) -> None:
    for word in words:
        stencil, above = _stencil(word.text, word.size)
        share = {"left": 0.0, "middle": 0.5, "right": 1.0}[word.anchor]
        x, y = round(word.x - share * stencil.shape[1]), round(word.y) - above
        rows, columns = (
            _overlap(y, stencil.shape[0], len(pixels)),
            _overlap(x, stencil.shape[1], pixels.shape[1]),
        )
        cover = stencil[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x, None] / 255
        under = pixels[rows, columns]
        under[:] = np.rint(cover * np.array(_colour(word.colour)) + (1 - cover) * under)


def _overlap(first: int, length: int, whole: int) -> slice:
    start = min(max(first, 0), whole)
    return slice(start, max(start, min(first + length, whole)))


# Files


def write(
    file: BinaryIO, kind: str, frames: Iterator[Pixels], count: int, fps: float, colours: Colours
) -> None:
    """Write an animation of ``count`` frames as ``gif``, ``webp`` or ``apng`` to an open ``file``.

    At most 50 frames a second are written: above that, frames are dropped and the clip's duration is kept.
    GIF durations are multiples of 10 ms. Raises UsageError if the frames would not fit in memory.
    """
    step = max(1, int(np.ceil(fps * _LEAST / 1000 - 1e-9)))
    shown = islice(frames, 0, None, step)
    first = next(shown)
    depth = 4 if kind != "gif" and colours.ground is None else 1
    if (count // step) * depth * first[..., 0].size > _MOST:
        raise UsageError(
            f"{count} frames of {first.shape[1]} x {first.shape[0]} are too many for one .{kind}",
            remedy="Choose some, as in --frames 0:500, or write .mp4",
        )
    lasts = _durations(-(-count // step), step / fps, 10 if kind == "gif" else 1)
    images = (_image(each, kind, colours) for each in chain([first], shown))
    still = next(images)
    more = list(images) if kind == "apng" else images  # Pillow iterates over those of a PNG twice
    options: dict[str, Any] = {"save_all": True, "append_images": more, "duration": lasts, "loop": 0}
    if kind == "gif":
        clear = {"transparency": palette.CLEAR, "disposal": 2} if colours.ground is None else {"disposal": 1}
        still.save(file, "GIF", optimize=False, **clear, **options)
    elif kind == "webp":
        still.save(file, "WEBP", lossless=True, method=4, quality=40, **options)
    else:
        still.save(file, "PNG", disposal=0 if colours.ground else 1, blend=0, **options)


def _durations(count: int, seconds: float, unit: int) -> list[int]:
    """Duration of each frame in milliseconds, a multiple of ``unit``, such that their sum is accurate.

    >>> _durations(4, 1 / 30, 10)
    [30, 40, 30, 30]
    """
    ends = np.rint(1000 * seconds * np.arange(count + 1) / unit).astype(int) * unit
    return [max(unit, int(each)) for each in np.diff(ends)]


def _image(pixels: Pixels, kind: str, colours: Colours) -> Image.Image:
    """An image with a palette of few colours, for small files, unless it is partly transparent."""
    if kind != "gif" and colours.ground is None:
        return Image.fromarray(pixels)
    image = Image.fromarray(palette.indexed(pixels, colours))
    image.putpalette(palette.palette(colours).tobytes())
    return image.convert("RGB") if kind == "webp" else image


CODECS = ("vp09", "mp4v")
"""Codecs of an .mp4, by preference. Browsers play VP9, which OpenCV's builds can write; they lack H.264."""


def write_video(path: Path, frames: Iterator[Pixels], fps: float) -> None:
    """Write frames of even width and height as a video. Raises SkelError if OpenCV has no codec."""
    first = next(frames)
    height, width = first.shape[:2]
    writer = _writer(path, fps, (width, height))
    for each in chain([first], frames):
        writer.write(cv2.cvtColor(each, cv2.COLOR_RGBA2BGR))
    writer.release()


def _writer(path: Path, fps: float, size: tuple[int, int]) -> Any:
    level = log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        for codec in CODECS:
            writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), fps, size)
            if writer.isOpened():
                return writer
    finally:
        log.setLogLevel(level)
    raise SkelError(
        f"this OpenCV writes no .mp4 ({cv2.__version__})",
        remedy="Install opencv-python with pip, or write .gif or .webp",
    )
