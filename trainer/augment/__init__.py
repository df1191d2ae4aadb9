"""Augmentations of whole batches on the device, with independent random parameters for every sample.

An augmentation is ``(x [N,3,T,V,M], skeleton, generator, *, options...) -> x``. The generator lives on x's
device; x may be padded with zero joints behind the skeleton's own. The annotations of the keyword-only
parameters are the schema of its options.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from schemas import Component, unknown
from trainer.augment.spatial import axis_mask, rotate, rotate_y, shear, spatial_flip
from trainer.augment.temporal import gaussian_blur, gaussian_noise, temporal_crop, temporal_flip
from trainer.options import checked, signature_model
from trainer.skeleton import Skeleton

AUGMENTATIONS: dict[str, Callable[..., Tensor]] = {
    "axis_mask": axis_mask,
    "gaussian_blur": gaussian_blur,
    "gaussian_noise": gaussian_noise,
    "rotate": rotate,
    "rotate_y": rotate_y,
    "shear": shear,
    "spatial_flip": spatial_flip,
    "temporal_crop": temporal_crop,
    "temporal_flip": temporal_flip,
}

Chain = Callable[[Tensor, Skeleton, torch.Generator], Tensor]


def compile_chain(components: Sequence[Component], *, where: str = "augment") -> Chain:
    """One function that applies the named augmentations in order; names and options are checked here.

    Raises UsageError for an unknown name, ConfigError (``augment.normal.0.options.p: ...``) for options.
    """
    links = [_link(component, f"{where}.{place}") for place, component in enumerate(components)]

    def chain(x: Tensor, skeleton: Skeleton, generator: torch.Generator) -> Tensor:
        # Half precision would round coordinates to centimetres.
        with torch.autocast(x.device.type, enabled=False):
            for function, options in links:
                x = function(x, skeleton, generator, **options)
        return x

    return chain


def apply(chain: Sequence[Component], x: Tensor, skeleton: Skeleton, generator: torch.Generator) -> Tensor:
    """``compile_chain`` and call at once. x [N,3,T,V,M] -> same."""
    return compile_chain(chain)(x, skeleton, generator)


def _link(component: Component, where: str) -> tuple[Callable[..., Tensor], dict[str, object]]:
    if component.name not in AUGMENTATIONS:
        raise unknown("augmentation", component.name, AUGMENTATIONS, where=f"{where}.name")
    function = AUGMENTATIONS[component.name]
    options = checked(signature_model(function), component.options, where=f"{where}.options")
    return function, dict(options)


__all__ = ["AUGMENTATIONS", "Chain", "apply", "compile_chain"]
