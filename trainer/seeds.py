"""Counter-based seeds: every draw has an address, so a resumed run repeats it without saved state.

An address is the run's seed and a path such as ``(epoch, step, "augment")``. Equal addresses give equal
draws on every machine and Python version; different addresses give unrelated draws.
"""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, *path: int | str) -> int:
    """A 63-bit seed for the address, by SHA-256: Python salts ``hash`` differently in every process."""
    address = "/".join([str(seed), *(str(part) for part in path)])
    return int.from_bytes(hashlib.sha256(address.encode()).digest()[:8], "big") >> 1


def generator(device: torch.device | str, seed: int, *path: int | str) -> torch.Generator:
    """A generator on ``device``, seeded for the address."""
    return torch.Generator(device=device).manual_seed(derive(seed, *path))


class PartGenerator(torch.Generator):
    """A generator for rows ``start`` to ``stop`` of a batch of ``total``: its draws are those of the batch.

    Per-row draws are made for the whole batch and cut to these rows (``augment.draws``), so a batch processed
    in parts gets the same numbers as one processed at once.
    """

    start: int
    stop: int
    total: int


def part_generator(whole: torch.Generator, start: int, stop: int, *, total: int) -> PartGenerator:
    """A generator for some rows of the batch of ``whole``, from which nothing may have been drawn yet."""
    made = PartGenerator(device=whole.device)
    made.manual_seed(whole.initial_seed())
    made.start, made.stop, made.total = start, stop, total
    return made
