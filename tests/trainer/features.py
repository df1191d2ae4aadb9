"""Features made up: clouds around a centre for each class."""

from __future__ import annotations

import numpy as np
import torch

from trainer.evaluate.features import Features


def blobs(seed: int, *, rows: int = 60, classes: int = 4, spread: float = 1.0, width: int = 6) -> Features:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).standard_normal((classes, width))
    labels = rng.integers(classes, size=rows)
    values = centres[labels] + spread * rng.standard_normal((rows, width))
    ids = tuple(f"{seed}-{row}" for row in range(rows))
    return Features(torch.tensor(values, dtype=torch.float32), torch.tensor(labels), ids)


def names(count: int) -> tuple[str, ...]:
    """Of classes."""
    return tuple(f"class {number}" for number in range(count))
