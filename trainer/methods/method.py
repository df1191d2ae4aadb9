"""The interface between a method and the loop, with defaults for everything optional."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from schemas._model import Model
from trainer import batch_norm, encoders
from trainer.batch import Batch
from trainer.methods.parts import Parts, make_views


@dataclass(frozen=True)
class Stage:
    """A range of epochs with one loss.

    Its start is an option named ``*_from``: an epoch or, in settings, a share of ``optimise.epochs`` between
    0 and 1, which ``config.resolve`` turns into an epoch before the method sees it.
    """

    name: str
    """One word for the log and the progress line."""
    start: int
    """First epoch, 0-based."""
    summary: str
    """What the loss consists of, in one line."""


def current(stages: Sequence[Stage], epoch: int) -> int:
    """Index of the stage of ``epoch`` (0-based): the last one that has begun.

    >>> current((Stage("one", 0, ""), Stage("two", 5, "")), 5)
    1
    """
    begun = [index for index, stage in enumerate(stages) if stage.start <= epoch]
    return max(begun, default=0)


def lasting(*stages: Stage) -> tuple[Stage, ...]:
    """The stages that last an epoch or more: those that do not begin where the next one does."""
    ends = [*(stage.start for stage in stages[1:]), None]
    return tuple(stage for stage, end in zip(stages, ends, strict=True) if stage.start != end)


def wide(x: Tensor) -> Tensor:
    """Cast to float32 unless it is float64."""
    return x if x.dtype == torch.float64 else x.float()


class Method(nn.Module):
    """Maps a batch to a loss. Built as ``Kind(options, parts)``; its state changes in training mode only.

    Subclasses must define ``Options``, ``encoders`` and ``forward``. The defaults of everything else suit a
    method without queue and key networks; ``MoCoMethod`` adds what momentum contrast needs.
    """

    Options: ClassVar[type[Model]]
    """The pydantic model of the method's own settings, all with defaults."""

    needs_map: ClassVar[bool] = False
    """Whether the encoder's map must have frames and joints; see ``encoders.require_map``."""

    why_unpaired: ClassVar[str] = ""
    """Why the method cannot be the base of ``ms-clr``; empty if it can."""

    tunes: ClassVar[bool] = False
    """Whether it tunes an encoder that has been trained before, given by ``--init-from``."""

    @staticmethod
    def stages(options: Any) -> tuple[Stage, ...]:
        """The stages of a training with these options, the first from epoch 0."""
        return (Stage("training", 0, "one loss from the first epoch to the last"),)

    @property
    def encoders(self) -> Mapping[str, nn.Module]:
        """Encoders to evaluate, without projectors, by stream or representation; the first is monitored."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Compute ``{"loss": scalar with gradient, ...: detached scalar metrics}``.

        The query sees the convention ``batch.query`` and the key ``batch.key``; in a method with two
        equivalent views, each is used for one of them. A method that mines neighbours may add ``mined_rows``
        [N, k] int64: rows of the training half, -1 for none. The loop, which has the labels, reduces these to
        a scalar; the method never sees a label.
        """
        raise NotImplementedError

    # --- hooks of the loop

    @property
    def rates(self) -> Mapping[str, float]:
        """Name of a weight -> ratio of its learning rate to that of the run, where they differ.

        0 for a frozen weight, which has no gradient.
        """
        return {}

    def one_step(self) -> AbstractContextManager[None]:
        """A context around the forward and backward passes of one optimiser step, i.e. the parts of a batch.

        For state that is updated once per step, such as a queue.
        """
        return nullcontext()

    def join_batch_norm(self) -> None:
        """For ``runtime.batch_norm=sync``: make BatchNorm use the statistics of all processes."""
        batch_norm.join_(self)

    @property
    def compiled(self) -> Sequence[nn.Module]:
        """For ``runtime.compile``: encoders whose ``feature_map`` is compiled; ``Views`` are found anyway."""
        return tuple(self.encoders.values())

    def spread(self) -> Tensor | None:
        """Scalar ``feature_std`` of the embeddings in the last training pass; None if unknown."""
        return None

    def diagnostics(self, steps: int) -> dict[str, float]:
        """Figures on the method's state after an epoch of ``steps`` steps, for the log."""
        return {}

    def alarms(self, means: Mapping[str, float]) -> dict[str, str]:
        """Kind -> text of alarms raised by an epoch's mean metrics, in addition to those of every method."""
        return {}

    # --- hooks of ``--init-from``

    @property
    def networks(self) -> nn.ModuleDict:
        """Name of an encoder -> module to initialise, with a child ``encoder`` and possibly others."""
        alone = {name: nn.ModuleDict({"encoder": encoder}) for name, encoder in self.encoders.items()}
        return nn.ModuleDict(alone)

    def follow(self) -> None:
        """Called when ``networks`` have new initial weights, to renew the copies of them."""


class OneNetwork(Method):
    """A method of one stream whose encoder is ``network.encoder``."""

    network: Any
    """A module with the child ``encoder`` and others that a method adds, such as a projector."""

    last_spread: Tensor | None = None
    """Monitoring only: ``spread`` of the last embeddings in training, on their device."""

    def __init__(self, options: Any, parts: Parts) -> None:
        super().__init__()
        self.options, self.stream, self.views = options, parts.stream, make_views(parts)
        self.network = nn.Module()
        self.network.encoder = encoders.build(parts.encoder, parts.skeletons, generator=parts.generator)

    @property
    def encoders(self) -> dict[str, nn.Module]:
        return {self.stream: self.network.encoder}

    @property
    def networks(self) -> nn.ModuleDict:
        return nn.ModuleDict({self.stream: self.network})

    def spread(self) -> Tensor | None:
        return self.last_spread
