"""What a method is given at each step. There are no labels in it, so none can reach a loss."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainer import seeds


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


def part(whole: Batch, index: int, *, of: int) -> Batch:
    """Part ``index`` of a batch in ``of`` equal ones, with the draws that its rows have in the whole.

    Nothing may have been drawn from the generators yet; those of the part are copies. Parts one after another
    are the whole batch.
    """
    if of == 1:
        return whole
    total = len(whole.rows)
    start, stop = index * total // of, (index + 1) * total // of
    return replace(
        whole,
        clips={name: x[start:stop] for name, x in whole.clips.items()},
        rows=whole.rows[start:stop],
        generator=seeds.part_generator(whole.generator, start, stop, total=total),
        host_generator=torch.Generator().manual_seed(whole.host_generator.initial_seed()),
    )
