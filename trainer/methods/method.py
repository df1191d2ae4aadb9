"""What a method is: the contract with the loop, and the defaults of everything that is optional."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from schemas._model import Model
from trainer import batch_norm
from trainer.batch import Batch


@dataclass(frozen=True)
class Stage:
    """A stretch of epochs with one loss.

    A boundary is an option named ``*_from``: a whole epoch, or in settings a share of ``optimise.epochs``
    between 0 and 1, which ``config.resolve`` turns into an epoch before the method sees it.
    """

    name: str
    """One word for the log and the progress line."""
    start: int
    """First epoch, 0-based."""
    summary: str
    """What the loss is made of, in a line."""


def current(stages: Sequence[Stage], epoch: int) -> int:
    """Index of the stage that ``epoch`` (0-based) is in: the last one that has begun.

    >>> current((Stage("one", 0, ""), Stage("two", 5, "")), 5)
    1
    """
    begun = [index for index, stage in enumerate(stages) if stage.start <= epoch]
    return max(begun, default=0)


class Method(nn.Module):
    """A batch to a loss. Made by ``Kind(options, parts)``; its state changes in training mode only.

    It owes ``Options``, ``encoders`` and ``forward``. Everything else has the default written here, which
    suits a method without queue and key networks; ``MoCoMethod`` has what momentum contrast needs.
    """

    Options: ClassVar[type[Model]]
    """The pydantic model of the method's own settings, all with defaults."""

    needs_map: ClassVar[bool] = False
    """Whether only encoders fit whose map has frames and joints; see ``encoders.require_map``."""

    why_unpaired: ClassVar[str] = ""
    """Why ``ms-clr`` cannot take the method as its base; empty where it can."""

    tunes: ClassVar[bool] = False
    """Whether it is for an encoder that was trained before, by ``--init-from``."""

    @staticmethod
    def stages(options: Any) -> tuple[Stage, ...]:
        """The stages of a training with these options, the first from epoch 0."""
        return (Stage("training", 0, "one loss from the first epoch to the last"),)

    @property
    def encoders(self) -> Mapping[str, nn.Module]:
        """The encoders that are evaluated, without projectors, by stream or representation; the first one is
        monitored."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``{"loss": scalar with gradient, ...: detached scalar metrics}``.

        The query sees the convention ``batch.query``, the key ``batch.key``; of two equal views each gets
        one. A method that mines neighbours may add ``mined_rows`` [N, k] int64: rows of the training half, -1
        for none. The loop, which knows labels, makes a scalar of it; no label ever comes in here.
        """
        raise NotImplementedError

    # --- hooks of the loop

    @property
    def rates(self) -> Mapping[str, float]:
        """Name of a weight -> its learning rate over that of the run, where it is another one.

        0 for a weight that does not learn; it takes no gradient.
        """
        return {}

    def one_step(self) -> AbstractContextManager[None]:
        """Encloses the passes, forward and backward, of one step of the optimiser: of the parts of one batch.

        For state that moves once in a step, such as a queue.
        """
        return nullcontext()

    def join_batch_norm(self) -> None:
        """For ``runtime.batch_norm=sync``: BatchNorm has the statistics of all processes from now on."""
        batch_norm.join_(self)

    @property
    def compiled(self) -> Sequence[nn.Module]:
        """For ``runtime.compile``: the encoders whose ``feature_map`` is compiled. Views are found."""
        return tuple(self.encoders.values())

    def spread(self) -> Tensor | None:
        """Scalar ``feature_std`` of the embeddings of the last pass in training; None where it is unknown."""
        return None

    def diagnostics(self, steps: int) -> dict[str, float]:
        """Figures of the state after an epoch of ``steps`` steps, for the log."""
        return {}

    def alarms(self, means: Mapping[str, float]) -> dict[str, str]:
        """Kind -> text of the alarms that an epoch's mean metrics give, besides those of every method."""
        return {}

    # --- hooks of ``--init-from``

    @property
    def networks(self) -> nn.ModuleDict:
        """Name of an encoder -> what gets initial weights, with a child ``encoder`` and perhaps others."""
        alone = {name: nn.ModuleDict({"encoder": encoder}) for name, encoder in self.encoders.items()}
        return nn.ModuleDict(alone)

    def follow(self) -> None:
        """``networks`` have new initial weights: whatever is a copy of them becomes one again."""


class OneNetwork(Method):
    """A method of one stream whose encoder is ``network.encoder``."""

    stream: str
    network: Any
    """A module with a child ``encoder`` and perhaps others, such as a projector."""

    last_spread: Tensor | None = None
    """Monitoring only: ``spread`` of the last embeddings in training, on their device."""

    @property
    def encoders(self) -> dict[str, nn.Module]:
        return {self.stream: self.network.encoder}

    @property
    def networks(self) -> nn.ModuleDict:
        return nn.ModuleDict({self.stream: self.network})

    def spread(self) -> Tensor | None:
        return self.last_spread
