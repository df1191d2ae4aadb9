"""Read a clip of a user's own data from an archive: unseen joints, scores, 2D poses, axes and units.

Archives of other code bases are read like files of ``custom``, with the same rules and the settings of
dataset.yaml; by default, coordinates are metres in Kinect camera space. Our own exports are already in that
form and are read unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import ConfigError, RawDataError
from skeltools import skeletons
from skeltools.custom import settings as custom_settings
from skeltools.custom import unseen
from skeltools.custom.canonical import canonical
from skeltools.custom.settings import Axes, Settings
from skeltools.raw_items import RawItem
from skeltools.sequence import UNKNOWN, Mask, SkeletonSequence, presence

FOREIGN, EXPORTED = 1, 2
"""Values of the detail ``own``: an archive of another code base, or one of our exports."""

CANONICAL = Axes(x="left", y="up", z="forward")


@dataclass(frozen=True)
class Raw:
    """A clip as stored in its archive."""

    values: NDArray[Any]
    """[T, M, V, C]: coordinates, followed by a score if the settings say so."""
    score: NDArray[Any] | None = None
    """[T, M, V]"""
    order: NDArray[np.int8] | None = None
    """[T, M] place of each body in its frame; None: the slot."""
    image_size: tuple[int, int] | None = None
    """Width and height in pixels, of 2D poses."""


def is_own(item: RawItem) -> bool:
    return any(name == "own" for name, _ in item.details)


def is_foreign(item: RawItem) -> bool:
    """Whether a clip is a user's own data from an archive that is not one of our exports."""
    return dict(item.details).get("own") == FOREIGN


def label_of(item: RawItem, label: int) -> int:
    """The class of a label, counted from the settings' ``label_base``; -1 if there is none."""
    return UNKNOWN if label == UNKNOWN else label - dict(item.details).get("label_base", 0)


def channels(item: RawItem) -> int:
    """Number of values per joint in flat arrays: 3 unless the settings say otherwise."""
    return dict(item.details).get("channels", 3)


def sequence(
    item: RawItem, raw: Raw, *, label: int, padded: bool, protocol_fields: dict[str, int]
) -> SkeletonSequence:
    """Convert a clip of a foreign archive.

    ``padded``: frames after the last pose are padding. Raises RawDataError: no body in any frame, joints that
    are never seen, or 2D poses of unknown scale.
    """
    settings = _settings(item, raw)
    values, score = _parts(raw, settings, item)
    masks = unseen.marks(
        values,
        score,
        zeros=settings.missing != "nan",
        min_score=settings.min_score,
        marker=settings.marker,
    )
    present, hidden = presence(masks.seen)
    names, joints_left = _joints(item, values.shape[2])
    if not present.any():
        raise unseen.nobody(masks, names, item)
    if settings.never_seen == "refuse":
        of_store = _cut(masks, (slice(None), slice(None), joints_left))
        if error := unseen.never_seen(of_store, present, [names[v] for v in joints_left], item):
            raise error
    shown = masks.seen & present[..., None]
    joints = canonical(values, settings, skeletons.load("kinectv2_25"))
    slots = range(int(np.flatnonzero(present.any(axis=0))[-1]) + 1)
    frames = range(int(np.flatnonzero(present.any(axis=1))[-1]) + 1 if padded else len(present))
    cut = (slice(len(frames)), slice(len(slots)))
    places = np.broadcast_to(np.arange(present.shape[1], dtype=np.int8), present.shape)
    order = np.where(present, places if raw.order is None else raw.order, -1).astype(np.int8)[cut]
    hidden = None if hidden is None else hidden[cut]
    if (order[present[cut]] < 0).any():
        raise RawDataError("order is -1 where a body is", where=item.where)
    clip = SkeletonSequence(
        item.id,
        item.convention,
        np.where(shown[..., None], joints, np.float32(0))[cut],
        present[cut],
        order,
        tuple(slots),
        findings=(
            *unseen.misplaced(values, shown, names, item),
            *unseen.findings(
                _cut(masks, cut), present[cut], hidden, names, item, strict_nan=settings.missing == "0"
            ),
        ),
        unseen=hidden,
        score=None if score is None else np.where(shown, score, 0).astype(np.float32)[cut],
        **{**protocol_fields, "label": label_of(item, label)},
    )
    return clip if len(joints_left) == len(names) else _without(clip, joints_left)


def _parts(
    raw: Raw, settings: Settings, item: RawItem
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Coordinates [T, M, V, 2 or 3] and scores [T, M, V]; scores may be the last coordinate."""
    wanted = len(settings.coordinates)
    with np.errstate(invalid="ignore"):  # damaged files
        values = np.asarray(raw.values, np.float64)
        score = None if raw.score is None else np.asarray(raw.score, np.float64)
    if values.shape[-1] == wanted and settings.coordinates.endswith("s"):
        return values[..., :-1], values[..., -1] if score is None else score
    if values.shape[-1] != len(settings.coordinates.removesuffix("s")):
        raise RawDataError(
            f"{values.shape[-1]} coordinates, expected {settings.coordinates}",
            where=item.where,
            remedy="Say in dataset.yaml what they are: coordinates: xyz, xyzs, xy or xys",
        )
    return values, score


def _settings(item: RawItem, raw: Raw) -> Settings:
    """The settings of dataset.yaml, if any, with canonical axes and metres as defaults."""
    given = _given(item.settings, dict(item.details).get("settings", 0))
    update: dict[str, Any] = {}
    size = raw.values.shape[-1]
    if size == 2 and not given.flat:
        update["coordinates"] = "xy"
    if size == 4 and "coordinates" not in given.model_fields_set:
        update["coordinates"] = "xyzs"
    if size == 2 or given.flat:
        if given.image_size is None and (given.units is None or isinstance(given.units, str)):
            if raw.image_size is None:
                raise RawDataError(
                    "2D poses without img_shape: nothing says how large a pixel is",
                    where=item.where,
                    remedy="Give image_size: [width, height] in dataset.yaml",
                )
            update |= {"image_size": raw.image_size, "units": None}
    else:
        update |= {"axes": given.axes or CANONICAL}
        update |= {"units": given.units or (None if given.image_size else "m")}
    return given.model_copy(update=update)


@lru_cache(maxsize=8)
def _given(path: str, _checksum: int) -> Settings:
    if not path:
        return Settings(name="own", convention="own")
    return custom_settings.load(Path(path))


def _joints(item: RawItem, count: int) -> tuple[tuple[str, ...], list[int]]:
    """Names of the archive's joints, and the indices of those kept in the store."""
    if item.settings:
        settings, path = custom_settings.load(Path(item.settings)), Path(item.settings)
        try:
            names = custom_settings.file_spec(settings, path).joints
        except ConfigError:
            names = ()
        if len(names) == count:
            return names, [v for v, name in enumerate(names) if name not in settings.leave_out]
    known = skeletons.load(item.convention).joints if item.convention in skeletons.names() else ()
    names = known if len(known) == count else tuple(f"joint {v}" for v in range(count))
    return names, list(range(count))


def _cut(masks: unseen.Marks, part: Any) -> unseen.Marks:
    return unseen.Marks(*(mark[part] for mark in (masks.infinite, masks.nan, masks.zero, masks.doubtful)))


def _without(clip: SkeletonSequence, joints: list[int]) -> SkeletonSequence:
    def some(values: Mask | NDArray[Any] | None) -> Any:
        return None if values is None else values[:, :, joints]

    return replace(clip, joints=clip.joints[:, :, joints], unseen=some(clip.unseen), score=some(clip.score))
