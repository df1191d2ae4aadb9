"""Write a scene to a file, as a film strip or an animation.

matplotlib draws film strips and OpenCV animations, from the same marks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from schemas import UsageError, unknown
from skeltools.files import durable
from skeltools.pictures import film, film_strip, sheet
from skeltools.pictures.design import GROUNDS, Colours
from skeltools.pictures.flat import VIEWS, Flat, View, flatten
from skeltools.pictures.painted import DPI, Strip, in_bytes, matplotlib_settings, painted
from skeltools.pictures.scene import Scene

STILL = ("png", "svg", "pdf")
MOVING = ("gif", "webp", "apng")
VIDEO = ("mp4",)
KINDS = (*STILL, *MOVING, *VIDEO)

FPS = 30.0
"""Default frame rate: that of the Kinects of NTU RGB+D, NW-UCLA and PKU-MMD."""

POSES = 8
"""Default number of poses in a film strip."""

LARGEST = 8000
"""Longest side of a picture, in pixels."""


@dataclass(frozen=True)
class Look:
    """Drawing options of a scene."""

    view: View = "front"
    ground: Literal["white", "dark", "transparent"] = "white"
    frames: str | None = None
    """``8`` (evenly spaced), ``10:60``, ``10:60:5`` or ``3,7,9``. None: all, or eight in a film strip."""
    size: tuple[int, int] | None = None
    """Width and height in pixels; None: as large as the content needs."""
    fps: float | None = None
    """Frame rate of the recording; None: that of the scene, else 30."""
    speed: float = 1.0
    names: bool = False
    """Whether to show the names of joints."""
    words: bool = True
    """Whether to show conventions, frame numbers and the class."""

    def __post_init__(self) -> None:
        if self.view not in VIEWS:
            raise unknown("view", self.view, VIEWS)
        if self.ground not in GROUNDS:
            raise unknown("ground", self.ground, GROUNDS)
        for name in ("fps", "speed"):
            value = getattr(self, name)
            if value is not None and not 0.001 <= value <= 1000:
                raise UsageError(f"{name} is {value:g}", remedy="It is a number from 0.001 to 1000")
        if self.size is not None and not all(16 <= side <= LARGEST for side in self.size):
            raise UsageError(
                f"a size of {self.size[0]}x{self.size[1]}", remedy=f"Sides are 16 to {LARGEST} dots long"
            )

    @property
    def colours(self) -> Colours:
        return GROUNDS[self.ground]


def kind_of(out: Path) -> str:
    """The kind of file, by its suffix. Raises UsageError with the known kinds for any other."""
    kind = out.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise UsageError(
            f"{out}: the end of the name says what is written, found '{out.suffix}'",
            remedy=f"Moving: {', '.join(f'.{each}' for each in (*VIDEO, *MOVING))}; "
            f"a film strip: {', '.join(f'.{each}' for each in STILL)}",
        )
    return kind


def save(scene: Scene, out: Path, look: Look | None = None, *, force: bool = False) -> Path:
    """Write a scene in the format given by the suffix: a film strip (png, svg, pdf) or an animation.

    The same scene and look give the same bytes. The file is complete or absent. Raises UsageError for an
    unknown suffix, an existing file (unless ``force``), or a view or frames that do not exist.
    """
    look, kind = look or Look(), kind_of(out)
    _check_place(out, force=force)
    if kind in VIDEO and look.ground == "transparent":
        raise UsageError(f".{kind} has no transparent ground", remedy="Take .webp, .apng or .gif")
    if kind in STILL:
        data = still(scene, look, kind)
        durable.write(out, lambda file: file.write(data))
    elif kind in MOVING:
        frames, count, fps = _film(scene, look)
        durable.write(out, lambda file: film.write(file, kind, frames, count, fps, look.colours))  # type: ignore[arg-type]
    else:
        _save_video(scene, out, look)
    return out


def _check_place(out: Path, *, force: bool) -> None:
    if out.is_dir():
        raise UsageError("is a folder", where=out, remedy="Name a file, such as clip.gif")
    if out.exists() and not force:
        raise UsageError("is there already", where=out, remedy="Give another name, or --force")
    if not out.parent.is_dir():
        raise UsageError(f"there is no folder {out.parent}", where=out, remedy="Make it first")


def _save_video(scene: Scene, out: Path, look: Look) -> None:
    if look.size is not None and any(side % 2 for side in look.size):
        raise UsageError(
            f"a size of {look.size[0]}x{look.size[1]}", remedy="Sides of videos are even numbers of dots"
        )
    frames, _, fps = _film(scene, look)
    beside = out.with_name(f".{os.getpid()}.{out.name}")
    try:
        film.write_video(beside, frames, fps)
        durable.sync(beside)
        os.replace(beside, out)
    finally:
        beside.unlink(missing_ok=True)


# Animations


def _film(scene: Scene, look: Look) -> tuple[Iterator[film.Pixels], int, float]:
    """The frames as pictures, their number, and the frame rate."""
    total = length_of(scene)
    chosen = choose(look.frames, total, all_of_them=True)
    flats = flatten([_part(track, chosen, total) for track in scene.tracks], look.view)
    fps = (look.fps or scene.fps or FPS) * look.speed / gap(chosen)
    return _pictures(scene, flats, chosen, look), len(chosen), fps


def gap(chosen: Sequence[int]) -> float:
    """Average distance between consecutive chosen frames, in frames of the recording."""
    return max(1.0, (chosen[-1] - chosen[0]) / (len(chosen) - 1)) if len(chosen) > 1 else 1.0


def _pictures(
    scene: Scene, flats: Sequence[Flat], chosen: Sequence[int], look: Look
) -> Iterator[film.Pixels]:
    page = sheet.tiles(flats, look.size, words=look.words)
    places = sheet.scales(flats, page)
    size = (round(page.width), round(page.height))
    for frame in chosen:
        made = sheet.animated(
            flats,
            frame,
            page,
            places,
            look.colours,
            title=_title(scene) if look.words else None,
            names=look.names,
        )
        yield film.draw(made, size, look.colours.ground)


def _title(scene: Scene) -> str:
    return scene.title if scene.title in ("", scene.id) else f"{scene.title} · {scene.id}"


# Film strips


def strip(scene: Scene, look: Look | None = None) -> Strip:
    """A matplotlib figure with a row of poses for each track; one point of the picture is 1/96 inch.

    Raises UsageError like ``save``.
    """
    look = look or Look()
    total = length_of(scene)
    chosen = choose(look.frames, total, all_of_them=False)
    flats = flatten([_part(track, chosen, total) for track in scene.tracks], look.view, floor=False)
    page, made = film_strip.strip(
        flats,
        chosen,
        look.colours,
        size=look.size,
        title=(_title(scene) or scene.id) if look.words else None,
        names=look.names,
    )
    return painted(made, page.width, page.height, look.colours)


def still(scene: Scene, look: Look, kind: str) -> bytes:
    """A film strip as the bytes of a png, svg or pdf."""
    with matplotlib_settings():
        return in_bytes(strip(scene, look), kind, DPI if look.size else 2 * DPI)


# Frames


def length_of(scene: Scene) -> int:
    """Number of frames of the longest track. Raises UsageError if it is zero."""
    length = max((len(each.joints) for each in scene.tracks), default=0)
    if not length:
        raise UsageError(f"{scene.id} has no frames", remedy="Choose another clip")
    return length


def choose(text: str | None, total: int, *, all_of_them: bool) -> list[int]:
    """The frames out of ``total`` that ``Look.frames`` selects. Raises UsageError if there are none.

    >>> choose("4", 20, all_of_them=True), choose("10:20:5", 20, all_of_them=True)
    ([0, 6, 13, 19], [10, 15])
    """
    if text is None:
        text = ":" if all_of_them else str(POSES)
    numbers = re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*(,\s*)?", text)
    span = re.fullmatch(r"\s*(-?\d+)?\s*:\s*(-?\d+)?\s*(?::\s*(\d+)?\s*)?", text)
    if span and span[3] != "0":
        frames = list(range(total))[slice(*(int(each) if each else None for each in span.groups()))]
    elif numbers and "," in text:
        frames = [int(each) for each in text.split(",") if each.strip()]
    elif numbers and int(text):
        frames = sorted({int(each) for each in np.rint(np.linspace(0, total - 1, min(int(text), total)))})
    else:
        raise UsageError(
            f"frames are given as 8, 10:60, 10:60:5 or 3,7,9, found '{text}'",
            remedy="8 is so many, evenly spread; 10:60 are those from 10 to 59",
        )
    if not frames or not all(0 <= each < total for each in frames):
        raise UsageError(f"no such frames: {text}", remedy=f"The clip has frames 0 to {total - 1}")
    return frames


def _part(track: Any, chosen: Sequence[int], total: int) -> Any:
    """The track with bodies present in the chosen frames only, so that others do not affect its bounds."""
    if len(track.joints) != total or len(chosen) == total:
        return track
    keep = np.zeros(total, dtype=bool)
    keep[list(chosen)] = True
    return replace(track, present=track.present & keep[:, None])
