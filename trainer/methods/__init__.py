"""Contrastive methods: a batch to a loss.

A method is an nn.Module made by ``Method(options, parts)``; ``Options`` is the pydantic model of its own
settings. ``forward(batch) -> {"loss": scalar with gradient, ...: detached scalar metrics}``. It owns its
momentum networks and its queue and moves them only in training mode. ``encoder`` is the query encoder
without projector; ``query_network`` and ``key_network`` are what the moving average joins;
``passes_per_epoch`` says how often an epoch shows each clip. A base method has
``step(batch, query=convention, key=convention)`` as well, which MS-CLR calls.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from schemas import AugmentConfig, Component, unknown
from trainer.methods.aimclr import AimCLR
from trainer.methods.msclr import MSCLR
from trainer.methods.parts import Parts
from trainer.methods.skeletonclr import SkeletonCLR
from trainer.options import checked
from trainer.skeleton import Skeleton

Method = SkeletonCLR | AimCLR | MSCLR

METHODS: dict[str, type[SkeletonCLR] | type[AimCLR] | type[MSCLR]] = {
    "aimclr": AimCLR,
    "ms-clr": MSCLR,
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
) -> Method:
    """The method that ``component`` names, on the CPU; ``generator`` (CPU) draws its weights and queue.

    Raises UsageError for an unknown name or conventions that do not fit, ConfigError for options, with
    their path (``method.options.temperature``).
    """
    if component.name not in METHODS:
        raise unknown("method", component.name, METHODS, where="method.name")
    kind = METHODS[component.name]
    options = checked(kind.Options, component.options, where="method.options")
    parts = Parts(encoder=encoder, skeletons=skeletons, augment=augment, stream=stream, generator=generator)
    return kind(options, parts)  # type: ignore[arg-type]


__all__ = ["METHODS", "Method", "build"]
