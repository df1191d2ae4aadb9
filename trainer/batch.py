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
    """convention -> joints [N, 3, T, V, M] with the convention's own V."""
    query: str
    """The convention that the query sees."""
    key: str
    """The convention that the key sees: the same one, or with MS-CLR another."""
    rows: Tensor
    """[N] int64: row of each clip in the training split."""
    epoch: int
    """0-based."""
    generator: torch.Generator
    """On the clips' device, seeded from (seed, epoch, step): draws of augmentations."""
    host_generator: torch.Generator
    """On the CPU, seeded alike: draws that Python needs as numbers. The pair of conventions is drawn from it
    first."""


@dataclass(frozen=True)
class Pairing:
    """The pairs of conventions (query, key) that batches are seen in, all equally likely."""

    pairs: tuple[tuple[str, str], ...]
    passes: int = 1
    """How often an epoch shows every clip."""
    kept_for_an_epoch: bool = False
    """Whether all batches of an epoch have the same pair."""

    def draw(self, generator: torch.Generator, *, epoch_seed: int) -> tuple[str, str]:
        """A pair from the batch's generator, or from one of (seed, epoch); of one pair nothing is drawn."""
        if len(self.pairs) == 1:
            return self.pairs[0]
        if self.kept_for_an_epoch:
            generator = torch.Generator().manual_seed(epoch_seed)
        return self.pairs[int(torch.randint(len(self.pairs), (), generator=generator))]


def part(whole: Batch, index: int, *, of: int) -> Batch:
    """Part ``index`` of a batch in ``of`` equal ones, with the draws that its rows have in the whole.

    Nothing may have been drawn from ``generator`` yet; the generators of the part are copies. Parts one after
    another are the whole batch.
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
        host_generator=whole.host_generator.clone_state(),
    )
