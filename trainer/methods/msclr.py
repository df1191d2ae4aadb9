"""MS-CLR: the query sees a clip in one skeleton convention, the key in another.

Source: "MS-CLR: Multi-Skeleton Contrastive Learning for Human Action Recognition", section 3.3. The loss is
that of a base method, whose encoder shares its convolutions between conventions; all of them fill one queue.
MS-CLR adds the choice of the conventions in which a batch is presented.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from schemas import Component, UsageError, unknown
from schemas._model import Model
from trainer.batch import Pairing


class MSCLROptions(Model):
    base: Component = Component(name="aimclr")
    """The method whose loss is used, with its options. The paper's is AimCLR (MS-AimCLR)."""
    pairing: Literal["cross", "anchored", "random"] = "cross"
    """Conventions that query and key may get. ``cross``: two different ones. ``anchored``: two different
    ones, one of which is the reference, on either side. ``random``: any two, including equal ones."""
    draw: Literal["batch", "epoch"] = "batch"
    """How often a pair of conventions is drawn. The released code draws one per data-loader worker and epoch,
    which with one worker is ``epoch``."""
    reference: str | None = None
    """The convention that is always in an ``anchored`` pair; None: the first of the run."""


def pairing(options: MSCLROptions, conventions: Sequence[str]) -> Pairing:
    """The pairs that a run over these conventions draws from; an epoch has one pass per convention.

    Raises UsageError for fewer than two conventions and for a reference that is not among them.
    """
    if len(conventions) < 2:
        raise UsageError(
            f"ms-clr contrasts skeleton conventions and needs two or more, found {', '.join(conventions)}",
            where="data.conventions",
            remedy=f"Name more of the store's conventions, train with --method {options.base.name}, or add "
            "poses of the same clips as RAW/metrabs/CONVENTION/SAMPLE.npz and run `skeltools convert` again",
        )
    if options.reference is not None and options.reference not in conventions:
        raise unknown("convention", options.reference, conventions, where="method.options.reference")
    reference = options.reference or conventions[0]
    pairs = pairs_of(conventions, pairing=options.pairing, reference=reference)
    return Pairing(pairs, passes=len(conventions), kept_for_an_epoch=options.draw == "epoch")


def pairs_of(conventions: Sequence[str], *, pairing: str, reference: str) -> tuple[tuple[str, str], ...]:
    """The ordered pairs (query convention, key convention) that ``pairing`` allows."""
    return tuple(
        (query, key)
        for query in conventions
        for key in conventions
        if pairing == "random" or (query != key and (pairing == "cross" or reference in (query, key)))
    )
