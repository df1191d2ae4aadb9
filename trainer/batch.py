"""What a method is given at each step. There are no labels in it, so none can reach a loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """N clips in one or several conventions, row n being the same recorded action in all of them."""

    clips: dict[str, Tensor]
    """convention -> joints [N, 3, T, V_max, M]; joints behind the convention's own V are zero."""
    rows: Tensor
    """[N] int64: row of each clip in the training split."""
    epoch: int
    """0-based."""
    generator: torch.Generator
    """On the clips' device, seeded from (seed, epoch, step): draws of augmentations."""
    host_generator: torch.Generator
    """On the CPU, seeded alike: draws that Python needs as numbers, e.g. the pair of conventions."""
    epoch_seed: int = 0
    """Of (seed, epoch), the same in all steps of an epoch: draws that an epoch keeps."""
