"""Encoders, which map a batch of one convention's clips to features.

An encoder is an nn.Module with ``feature_dim``, ``feature_map(x [N,3,T,Vmax,M], convention)``,
``pool(map, bodies) -> [N, feature_dim]`` and ``forward(x, convention)``, which applies both. Its class
attribute ``Options`` is the pydantic model of its settings; it is built by
``Encoder(skeletons, options=...)``.

The class attribute ``map_axes`` describes the map. ``"TV"``: [N*M, C, T', V], frames and joints of every
body, which a method may weight, mask or drop before pooling. None: joints or bodies are already mixed, and
only ``pool`` can interpret the map; a method that needs more calls ``require_map``.

``steps`` lists the steps that features pass through from input to output, each as a regular expression that
matches names of weights; weights that match none come before the first step. An encoder may have
``part_map(x, convention, visible)``, which computes its map for some cells only, at their cost: ``vit`` does.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from schemas import Component, UsageError, unknown
from schemas._model import Model
from trainer.encoders.agcn import AGCN
from trainer.encoders.bigru import BiGRU
from trainer.encoders.ctrgcn import CTRGCN
from trainer.encoders.hcn import HCN
from trainer.encoders.initial import draws_from
from trainer.encoders.stgcn import STGCN
from trainer.encoders.vit import ViT
from trainer.options import checked
from trainer.skeleton import Skeleton

Encoder = STGCN | AGCN | BiGRU | CTRGCN | HCN | ViT

ENCODERS: dict[str, type[Encoder]] = {
    "agcn": AGCN,
    "bigru": BiGRU,
    "ctrgcn": CTRGCN,
    "hcn": HCN,
    "stgcn": STGCN,
    "vit": ViT,
}


def build(
    component: Component, skeletons: Mapping[str, Skeleton], *, generator: torch.Generator | None = None
) -> Encoder:
    """Build the encoder that ``component`` names, on the CPU, with weights drawn from ``generator``.

    Without a generator they are drawn from PyTorch's global state. Raises UsageError for an unknown name and
    ConfigError (``encoder.options.channels: ...``) for invalid options.
    """
    options = check(component)
    with draws_from(generator):
        return ENCODERS[component.name](skeletons, options=options)  # type: ignore[arg-type]


def check(component: Component, *, where: str = "encoder") -> Model:
    """The checked options of the encoder at ``where`` in the settings. Raises like ``build``."""
    if component.name not in ENCODERS:
        raise unknown("encoder", component.name, ENCODERS, where=f"{where}.name")
    return checked(ENCODERS[component.name].Options, component.options, where=f"{where}.options")


def require_map(encoder: Component, *, method: str) -> None:
    """Raises UsageError, naming suitable encoders, when the encoder's map lacks axes of frames and joints."""
    kind = ENCODERS.get(encoder.name)
    if kind is not None and kind.map_axes != "TV":
        fit = [name for name, each in ENCODERS.items() if each.map_axes == "TV"]
        raise UsageError(
            f"{method} needs an encoder whose map has frames and joints, {encoder.name} has none",
            where="encoder.name",
            remedy=f"Choose one of: {', '.join(fit)}",
        )


__all__ = [
    "AGCN",
    "CTRGCN",
    "ENCODERS",
    "HCN",
    "STGCN",
    "BiGRU",
    "Encoder",
    "ViT",
    "build",
    "check",
    "require_map",
]
