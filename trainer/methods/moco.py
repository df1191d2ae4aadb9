"""A query network, its slowly following key network and the queue of past keys: what all methods share."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from schemas._model import Model
from trainer import encoders, losses
from trainer.encoders.initial import draws_from, initialise
from trainer.methods.parts import Parts
from trainer.momentum import Queue, frozen_copy, projector, update_

Positive = Annotated[float, Field(gt=0)]


class MoCoOptions(Model):
    """Defaults are those of CrosSCLR's SkeletonCLR, which AimCLR and MS-CLR keep (AimCLR, settings)."""

    temperature: Positive = 0.07
    momentum: float = Field(default=0.999, ge=0, le=1)
    queue: int = Field(default=32768, ge=1)
    dim: int = Field(default=128, ge=1)
    hidden: int | None = Field(default=None, ge=1)
    """Width inside the projector; None: the encoder's feature dimension."""
    projector_norm: Literal["none", "batch"] = "none"
    projector_init: Literal["default", "normal"] = "default"
    """``normal``: N(0, 0.02), as the released code initialises every layer; see the encoder's ``init``."""
    key_init: Literal["copy", "independent"] = "copy"
    """``independent``: the key network starts with weights of its own, as released code re-initialises it
    after the copy. On small data that is fatal: a momentum of 0.999 needs thousands of steps to catch up."""
    key_norm: Literal["none"] = "none"
    """Keys are normalised by the BatchNorm statistics of their own batch (the papers)."""


class Network(nn.Module):
    """An encoder and the projector behind it."""

    def __init__(self, options: MoCoOptions, parts: Parts) -> None:
        super().__init__()
        self.encoder = encoders.build(parts.encoder, parts.skeletons, generator=parts.generator)
        width = self.encoder.feature_dim
        with draws_from(parts.generator):
            self.projector = projector(
                width, options.hidden or width, options.dim, norm=options.projector_norm
            )
            initialise(self.projector, options.projector_init)

    def forward(self, x: Tensor, convention: str) -> Tensor:
        """x [N,3,T,V,M] -> [N, dim] unit vectors, float32."""
        return self.embed(self.encoder(x, convention))

    def embed(self, features: Tensor) -> Tensor:
        """Pooled features [N, feature_dim] -> [N, dim] unit vectors, float32."""
        return F.normalize(self.projector(features).float(), dim=1)


class MoCo(nn.Module):
    """State of momentum contrast. A step: ``advance``, queries, ``keys``, the loss, ``remember``."""

    def __init__(self, options: MoCoOptions, parts: Parts) -> None:
        super().__init__()
        self.options = options
        self.query = Network(options, parts)
        if options.key_init == "copy":
            self.key = frozen_copy(self.query)
        else:
            self.key = Network(options, parts).requires_grad_(False)
        self.queue = Queue(options.queue, options.dim, generator=parts.generator)

    def advance(self) -> None:
        """Move the key network towards the query network; nothing outside of training."""
        if self.training:
            update_(self.key, self.query, self.options.momentum)

    @torch.no_grad()
    def keys(self, x: Tensor, convention: str) -> Tensor:
        """x [N,3,T,V,M] -> [N, dim] unit vectors without gradient."""
        return self.key(x, convention)

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        """[N, 1+K]: similarities to the own key and to the queue over the temperature."""
        return losses.logits(q, k, self.queue.keys, self.options.temperature)

    def remember(self, k: Tensor, rows: Tensor) -> None:
        """Put this step's keys, of clips ``rows``, into the queue, after the scores; only in training."""
        if self.training:
            self.queue.enqueue(k, rows)

    @torch.no_grad()
    def similarities(self, scores: Tensor) -> dict[str, Tensor]:
        """Mean cosine of queries to their own keys and to the queue."""
        cosines = scores.detach() * self.options.temperature
        return {"positive": cosines[:, 0].mean(), "negative": cosines[:, 1:].mean()}
