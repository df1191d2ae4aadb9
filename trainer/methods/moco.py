"""Momentum contrast: a query network, a slowly following key network and a queue of past keys."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from schemas._model import Model
from trainer import batch_norm, distributed, encoders, losses
from trainer.encoders.initial import draws_from, initialise
from trainer.methods.method import Method
from trainer.methods.parts import Parts, Views, make_views
from trainer.momentum import Queue, frozen_copy, parameter_distance, projector, update_
from trainer.span import KEY, MOMENTUM, QUERY, QUEUE, span

Positive = Annotated[float, Field(gt=0)]

AT_CHANCE = 0.01
"""Relative distance of ``info_nce`` from log(1 + K) within which the loss is at chance level."""


class MoCoOptions(Model):
    """Defaults are those of CrosSCLR's SkeletonCLR, which AimCLR and MS-CLR keep (AimCLR, settings)."""

    temperature: Positive = 0.07
    """Tau: similarities are divided by it."""
    momentum: float = Field(default=0.999, ge=0, le=1)
    """Share of itself that the key network keeps at every step."""
    queue: int = Field(default=32768, ge=1)
    """Past keys that serve as negatives, older ones of the query's own clip among them; see ``own_rows``."""
    dim: int = Field(default=128, ge=1)
    """Dimensions of an embedding."""
    hidden: int | None = Field(default=None, ge=1)
    """Width inside the projector; None: the encoder's feature dimension."""
    projector_norm: Literal["none", "batch"] = "none"
    """``batch``: BatchNorm after the projector's first layer. MoCo v2 has none."""
    projector_init: Literal["default", "normal"] = "default"
    """``normal``: N(0, 0.02), as the released code initialises every layer; see the encoder's ``init``."""
    key_init: Literal["copy", "independent"] = "copy"
    """``independent``: the key network starts with its own random weights, as in released code, which
    re-initialises it after the copy. On small data that is fatal: with a momentum of 0.999 it needs thousands
    of steps to catch up."""
    key_norm: Literal["none", "shuffle"] = "none"
    """Clips over which the keys' BatchNorm computes its statistics. ``none``: the whole batch, as for the
    queries (the papers). ``shuffle``: each of ``key_groups`` parts of the batch separately, so that
    statistics do not reveal which key belongs to which query; MoCo's shuffling, also on one device. Several
    processes share the groups of the joined batch."""
    key_groups: int = Field(default=4, ge=2)
    """Number of parts for ``shuffle``: clip n is in group n mod ``key_groups``. Batches are in random order,
    so the groups are random; none coincides with the part of the batch that a process has."""
    own_rows: Literal["keep", "mask"] = "keep"
    """Older keys of a query's own clip in the queue. ``keep``: they are negatives like all others (the papers
    and their released code). ``mask``: they have no weight and are never mined. Every epoch is reshuffled, so
    even a queue shorter than an epoch holds such keys: for a share of (K / clips)^2 / 2 of the queries, and
    more with few large batches. For 1020 clips in batches of 128: 5 % of the queries with a queue of 256, 18
    % with 512, 61 % with 1024."""


class Network(nn.Module):
    """An encoder followed by a projector."""

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
        with span(QUERY if torch.is_grad_enabled() else KEY):
            embeddings = self.embed(self.encoder(x, convention))
        if self.training:
            self.spread = spread(embeddings.detach())
        return embeddings

    def embed(self, features: Tensor) -> Tensor:
        """Pooled features [N, feature_dim] -> [N, dim] unit vectors, float32."""
        return F.normalize(self.projector(features).float(), dim=1)


class MoCo(nn.Module):
    """State of momentum contrast. A step consists of ``advance``, queries, ``keys``, the loss, ``remember``.

    Inside ``MoCoMethod.one_step``, several such passes form one step.
    """

    held: list[tuple[Tensor, Tensor]] | None = None
    """Within ``one_step``: keys and rows of the passes so far."""

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
        """Move the key network towards the query network, once per step and only in training."""
        if self.training and not self.held:
            with span(MOMENTUM):
                update_(self.key, self.query, self.options.momentum)

    @torch.no_grad()
    def keys(self, x: Tensor, convention: str) -> Tensor:
        """x [N,3,T,V,M] -> [N, dim] unit vectors, without a gradient."""
        if self.options.key_norm == "none" or not self.training:
            return self.key(x, convention)
        return distributed.in_groups(
            lambda clips: self.key(clips, convention),
            x,
            groups=self.options.key_groups,
            width=self.options.dim,
        )

    def scores(self, q: Tensor, k: Tensor, rows: Tensor) -> Tensor:
        """[N, 1+K]: similarities to the own key and to the queue, divided by the temperature.

        ``rows`` [N] are the clips of the keys k, whose older keys ``own_rows`` may mask.
        """
        scores = losses.logits(q, k, self.queue.keys, self.options.temperature)
        if self.options.own_rows == "keep":
            return scores
        return losses.without(scores, rows[:, None] == self.queue.rows)

    def remember(self, k: Tensor, rows: Tensor) -> None:
        """Enqueue this step's keys of clips ``rows``, after the scores are computed; only in training.

        Keys of all processes are enqueued in the order of the joined batch, so that the queues stay equal.
        """
        if self.training and self.held is not None:
            self.held.append((k, rows))
        elif self.training:
            self.queue.enqueue(distributed.gather(k), distributed.gather(rows))

    def settle(self) -> None:
        """Enqueue the keys of a finished step."""
        if self.held:
            k, rows = (torch.cat(each) for each in zip(*self.held, strict=True))
            with span(QUEUE):
                self.queue.enqueue(distributed.gather(k), distributed.gather(rows), in_place=True)

    def join_batch_norm(self) -> None:
        """Make BatchNorm use the statistics of all processes, except for keys normalised in groups."""
        batch_norm.join_(self.query)
        if self.options.key_norm == "none":
            batch_norm.join_(self.key)

    @torch.no_grad()
    def similarities(self, scores: Tensor) -> dict[str, Tensor]:
        """Mean cosine of queries with their own keys and with the queue, and the InfoNCE of the scores.

        ``info_nce`` means the same in every stage and method; log(1 + K) is chance level.
        """
        scores = scores.detach()
        queue = scores[:, 1:]
        negative = queue.mean()
        if self.options.own_rows == "mask":
            counted = ~losses.weightless(queue)
            negative = (queue * counted).sum() / counted.sum()
        means = {"positive": scores[:, 0].mean(), "negative": negative}
        cosines = {name: mean * self.options.temperature for name, mean in means.items()}
        return {**cosines, "info_nce": losses.nce(scores)}

    @torch.no_grad()
    def mined_rows(self, positives: Tensor, most: int) -> Tensor:
        """[N, most] int64: training rows of the queue entries in a mask [N, 1+K], -1 for none or unknown.

        Call it before ``remember``. ``most`` bounds the number of entries per query, which would otherwise
        have to be read from the device.
        """
        chosen, slots = positives[:, 1:].byte().topk(min(most, positives.shape[1] - 1), dim=1)
        return torch.where(chosen > 0, self.queue.rows[slots], -1)


class MoCoMethod(Method):
    """A method with momentum contrast, of one encoder or of several in lockstep."""

    views: Views
    moco_of: dict[str, MoCo]
    """Name of an encoder -> its MoCo, which is also a child module."""

    @property
    def encoders(self) -> dict[str, nn.Module]:
        return {name: moco.query.encoder for name, moco in self.moco_of.items()}

    @property
    def networks(self) -> nn.ModuleDict:
        return nn.ModuleDict({name: moco.query for name, moco in self.moco_of.items()})

    @property
    def key_networks(self) -> nn.ModuleDict:
        """Like ``networks``, for the key networks that follow by moving average."""
        return nn.ModuleDict({name: moco.key for name, moco in self.moco_of.items()})

    @contextmanager
    def one_step(self) -> Iterator[None]:
        """Key networks are updated before the first pass; all keys are enqueued after the last."""
        mocos = self.moco_of.values()
        for moco in mocos:
            moco.held = []
        try:
            yield
            for moco in mocos:
                moco.settle()
        finally:
            for moco in mocos:
                moco.held = None

    def join_batch_norm(self) -> None:
        for moco in self.moco_of.values():
            moco.join_batch_norm()

    @property
    def compiled(self) -> list[nn.Module]:
        networks = (each for moco in self.moco_of.values() for each in (moco.query, moco.key))
        return [network.encoder for network in networks]

    def spread(self) -> Tensor | None:
        """The smallest spread of the query networks."""
        spreads = [moco.query.spread for moco in self.moco_of.values()]
        known = [each for each in spreads if each is not None]
        return torch.stack(known).min() if known else None

    def diagnostics(self, steps: int) -> dict[str, float]:
        """Distance of the key networks; age in epochs and random share of the queues, which are equal."""
        queue = self._queue()
        distance = parameter_distance(self.networks, self.key_networks)
        return {
            "query_key_distance": float(distance),
            "queue_age": float(queue.age()) / steps,
            "queue_random": float(queue.random_share()),
        }

    def alarms(self, means: Mapping[str, float]) -> dict[str, str]:
        """The alarm ``chance`` when the loss is at chance level."""
        chance = math.log(1 + len(self._queue().keys))
        loss = means.get("info_nce", math.nan)
        if not abs(loss / chance - 1) < AT_CHANCE:
            return {}
        return {
            "chance": f"queries do not find their own key: info_nce {loss:.3f} over the epoch is "
            f"log(1 + queue) = {chance:.3f}, that of guessing"
        }

    def follow(self) -> None:
        for moco in self.moco_of.values():
            moco.key.load_state_dict(moco.query.state_dict())

    def _queue(self) -> Queue:
        return next(iter(self.moco_of.values())).queue


class SingleMoCoMethod(MoCoMethod):
    """A method with one encoder, named after the run's stream."""

    def __init__(self, options: MoCoOptions, parts: Parts) -> None:
        super().__init__()
        self.options: Any = options
        self.views = make_views(parts)
        self.moco = MoCo(options, parts)
        self.moco_of = {parts.stream: self.moco}


def spread(embeddings: Tensor) -> Tensor:
    """Scalar: mean over dimensions of the standard deviation of [N, D] unit vectors, times sqrt(D).

    Near 1 when they point in all directions, 0 when all are equal: about sqrt(1 - mean pairwise cosine).
    """
    return embeddings.std(dim=0).mean() * embeddings.shape[1] ** 0.5
