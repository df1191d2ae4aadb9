"""Pre-training methods, which map a batch to a loss.

``Method`` is the interface that the loop uses: ``Options``, ``encoders``, ``forward(batch)`` and hooks with
defaults. Every method can also be the base of MS-CLR unless it states why not: a batch names the conventions
that its query and its key see.

To add a method, add a file here, one import and one line in ``METHODS``, and a file in ``presets/``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from schemas import AugmentConfig, Component, DataConfig, UsageError, unknown
from schemas._model import Model
from trainer.batch import Pairing
from trainer.methods import msclr
from trainer.methods.aimclr import AimCLR
from trainer.methods.crosclr import CrosSCLR
from trainer.methods.csclr import CSCLR
from trainer.methods.decorrelate import Decorrelate
from trainer.methods.isc import ISC
from trainer.methods.masked import Masked
from trainer.methods.method import Method, Stage, current
from trainer.methods.msclr import MSCLROptions
from trainer.methods.nn_tune import NNTune
from trainer.methods.parts import Parts
from trainer.methods.skelemixclr import SkeleMixCLR
from trainer.methods.skeletonclr import SkeletonCLR
from trainer.options import checked
from trainer.skeleton import Skeleton

METHODS: dict[str, type[Method]] = {
    "aimclr": AimCLR,
    "crosclr": CrosSCLR,
    "csclr": CSCLR,
    "decorrelate": Decorrelate,
    "isc": ISC,
    "masked": Masked,
    "nn-tune": NNTune,
    "skelemixclr": SkeleMixCLR,
    "skeletonclr": SkeletonCLR,
}

MSCLR = "ms-clr"
"""The method that pairs conventions around a base method, one of ``METHODS``."""


def names() -> list[str]:
    """Valid values of ``method.name``."""
    return sorted([*METHODS, MSCLR])


def options_of(name: str) -> type[Model]:
    """The model of a method's own options. Raises UsageError for an unknown name."""
    if name not in names():
        raise unknown("method", name, names(), where="method.name")
    return MSCLROptions if name == MSCLR else METHODS[name].Options


def tunes(name: str) -> bool:
    """Whether the method tunes an encoder that has been trained before."""
    return name in METHODS and METHODS[name].tunes


def build(
    component: Component,
    *,
    encoder: Component,
    skeletons: Mapping[str, Skeleton],
    augment: AugmentConfig,
    stream: str,
    generator: torch.Generator,
) -> Method:
    """Build the method that ``component`` names, or its base for MS-CLR, on the CPU.

    ``generator`` (CPU) draws its weights and queue. Raises UsageError for an unknown name and, with MS-CLR,
    for unsuitable conventions; raises ConfigError for invalid options, with their path
    (``method.options.temperature``).
    """
    kind, options = _kind(component)
    if component.name == MSCLR:
        pairing(component, tuple(skeletons))
    parts = Parts(encoder=encoder, skeletons=skeletons, augment=augment, stream=stream, generator=generator)
    return kind(options, parts)


def pairing(component: Component, conventions: Sequence[str]) -> Pairing:
    """The pairs of conventions in which the batches of a run with these ``conventions`` are presented.

    Raises UsageError for several conventions without MS-CLR, and for too few with it.
    """
    if component.name == MSCLR:
        return msclr.pairing(checked(MSCLROptions, component.options, where="method.options"), conventions)
    if len(conventions) != 1:
        raise UsageError(
            f"{component.name} trains on one skeleton convention, the run has {', '.join(conventions)}",
            where="data.conventions",
            remedy="Choose one of them, or train with --method ms-clr",
        )
    return Pairing(((conventions[0], conventions[0]),))


def pairings(component: Component, data: DataConfig) -> tuple[Pairing, ...]:
    """``pairing`` of every store of a run, in order. Raises like ``pairing``, naming the store.

    In a store that lacks the reference convention of MS-CLR's anchored pairs, its first convention is used.
    """
    of_stores = [pairing(component, data.conventions)]
    for other in data.more:
        own = component
        if component.options.get("reference") not in (None, *other.conventions):
            own = component.model_copy(update={"options": component.options | {"reference": None}})
        try:
            of_stores.append(pairing(own, other.conventions))
        except UsageError as error:
            raise UsageError(error.message, where=other.store, remedy=error.remedy) from error
    return tuple(of_stores)


def stages(component: Component) -> tuple[Stage, ...]:
    """The stages of a method with the options of ``component``. Raises like ``build``."""
    kind, options = _kind(component)
    return kind.stages(options)


def _kind(component: Component) -> tuple[type[Method], Model]:
    """The class that computes the loss (for MS-CLR, that of its base) and its checked options."""
    options = checked(options_of(component.name), component.options, where="method.options")
    if not isinstance(options, MSCLROptions):
        return METHODS[component.name], options
    base, where = options.base, "method.options.base"
    bases = [name for name, kind in METHODS.items() if not kind.why_unpaired]
    if base.name in METHODS and base.name not in bases:
        raise UsageError(
            f"ms-clr cannot wrap {base.name}, {METHODS[base.name].why_unpaired}",
            where=f"{where}.name",
            remedy=f"Choose a base of {', '.join(bases)}, or train {base.name} on one convention",
        )
    if base.name not in bases:
        raise unknown("base method", base.name, bases, where=f"{where}.name")
    kind = METHODS[base.name]
    return kind, checked(kind.Options, base.options, where=f"{where}.options")


__all__ = [
    "METHODS",
    "MSCLR",
    "Method",
    "Stage",
    "build",
    "current",
    "names",
    "options_of",
    "pairing",
    "pairings",
    "stages",
    "tunes",
]
