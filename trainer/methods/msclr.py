"""MS-CLR: the query sees a clip in one skeleton convention, the key in another.

Source: "MS-CLR: Multi-Skeleton Contrastive Learning for Human Action Recognition", section 3.3. It wraps a
base method: the encoder shares its convolutions between conventions, and all of them fill one queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from schemas import Component, UsageError, unknown
from schemas._model import Model
from trainer.batch import Batch
from trainer.methods.aimclr import AimCLR
from trainer.methods.crosclr import CrosSCLR
from trainer.methods.csclr import CSCLR
from trainer.methods.parts import Parts
from trainer.methods.skelemixclr import SkeleMixCLR
from trainer.methods.skeletonclr import SkeletonCLR
from trainer.methods.stages import Stage
from trainer.options import checked

BASES: dict[str, type[Any]] = {
    "aimclr": AimCLR,
    "crosclr": CrosSCLR,
    "csclr": CSCLR,
    "skelemixclr": SkeleMixCLR,
    "skeletonclr": SkeletonCLR,
}
"""Methods with ``step(batch, query=convention, key=convention)``."""


class MSCLROptions(Model):
    base: Component = Component(name="aimclr")
    """The method that is wrapped, with its options. The paper's is AimCLR (MS-AimCLR)."""
    pairing: Literal["cross", "anchored", "random"] = "cross"
    """Which conventions query and key may get; see ``draw_pair``."""
    draw: Literal["batch", "epoch"] = "batch"
    """How often a pair of conventions is drawn. The released code draws one in each data-loader worker and
    epoch; ``epoch`` is that with one worker."""
    reference: str | None = None
    """The convention that ``anchored`` keeps on one side; None: the first of the run."""


class MSCLR(nn.Module):
    """``forward(batch) -> `` what the base returns, for a drawn pair of conventions."""

    Options = MSCLROptions

    def __init__(self, options: MSCLROptions, parts: Parts) -> None:
        super().__init__()
        self.conventions = tuple(parts.skeletons)
        kind, checked_options = _base(options)
        _check_conventions(self.conventions, options)
        self.options = options
        self.passes_per_epoch = len(self.conventions)
        self.base: Any = kind(checked_options, parts)

    @staticmethod
    def stages(options: MSCLROptions) -> tuple[Stage, ...]:
        """Those of the base."""
        kind, checked_options = _base(options)
        found: tuple[Stage, ...] = kind.stages(checked_options)
        return found

    @property
    def query_network(self) -> nn.Module:
        network: nn.Module = self.base.query_network
        return network

    @property
    def key_network(self) -> nn.Module:
        network: nn.Module = self.base.key_network
        return network

    @property
    def encoder(self) -> nn.Module:
        encoder: nn.Module = self.base.encoder
        return encoder

    @property
    def encoders(self) -> dict[str, nn.Module]:
        encoders: dict[str, nn.Module] = self.base.encoders
        return encoders

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        query, key = self.pair(batch)
        out: dict[str, Tensor] = self.base.step(batch, query=query, key=key)
        return out

    def pair(self, batch: Batch) -> tuple[str, str]:
        """The conventions of query and key in this batch."""
        generator = batch.host_generator
        if self.options.draw == "epoch":
            generator = torch.Generator().manual_seed(batch.epoch_seed)
        reference = self.options.reference or self.conventions[0]
        return draw_pair(self.conventions, generator, pairing=self.options.pairing, reference=reference)


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


def _base(options: MSCLROptions) -> tuple[type[Any], Model]:
    """The base method and its checked options. Raises UsageError and ConfigError."""
    name, where = options.base.name, "method.options.base"
    if name == "isc":
        raise UsageError(
            "ms-clr cannot wrap isc, whose query and key already differ in their representation and go "
            "through encoders of different kinds; ms-clr contrasts conventions within one encoder",
            where=f"{where}.name",
            remedy=f"Choose a base of {', '.join(BASES)}, or train isc on one convention",
        )
    if name not in BASES:
        raise unknown("base method", name, BASES, where=f"{where}.name")
    return BASES[name], checked(BASES[name].Options, options.base.options, where=f"{where}.options")


def _check_conventions(conventions: Sequence[str], options: MSCLROptions) -> None:
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
