"""Put estimated tracks on the sensor's clock, which is the reference.

Videos are cut and re-encoded: a decoder loses a frame or two at the end, and some copies run at another rate.
Frame i of n lasts from i / n to (i + 1) / n of the clip, and represents the middle of that interval.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas import RawDataError
from skeltools.sequence import Joints, Mask

RATE = 30.0
"""Frames per second of Kinect, and so of every native clip."""

FEW = 3
"""Frames, a tenth of a second, by which two recordings of one clip may differ at the end."""

RATES = (10.0, 12.0, 15.0, 20.0, 24.0, 25.0, 48.0, 50.0, 60.0, 120.0)
"""Video rates that may explain a different number of frames when the file states none."""

NATIVE_RATES = (90.0, 100.0, 200.0, 240.0)
"""Rates of motion capture that video does not have."""

LONGER = 1.5
"""Longest recording without a stated rate, as a multiple of the end of its last action.

One of twice the rate is longer, if no more than a quarter of it follows its last action.
"""

LIMIT = (5.0, 240.0)
"""Frames per second that a video can have."""


def check_rate(fps: float, where: str) -> float:
    if not LIMIT[0] <= fps <= LIMIT[1]:
        raise RawDataError(
            f"fps is {fps:g}, expected {LIMIT[0]:g} to {LIMIT[1]:g}", where=where, remedy="Write it again"
        )
    return fps


def to_native(
    tracks: tuple[Joints, Mask],
    *,
    frames: int | None,
    fps: float | None,
    where: str,
    native_rate: float | None = RATE,
) -> tuple[Joints, Mask, str]:
    """Fit tracks (joints [T, K, V, 3], present [T, K]) to the native clip's number of ``frames``.

    Also returns what was done, in words; empty if nothing was. Without a native clip, only a rate ``fps``
    other than the sensor's requires resampling. ``native_rate`` is None if the sensor's rate is unknown,
    which is then inferred from the lengths and ``fps``. Raises RawDataError when the lengths cannot be those
    of one clip.
    """
    joints, present = tracks
    length = len(present)
    native = native_rate or _native_rate(length, frames, fps)
    rate = fps or native
    if frames not in (None, length) and fps is None and abs(length - frames) > FEW:
        rate = _rate(length, frames) or RATE
    same = max(1, round(length * native / rate))  # frames of the sensor in the same time
    if frames is None:
        frames = same
    if length == frames:
        return joints, present, ""
    if abs(same - frames) > FEW:
        raise _another_length(length, frames, fps, where)
    if same != length:
        joints, present = resample(joints, present, same)
    done = f"{length} frames" if rate == native else f"resampled from {length} frames at {rate:g} a second"
    return *_fit(joints, present, frames), done


def _native_rate(length: int, frames: int | None, fps: float | None) -> float:
    """Infer the unknown frame rate of native clips.

    It is the video's own where the lengths are alike, else the usual rate that explains them.
    """
    if fps is None:
        return RATE
    if frames is None or abs(length - frames) <= FEW:
        return fps
    fitting = [rate for rate in (RATE, *RATES, *NATIVE_RATES) if abs(length * rate / fps - frames) <= 1]
    return min(fitting, key=lambda rate: abs(length * rate / fps - frames), default=RATE)


def check_recording(length: int, last: int, where: str, *, fps: float | None, rate: float) -> None:
    """Raise RawDataError if poses of a recording do not fit the clips of it.

    The poses have ``length`` frames; the last clip ends at frame ``last`` of the sensor. The rates of both,
    ``fps`` and ``rate`` (0 if unknown), explain any length, but no missing end.
    """
    has_rates = fps is not None and rate > 0
    same = length * rate / fps if fps and rate else float(length)
    if last - FEW <= same and (has_rates or same <= LONGER * last):
        return
    what = "end before" if same < last else "are many more than"
    raise RawDataError(
        f"another clock: {length} frames {what} the last clip of this recording, which ends at {last}",
        where=where,
        remedy="Tell the rate of the video as fps, and estimate the poses on all of its frames",
    )


def _rate(length: int, frames: int) -> float | None:
    """The usual rate that explains ``length`` frames, to within one, where the sensor has ``frames``."""
    fitting = [rate for rate in RATES if abs(frames * rate / RATE - length) <= 1]
    return min(fitting, key=lambda rate: abs(frames * rate / RATE - length), default=None)


def _another_length(length: int, frames: int, fps: float | None, where: str) -> RawDataError:
    rate = "" if fps is None else f" at {fps:g} a second"
    return RawDataError(
        f"another length: {length} frames{rate}, the native clip has {frames}",
        where=where,
        remedy="Estimate the poses on the frames of the same video, and tell its rate as fps",
    )


def _fit(joints: Joints, present: Mask, frames: int) -> tuple[Joints, Mask]:
    """Cut at the end, or pad with absence."""
    missing = max(0, frames - len(present))
    longer = np.pad(joints, ((0, missing), (0, 0), (0, 0), (0, 0)))
    return longer[:frames], np.pad(present, ((0, missing), (0, 0)))[:frames]


def resample(joints: Joints, present: Mask, frames: int) -> tuple[Joints, Mask]:
    """[T, K, V, 3], [T, K] -> the same duration in ``frames`` frames, linear in time.

    A new frame between two old ones has the track if the nearer one does (if both are equally near, if either
    does), and then the mean of those that do, weighted by nearness.
    """
    last = len(present) - 1
    place = np.clip((np.arange(frames) + 0.5) * len(present) / frames - 0.5, 0, last)
    left = np.floor(place).astype(np.int64)
    right = np.minimum(left + 1, last)
    share = place - left
    weights = np.stack([(1 - share)[:, None] * present[left], share[:, None] * present[right]])
    total = weights.sum(axis=0)
    seen = total >= 0.5
    near, far = weights / np.where(total > 0, total, 1)
    mixed: NDArray[np.float64] = (
        near[..., None, None] * joints[left] + far[..., None, None] * joints[right]
    ) * seen[..., None, None]
    return mixed.astype(np.float32), seen
