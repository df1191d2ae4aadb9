"""Random generators that depend only on their purpose, so that output is the same in any order of work."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, purpose: str, *ids: int) -> np.random.Generator:
    """A separate generator for every (seed, purpose, ids), e.g. ``generator(0, "body", 3)``."""
    word = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    return np.random.default_rng(np.random.SeedSequence([seed, word, *ids]))
