"""Counter-based seeds: every draw has an address, so that a resumed run repeats it without saved state.

An address is the run's seed and a path such as ``(epoch, step, "augment")``. Equal addresses give equal
draws on every machine and Python; different addresses give unrelated ones.
"""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, *path: int | str) -> int:
    """A 63-bit seed for the address. SHA-256, because Python salts ``hash`` anew in every process."""
    address = "/".join([str(seed), *(str(part) for part in path)])
    return int.from_bytes(hashlib.sha256(address.encode()).digest()[:8], "big") >> 1


def generator(device: torch.device | str, seed: int, *path: int | str) -> torch.Generator:
    """A generator on ``device``, seeded for the address."""
    return torch.Generator(device=device).manual_seed(derive(seed, *path))


class PartGenerator(torch.Generator):
    """A generator for rows ``start`` to ``stop`` of a batch of ``total``: its draws are those of the batch.

    Who draws for every row draws for the whole batch and keeps its own rows (``augment.draws``), so a batch
    that is worked on in parts gets the numbers that it would get at once.
    """

    start: int
    stop: int
    total: int


def part_generator(whole: torch.Generator, start: int, stop: int, *, total: int) -> PartGenerator:
    """For some rows of the batch that ``whole``, from which nothing was drawn yet, is for."""
    made = PartGenerator(device=whole.device)
    made.manual_seed(whole.initial_seed())
    made.start, made.stop, made.total = start, stop, total
    return made
