"""CrosSCLR: the joint, motion and bone streams mine positives for each other.

Source: Li et al., "3D Human Action Representation Learning via Cross-View Consistency Pursuit", CVPR 2021,
whose "views" are the streams here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from trainer import losses
from trainer.batch import Batch
from trainer.methods.method import Stage, lasting
from trainer.methods.moco import MoCoMethod, MoCoOptions
from trainer.methods.multistream import StreamMoCos, Streams, named, no_single_stream, total
from trainer.methods.parts import Parts, make_views


class CrosSCLROptions(MoCoOptions):
    streams: Streams = ("joint", "motion", "bone")
    """Streams to train, each with its own encoder, projector and queue. The first is monitored."""
    mine_from: int = Field(default=150, ge=0)
    """First epoch (0-based) of the second stage, in which the streams mine positives for each other."""
    neighbours: int = Field(default=1, ge=1)
    """Number of nearest queue entries of another stream that become positives, 1 in the paper."""
    context: bool = True
    """Whether the second stage also contrasts products of two streams' similarities to every queue slot."""
    heads: Literal["independent", "shared"] = "independent"
    """``shared``: in the streams after the first, the whole head of the first replaces the last layer of the
    head, as in the released code, by accident: ``Linear - ReLU - Linear - ReLU - Linear`` with 230,272
    parameters in all heads of CrosSCLR's sizes, 98,688 of them of the first. The first stream's key head is
    then updated once for every stream whose key network is updated."""
    key_update: Literal["all", "motion"] = "all"
    """Key networks that are updated in the second stage. Released: only that of motion, by accident."""

    @model_validator(mode="after")
    def _check(self) -> CrosSCLROptions:
        if self.neighbours > self.queue:
            raise ValueError("neighbours must not exceed queue")
        if self.key_update == "motion" and "motion" not in self.streams:
            raise ValueError("key_update motion needs motion among the streams")
        return self


class CrosSCLR(MoCoMethod):
    """``forward(batch) -> {"loss", "loss_STREAM", "positive", "negative", "positive_STREAM", ...}``."""

    Options = CrosSCLROptions

    def __init__(self, options: CrosSCLROptions, parts: Parts) -> None:
        super().__init__()
        no_single_stream(parts, method="crosclr")
        self.options = options
        self.views = make_views(parts)
        self.moco = StreamMoCos(options, parts, options.streams, heads=options.heads)
        self.moco_of = self.moco.mocos

    @staticmethod
    def stages(options: CrosSCLROptions) -> tuple[Stage, ...]:
        contrast = "InfoNCE of every stream for itself"
        mining = "the nearest keys of each other stream are positives too"
        return lasting(Stage("contrast", 0, contrast), Stage("mining", options.mine_from, mining))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        streams, mining = self.options.streams, batch.epoch >= self.options.mine_from
        self.moco.advance({"motion"} if mining and self.options.key_update == "motion" else None)
        q = self.moco.queries(self.views.normal_streams(batch, batch.query, streams), batch.query)
        k = self.moco.keys(self.views.normal_streams(batch, batch.key, streams), batch.key)
        scores = self.moco.scores(q, k, batch.rows)
        own = {stream: self._mined(stream, scores) if mining else losses.nce(scores[stream]) for stream in q}
        out = {"loss": total(own), **named("loss", own), **self.moco.similarities(scores)}
        if mining:
            out["mined_rows"] = self.moco.mined_rows(scores, self.options.neighbours)
        self.moco.remember(k, batch.rows)
        return out

    def _mined(self, stream: str, scores: Mapping[str, Tensor]) -> Tensor:
        """L_u: mean over the other streams of the loss with their nearest keys as positives."""
        options = self.options
        terms = [
            losses.cross_stream_nce(
                scores[stream],
                scores[other],
                neighbours=options.neighbours,
                temperature=options.temperature,
                context=options.context,
                masked=options.own_rows == "mask",
            )
            for other in scores
            if other != stream
        ]
        return torch.stack(terms).mean()
