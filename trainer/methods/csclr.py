"""CSCLR: every stream's query is also contrasted with the other streams' keys; positives are made harder.

Source: "CSCLR: Cross-Stream Contrastive Learning for Self-Supervised Skeleton-Based Action Recognition".
The equation numbers below are the paper's. There is no released code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import permutations
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from schemas import ConfigError
from trainer import losses
from trainer.augment.draws import uniform
from trainer.batch import Batch
from trainer.encoders import require_map
from trainer.methods.aimclr import d3m, extreme_queries
from trainer.methods.eadm import TemporalMap
from trainer.methods.method import Stage, lasting
from trainer.methods.moco import MoCoMethod, MoCoOptions
from trainer.methods.multistream import Stream, StreamMoCos, Streams, named, no_single_stream, total
from trainer.methods.parts import Parts, make_views

Scores = dict[str, Tensor]


class CSCLROptions(MoCoOptions):
    streams: Streams = ("joint", "bone", "motion")
    """Streams to train, each with its own encoder, projector and queue. The first is monitored."""
    intra: Literal["aimclr", "infonce"] = "aimclr"
    """A stream's own loss. ``infonce``: Eq. (2). ``aimclr``: adds AimCLR's divergence of the extreme and the
    dropped query; the paper's row without inter-stream contrast is its AimCLR."""
    mine_from: int = Field(default=150, ge=0)
    """First epoch (0-based) of the second stage, in which nearest neighbours join the positives."""
    neighbours: int = Field(default=1, ge=1)
    """Number of nearest keys of the normal query in its own stream that become positives: 1 in the paper."""
    transform_from: int = Field(default=300, ge=0)
    """First epoch (0-based) of the third stage, in which positives are made harder."""
    transform: Literal["intra", "all"] = "intra"
    """Positives that the third stage transforms. ``intra``: those within one stream, Eq. (8); ``all``: also
    the pairs across streams."""
    transform_alpha: float = Field(default=2, gt=0)
    """Alpha of Eq. (10): the strength is Beta(alpha, alpha) * mu + 1. Table 9: 0.5 and 2."""
    transform_mu: float = Field(default=1.0, ge=0)
    """Mu of Eq. (10). Table 9: 1, 1.2 and 1.5."""
    inter: tuple[Stream, ...] | None = None
    """Streams whose queries are contrasted with each other's keys, Eq. (4). None: all of ``streams``; two of
    them: Table 8, 2s-Inter; none of them, ``[]``: the rows of Tables 7 and 8 without inter-stream
    contrast."""
    eadm_threshold: float = Field(default=0.7, gt=0, le=1)
    """Attention at and above which features are dropped, as in AimCLR. For ``intra: aimclr``."""
    temporal_map: TemporalMap = "neuron"
    """What EADM drops in its second step; see ``eadm.drop``. For ``intra: aimclr``."""

    @model_validator(mode="after")
    def _check(self) -> CSCLROptions:
        if self.neighbours > self.queue:
            raise ValueError("neighbours must not exceed queue")
        if self.transform_from < self.mine_from:
            raise ValueError("transform_from must not come before mine_from: the stages add to each other")
        across = self.inter or ()
        if len(across) == 1 or len(set(across)) != len(across) or not set(across) <= set(self.streams):
            raise ValueError(f"inter must name two or more of the streams {', '.join(self.streams)}, or none")
        return self


class CSCLR(MoCoMethod):
    """``forward(batch) -> {"loss", "intra", "inter", "contrast_STREAM", "divergence_STREAM", ...}``.

    Losses are sums over the streams, Eq. (5) to (7). The divergence compares queries with each other, so it
    uses their untransformed similarities in the third stage too.
    """

    Options = CSCLROptions
    needs_map = True
    """For EADM; ``intra: infonce`` works with every encoder."""

    def __init__(self, options: CSCLROptions, parts: Parts) -> None:
        super().__init__()
        no_single_stream(parts, method="csclr")
        if options.intra == "aimclr":
            require_map(parts.encoder, method="csclr with intra: aimclr")
        if options.intra == "aimclr" and not parts.augment.extreme:
            raise ConfigError(
                "csclr with intra: aimclr needs extreme augmentations, found none",
                where="augment.extreme",
                remedy="The preset csclr/paper has the eight of AimCLR; or set method.options.intra=infonce",
            )
        self.options = options
        self.views = make_views(parts)
        self.moco = StreamMoCos(options, parts, options.streams)
        self.moco_of = self.moco.mocos

    @staticmethod
    def stages(options: CSCLROptions) -> tuple[Stage, ...]:
        contrast = "each stream for itself, and every query with the keys of the other streams"
        mining = "the nearest keys of the own stream are positives too"
        transform = "positives are pushed apart before they are compared"
        return lasting(
            Stage("contrast", 0, contrast),
            Stage("mining", options.mine_from, mining),
            Stage("transform", options.transform_from, transform),
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        streams: tuple[str, ...] = self.options.streams
        self.moco.advance()
        q = self.moco.queries(self.views.normal_streams(batch, batch.query, streams), batch.query)
        extreme = self._extreme_queries(batch)
        k = self.moco.keys(self.views.normal_streams(batch, batch.key, streams), batch.key)
        scores = self.moco.scores(q, k, batch.rows)
        divergence = {
            stream: d3m(
                scores[stream], *(self.moco_of[stream].scores(z, k[stream], batch.rows) for z in pair)
            )
            for stream, pair in extreme.items()
        }
        contrast = {stream: self._contrast(scores[stream], batch) for stream in streams}
        intra = total({s: contrast[s] + divergence[s] if divergence else contrast[s] for s in streams})
        across = self._across(q, k, batch)
        inter = total(across) if across else torch.zeros_like(intra)
        out = {
            "loss": intra + inter,
            "intra": intra.detach(),
            "inter": inter.detach(),
            **named("contrast", contrast),
            **named("divergence", divergence),
            **self.moco.similarities(scores),
        }
        if batch.epoch >= self.options.mine_from:
            out["mined_rows"] = self.moco.mined_rows(scores, self.options.neighbours)
        self.moco.remember(k, batch.rows)
        return out

    def _extreme_queries(self, batch: Batch) -> dict[str, tuple[Tensor, ...]]:
        """stream -> z~ and z~_drop; nothing for ``intra: infonce``."""
        options = self.options
        if options.intra == "infonce":
            return {}
        views = self.views.extreme_streams(batch, batch.query, options.streams)
        return {
            stream: extreme_queries(
                moco.query,
                views[stream],
                batch.query,
                threshold=options.eadm_threshold,
                temporal_map=options.temporal_map,
            )
            for stream, moco in self.moco_of.items()
        }

    def _contrast(self, scores: Tensor, batch: Batch) -> Tensor:
        """A stream's own loss by stage: Eq. (2), Eq. (11), Eq. (11) with transformed positives."""
        if batch.epoch < self.options.mine_from:
            return losses.nce(scores)
        positives = losses.nearest(scores, self.options.neighbours)
        positives[:, 0] = True
        return losses.pooled_nce(self._transformed(scores, batch), positives)

    def _across(self, q: Mapping[str, Tensor], k: Mapping[str, Tensor], batch: Batch) -> Scores:
        """``u->v`` -> loss of stream u's queries with the keys and queue of stream v, Eq. (3) and (4)."""
        by_pair = {}
        across = self.options.streams if self.options.inter is None else self.options.inter
        for u, v in permutations(across, 2):
            scores = self.moco_of[v].scores(q[u], k[v], batch.rows)
            if self.options.transform == "all":
                scores = self._transformed(scores, batch)
            by_pair[f"{u}->{v}"] = losses.nce(scores)
        return by_pair

    def _transformed(self, scores: Tensor, batch: Batch) -> Tensor:
        """Scores whose positives are made harder in the third stage, each pair by its own strength."""
        options = self.options
        if batch.epoch < options.transform_from:
            return scores
        strength = strengths(
            len(scores), batch.generator, alpha=options.transform_alpha, mu=options.transform_mu
        )
        return losses.extrapolated(scores, strength, temperature=options.temperature)


def strengths(count: int, generator: torch.Generator, *, alpha: float, mu: float) -> Tensor:
    """Draw [count] numbers from ``Beta(alpha, alpha) * mu + 1``, Eq. (10), on the generator's device.

    For an integer alpha, Beta(alpha, alpha) is the distribution of the median of 2 alpha - 1 numbers from
    U(0, 1), the alpha-th order statistic. Otherwise Devroye's formula is used ("Random variate generation in
    one line of code", 1996), with a random sign S and u, v from U(0, 1):
    ``(1 + S / sqrt(1 + 1 / ((u^(-1/alpha) - 1) cos^2(2 pi v)))) / 2``. PyTorch's Beta accepts no generator.
    """
    if alpha == int(alpha):
        return uniform(generator, count, 2 * int(alpha) - 1).median(dim=1).values * mu + 1
    u, v = uniform(generator, count, 2).unbind(dim=1)
    near, across = u ** (1 / alpha), (2 * math.pi * v).cos()
    far = (1 - near) * across.square()
    return (1 + across.sign() * (far / (near + far)).sqrt()) / 2 * mu + 1
