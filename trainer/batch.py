"""The batch that a method receives at each step; it carries no labels, so none can reach a loss."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainer import seeds


@dataclass(frozen=True)
class Batch:
    """N clips in one or several conventions; row n is the same recorded action in all of them."""

    clips: dict[str, Tensor]
    """convention -> joints [N, 3, T, V, M] with the convention's own V."""
    query: str
    """The convention that the query sees."""
    key: str
    """The convention that the key sees: the same one or, with MS-CLR, another."""
    rows: Tensor
    """[N] int64: the row of each clip in the training split."""
    epoch: int
    """0-based."""
    generator: torch.Generator
    """On the clips' device, seeded from (seed, epoch, step); used for the draws of augmentations."""
    host_generator: torch.Generator
    """On the CPU, seeded likewise; used for draws that Python needs as numbers. The pair of conventions is
    the first draw."""


@dataclass(frozen=True)
class Pairing:
    """The equally likely (query, key) pairs of conventions in which batches are presented."""

    pairs: tuple[tuple[str, str], ...]
    passes: int = 1
    """How many times an epoch shows every clip."""
    kept_for_an_epoch: bool = False
    """Whether all batches of an epoch use the same pair."""

    def draw(self, generator: torch.Generator, *, epoch_seed: int) -> tuple[str, str]:
        """Draw a pair from the batch's generator.

        If the pair is kept for an epoch, a generator seeded with ``epoch_seed`` is used instead. Nothing is
        drawn when there is only one pair.
        """
        if len(self.pairs) == 1:
            return self.pairs[0]
        if self.kept_for_an_epoch:
            generator = torch.Generator().manual_seed(epoch_seed)
        return self.pairs[int(torch.randint(len(self.pairs), (), generator=generator))]


def part(whole: Batch, index: int, *, of: int) -> Batch:
    """Part ``index`` of a batch divided into ``of`` equal parts, whose rows get the draws of the whole batch.

    Nothing may have been drawn from ``generator`` yet; the part's generators are copies. The parts in order
    make up the whole batch.
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
