"""Detect the joints of a user's poses that were not seen, and report them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas import Finding, RawDataError
from skeltools.custom.settings import IMAGE_HEIGHT, Settings
from skeltools.raw_items import MAX_COORDINATE, RawItem, finding
from skeltools.sequence import Mask

UNSEEN = "joints not seen"
"""The finding's problem for a clip that is kept with joints marked as unseen."""


class NeverSeenError(RawDataError):
    """A clip that can be read, but has joints that are seen in none of its frames."""


_FLOAT32 = 1e-6
"""Relative precision of numbers that were written as float32."""

_FAR = 20
"""A joint is absurdly far away beyond so many times the median distance of joints from the body's middle: for
a person 8 to 10 m, while fingertips and toes stay within 3 times."""

_SHOWN = 4
"""Number of joints that a finding names: those missing most often."""


@dataclass(frozen=True)
class Marks:
    """Masks [T, M, V] of the joints without a valid position; all joints of an absent body are marked."""

    infinite: Mask
    """A coordinate is infinite, absurdly large, or NaN while others of the joint are numbers."""
    nan: Mask
    """All coordinates are NaN."""
    zero: Mask
    """All coordinates are exactly zero, and the joint cannot really be there."""
    doubtful: Mask
    """The score is too low."""

    @property
    def seen(self) -> Mask:
        return ~(self.infinite | self.nan | self.zero | self.doubtful)


def marks(
    values: NDArray[np.float64],
    score: NDArray[np.float64] | None,
    *,
    zeros: bool,
    min_score: float,
    marker: float | None = None,
) -> Marks:
    """The masks of poses [T, M, V, 2 or 3], as stored in their file, and scores [T, M, V].

    ``zeros``: whether a joint at exactly zero was not seen. Even then, zero is a position if only one joint
    of the body is there and the others lie on both sides of it, as in poses relative to their root.
    ``marker``: a joint with this value, as precisely as float32 has it, in all coordinates is like NaN.
    """
    missing = np.isnan(values)
    if marker is not None:
        missing |= np.isclose(values, marker, rtol=_FLOAT32, atol=0).all(axis=-1, keepdims=True)
    nan: Mask = np.asarray(missing.all(axis=-1))
    with np.errstate(invalid="ignore"):
        infinite: Mask = ~nan & ~np.asarray((np.abs(values) <= MAX_COORDINATE).all(axis=-1))
        at_zero: Mask = np.asarray((values == 0).all(axis=-1))
    zero = at_zero & ~_is_root(values, at_zero, nan | infinite) if zeros else np.zeros_like(at_zero)
    low = np.zeros_like(nan) if score is None else ~nan & ~zero & ~(score > min_score)
    return Marks(infinite, nan, zero, low)


def _is_root(values: NDArray[np.float64], at_zero: Mask, unknown: Mask) -> Mask:
    """[T, M, V]: whether a joint is the only one of its body at zero, with the others around it."""
    others = np.where((at_zero | unknown)[..., None], np.nan, values)
    with np.errstate(invalid="ignore"):
        sides = (others < 0).any(axis=2) & (others > 0).any(axis=2)
    around = (sides | (values == 0).all(axis=2)).all(axis=-1) & sides.any(axis=-1)
    return at_zero & (around & (at_zero.sum(axis=2) == 1))[..., None]


# --- errors and findings ------------------------------------------------------------------------------------


def nobody(masks: Marks, joints: Sequence[str], item: RawItem) -> RawDataError:
    """The error for a clip without a body in any frame, with the likely cause."""
    frames = len(masks.nan)
    never = np.asarray(~masks.seen.any(axis=(0, 1)))
    if never.all():
        return RawDataError(f"no body in any frame ({frames} frames{_reason(masks)})", where=item.where)
    return RawDataError(
        f"no frame of {frames} has a quarter of a body's joints{_reason(masks)}",
        where=item.where,
        remedy=_LEAVE_OUT.format(_listed(joints, never)) if never.any() else "Check the file",
    )


_LEAVE_OUT = (
    "`leave_out: [{}]` in dataset.yaml makes a convention without them; `never_seen: keep` fills them"
)

_TRUST_SCORES = "; or `min_score: -1` if they are where the file says, whatever their score"


def never_seen(masks: Marks, present: Mask, joints: Sequence[str], item: RawItem) -> RawDataError | None:
    """The error that names the joints seen in no frame; None if there are none."""
    never = np.asarray(~(masks.seen & present[..., None]).any(axis=(0, 1)))
    if not never.any():
        return None
    names, scored = _listed(joints, never), masks.doubtful.any(axis=1).all(axis=0)
    remedy = _LEAVE_OUT.format(names) + (_TRUST_SCORES if (np.asarray(scored) & never).any() else "")
    return NeverSeenError(
        f"{names}: seen in none of {len(present)} frames{_reason(masks)}. {remedy}",
        where=item.where,
    )


_FEWEST_PIXELS = 2.0
"""A clip that spans at most this many pixels is not in pixels: fractions of an image range over 0 to 1, or
-1 to 1."""


def no_pixels(seen: NDArray[np.float64], settings: Settings, item: RawItem) -> RawDataError | None:
    """The error for coordinates [P, 2 or 3] that ``image_size`` declares to be pixels, but which are not."""
    if settings.image_size is None or not len(seen):
        return None
    low, high = seen[:, :2].min(axis=0), seen[:, :2].max(axis=0)
    span = float((high - low).max())
    if not 0 < span <= _FEWEST_PIXELS or max(-low.min(), high.max()) > _FEWEST_PIXELS:
        return None
    pixels = "1 pixel" if span <= 1 else f"{_FEWEST_PIXELS:g} pixels"
    width, height = settings.image_size
    scales = f"[{IMAGE_HEIGHT * width / height:.4g}, {IMAGE_HEIGHT:g}, {IMAGE_HEIGHT:g}]"
    return RawDataError(
        f"all coordinates are within {pixels}: are they normalised already? In place of image_size say "
        f"`units`, metres per unit: {scales} where they are parts of width and height",
        where=item.where,
    )


def misplaced(
    values: NDArray[np.float64], shown: Mask, joints: Sequence[str], item: RawItem
) -> Iterator[Finding]:
    """Findings about positions that probably mean "not seen": bodies with all joints at one point, and joints
    absurdly far from the rest of their body. ``values``: [T, M, V, 2 or 3] in the file's unit; ``shown``
    [T, M, V]: the joints taken as seen."""
    body = shown.sum(axis=2) > 1
    frame, place = np.nonzero(body)
    if not len(frame):
        return
    here = shown[frame, place]
    poses = np.where(here[..., None], values[frame, place], np.nan)  # [P, V, C]
    median = np.median if here.all() else np.nanmedian
    middle = median(poses, axis=1, keepdims=True)
    apart = np.linalg.norm(poses - middle, axis=2)
    point = np.asarray(np.fmax.reduce(apart, axis=1) == 0)
    if point.any() and not point.all():  # whole clips at one point are found with the set's (``people``)
        first_one = int(np.argmax(point))
        yield finding(
            item,
            "all joints of a body at one point",
            place=f"frame {frame[first_one] + 1}",
            detail=f"{point.sum()} poses; {_mark(middle[first_one, 0])}",
            action="taken as positions",
        )
    sizes = median(apart, axis=1)
    sizes = sizes[sizes > 0]
    far = apart > (_FAR * np.median(sizes) if len(sizes) else np.inf)
    if far.any():
        pose, joint = (int(index[0]) for index in np.nonzero(far))
        names = _listed(joints, far.any(axis=0))
        yield finding(
            item,
            "a joint absurdly far from its body",
            place=f"frame {frame[pose] + 1}",
            detail=f"{far.sum()} positions of {names[:200]}; {_mark(poses[pose, joint])}",
            action="taken as positions",
        )


def _mark(position: NDArray[np.float64]) -> str:
    """A position in words and, if all coordinates have one value, the setting that makes it a marker."""
    texts = [np.format_float_positional(np.float32(value), trim="-") for value in position]
    words = f"({', '.join(texts)})"
    if len(set(texts)) > 1:
        return f"the first at {words}"
    return f"the first at {words}: if that means not seen, `missing: {texts[0]}` in dataset.yaml says so"


def _listed(joints: Sequence[str], chosen: NDArray[np.bool_]) -> str:
    return ", ".join(name for name, wanted in zip(joints, chosen.tolist(), strict=True) if wanted)


def _reason(masks: Marks) -> str:
    """The most common reason for unseen joints, in words."""
    counts = {
        "missing": int(masks.nan.sum()),
        "infinite or absurd": int(masks.infinite.sum()),
        "exactly zero": int(masks.zero.sum()),
        "of too low a score": int(masks.doubtful.sum()),
    }
    most = max(counts, key=lambda name: counts[name])
    return f"; coordinates are {most}" if counts[most] else ""


def findings(
    masks: Marks,
    present: Mask,
    unseen: Mask | None,
    joints: Sequence[str],
    item: RawItem,
    *,
    strict_nan: bool,
) -> Iterator[Finding]:
    """Findings about a clip that is kept. ``strict_nan``: absent bodies must be zeros, not NaN."""
    partly = ~present & ~(masks.nan | masks.zero).all(axis=2)
    odd = partly | (masks.nan.all(axis=2) if strict_nan else False)
    if odd.any():
        yield finding(
            item,
            "not a number" if (masks.nan | masks.infinite)[odd].any() else "hardly a joint seen",
            place=f"frame {first(odd)}",
            detail=f"{odd.sum()} poses",
            action="treated as absent",
        )
    if unseen is not None:
        missed = unseen.sum() / (present.sum() * len(joints))
        share = unseen.sum(axis=(0, 1)) / present.sum()
        most = [int(v) for v in np.argsort(-share, kind="stable")[:_SHOWN] if share[v] > 0]
        named = ", ".join(f"{joints[v]} in {share[v]:.0%}" for v in most)
        yield finding(
            item,
            UNSEEN,
            place=f"frame {first(np.asarray(unseen.any(axis=2)))}",
            detail=f"{missed:.1%} of the joints{_reason(masks)}: {named}",
            action="marked as unseen; recipes fill them",
        )


def first(frames: Mask) -> int:
    """The first frame, from 1, in which a mask [T, M] is set."""
    return int(np.flatnonzero(frames.any(axis=1))[0]) + 1
