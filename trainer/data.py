"""Whole batches on the device, in an order that is seeded and can be entered at any step.

Where the clips lie meanwhile is decided by their size (``load``): on the device; in host memory, from where a
batch is sent while the device works on the one before; or in the store, read shard by shard (``shards``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from schemas import StoreError
from trainer import memory, seeds, shards
from trainer import store as stores
from trainer.batch import Batch, Pairing
from trainer.shards import Shards
from trainer.store import OnProgress, Samples, Selection

Source = Samples | Shards
"""Clips in memory or in the store. ``labels`` are on the device that batches go to."""

Clips = dict[str, Tensor]
T = TypeVar("T")


def load(
    selection: Selection,
    *,
    device: torch.device,
    memory_limit: int | None = None,
    on_progress: OnProgress | None = None,
) -> Source:
    """The clips of a selection where they fit: on the device, in host memory, or left in the store.

    ``memory_limit``: bytes of host memory that clips may take, None half of the machine's. The order of
    batches is the same on the device and in host memory; shards have another one. Raises ConfigError when
    the limit is smaller than what two shards take, StoreError when the store cannot be read.
    """
    limit = memory.host_limit() if memory_limit is None else memory_limit
    if shards.bytes_in_memory(selection) > limit:
        return shards.within(selection, limit, device=device)
    samples = stores.in_memory(selection, on_progress=on_progress)
    room = memory.device_limit(device)
    if room is None or len(selection) * selection.clip_bytes <= room:
        return samples.to(device)
    return replace(samples, labels=samples.labels.to(device))


def steps_per_epoch(samples: Source, *, batch_size: int, passes: int = 1) -> int:
    """The last incomplete batch of a pass is dropped, as the papers do, unless it would be the only one."""
    return passes * max(1, len(samples) // batch_size)


def batches(
    samples: Source,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    pairing: Pairing | None = None,
    start_step: int = 0,
) -> Iterator[Batch]:
    """The batches of one epoch from ``start_step`` on, each with a pair of conventions drawn by ``pairing``.

    Without one query and key see the first convention. An epoch is ``pairing.passes`` passes over the
    samples, each in an order of its own. Order, generators and pairs depend on (seed, epoch, step) alone, so
    the batches after a resume are those of an uninterrupted run.
    """
    if len(samples) < 2:
        raise StoreError(f"contrastive training needs 2 clips or more, the split has {len(samples)}")
    if pairing is None:
        names = samples.clips if isinstance(samples, Samples) else samples.selection.paths
        pairing = Pairing(((next(iter(names)),) * 2,))
    per_pass = steps_per_epoch(samples, batch_size=batch_size)
    device = samples.labels.device
    epoch_seed = seeds.derive(seed, epoch, "epoch")
    for turn in range(start_step // per_pass, pairing.passes):
        first = max(start_step - turn * per_pass, 0)
        taken = _one_pass(samples, batch_size=batch_size, seed=seed, epoch=epoch, turn=turn, start=first)
        steps = range(turn * per_pass + first, (turn + 1) * per_pass)
        for step, (rows, clips) in zip(steps, taken, strict=False):  # the incomplete last batch is left over
            host_generator = seeds.generator("cpu", seed, epoch, step, "host")
            query, key = pairing.draw(host_generator, epoch_seed=epoch_seed)
            yield Batch(
                clips=clips,
                query=query,
                key=key,
                rows=rows,
                epoch=epoch,
                generator=seeds.generator(device, seed, epoch, step, "augment"),
                host_generator=host_generator,
            )


def _one_pass(
    samples: Source, *, batch_size: int, seed: int, epoch: int, turn: int, start: int
) -> Iterator[tuple[Tensor, Clips]]:
    """Rows and clips on the device of one pass from batch ``start`` on."""
    device = samples.labels.device
    if isinstance(samples, Shards):
        buffers = shards.plan(samples, seed=seed, epoch=epoch, turn=turn)
        found = shards.batches(samples, buffers, batch_size=batch_size, start=start)
    else:
        order = torch.randperm(len(samples), generator=seeds.generator("cpu", seed, epoch, turn, "order"))
        found = _indexed(samples, order[start * batch_size :].split(batch_size))
    elsewhere = isinstance(samples, Shards) or samples.device != device
    return _sent(found, device) if elsewhere and device.type == "cuda" else found


def _indexed(samples: Samples, chosen: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, Clips]]:
    """Rows and clips where the clips are."""
    for rows in chosen:
        there = rows.to(samples.device)
        yield there, {name: clip.index_select(0, there) for name, clip in samples.clips.items()}


def _sent(batches: Iterator[tuple[Tensor, Clips]], device: torch.device) -> Iterator[tuple[Tensor, Clips]]:
    """The same on a CUDA device: a batch travels from pinned memory while the one before is used."""
    stream = torch.cuda.Stream(device)

    def send(batch: tuple[Tensor, Clips]) -> tuple[Tensor, Clips, torch.cuda.Event]:
        rows, clips = batch
        with torch.cuda.stream(stream):
            # PyTorch's pinned allocator does not give memory out again before the copy from it is over.
            there = {name: clip.pin_memory().to(device, non_blocking=True) for name, clip in clips.items()}
            return rows.pin_memory().to(device, non_blocking=True), there, stream.record_event()

    for rows, clips, arrived in _one_ahead(map(send, batches)):
        user = torch.cuda.current_stream(device)
        user.wait_event(arrived)
        for tensor in (rows, *clips.values()):
            tensor.record_stream(user)
        yield rows, clips


def _one_ahead(items: Iterable[T]) -> Iterator[T]:
    """The items; before one is given out the next one has been made."""
    waiting: deque[T] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting
