"""A method that the package does not have: SimCLR, without a queue and without a key network.

``registered`` is the one line that a method needs beside its file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from schemas._model import Model
from trainer import distributed, encoders
from trainer.batch import Batch
from trainer.encoders.initial import draws_from
from trainer.methods import METHODS, Method
from trainer.methods.parts import Parts, make_views
from trainer.momentum import projector


class SimCLROptions(Model):
    temperature: float = Field(default=0.2, gt=0)
    dim: int = Field(default=8, ge=1)


class SimCLR(Method):
    """``forward(batch) -> {"loss"}``: NT-Xent between two normal views, of the clips of all processes."""

    Options = SimCLROptions

    def __init__(self, options: SimCLROptions, parts: Parts) -> None:
        super().__init__()
        self.options, self.stream, self.pictures = options, parts.stream, make_views(parts)
        self.backbone = encoders.build(parts.encoder, parts.skeletons, generator=parts.generator)
        width = self.backbone.feature_dim
        with draws_from(parts.generator):
            self.head = projector(width, width, options.dim, norm="batch")

    @property
    def encoders(self) -> dict[str, torch.nn.Module]:
        return {self.stream: self.backbone}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        views = [self._embedded(batch, convention) for convention in (batch.query, batch.key)]
        whole = torch.cat([distributed.joined(view) for view in views])
        scores = torch.cat(views) @ whole.t() / self.options.temperature
        count, total = len(views[0]), len(whole) // 2
        own = distributed.parts(1)[0].start * count + torch.arange(count)
        scores[torch.arange(2 * count), torch.cat([own, total + own])] = -torch.inf
        return {"loss": F.cross_entropy(scores, torch.cat([total + own, own]))}

    def _embedded(self, batch: Batch, convention: str) -> Tensor:
        x = self.pictures.normal(batch, convention)
        return F.normalize(self.head(self.backbone(x, convention)).float(), dim=1)


@contextmanager
def registered() -> Iterator[None]:
    with mock.patch.dict(METHODS, simclr=SimCLR):
        yield


PRESET = """
method: simclr
summary: two views and the clips of the batch
presets:
  default:
    summary: the only one
    extends: skeletonclr/paper
    without: [method]
    method: {name: simclr, options: {temperature: 0.2, dim: 8}}
"""
