"""Views of the baseline: numpy on one clip at a time, in the workers of a DataLoader.

The definitions are those of ``trainer.augment``, which cites their sources; the computation follows common
practice: one clip [C, T, V, M] at a time, random numbers from numpy's global state, a copy in most steps.
"""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

Clip = NDArray[np.float32]

WORKERS = 4
"""Number of DataLoader workers in the released code bases."""


def shear(x: Clip, amplitude: float = 0.5) -> Clip:
    matrix = np.random.uniform(-amplitude, amplitude, (3, 3))  # noqa: NPY002 - seeded per worker by torch
    np.fill_diagonal(matrix, 1)
    return _mapped(x, matrix)


def temporal_crop(x: Clip, ratio: int = 6) -> Clip:
    frames = x.shape[1]
    border = frames // ratio
    longer = np.concatenate([x[:, :border][:, ::-1], x, x[:, -border:][:, ::-1]], axis=1)
    start = random.randint(0, 2 * border)
    return longer[:, start : start + frames]


def spatial_flip(x: Clip, swap: tuple[int, ...], p: float = 0.5) -> Clip:
    if random.random() >= p:
        return x
    flipped = x[:, :, list(swap)].copy()
    flipped[0] *= -1
    return flipped


def rotate(x: Clip, main: float = 30.0, others: float = 1.0) -> Clip:
    chosen = random.randint(0, 2)
    for axis in range(3):
        angle = math.radians(random.uniform(0, main if axis == chosen else others))
        first, second = (axis + 1) % 3, (axis + 2) % 3
        matrix = np.eye(3)
        matrix[first, first] = matrix[second, second] = math.cos(angle)
        matrix[first, second], matrix[second, first] = -math.sin(angle), math.sin(angle)
        x = _mapped(x, matrix)
    return x


def axis_mask(x: Clip, p: float = 0.5) -> Clip:
    if random.random() >= p:
        return x
    masked = x.copy()
    masked[random.randint(0, 2)] = 0
    return masked


def temporal_flip(x: Clip, p: float = 0.5) -> Clip:
    return x[:, ::-1].copy() if random.random() < p else x


def gaussian_noise(x: Clip, p: float = 0.5, std: float = 0.01) -> Clip:
    if random.random() >= p:
        return x
    return x + np.random.normal(0, std, x.shape).astype(np.float32)  # noqa: NPY002


def gaussian_blur(
    x: Clip, p: float = 0.5, kernel_size: int = 15, sigma: tuple[float, float] = (0.1, 2.0)
) -> Clip:
    if random.random() >= p:
        return x
    width, radius = random.uniform(*sigma), kernel_size // 2
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * width**2)).astype(np.float32)
    longer = np.pad(x, ((0, 0), (radius, radius), (0, 0), (0, 0)))
    blurred = np.zeros_like(x)
    for tap, weight in enumerate(weights / weights.sum()):
        blurred += weight * longer[:, tap : tap + x.shape[1]]
    return blurred


def _mapped(x: Clip, matrix: NDArray[np.float64]) -> Clip:
    return np.dot(x.transpose(1, 2, 3, 0), matrix.T.astype(np.float32)).transpose(3, 0, 1, 2)


def normal(x: Clip) -> Clip:
    """The normal view of AimCLR and SkeletonCLR."""
    return temporal_crop(shear(x))


def extreme(x: Clip, swap: tuple[int, ...]) -> Clip:
    """AimCLR's eight extreme augmentations, in the order of the paper."""
    x = spatial_flip(temporal_crop(shear(x)), swap)
    x = temporal_flip(axis_mask(rotate(x)))
    return gaussian_blur(gaussian_noise(x))


class Views(Dataset[tuple[torch.Tensor, ...]]):
    """Three views of each clip: normal for the query, normal for the key, extreme."""

    def __init__(self, clips: Clip, swap: tuple[int, ...]) -> None:
        self.clips, self.swap = clips, swap

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, ...]:
        clip = np.array(self.clips[row])
        views = (normal(clip), normal(clip), extreme(clip, self.swap))
        return tuple(torch.from_numpy(np.ascontiguousarray(view, np.float32)) for view in views)


def loader(
    clips: Clip, swap: tuple[int, ...], *, batch_size: int, workers: int = WORKERS
) -> DataLoader[tuple[torch.Tensor, ...]]:
    """Shuffled batches of the three views, [N, C, T, V, M] each; with ``workers`` 0, in this process."""
    return DataLoader(
        Views(clips, swap),
        batch_size=batch_size,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
    )
