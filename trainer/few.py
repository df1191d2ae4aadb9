"""Settings for stores of few clips: preset, batch size, queue length and number of frames.

The papers' settings are for tens of thousands of clips. With 226 clips, a queue of 32768 keys takes 145
epochs to fill and then holds many older keys of each clip, and a batch of 128 makes one step per epoch. The
two settings that this project tuned by measurement, for 1,020 clips of NW-UCLA and for some 300 of the demo,
both follow the rule implemented here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SMALL = "small"
"""Name of the preset for few clips, which every method has."""

FEW = 5000
"""Number of training clips from which the papers' settings are the default. PKU-MMD II, the smallest data set
with published settings, has 5,332."""

LEAST_STEPS = 6
"""Minimum steps per epoch with a fitted batch size; NW-UCLA's 1,020 clips make 7 in batches of 128."""

LARGEST, SMALLEST = 128, 4
"""Batch sizes: the papers', and the smallest for which BatchNorm's statistics are of use."""

LONGEST_QUEUE = 32768
"""Queue length of the papers."""

WARN_STEPS = 5
"""Number of steps per epoch below which a run warns."""

WARN_LEFT_OUT = 0.2
"""Share of the clips left out of an epoch from which a run warns."""


def batch_for(clips: int) -> int:
    """The largest power of two up to 128 with six steps per epoch, but at least 4 and at most all clips.

    >>> [batch_for(clips) for clips in (3, 48, 227, 1020, 40000)]
    [3, 8, 32, 128, 128]
    """
    size = LARGEST
    while size > SMALLEST and clips // size < LEAST_STEPS:
        size //= 2
    return max(2, min(size, clips))


def queue_for(clips: int) -> int:
    """The largest power of two up to three quarters of an epoch, at most the length of the papers' queue.

    In a queue nearer to an epoch, most queries would find an older key of their clip (MoCo's ``own_rows``).

    >>> [queue_for(clips) for clips in (48, 227, 1020, 50000)]
    [32, 128, 512, 32768]
    """
    return min(LONGEST_QUEUE, 1 << (max(3 * clips // 4, 2).bit_length() - 1))


def frames_for(wanted: int, lengths: Sequence[int]) -> int:
    """The wanted length if the store has it, else the nearest one it has; of two equally near, the longer.

    >>> frames_for(24, (24, 50)), frames_for(24, (50, 64)), frames_for(24, ())
    (24, 50, 24)
    """
    return min(lengths, key=lambda length: (abs(length - wanted), -length), default=wanted)


def queues(options: Mapping[str, Any], path: str) -> Iterator[tuple[str, int]]:
    """Yield (dotted path, number of keys) of the queues in a method's options and those of its base.

    ``path`` is the dotted path of ``options``.
    """
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
    """Warnings about settings that do not suit a run on ``clips`` clips; empty where they do.

    ``steps``: steps per epoch. ``queue``: its number of keys, None for a method without one; ``at``: its path
    in the settings. ``left_out``: clips that an epoch leaves out; None: those of the incomplete last batch.
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
