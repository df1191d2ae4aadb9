"""Clips that are folders of numbered arrays or text, a file per frame: ``layout`` has no T."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from schemas import Finding, RawDataError, SkelError, SkeletonSpec
from skeltools.custom import poses as arrays
from skeltools.custom import text
from skeltools.custom.clip_files import Clip, Poses
from skeltools.custom.layouts import DEFAULT, MAX_BODIES
from skeltools.custom.settings import Settings
from skeltools.formats import pose_json
from skeltools.formats.pose_json import numbered
from skeltools.raw_items import MAX_BYTES, RawItem

_FEWEST_FILES, _MOST_FRAMES = 5, 2
"""So many numbered files of so few frames, or of so few people in a frame, may be the frames of a clip."""
_LARGEST = 2**20
"""Larger files, in bytes, hold more than a frame."""


def clips(folder: Path, files: Sequence[Path]) -> list[Clip]:
    """The clips of numbered files below ``folder``, by folder, suffix and the name before the number."""
    kinds = dict.fromkeys(file.suffix.lower() for file in files)
    return [
        clip
        for kind in kinds
        for clip in pose_json.clips(folder, [f for f in files if f.suffix.lower() == kind], numbered)
    ]


def poses(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """Read all frames of the clip that begins with the item's file. A number without a file, or an empty
    file, is a frame without a person; the people of a frame may come in any order.

    Raises RawDataError for a file that is not one frame, a frame that is there twice, or too many bytes.
    """
    made: dict[int, Poses] = {}
    files = _files(item)
    for number, file in files.items():
        if file.stat().st_size:
            made[number] = _frame(replace(item, path=str(file), member=None), settings, spec)
    if not made:
        raise RawDataError("all of its frames are empty files", where=item.path)
    first, last = min(files), max(files)
    joints, size = next(iter(made.values())).values.shape[2:]
    shape = (last - first + 1, max(frame.values.shape[1] for frame in made.values()), joints)
    if shape[1] > MAX_BODIES or shape[0] * shape[1] * joints * (size + 1) * 8 > 4 * MAX_BYTES:
        raise RawDataError(
            f"frames {first} to {last} of up to {shape[1]} people are too many for one clip", where=item.path
        )
    values, score = np.full((*shape, size), np.nan), np.full(shape, np.nan)
    for number, frame in made.items():
        values[number - first, : frame.values.shape[1]] = frame.values[0]
        if frame.score is not None:
            score[number - first, : frame.values.shape[1]] = frame.score[0]
    scored = settings.coordinates.endswith("s")
    return Poses(values, score if scored else None, linked=shape[1] == 1)


def _files(item: RawItem) -> dict[int, Path]:
    """Frame number -> file, in order, of the clip that begins with the item's file."""
    first = Path(item.path)
    name, suffix = numbered(first.stem)[0], first.suffix.lower()
    files: dict[int, Path] = {}
    for file in sorted(first.parent.iterdir()):
        clip, number = numbered(file.stem)
        if clip != name or file.suffix.lower() != suffix or not file.is_file():
            continue
        if (other := files.setdefault(number or 0, file)) is not file:
            raise RawDataError(f"frame {number or 0} is there twice, also as {other.name}", where=file)
    size = sum(file.stat().st_size for file in files.values())
    if size > MAX_BYTES:
        raise RawDataError(f"{size} bytes are too many for one clip (limit {MAX_BYTES})", where=item.path)
    return dict(sorted(files.items()))


def _frame(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """[1, M, V, C] of one file. Text is read as rows of frames, which are its people where rows are."""
    layout = settings.layout or ""
    rows, *columns = layout.split()
    of_people = False
    if Path(item.path).suffix.lower() not in text.SUFFIXES:
        made = arrays.of_array(arrays.array(item, settings)[None], item, _with(settings, f"T {layout}"), spec)
    else:
        of_people = bool(columns) and "M" in rows
        rows = rows.replace("M", "T") if of_people else f"T{rows}" if columns else f"T {rows}"
        made = text.poses(item, _with(settings, " ".join((rows, *columns))), spec)
    if of_people:
        score = None if made.score is None else made.score.swapaxes(0, 1)
        made = replace(made, values=made.values.swapaxes(0, 1), score=score)
    if len(made.values) != 1:
        raise RawDataError(
            f"holds {len(made.values)} rows of poses, but layout '{layout}' has one frame in a file",
            where=item.where,
            remedy="Say in `layout` what they are: M is for people (M VC), T for frames (T VC)",
        )
    return made


def _with(settings: Settings, layout: str) -> Settings:
    return settings.model_copy(update={"layout": layout})


def findings(
    root: Path, items: Sequence[RawItem], settings: Settings, spec: SkeletonSpec
) -> Iterator[Finding]:
    """A finding where the files of a folder, which are a clip each, look like the frames of one clip:
    numbered, and so short that the smallest holds next to nothing."""
    groups: dict[tuple[Path, str, str], list[RawItem]] = {}
    for item in items:
        path = Path(item.path)
        name, number = numbered(path.stem)
        if number is not None and item.member is None:
            groups.setdefault((path.parent, name, path.suffix.lower()), []).append(item)
    most = max(groups.values(), key=len, default=[])
    if len(most) < _FEWEST_FILES:
        return
    smallest = min(most, key=lambda item: item.size)
    frames = 0 if smallest.size > _LARGEST else _frames(smallest, settings, spec)
    if not 1 <= frames <= _MOST_FRAMES:
        return
    layout = settings.layout or DEFAULT
    layout = arrays.of_frame(layout, people=frames > 1 and "M" not in layout)
    yield Finding(
        file=Path(most[0].path).relative_to(root).as_posix(),
        problem="numbered files of hardly a frame",
        detail=f"{len(most)} files of this folder hold {frames} frame{'s' * (frames > 1)} each: are they the "
        f"frames of one clip? `layout: {layout}`, without T, reads them so",
        action="each is a clip",
    )


def _frames(item: RawItem, settings: Settings, spec: SkeletonSpec) -> int:
    """Number of frames in a file; 0 if it cannot be read."""
    try:
        return len(arrays.poses(item, settings, spec).values)
    except (SkelError, OSError):
        return 0
