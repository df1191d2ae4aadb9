"""Whole batches on the device, in an order that is seeded and can be entered at any step."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from schemas import StoreError
from trainer import seeds
from trainer.batch import Batch
from trainer.store import Samples


def steps_per_epoch(samples: Samples, *, batch_size: int, passes: int = 1) -> int:
    """The last incomplete batch of a pass is dropped, as the papers do, unless it would be the only one."""
    return passes * max(1, len(samples) // batch_size)


def batches(
    samples: Samples,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    start_step: int = 0,
    passes: int = 1,
) -> Iterator[Batch]:
    """The batches of one epoch from ``start_step`` on, joints padded to the largest convention.

    An epoch is ``passes`` passes over the samples, each in an order of its own. Order and generators depend
    on (seed, epoch, step) alone, so the batches after a resume are those of an uninterrupted run.
    """
    if len(samples) < 2:
        raise StoreError(f"contrastive training needs 2 clips or more, the split has {len(samples)}")
    per_pass = steps_per_epoch(samples, batch_size=batch_size)
    device = next(iter(samples.clips.values())).device
    for step in range(start_step, passes * per_pass):
        order = _order(len(samples), seed=seed, epoch=epoch, turn=step // per_pass)
        within = step % per_pass
        rows = order[within * batch_size : (within + 1) * batch_size].to(device)
        yield Batch(
            clips=gather(samples.clips, rows),
            rows=rows,
            epoch=epoch,
            generator=seeds.generator(device, seed, epoch, step, "augment"),
            host_generator=seeds.generator("cpu", seed, epoch, step, "host"),
            epoch_seed=seeds.derive(seed, epoch, "epoch"),
        )


def gather(clips: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """The rows of every convention, [N, 3, T, V_max, M]: zeros behind the joints of the smaller ones."""
    largest = max(clip.shape[3] for clip in clips.values())
    return {name: pad(clip[rows], (0, 0, 0, largest - clip.shape[3])) for name, clip in clips.items()}


def _order(count: int, *, seed: int, epoch: int, turn: int) -> Tensor:
    return torch.randperm(count, generator=seeds.generator("cpu", seed, epoch, turn, "order"))
