"""Augmentations of whole batches on the device, with independent random parameters for every sample.

An augmentation is ``(x [N,3,T,V,M], skeleton, generator, *, options...) -> x``. The generator is on x's
device; x may be padded with zero joints after the skeleton's own. The annotations of the keyword-only
parameters are the schema of its options. Per-sample numbers come from ``augment.draws``, so that a sample of
a batch processed in parts gets the same numbers as in the whole batch.

An augmentation is written as a ``@Planned`` function that draws and returns a plan: ``Transform``,
``Sometimes`` (for a share of the samples) or ``Everywhere``. A chain first draws all plans, then executes
them (``augment.chain``).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from schemas import Component, UsageError, require, unknown
from trainer.augment.chain import Chain
from trainer.augment.draws import integers
from trainer.augment.planned import Everywhere, Plan, Planned
from trainer.augment.spatial import (
    axis_mask,
    joint_jitter,
    pose_augmentation,
    rotate,
    rotate_y,
    shear,
    spatial_flip,
)
from trainer.augment.temporal import (
    gaussian_blur,
    gaussian_noise,
    temporal_crop,
    temporal_crop_resize,
    temporal_flip,
)
from trainer.options import checked, signature_model
from trainer.skeleton import Skeleton


@Planned
def choice(
    x: Tensor,
    skeleton: Skeleton,
    generator: torch.Generator,
    *,
    of: Annotated[tuple[Component, ...], Field(min_length=2)] = (
        Component(name="pose_augmentation"),
        Component(name="joint_jitter"),
    ),
) -> Everywhere:
    """One of several augmentations, drawn for every sample; each has its own name and options.

    x [N,3,T,V,M] -> their output, which must have one shape. Default: ISC's random choice between its two
    spatial augmentations (section 3.1.3). All are applied to the whole batch, so their times add up.
    """
    return _one_of(
        x, skeleton, generator, links=[_link(each, f"of.{place}") for place, each in enumerate(of)]
    )


AUGMENTATIONS: dict[str, Planned[...]] = {
    "axis_mask": axis_mask,
    "choice": choice,
    "gaussian_blur": gaussian_blur,
    "gaussian_noise": gaussian_noise,
    "joint_jitter": joint_jitter,
    "pose_augmentation": pose_augmentation,
    "rotate": rotate,
    "rotate_y": rotate_y,
    "shear": shear,
    "spatial_flip": spatial_flip,
    "temporal_crop": temporal_crop,
    "temporal_crop_resize": temporal_crop_resize,
    "temporal_flip": temporal_flip,
}


NEEDS = {"spatial_flip": ("left_right_swap",)}
"""Augmentation -> properties (``schemas.skeleton.PROPERTIES``) that a convention must have for it."""


def check_fits(components: Sequence[Component], skeletons: Iterable[Skeleton], *, where: str) -> None:
    """Raise UsageError for the first augmentation that a convention cannot support, naming what it lacks."""
    skeletons = tuple(skeletons)
    for place, component in enumerate(components):
        for skeleton in skeletons:
            require(
                skeleton.spec,
                NEEDS.get(component.name, ()),
                by=f"augmentation {component.name}",
                where=f"{where}.{place}",
                remedy=f"Set {where} to a list without it, or add what is missing to the convention's file "
                "and convert again",
            )
        if component.name == "choice":
            inner = tuple(Component.model_validate(each) for each in component.options.get("of", ()))
            check_fits(inner, skeletons, where=f"{where}.{place}.options.of")


def compile_chain(components: Sequence[Component], *, where: str = "augment") -> Chain:
    """A function that applies the named augmentations in order; names and options are checked here.

    Raises UsageError for an unknown name and ConfigError (``augment.normal.0.options.p: ...``) for invalid
    options.
    """
    return Chain(tuple(_link(component, f"{where}.{place}") for place, component in enumerate(components)))


def apply(chain: Sequence[Component], x: Tensor, skeleton: Skeleton, generator: torch.Generator) -> Tensor:
    """Compile a chain and apply it at once. x [N,3,T,V,M] -> same."""
    return compile_chain(chain)(x, skeleton, generator)


def _link(component: Component, where: str) -> Planned[[]]:
    if component.name not in AUGMENTATIONS:
        raise unknown("augmentation", component.name, AUGMENTATIONS, where=f"{where}.name")
    function = AUGMENTATIONS[component.name]
    options = dict(checked(signature_model(function), component.options, where=f"{where}.options"))
    if function is not choice:
        return Planned(functools.partial(function.plan, **options))
    # Its own augmentations are checked now, too, and not when the first batch arrives.
    links = [_link(each, f"{where}.options.of.{place}") for place, each in enumerate(options["of"])]
    return Planned(functools.partial(_one_of, links=links))


def _one_of(
    x: Tensor, skeleton: Skeleton, generator: torch.Generator, *, links: Sequence[Planned[[]]]
) -> Everywhere:
    drawn = integers(generator, len(x), len(links)).view(-1, *[1] * (x.dim() - 1))
    plans = [link.plan(x, skeleton, generator) for link in links]
    return Everywhere(lambda x: _chosen(x, drawn, plans), resizes=any(plan.resizes for plan in plans))


def _chosen(x: Tensor, drawn: Tensor, plans: Sequence[Plan]) -> Tensor:
    results = [plan.of(x) for plan in plans]
    if any(result.shape != results[0].shape for result in results):
        raise UsageError(
            "the augmentations of a choice must give clips of one length, found "
            f"{', '.join(str(result.shape[2]) for result in results)} frames",
            remedy="Give those that change it the same number of frames",
        )
    chosen = results[0]
    for place, result in enumerate(results[1:], start=1):
        chosen = torch.where(drawn == place, result, chosen)
    return chosen


__all__ = ["AUGMENTATIONS", "Chain", "apply", "check_fits", "compile_chain"]
