"""Tuning the last steps of a pre-trained encoder by contrast with nearest neighbours.

Sources, from which no code was taken: Mehraban et al., "STARS: Self-supervised Tuning for 3D Action
Recognition in Skeleton Sequences", arXiv:2407.10935, and its released code, which tunes the second half of
MAMP's layers at rates that decrease layer by layer towards the input; the loss and its network are those of
Dwibedi et al., "With a Little Help from My Friends: Nearest-Neighbor Contrastive Learning of Visual
Representations" (NNCLR), ICCV 2021, Eq. (3) and (4).

The positive of a clip is not its other view but the nearest neighbour of one view among past clips. The
encoder's ``steps`` define which parts can learn; the frozen part runs as in evaluation, including its
BatchNorm and dropout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from schemas import UsageError
from schemas._model import Model
from trainer import distributed, losses
from trainer.batch import Batch
from trainer.encoders.initial import draws_from
from trainer.methods.method import OneNetwork, Stage, wide
from trainer.methods.moco import Positive, spread
from trainer.methods.parts import Parts
from trainer.momentum import Queue
from trainer.span import QUERY, QUEUE, span

Width = Annotated[int, Field(ge=1)]


class NNTuneOptions(Model):
    tuned: int | None = Field(default=None, ge=0)
    """Number of the encoder's last steps that learn; None: half of them, rounded up. 0: only the projector
    learns. In ``vit`` every layer is a step, and so is the last norm; half of them is STARS's choice. In
    others a step is a block or a layer."""
    decay: float = Field(default=0.65, gt=0, le=1)
    """Ratio of a step's learning rate to that of the step after it; the last step has the full rate. Released
    STARS, its default: 0.65."""
    temperature: Positive = 0.1
    """Tau: similarities are divided by it. NNCLR: 0.1."""
    queue: int = Field(default=32768, ge=1)
    """Number of past embeddings among which neighbours are searched. NNCLR: 98304 for ImageNet."""
    dim: Width = 256
    """Dimensions of an embedding. NNCLR: 256."""
    hidden: Width = 2048
    """Width of the projector's two hidden layers. NNCLR: 2048."""
    predictor: Width = 4096
    """Width of the predictor's hidden layer. NNCLR: 4096."""
    own_rows: Literal["keep", "mask"] = "keep"
    """Older embeddings of a clip itself in the queue: ``keep`` them as neighbours (NNCLR), or ``mask`` them,
    so that a neighbour is always another clip."""


class NNTune(OneNetwork):
    """``forward(batch) -> {"loss", "positive", "neighbour", "mined_rows"}``."""

    Options = NNTuneOptions
    tunes = True

    step: list[tuple[Tensor, Tensor]] | None = None
    """Within ``one_step``: embeddings and rows of the passes so far."""

    def __init__(self, options: NNTuneOptions, parts: Parts) -> None:
        super().__init__(options, parts)
        steps = self.network.encoder.steps
        tuned = (len(steps) + 1) // 2 if options.tuned is None else options.tuned
        if tuned > len(steps):
            raise UsageError(
                f"{tuned} steps cannot learn of an encoder that has {len(steps)}",
                where="method.options.tuned",
                remedy=f"Choose 0 to {len(steps)}",
            )
        self.learning = steps[len(steps) - tuned :]
        hidden, dim, wide = options.hidden, options.dim, options.predictor
        with draws_from(parts.generator):
            self.network.projector = perceptron(self.network.encoder.feature_dim, hidden, hidden, dim)
            self.network.projector.append(nn.BatchNorm1d(dim))
            self.predictor = perceptron(dim, wide, dim)
        self.queue = Queue(options.queue, dim, generator=parts.generator)
        for name, parameter in self.network.encoder.named_parameters():
            parameter.requires_grad_(self._rate(name) > 0)
        self.train()

    @staticmethod
    def stages(options: NNTuneOptions) -> tuple[Stage, ...]:
        return (Stage("tuning", 0, "InfoNCE between a view and the nearest neighbour of another one"),)

    @property
    def rates(self) -> dict[str, float]:
        names = (name for name, _ in self.network.encoder.named_parameters())
        return {f"network.encoder.{name}": self._rate(name) for name in names}

    def _rate(self, name: str) -> float:
        """Ratio of the learning rate of an encoder weight to that of the run; 0 for a frozen one."""
        behind = [place for place, step in enumerate(reversed(self.learning)) if re.fullmatch(step, name)]
        return self.options.decay ** behind[0] if behind else 0.0

    def train(self, mode: bool = True) -> NNTune:
        """Set the mode; BatchNorm and dropout of the frozen part stay in evaluation mode."""
        super().train(mode)
        for name, module in self.network.encoder.named_modules():
            if isinstance(module, _BatchNorm | _DropoutNd) and not self._rate(f"{name}.weight"):
                module.eval()
        return self

    def diagnostics(self, steps: int) -> dict[str, float]:
        """Age in epochs and random share of the queue."""
        return {
            "queue_age": float(self.queue.age()) / steps,
            "queue_random": float(self.queue.random_share()),
        }

    @contextmanager
    def one_step(self) -> Iterator[None]:
        """The embeddings of all passes are enqueued after the last one."""
        self.step = []
        try:
            yield
            if self.step:
                z, rows = (torch.cat(each) for each in zip(*self.step, strict=True))
                self._enqueue(z, rows, in_place=True)
        finally:
            self.step = None

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        views = [self._embedded(batch, convention) for convention in (batch.query, batch.key)]
        (z, p), (other_z, other_p) = views
        neighbours, rows = self._nearest(z, batch.rows)
        others, _ = self._nearest(other_z, batch.rows)
        loss = (self._nce(neighbours, other_p) + self._nce(others, p)) / 2
        self._remember(z.detach(), batch.rows)
        if self.training:
            self.last_spread = spread(z.detach())
        with torch.no_grad():
            similar = {
                "positive": (z * other_z).sum(dim=1).mean(),
                "neighbour": (z * neighbours).sum(dim=1).mean(),
            }
        return {"loss": loss, **similar, "mined_rows": rows[:, None]}

    def _embedded(self, batch: Batch, convention: str) -> tuple[Tensor, Tensor]:
        """[N, dim] unit vectors, float32 or better: the projection of a view, and the prediction from it."""
        view = self.views.normal(batch, convention)
        with span(QUERY):
            z = self.network.projector(self.network.encoder(view, convention))
            p = self.predictor(z)
        return F.normalize(wide(z), dim=1), F.normalize(wide(p), dim=1)

    @torch.no_grad()
    def _nearest(self, z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """z [N, dim] of clips ``rows`` -> nearest queue entries [N, dim] and their rows [N]."""
        with torch.autocast(z.device.type, enabled=False):
            similar = z @ self.queue.keys.to(z.dtype).t()
        if self.options.own_rows == "mask":
            similar = similar.masked_fill(rows[:, None] == self.queue.rows, losses.NOTHING)
        places = similar.argmax(dim=1)
        return self.queue.keys[places].to(z.dtype), self.queue.rows[places]

    def _nce(self, neighbours: Tensor, p: Tensor) -> Tensor:
        """NNCLR, Eq. (3): identify the prediction of a neighbour's clip among those of the batch."""
        with torch.autocast(p.device.type, enabled=False):
            scores = neighbours @ distributed.joined(p).t() / self.options.temperature
        own = distributed.parts(1)[0].start * len(p) + torch.arange(len(p), device=p.device)
        return F.cross_entropy(scores, own)

    def _remember(self, z: Tensor, rows: Tensor) -> None:
        """Enqueue a pass's embeddings after the loss is computed; only in training."""
        if self.training and self.step is not None:
            self.step.append((z, rows))
        elif self.training:
            self._enqueue(z, rows)

    def _enqueue(self, z: Tensor, rows: Tensor, *, in_place: bool = False) -> None:
        with span(QUEUE):
            self.queue.enqueue(distributed.gather(z), distributed.gather(rows), in_place=in_place)


def perceptron(*widths: int) -> nn.Sequential:
    """Linear layers, each but the last followed by BatchNorm and ReLU: [N, first] -> [N, last]. NNCLR."""
    made = nn.Sequential()
    for place, (width, out) in enumerate(pairwise(widths)):
        if place:
            made.extend([nn.BatchNorm1d(width), nn.ReLU(inplace=True)])
        made.append(nn.Linear(width, out))
    return made
