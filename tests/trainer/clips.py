"""Skeletons, random clips and batches for tests of the tensor code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from schemas import AugmentConfig, Component
from skeltools import graph, skeletons
from trainer.batch import Batch, Pairing
from trainer.methods import msclr
from trainer.methods.msclr import MSCLROptions
from trainer.skeleton import Skeleton

EXTREME = (
    "shear",
    "temporal_crop",
    "spatial_flip",
    "rotate",
    "axis_mask",
    "temporal_flip",
    "gaussian_noise",
    "gaussian_blur",
)
SMALL = {"channels": (8, 8, 16), "stride_blocks": (3,), "dropout": 0.0}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def skeleton(name: str) -> Skeleton:
    spec = skeletons.load(name)
    return Skeleton(
        spec,
        torch.from_numpy(graph.spatial_partition(spec)),
        torch.from_numpy(graph.degenerate_partition(spec)),
    )


def component(name: str, **options: Any) -> Component:
    return Component(name=name, options=options)


def augment(*normal: str, extreme: tuple[str, ...] = EXTREME) -> AugmentConfig:
    names = normal or ("shear", "temporal_crop")
    return AugmentConfig(
        normal=tuple(map(component, names)), extreme=tuple(component(name) for name in extreme)
    )


def clips(samples: int, joints: int, *, frames: int = 16, bodies: int = 1, seed: int = 0) -> Tensor:
    """[N,3,T,V,M]: a random pose each, moving a little, so that clips differ more than their frames."""
    draw = generator(seed)
    pose = torch.randn(samples, 3, 1, joints, bodies, generator=draw)
    return pose + 0.1 * torch.randn(samples, 3, frames, joints, bodies, generator=draw)


def batch(
    of: Mapping[str, Skeleton],
    *,
    samples: int = 8,
    start: int = 0,
    frames: int = 16,
    bodies: int = 1,
    epoch: int = 0,
    seed: int = 0,
    pad_to: int | None = None,
    padding: float = 0.0,
) -> Batch:
    """The same clips at every call, from row ``start`` on; ``seed`` is that of the two generators.

    A convention's joints are the first V of 60 that all conventions share. Of several conventions two
    different ones are drawn, as ms-clr does by default. ``pad_to``: so many joints, the rest ``padding``.
    """
    shared = clips(64, 60, frames=frames, bodies=bodies)[start : start + samples]
    padded = {}
    for name, each in of.items():
        x = shared[..., : each.num_joints, :]
        more = (pad_to or each.num_joints) - each.num_joints
        padded[name] = torch.cat([x, torch.full((samples, 3, frames, more, bodies), padding)], dim=3)
    names, rows, host = tuple(of), torch.arange(start, start + samples), generator(seed)
    pairing = Pairing(((names[0],) * 2,)) if len(names) == 1 else msclr.pairing(MSCLROptions(), names)
    query, key = pairing.draw(host, epoch_seed=0)
    return Batch(padded, query, key, rows, epoch, generator(seed), host)


def train(method: nn.Module, batches: Iterable[Batch], *, lr: float = 0.05) -> list[float]:
    """The losses of one step per batch."""
    optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=lr, momentum=0.9)
    found = []
    for each in batches:
        loss = method(each)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(float(loss.detach()))
    return found
