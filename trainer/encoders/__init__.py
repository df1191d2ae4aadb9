"""Encoders: a batch of one convention's clips to features.

An encoder is an nn.Module with ``feature_dim``, ``feature_map(x [N,3,T,Vmax,M], convention)``,
``pool(map, bodies) -> [N, feature_dim]`` and ``forward(x, convention)``, which is both; a class attribute
``Options`` is the pydantic model of its settings, and it is made by ``Encoder(skeletons, options=...)``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from schemas import Component, unknown
from trainer.encoders.initial import draws_from
from trainer.encoders.stgcn import STGCN
from trainer.options import checked
from trainer.skeleton import Skeleton

ENCODERS: dict[str, type[STGCN]] = {"stgcn": STGCN}


def build(
    component: Component, skeletons: Mapping[str, Skeleton], *, generator: torch.Generator | None = None
) -> STGCN:
    """The encoder that ``component`` names, on the CPU, with weights drawn from ``generator``.

    Without a generator they come from PyTorch's global state. Raises UsageError for an unknown name and
    ConfigError (``encoder.options.channels: ...``) for options that do not fit.
    """
    if component.name not in ENCODERS:
        raise unknown("encoder", component.name, ENCODERS, where="encoder.name")
    kind = ENCODERS[component.name]
    options = checked(kind.Options, component.options, where="encoder.options")
    with draws_from(generator):
        return kind(skeletons, options=options)


__all__ = ["ENCODERS", "STGCN", "build"]
