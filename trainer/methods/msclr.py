"""MS-CLR: the query sees a clip in one skeleton convention, the key in another.

Source: "MS-CLR: Multi-Skeleton Contrastive Learning for Human Action Recognition", section 3.3. It wraps a
base method: the encoder shares its convolutions between conventions, and all of them fill one queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from schemas import Component, UsageError, unknown
from schemas._model import Model
from trainer.batch import Batch
from trainer.methods.aimclr import AimCLR
from trainer.methods.moco import Network
from trainer.methods.parts import Parts
from trainer.methods.skeletonclr import SkeletonCLR
from trainer.options import checked

BASES: dict[str, type[AimCLR] | type[SkeletonCLR]] = {"aimclr": AimCLR, "skeletonclr": SkeletonCLR}


class MSCLROptions(Model):
    base: Component = Component(name="aimclr")
    """The method that is wrapped, with its options. The paper's is AimCLR (MS-AimCLR)."""
    pairing: Literal["cross", "anchored", "random"] = "cross"
    """How the conventions of query and key are drawn, for every batch; see ``draw_pair``."""
    reference: str | None = None
    """The convention that ``anchored`` keeps on one side; None: the first of the run."""


class MSCLR(nn.Module):
    """``forward(batch) -> `` what the base returns, for a drawn pair of conventions."""

    Options = MSCLROptions

    def __init__(self, options: MSCLROptions, parts: Parts) -> None:
        super().__init__()
        self.conventions = tuple(parts.skeletons)
        _check_conventions(self.conventions, options)
        self.options = options
        self.passes_per_epoch = len(self.conventions)
        kind = BASES[options.base.name]
        where = "method.options.base.options"
        self.base = kind(checked(kind.Options, options.base.options, where=where), parts)  # type: ignore[arg-type]

    @property
    def query_network(self) -> Network:
        return self.base.query_network

    @property
    def key_network(self) -> Network:
        return self.base.key_network

    @property
    def encoder(self) -> nn.Module:
        return self.base.encoder

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        reference = self.options.reference or self.conventions[0]
        query, key = draw_pair(
            self.conventions, batch.host_generator, pairing=self.options.pairing, reference=reference
        )
        return self.base.step(batch, query=query, key=key)


def draw_pair(
    conventions: Sequence[str], generator: torch.Generator, *, pairing: str, reference: str
) -> tuple[str, str]:
    """(query convention, key convention), uniform over the ordered pairs that ``pairing`` allows.

    ``cross``: two different ones. ``anchored``: two different ones, one of them the reference, on either
    side. ``random``: any two, equal ones too.
    """
    pairs = [
        (query, key)
        for query in conventions
        for key in conventions
        if pairing == "random" or (query != key and (pairing == "cross" or reference in (query, key)))
    ]
    return pairs[int(torch.randint(len(pairs), (), generator=generator))]


def _check_conventions(conventions: Sequence[str], options: MSCLROptions) -> None:
    if options.base.name not in BASES:
        raise unknown("base method", options.base.name, BASES, where="method.options.base.name")
    if len(conventions) < 2:
        raise UsageError(
            f"ms-clr contrasts skeleton conventions and needs two or more, found {', '.join(conventions)}",
            where="data.conventions",
            remedy="Add MeTRAbs poses of the same clips as RAW/metrabs/CONVENTION/SAMPLE.npz and run "
            "`skeltools convert` again, name more of the store's conventions, or train with --method "
            f"{options.base.name}",
        )
    if options.reference is not None and options.reference not in conventions:
        raise unknown("convention", options.reference, conventions, where="method.options.reference")
