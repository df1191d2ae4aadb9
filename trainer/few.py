"""Settings for stores of few clips: which preset, batch, queue and frames.

The papers' settings are for tens of thousands of clips. A queue of 32768 keys takes 145 epochs to fill with
226 clips and then holds many older keys of each of them, and a batch of 128 is one step an epoch. Both
settings that this project tuned by measurement, for 1,020 clips of NW-UCLA and for some 300 of the demo, are
points on the rule here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SMALL = "small"
"""Name of the preset, of every method."""

FEW = 5000
"""Training clips from which on the papers' settings are the default. PKU-MMD II, the smallest set with
published settings, has 5,332."""

LEAST_STEPS = 6
"""Steps of an epoch that a fitted batch leaves at least; NW-UCLA's 1,020 clips have 7 in batches of 128."""

LARGEST, SMALLEST = 128, 4
"""Batches: the papers', and the least that BatchNorm's statistics are worth something of."""

LONGEST_QUEUE = 32768
"""The papers'."""

WARN_STEPS = 5
"""Steps of an epoch below which a run says so."""

WARN_LEFT_OUT = 0.2
"""Share of the clips that an epoch leaves out, from which on a run says so."""


def batch_for(clips: int) -> int:
    """The largest power of two up to 128 with six steps an epoch; not below 4, nor above all clips.

    >>> [batch_for(clips) for clips in (3, 48, 227, 1020, 40000)]
    [3, 8, 32, 128, 128]
    """
    size = LARGEST
    while size > SMALLEST and clips // size < LEAST_STEPS:
        size //= 2
    return max(2, min(size, clips))


def queue_for(clips: int) -> int:
    """The largest power of two up to three quarters of an epoch, and no longer than the papers' queue.

    Nearer to an epoch most queries would find an older key of their own clip in it (``own_rows`` of MoCo).

    >>> [queue_for(clips) for clips in (48, 227, 1020, 50000)]
    [32, 128, 512, 32768]
    """
    return min(LONGEST_QUEUE, 1 << (max(3 * clips // 4, 2).bit_length() - 1))


def frames_for(wanted: int, lengths: Sequence[int]) -> int:
    """The wanted length where the store has it, else the nearest that it has, the longer of two.

    >>> frames_for(24, (24, 50)), frames_for(24, (50, 64)), frames_for(24, ())
    (24, 50, 24)
    """
    return min(lengths, key=lambda length: (abs(length - wanted), -length), default=wanted)


def queues(options: Mapping[str, Any], path: str) -> Iterator[tuple[str, int]]:
    """(dotted path, keys) of the queues among a method's options and its base's; ``path``: of these."""
    for key, value in options.items():
        if key == "queue" and isinstance(value, int):
            yield f"{path}.{key}", value
        elif isinstance(value, Mapping):
            yield from queues(value, f"{path}.{key}")


def warnings(
    *,
    clips: int,
    batch_size: int,
    steps: int,
    queue: int | None,
    at: str = "method.options.queue",
    left_out: int | None = None,
) -> list[str]:
    """What a run with these settings on so many clips should be told; nothing where they fit.

    ``steps``: of an epoch; ``queue``: its keys, None for a method without one, at ``at`` in the settings.
    ``left_out``: clips that an epoch leaves out; None: the incomplete last batch.
    """
    texts = []
    batch, fitting = min(batch_size, clips), batch_for(clips)
    seen = steps * batch
    if queue is not None and queue > seen:
        texts.append(
            f"the queue of {queue} keys is {queue / seen:.1f} epochs of these {clips} clips: it begins as "
            "random vectors, the loss rises until they are gone, and then it holds older keys of every clip. "
            f"--preset {SMALL}, or --set {at}={queue_for(clips)}, fits"
        )
    if steps < WARN_STEPS:
        texts.append(
            f"{steps} step{'s' * (steps > 1)} an epoch: {clips} clips in batches of {batch}. --batch-size "
            f"{fitting} makes it {max(1, clips // fitting)}"
        )
    left = clips % batch if left_out is None else left_out
    if left >= WARN_LEFT_OUT * clips:
        texts.append(
            f"{left} of {clips} clips are left out of every epoch, others each time: the last batch of "
            f"{batch} is not full. --batch-size {fitting} leaves out {clips % fitting}"
        )
    return texts
