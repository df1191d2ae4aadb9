"""Encoders: a batch of one convention's clips to features.

An encoder is an nn.Module with ``feature_dim``, ``feature_map(x [N,3,T,Vmax,M], convention)``,
``pool(map, bodies) -> [N, feature_dim]`` and ``forward(x, convention)``, which is both; a class attribute
``Options`` is the pydantic model of its settings, and it is made by ``Encoder(skeletons, options=...)``.

The class attribute ``map_axes`` says what the map is. ``"TV"``: [N*M, C, T', V], frames and joints of every
body, which a method may weigh, mask or drop before it is pooled. None: joints or bodies are mixed by then,
and only ``pool`` can read it; a method that needs more calls ``require_map``.

``steps`` names what features pass on their way, one after another from the input to the output, by regular
expressions for names of weights; what none matches comes before them. An encoder may have
``part_map(x, convention, visible)``, its map of some cells alone at the cost of these: ``vit`` has it.
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

ENCODERS: dict[str, type[STGCN] | type[AGCN] | type[BiGRU] | type[CTRGCN] | type[HCN] | type[ViT]] = {
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
    """The encoder that ``component`` names, on the CPU, with weights drawn from ``generator``.

    Without a generator they come from PyTorch's global state. Raises UsageError for an unknown name and
    ConfigError (``encoder.options.channels: ...``) for options that do not fit.
    """
    options = check(component)
    with draws_from(generator):
        return ENCODERS[component.name](skeletons, options=options)  # type: ignore[arg-type]


def check(component: Component, *, where: str = "encoder") -> Model:
    """The checked options of an encoder, which stands at ``where`` in the settings. Raises as ``build``."""
    if component.name not in ENCODERS:
        raise unknown("encoder", component.name, ENCODERS, where=f"{where}.name")
    return checked(ENCODERS[component.name].Options, component.options, where=f"{where}.options")


def require_map(encoder: Component, *, method: str) -> None:
    """Raises UsageError, naming those that fit, when the encoder's map has no axes of frames and joints."""
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
