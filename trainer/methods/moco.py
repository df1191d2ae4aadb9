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
    """Tau: similarities are divided by it."""
    momentum: float = Field(default=0.999, ge=0, le=1)
    """Share of itself that the key network keeps at every step."""
    queue: int = Field(default=32768, ge=1)
    """Past keys that serve as negatives. Keep it shorter than an epoch, or a clip meets its own older key."""
    dim: int = Field(default=128, ge=1)
    """Dimensions of an embedding."""
    hidden: int | None = Field(default=None, ge=1)
    """Width inside the projector; None: the encoder's feature dimension."""
    projector_norm: Literal["none", "batch"] = "none"
    """``batch``: BatchNorm behind the projector's first layer. MoCo v2 has none."""
    projector_init: Literal["default", "normal"] = "default"
    """``normal``: N(0, 0.02), as the released code initialises every layer; see the encoder's ``init``."""
    key_init: Literal["copy", "independent"] = "copy"
    """``independent``: the key network starts with weights of its own, as released code re-initialises it
    after the copy. On small data that is fatal: a momentum of 0.999 needs thousands of steps to catch up."""
    key_norm: Literal["none", "shuffle"] = "none"
    """What the keys' BatchNorm takes its statistics of. ``none``: the whole batch, the clips that the queries
    are normalised over (the papers). ``shuffle``: ``key_groups`` parts of the batch, each for itself, so that
    statistics do not tell which key belongs to which query; MoCo's shuffling, on one device."""
    key_groups: int = Field(default=4, ge=2)
    """Parts of ``shuffle``. The order of a batch is random, so its slices are random groups."""


class Network(nn.Module):
    """An encoder and the projector behind it."""

    spread: Tensor | None = None
    """Monitoring only: ``spread`` of the last embeddings in training, on their device."""

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
        embeddings = self.embed(self.encoder(x, convention))
        if self.training:
            self.spread = spread(embeddings.detach())
        return embeddings

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
        if self.options.key_norm == "none" or not self.training:
            return self.key(x, convention)
        groups = max(1, min(self.options.key_groups, len(x) // 2))
        return torch.cat([self.key(part, convention) for part in x.tensor_split(groups)])

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        """[N, 1+K]: similarities to the own key and to the queue over the temperature."""
        return losses.logits(q, k, self.queue.keys, self.options.temperature)

    def remember(self, k: Tensor, rows: Tensor) -> None:
        """Put this step's keys, of clips ``rows``, into the queue, after the scores; only in training."""
        if self.training:
            self.queue.enqueue(k, rows)

    @torch.no_grad()
    def similarities(self, scores: Tensor) -> dict[str, Tensor]:
        """Mean cosine of queries to their own keys and to the queue, and the InfoNCE of it.

        ``info_nce`` means the same in every stage and method; at log(1 + K) nothing is told apart.
        """
        scores = scores.detach()
        cosines = scores * self.options.temperature
        positive, negative = cosines[:, 0].mean(), cosines[:, 1:].mean()
        return {"positive": positive, "negative": negative, "info_nce": losses.nce(scores)}

    @torch.no_grad()
    def mined_rows(self, positives: Tensor, most: int) -> Tensor:
        """[N, most] int64: training rows of the queue entries in a mask [N, 1+K], -1 for none or unknown.

        Call it before ``remember``. ``most`` bounds the entries of a query; without it their number would
        have to be read from the device.
        """
        chosen, slots = positives[:, 1:].byte().topk(min(most, positives.shape[1] - 1), dim=1)
        return torch.where(chosen > 0, self.queue.rows[slots], -1)


def spread(embeddings: Tensor) -> Tensor:
    """Scalar: mean over dimensions of the standard deviation of [N, D] unit vectors, times sqrt(D).

    Near 1 when they point everywhere, 0 when all are the same: about sqrt(1 - mean pairwise cosine).
    """
    return embeddings.std(dim=0).mean() * embeddings.shape[1] ** 0.5
