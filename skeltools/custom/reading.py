"""Read one clip of a user's own data in canonical axes and metres, with a mask of unseen joints."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from schemas import Naming, RawDataError, SkeletonSpec
from skeltools import framewise
from skeltools.custom import cuts, frame_files, poses, tracks, unseen
from skeltools.custom import settings as custom_settings
from skeltools.custom.canonical import canonical, in_order
from skeltools.custom.clip_files import Poses
from skeltools.custom.registry import format_of
from skeltools.custom.settings import Settings
from skeltools.raw_items import RawItem, finding
from skeltools.sequence import SkeletonSequence, presence

_LARGEST = float(np.finfo(np.float32).max)


def read(item: RawItem) -> SkeletonSequence:
    """Read one clip in canonical axes. Bodies keep their places on axis M; people in arbitrary order are
    linked into tracks.

    A joint is unseen where it is not finite, where its score is ``min_score`` or less and, unless the
    settings have ``missing: nan``, where it is exactly zero. A body is present in the frames where
    ``LEAST_SEEN`` of its joints are seen. Raises RawDataError, also for a joint that is seen in no frame.
    """
    known, _ = framewise.taken(item.details)
    known = {name: value for name, value in known.items() if name not in cuts.COLUMNS}
    settings, spec, whole, naming = _prepared(item.settings, known.pop("settings"))
    poses = in_order(poses_of(item, settings, whole), whole, naming, item)
    places = [whole.joints.index(name) for name in spec.joints]
    values, score = poses.values[:, :, places], None if poses.score is None else poses.score[:, :, places]
    zeros = poses.zero_is_unseen or settings.missing != "nan"
    masks = unseen.marks(values, score, zeros=zeros, min_score=settings.min_score, marker=settings.marker)
    present, hidden = presence(masks.seen)
    if not present.any():
        raise unseen.nobody(masks, spec.joints, item)
    if settings.missing == "nan" and (whole_zero := present & (values == 0).all(axis=(2, 3))).any():
        raise RawDataError(
            f"frame {unseen.first(whole_zero)}: a body with all joints at zero, but missing is nan",
            where=item.where,
            remedy="Absent bodies are marked by zeros here, too: set missing to either",
        )
    if settings.never_seen == "refuse" and (error := unseen.never_seen(masks, present, spec.joints, item)):
        raise error
    shown = masks.seen & present[..., None]
    if error := unseen.no_pixels(values[shown], settings, item):
        raise error
    joints = canonical(values, settings, whole, units=poses.units, axes=poses.axes)
    clip = SkeletonSequence(
        item.id,
        spec.name,
        np.where(shown[..., None], joints, np.float32(0)),
        present,
        np.where(present, np.arange(present.shape[1]), -1).astype(np.int8),
        tuple(range(present.shape[1])),
        findings=(
            *poses.findings,
            *cuts.findings(item, len(values), settings),
            *unseen.misplaced(values, shown, spec.joints, item),
            *unseen.findings(masks, present, hidden, spec.joints, item, strict_nan=settings.missing == "0"),
        ),
        unseen=hidden,
        score=None
        if score is None
        else np.where(shown, np.clip(score, -_LARGEST, _LARGEST), 0).astype(np.float32),
        **known,
    )
    if not poses.linked:
        clip = tracks.in_tracks(clip, item, identities=poses.track, relative=settings.flat)
    return _with_crowd(clip, item, custom_settings.bodies(settings))


def _with_crowd(clip: SkeletonSequence, item: RawItem, bodies: int) -> SkeletonSequence:
    """The clip, with an added finding if it has more people than streams hold."""
    seen = int(clip.present.any(axis=0).sum())
    if seen <= bodies:
        return clip
    row = finding(
        item,
        "more people than bodies",
        detail=f"{seen} people, `bodies` of dataset.yaml is {bodies}",
        action=f"streams keep {bodies}",
    )
    return replace(clip, findings=(*clip.findings, row))


def poses_of(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """The poses as stored in the file. Raises RawDataError."""
    known = format_of(Path(item.path), settings)
    if known is None and settings.by_frame:
        return cuts.of_poses(frame_files.poses, item, settings, spec)
    if known is None and cuts.is_array(item, settings):
        return poses.poses(item, settings, spec)
    if known is None:
        cuts.check_text(item)
    return cuts.of_poses(poses.poses if known is None else known.read, item, settings, spec)


@lru_cache(maxsize=8)
def _prepared(path: str, _checksum: int) -> tuple[Settings, SkeletonSpec, SkeletonSpec, Naming]:
    """Settings, the store's convention, the files' convention, and the other names of its joints."""
    settings, place = custom_settings.load(Path(path)), Path(path)
    naming = custom_settings.naming_of(settings, place)
    synonyms = {
        joint: (other, *naming.synonyms.get(joint, ())) for joint, other in settings.csv.joints.items()
    }
    return (
        settings,
        custom_settings.spec_of(settings, place),
        custom_settings.file_spec(settings, place),
        naming.model_copy(update={"synonyms": naming.synonyms | synonyms}),
    )
