"""Clips and stores of NTU's sizes, made of noise: their contents do not affect processing times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas import FORMAT, ArrayInfo, ConventionInfo, ProtocolInfo, RecipeRecord, StoreManifest
from skeltools import graph
from skeltools import skeletons as conventions
from skeltools.store import describe_all, writing
from trainer.skeleton import Skeleton
from trainer.store import Samples

CONVENTION = "kinectv2_25"
CLASSES = 60
TWO_BODIES = 0.2
"""Share of clips with a second person: 11 of NTU-60's 60 classes are two-person actions."""


def clips(count: int, *, joints: int = 25, frames: int = 50, seed: int = 0) -> NDArray[np.float32]:
    """[N, 3, T, V, 2]: randomly drifting poses, in metres; most clips have one person."""
    draw = np.random.default_rng(seed)
    values = np.zeros((count, 3, frames, joints, 2), np.float32)
    for row in range(count):
        bodies = 1 + (draw.random() < TWO_BODIES)
        pose = draw.standard_normal((3, 1, joints, bodies), np.float32) * 0.4
        steps = draw.standard_normal((3, frames, 1, bodies), np.float32) * 0.02
        values[row, ..., :bodies] = pose + np.cumsum(steps, axis=1)
        values[row, ..., :bodies] += 0.005 * draw.standard_normal((3, frames, joints, bodies), np.float32)
    return values


def samples(by_convention: dict[str, NDArray[np.float32]]) -> Samples:
    """Samples in memory, as loaded from a store."""
    count = len(next(iter(by_convention.values())))
    tensors = {name: torch.from_numpy(values) for name, values in by_convention.items()}
    labels = torch.arange(count) % CLASSES
    return Samples(tensors, labels, tuple(f"S{row:06}" for row in range(count)), torch.arange(count))


def skeleton(name: str) -> Skeleton:
    """A convention with its graphs, made without a store."""
    spec = conventions.load(name)
    graphs: list[Tensor] = [
        torch.from_numpy(made(spec)) for made in (graph.spatial_partition, graph.degenerate_partition)
    ]
    return Skeleton(spec, *graphs)


def write_store(path: Path, *, count: int, frames: int = 50) -> Path:
    """Write a store whose joint stream repeats the same clips; three in four rows are for training."""
    root = writing.create(path)
    some = clips(256, frames=frames)
    writer = writing.stream_writer(
        root, f"streams/{CONVENTION}/t{frames}/joint", frames=frames, joints=25, bodies=2
    )
    for start in range(0, count, len(some)):
        writer.append(some[: count - start])
    writer.flush()
    split = np.where(np.arange(count) % 4 < 3, 1, 2).astype(np.uint8)
    columns = {
        "samples/id": np.array([f"S{row:06}" for row in range(count)], dtype=object),
        "samples/label": (np.arange(count) % CLASSES).astype(np.int16),
        "splits/xsub": split,
    }
    for name, values in columns.items():
        writing.write_array(root, name, values, ("N",))
    writing.write_array(root, f"sequences/{CONVENTION}/offsets", np.arange(count + 1) * frames, ("N1",))
    writing.write_graphs(root, {CONVENTION: conventions.load(CONVENTION)})
    writing.write_manifest(path, _manifest(count, split, describe_all(root)))
    return path


def _manifest(count: int, split: NDArray[np.uint8], arrays: dict[str, ArrayInfo]) -> StoreManifest:
    halves = {"train": int((split == 1).sum()), "test": int((split == 2).sum())}
    return StoreManifest(
        format=FORMAT,
        dataset="noise",
        synthetic=True,
        tool="benchmarks/bulk.py",
        samples=count,
        classes=tuple(f"class {number}" for number in range(CLASSES)),
        protocols={"xsub": ProtocolInfo(rule="row number", **halves)},
        conventions={CONVENTION: ConventionInfo(reader="ntu", axes="as they are")},
        recipe=RecipeRecord(name="none", steps=()),
        arrays=arrays,
    )
