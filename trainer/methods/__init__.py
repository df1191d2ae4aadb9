"""Contrastive methods: a batch to a loss.

A method is an nn.Module made by ``Method(options, parts)``; the class attribute ``Options`` is the pydantic
model of its own settings. What the rest of the trainer uses of it is the protocol ``Method``. It owns its
momentum networks and its queues and moves them only in training mode. Methods that MS-CLR can wrap have
``step(batch, query=convention, key=convention)`` as well.

A new method is a file here, one import and one line in ``METHODS``, and a file in ``presets/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from schemas import AugmentConfig, Component, unknown
from schemas._model import Model
from trainer.batch import Batch
from trainer.methods.aimclr import AimCLR
from trainer.methods.crosclr import CrosSCLR
from trainer.methods.csclr import CSCLR
from trainer.methods.isc import ISC
from trainer.methods.msclr import MSCLR
from trainer.methods.parts import Parts
from trainer.methods.skelemixclr import SkeleMixCLR
from trainer.methods.skeletonclr import SkeletonCLR
from trainer.methods.stages import Stage, current
from trainer.options import checked
from trainer.skeleton import Skeleton


class Method(Protocol):
    """What every method has, besides being an nn.Module."""

    passes_per_epoch: int
    """How often an epoch shows each clip."""

    @property
    def encoders(self) -> Mapping[str, nn.Module]:
        """The query encoders without projectors, by stream or representation."""

    @property
    def encoder(self) -> nn.Module:
        """The first of them."""

    @property
    def query_network(self) -> nn.Module:
        """What the moving average follows."""

    @property
    def key_network(self) -> nn.Module:
        """What the moving average moves."""

    @staticmethod
    def stages(options: Any) -> tuple[Stage, ...]:
        """The stages of a training with these options, the first from epoch 0."""

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``{"loss": scalar with gradient, ...: detached scalar metrics}``.

        A method that mines neighbours may add ``mined_rows`` [N, k] int64: ``Queue.rows`` of what it mined.
        The loop, which knows labels, makes a scalar of it; no label ever comes in here.
        """


METHODS: dict[str, type[Any]] = {
    "aimclr": AimCLR,
    "crosclr": CrosSCLR,
    "csclr": CSCLR,
    "isc": ISC,
    "ms-clr": MSCLR,
    "skelemixclr": SkeleMixCLR,
    "skeletonclr": SkeletonCLR,
}


def build(
    component: Component,
    *,
    encoder: Component,
    skeletons: Mapping[str, Skeleton],
    augment: AugmentConfig,
    stream: str,
    generator: torch.Generator,
) -> Any:
    """The method that ``component`` names, on the CPU; ``generator`` (CPU) draws its weights and queue.

    Raises UsageError for an unknown name or conventions that do not fit, ConfigError for options, with
    their path (``method.options.temperature``).
    """
    options = checked_options(component)
    parts = Parts(encoder=encoder, skeletons=skeletons, augment=augment, stream=stream, generator=generator)
    return METHODS[component.name](options, parts)


def checked_options(component: Component) -> Model:
    """The options of a method, checked. Raises as ``build`` does."""
    if component.name not in METHODS:
        raise unknown("method", component.name, METHODS, where="method.name")
    options: Model = checked(METHODS[component.name].Options, component.options, where="method.options")
    return options


def stages(component: Component) -> tuple[Stage, ...]:
    """The stages of a method with the options of ``component``. Raises as ``build`` does."""
    found: tuple[Stage, ...] = METHODS[component.name].stages(checked_options(component))
    return found


__all__ = ["METHODS", "Method", "Stage", "build", "checked_options", "current", "stages"]
