"""Check that a device computes the same as the CPU: augmentations, and a step of every method and encoder.

CPU and GPU draw different numbers from the same seed, so both are given the CPU's draws.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks import bulk
from schemas import AugmentConfig, Component
from trainer import augment, methods
from trainer import device as devices
from trainer.augment import draws
from trainer.batch import Batch, Pairing
from trainer.encoders import ENCODERS
from trainer.methods import METHODS
from trainer.methods.moco import MoCoOptions

BOUNDS = {"fp32": {"loss": 1e-4, "gradients": 1e-3}, "bf16": {"loss": 0.05}}
"""Largest permitted differences: of the loss relative to its value, of gradients to the largest gradient."""
SMALL: dict[str, dict[str, Any]] = {
    "stgcn": {"channels": [8, 16], "stride_blocks": [2]},
    "agcn": {"channels": [8, 16], "stride_blocks": [2]},
    "ctrgcn": {"channels": [8, 16], "stride_blocks": [2]},
    "vit": {"dim": 16, "layers": 2, "heads": 2},
    "bigru": {"units": 8, "layers": 1},
    "hcn": {"point": 8, "row": 8, "channels": [8, 8, 16, 16]},
}
"""Encoder options with ``quick``; otherwise the defaults are used."""


TINY: dict[str, dict[str, Any]] = {
    "decorrelate": {"dim": 16, "hidden": 16},
    "masked": {"layers": 1, "width": 16, "heads": 2, "local_views": 1, "dim": 16},
    "nn-tune": {"queue": 64, "dim": 16, "hidden": 16, "predictor": 16},
}
"""Method options with ``quick``."""

METRES = 1e-5
"""Largest permitted difference of a view: rounding of coordinates of a few metres."""
MS_CLR = "ms-clr"
NAMES = (*METHODS, MS_CLR)


class HostDraws:
    """Replaces ``torch`` in ``augment.draws``: numbers are drawn on the CPU and moved to the device."""

    def __init__(self, seed: int) -> None:
        self.host = torch.Generator().manual_seed(seed)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def rand(self, size: Any, *, generator: Any, device: Any) -> Tensor:
        return torch.rand(size, generator=self.host).to(device)

    def randn(self, size: Any, *, generator: Any, device: Any) -> Tensor:
        return torch.randn(size, generator=self.host).to(device)

    def randint(self, below: int, size: Any, *, generator: Any, device: Any) -> Tensor:
        return torch.randint(below, size, generator=self.host).to(device)


def _normal(drawn: draws.Drawn, generator: torch.Generator, *shape: int) -> Tensor:
    """Like ``Drawn.normal``, but drawn for all samples on every device."""
    return draws.normal(generator, len(drawn.chosen), *shape)[drawn.rows]


@contextmanager
def host_draws(seed: int) -> Iterator[None]:
    """A context in which augmentations draw the same numbers on every device."""
    with (
        mock.patch.object(draws, "torch", HostDraws(seed)),
        mock.patch.object(draws.Drawn, "normal", _normal),
    ):
        yield


def augmentations(device: torch.device, *, samples: int) -> dict[str, float]:
    """Augmentation -> largest difference of its views over three draws, in the clips' unit."""
    skeleton = bulk.skeleton(bulk.CONVENTION)
    clips = torch.from_numpy(bulk.clips(samples))
    differences = {}
    for name in augment.AUGMENTATIONS:
        worst = 0.0
        for seed in range(3):
            views = []
            for place in (torch.device("cpu"), device):
                with host_draws(seed):
                    chain = [Component(name=name)]
                    generator = torch.Generator(place).manual_seed(seed)
                    views.append(augment.apply(chain, clips.to(place), skeleton, generator).cpu())
            worst = max(worst, float((views[0] - views[1]).abs().max()))
        differences[name] = worst
    return differences


def fitting(method: str) -> list[str]:
    """The encoders that a method accepts; for isc, which brings its own, only the first."""
    if method == "isc":
        return ["bigru"]
    if method == MS_CLR:
        return list(ENCODERS)
    return [name for name, kind in ENCODERS.items() if kind.map_axes == "TV" or not METHODS[method].needs_map]


def step(method: str, encoder: str, device: torch.device, *, quick: bool) -> dict[str, dict[str, float]]:
    """Number format -> differences of a step's ``loss`` and ``gradients`` from the CPU in fp32."""
    made, names = _built(method, encoder, quick=quick), tuple(_skeletons(method))
    reference = _one(copy.deepcopy(made), names, torch.device("cpu"), "fp32", quick=quick)
    return {
        number_format: _apart(reference, _one(copy.deepcopy(made), names, device, number_format, quick=quick))
        for number_format in BOUNDS
    }


def _built(method: str, encoder: str, *, quick: bool) -> methods.Method:
    queue = {"queue": 64, "dim": 16} if quick else {"queue": 1024}
    options: dict[str, Any] = dict(queue) if issubclass(methods.options_of(method), MoCoOptions) else {}
    if method == MS_CLR:
        options = {"base": {"name": "skeletonclr", "options": queue}}
    if method == "isc" and quick:
        options["representations"] = {"seq": None, "graph": {"name": "agcn", "options": SMALL["agcn"]}}
    if quick:
        options |= TINY.get(method, {})
    return methods.build(
        Component(name=method, options=options),
        encoder=Component(name=encoder, options=_encoder_options(encoder, quick=quick)),
        skeletons=_skeletons(method),
        augment=AugmentConfig(normal=_chain("shear", "temporal_crop"), extreme=_chain(*EXTREME)),
        stream="joint",
        generator=torch.Generator().manual_seed(0),
    ).train()


EXTREME = ("shear", "spatial_flip", "rotate", "axis_mask", "temporal_flip", "gaussian_noise", "gaussian_blur")


def _chain(*names: str) -> tuple[Component, ...]:
    return tuple(Component(name=name) for name in names)


def _encoder_options(name: str, *, quick: bool) -> dict[str, Any]:
    """Options without dropout, whose masks differ between devices."""
    dropout = {"dropout": 0.0} if "dropout" in ENCODERS[name].Options.model_fields else {}
    return {**(SMALL[name] if quick else {}), **dropout}


def _skeletons(method: str) -> dict[str, Any]:
    names = (bulk.CONVENTION, "smplx_42") if method == MS_CLR else (bulk.CONVENTION,)
    return {name: bulk.skeleton(name) for name in names}


def _one(
    made: methods.Method, names: tuple[str, ...], device: torch.device, number_format: str, *, quick: bool
) -> dict[str, Tensor]:
    """The loss and the gradients of one step, moved to the CPU."""
    made = made.to(device)
    with host_draws(7), devices.autocast(device, number_format):
        loss = made(_batch(names, device, quick=quick))["loss"]
    loss.backward()
    named = {name: p.grad.float().cpu() for name, p in made.named_parameters() if p.grad is not None}
    return {"loss": loss.detach().float().cpu(), **named}


def _batch(names: tuple[str, ...], device: torch.device, *, quick: bool) -> Batch:
    samples, frames = (8, 16) if quick else (32, 50)
    clips = {
        name: torch.from_numpy(bulk.clips(samples, joints=bulk.skeleton(name).num_joints, frames=frames))
        for name in names
    }
    host = torch.Generator().manual_seed(3)
    query, key = Pairing(((names[0], names[-1]),)).draw(host, epoch_seed=0)
    return Batch(
        {name: clip.to(device) for name, clip in clips.items()},
        query,
        key,
        torch.arange(samples, device=device),
        0,
        torch.Generator(device).manual_seed(3),
        host,
    )


def _apart(one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, float]:
    assert one.keys() == other.keys()
    names = [name for name in one if name != "loss"]
    largest = max(float(one[name].abs().max()) for name in names)
    worst = max(float((one[name] - other[name]).abs().max()) for name in names)
    return {
        "loss": float((one["loss"] - other["loss"]).abs() / one["loss"].abs()),
        "gradients": worst / largest,
    }


def beyond(differences: dict[str, dict[str, float]]) -> list[str]:
    """The differences from ``step`` that exceed their bounds, in words."""
    return [
        f"{number_format} {what} {differences[number_format][what]:.2g}"
        for number_format, bounds in BOUNDS.items()
        for what, most in bounds.items()
        if not differences[number_format][what] <= most
    ]
