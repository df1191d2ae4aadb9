"""A tiny store made of raw clips by skeltools itself, for tests of the way from raw clips to an answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import skeltools

FRAMES = 12
CLASSES = ("jump", "kick", "wave")


def raw_clips(count: int = 24, *, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Id -> [T, 1, 17, 3] of coco_17 in metres; class k = number % 3 swings every third joint, from k on."""
    draws = np.random.default_rng(seed)
    made = {}
    for number in range(count):
        frames = 20 + number
        pose = draws.normal(size=(17, 3)) * 0.05 + np.linspace(-0.8, 0.8, 17)[:, None] * (0.3, 1.0, 0.1)
        swing = np.sin(np.linspace(0, 6 + number % 2, frames))[:, None] * (np.arange(17) % 3 == number % 3)
        joints = pose[None] + (0, 0, 3) + swing[..., None] * (0.1, 0.4, 0.2)
        made[f"c{number:03}"] = joints[:, None].astype(np.float32)
    return made


def own_store(path: Path, *, count: int = 24, streams: Sequence[str] = ("bone", "motion")) -> Path:
    """A store of ``raw_clips``; two thirds of them are the training half of the split ``xsub``."""
    clips = raw_clips(count)
    skeltools.write(
        clips,
        path,
        convention="coco_17",
        labels=[CLASSES[number % 3] for number in range(count)],
        splits={"xsub": {"train": [id for number, id in enumerate(clips) if number % 9 < 6]}},
        frames=[FRAMES],
    )
    if streams:
        skeltools.add_streams(path, kinds=list(streams))
    return path
