"""Batches on the device, in a seeded order that can be entered at any step.

``load`` decides by size where the clips are held: on the device; in host memory, from which each batch is
copied while the device works on the previous one; or in the store, read shard by shard (``shards``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice, repeat
from typing import TypeVar

import torch
from torch import Tensor

from schemas import DataConfig, StoreError
from trainer import memory, seeds, shards
from trainer import store as stores
from trainer.batch import Batch, Pairing
from trainer.shards import Shards
from trainer.store import OnProgress, Samples, Selection

Source = Samples | Shards
"""Clips in memory or in the store. ``labels`` are on the device that receives the batches."""


@dataclass(frozen=True)
class Together:
    """The training halves of several stores. Each batch comes from one of them; see ``batches``."""

    sources: tuple[Source, ...]
    pairings: tuple[Pairing, ...]
    """The pairing of each store, in its own conventions."""
    weights: tuple[float, ...]
    """Share of the steps that each store gets; empty: every clip of every store once per pass."""
    labels: Tensor
    """[N] int64: labels of all rows, store by store, -1 for none. No two stores share a label."""

    def __len__(self) -> int:
        return sum(map(len, self.sources))

    @property
    def starts(self) -> tuple[int, ...]:
        """The index of each store's first clip among all rows."""
        return tuple(sum(map(len, self.sources[:place])) for place in range(len(self.sources)))

    def steps(self, *, batch_size: int) -> tuple[int, ...]:
        """Number of steps of an epoch that each store gets.

        The total is the sum of the steps of one epoch of each store by itself. ``weights`` divide it by the
        method of largest remainders, with at least one step per store.
        """
        alone = [
            steps_per_epoch(source, batch_size=batch_size, passes=pairing.passes)
            for source, pairing in zip(self.sources, self.pairings, strict=True)
        ]
        return _divided(sum(alone), self.weights) if self.weights else tuple(alone)


Training = Source | Together
"""The data that a run is trained on."""

Clips = dict[str, Tensor]
T = TypeVar("T")


def parts_of(data: DataConfig) -> list[DataConfig]:
    """The data settings of each store of a run, as if it were the only one."""
    alone = data.model_copy(update={"more": (), "weights": ()})
    others = [
        {"store": other.store, "split": other.split, "conventions": other.conventions} for other in data.more
    ]
    return [alone, *(alone.model_copy(update=other) for other in others)]


def load(
    selection: Selection,
    *,
    device: torch.device,
    memory_limit: int | None = None,
    on_progress: OnProgress | None = None,
) -> Source:
    """Hold the clips of a selection where they fit: on the device, in host memory, or left in the store.

    ``memory_limit`` is the host memory in bytes that clips may use; None means half of the machine's. The
    order of batches is the same on the device and in host memory, but different for shards. Raises
    ConfigError when the limit is too small to hold two shards, StoreError when the store cannot be read.
    """
    limit = memory.given_limit(memory_limit)
    if shards.bytes_in_memory(selection) > limit:
        return shards.within(selection, limit, device=device)
    return near(stores.in_memory(selection, on_progress=on_progress), device)


def held_bytes(samples: Training) -> int:
    """Host memory in bytes that the clips use, including the buffers of those left in the store."""
    if isinstance(samples, Together):
        return sum(map(held_bytes, samples.sources))
    if isinstance(samples, Shards):
        return samples.peak_bytes
    return sum(clip.nbytes for clip in samples.clips.values()) if samples.device.type == "cpu" else 0


def near(source: Source, device: torch.device) -> Source:
    """Move the clips to the device if they fit there, and the labels in any case."""
    room = memory.device_limit(device)
    if isinstance(source, Samples) and (
        room is None or sum(clip.nbytes for clip in source.clips.values()) <= room
    ):
        return source.to(device)
    return replace(source, labels=source.labels.to(device))


def together(
    selections: Sequence[Selection],
    pairings: Sequence[Pairing],
    *,
    weights: Sequence[float] = (),
    device: torch.device,
    memory_limit: int | None = None,
    on_progress: OnProgress | None = None,
) -> Together:
    """Hold the clips of several stores where they fit, as ``load`` does, each in its share of the memory."""
    limits = _shared(memory.given_limit(memory_limit), selections)
    sources = tuple(
        load(each, device=device, memory_limit=limit, on_progress=on_progress)
        for each, limit in zip(selections, limits, strict=True)
    )
    return Together(sources, tuple(pairings), tuple(weights), _all_labels(selections).to(device))


def _shared(limit: int, selections: Sequence[Selection]) -> list[int]:
    """Divide a memory limit: each selection gets its minimum, and the rest in proportion to what it lacks."""
    whole = [shards.bytes_in_memory(each) for each in selections]
    if sum(whole) <= limit:
        return whole
    least = [shards.least_bytes(each) for each in selections]
    shards.check_limit(limit, sum(least))
    rest, wanted = limit - sum(least), sum(whole) - sum(least)
    return [
        low + rest * (high - low) // wanted if wanted else low for low, high in zip(least, whole, strict=True)
    ]


def _all_labels(selections: Sequence[Selection]) -> Tensor:
    labels, first = [], 0
    for each in selections:
        labels.append(torch.where(each.labels < 0, -1, each.labels + first))
        first += len(each.store.manifest.classes)
    return torch.cat(labels)


def _divided(total: int, weights: Sequence[float]) -> tuple[int, ...]:
    """Divide ``total`` into whole parts by weight, by largest remainders; a part of zero becomes one."""
    exact = [total * weight / sum(weights) for weight in weights]
    parts = [int(each) for each in exact]
    by_remainder = sorted(range(len(parts)), key=lambda place: parts[place] - exact[place])
    for place in by_remainder[: total - sum(parts)]:
        parts[place] += 1
    while 0 in parts:
        parts[parts.index(0)] = 1
        if sum(parts) > total and max(parts) > 1:
            parts[parts.index(max(parts))] -= 1
    return tuple(parts)


def steps_per_epoch(samples: Training, *, batch_size: int, passes: int = 1) -> int:
    """Number of steps of an epoch of ``passes`` passes.

    The incomplete last batch of a pass is dropped, as in the papers, unless it would be the only one. For
    several stores, each pairing's own ``passes`` are used.
    """
    if isinstance(samples, Together):
        return sum(samples.steps(batch_size=batch_size))
    return passes * max(1, len(samples) // batch_size)


def batches(
    samples: Training,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    pairing: Pairing | None = None,
    start_step: int = 0,
) -> Iterator[Batch]:
    """Yield the batches of an epoch from ``start_step`` on, each with a pair of conventions from ``pairing``.

    Without a pairing, query and key see the first convention. An epoch is ``pairing.passes`` passes over the
    samples, each in its own order. Order, generators and pairs depend only on (seed, epoch, step), so the
    batches after a resume are those of an uninterrupted run.

    With several stores, each batch comes from one store, with its conventions and its pairing; the stores
    take turns in a random order. ``rows`` are numbered across all stores.
    """
    if isinstance(samples, Together):
        yield from _of_several(samples, batch_size=batch_size, seed=seed, epoch=epoch, start_step=start_step)
        return
    if len(samples) < 2:
        raise StoreError(f"contrastive training needs 2 clips or more, the split has {len(samples)}")
    if pairing is None:
        names = samples.clips if isinstance(samples, Samples) else samples.selection.paths
        pairing = Pairing(((next(iter(names)),) * 2,))
    per_pass = steps_per_epoch(samples, batch_size=batch_size)
    device = samples.labels.device
    for turn in range(start_step // per_pass, pairing.passes):
        first = max(start_step - turn * per_pass, 0)
        taken = _one_pass(samples, batch_size=batch_size, seed=seed, epoch=epoch, turn=turn, start=first)
        steps = range(turn * per_pass + first, (turn + 1) * per_pass)
        for step, (rows, clips) in zip(steps, taken, strict=False):  # drops the incomplete last batch
            yield _batch(clips, rows, pairing, device=device, seed=seed, epoch=epoch, step=step)


def _of_several(
    samples: Together, *, batch_size: int, seed: int, epoch: int, start_step: int
) -> Iterator[Batch]:
    """Yield the batches of one epoch of several stores.

    A store's batch depends on how many steps the store has had in the epoch. Its passes repeat until it has
    had its steps of the epoch; the last pass is cut short.
    """
    turns = _turns(samples, batch_size=batch_size, seed=seed, epoch=epoch)
    given = [
        _passes(
            source,
            batch_size=batch_size,
            seed=seeds.derive(seed, "store", place),
            epoch=epoch,
            start=turns[:start_step].count(place),
        )
        for place, source in enumerate(samples.sources)
    ]
    for source in samples.sources:
        if len(source) < 2:
            raise StoreError(f"contrastive training needs 2 clips or more, a store has {len(source)}")
    starts = samples.starts
    for step, place in enumerate(turns[start_step:], start_step):
        rows, clips = next(given[place])
        pairing, numbered, device = samples.pairings[place], rows + starts[place], samples.labels.device
        yield _batch(clips, numbered, pairing, device=device, seed=seed, epoch=epoch, step=step)


def _batch(
    clips: Clips, rows: Tensor, pairing: Pairing, *, device: torch.device, seed: int, epoch: int, step: int
) -> Batch:
    host_generator = seeds.generator("cpu", seed, epoch, step, "host")
    query, key = pairing.draw(host_generator, epoch_seed=seeds.derive(seed, epoch, "epoch"))
    return Batch(
        clips=clips,
        query=query,
        key=key,
        rows=rows,
        epoch=epoch,
        generator=seeds.generator(device, seed, epoch, step, "augment"),
        host_generator=host_generator,
    )


def _turns(samples: Together, *, batch_size: int, seed: int, epoch: int) -> list[int]:
    """The index of the store that each step of the epoch draws from."""
    due = torch.tensor(samples.steps(batch_size=batch_size))
    order = torch.randperm(int(due.sum()), generator=seeds.generator("cpu", seed, epoch, "turns"))
    turns: list[int] = torch.arange(len(due)).repeat_interleave(due)[order].tolist()
    return turns


def _passes(
    source: Source, *, batch_size: int, seed: int, epoch: int, start: int
) -> Iterator[tuple[Tensor, Clips]]:
    """Repeat passes over a store without end, from batch ``start`` of the epoch on."""
    per_pass = steps_per_epoch(source, batch_size=batch_size)
    for turn in count(start // per_pass):
        first = start - turn * per_pass if turn == start // per_pass else 0
        taken = _one_pass(source, batch_size=batch_size, seed=seed, epoch=epoch, turn=turn, start=first)
        yield from islice(taken, per_pass - first)


def _one_pass(
    samples: Source, *, batch_size: int, seed: int, epoch: int, turn: int, start: int
) -> Iterator[tuple[Tensor, Clips]]:
    """Yield rows and clips, on the device, of one pass from batch ``start`` on."""
    if isinstance(samples, Shards):
        buffers = shards.plan(samples, seed=seed, epoch=epoch, turn=turn)
        batches = shards.batches(samples, buffers, sizes=repeat(batch_size), skip=start * batch_size)
        return sent(batches, samples)
    order = torch.randperm(len(samples), generator=seeds.generator("cpu", seed, epoch, turn, "order"))
    return indexed(samples, order[start * batch_size :].split(batch_size))


def indexed(samples: Samples, chosen: Iterable[Tensor]) -> Iterator[tuple[Tensor, Clips]]:
    """Yield rows and clips, on the device of the labels, of batches given by their rows."""
    there = (rows.to(samples.device) for rows in chosen)
    clips = samples.clips.items()
    batches = ((rows, {name: clip.index_select(0, rows) for name, clip in clips}) for rows in there)
    return sent(batches, samples)


def sent(batches: Iterator[tuple[Tensor, Clips]], source: Source) -> Iterator[tuple[Tensor, Clips]]:
    """Move batches of a source's clips to the device of its labels."""
    device = source.labels.device
    there = isinstance(source, Samples) and source.device == device
    return batches if there or device.type != "cuda" else _ahead(batches, device)


def _ahead(batches: Iterator[tuple[Tensor, Clips]], device: torch.device) -> Iterator[tuple[Tensor, Clips]]:
    """Copy each batch to a CUDA device from pinned memory while the previous one is in use."""
    stream = torch.cuda.Stream(device)

    def send(batch: tuple[Tensor, Clips]) -> tuple[Tensor, Clips, torch.cuda.Event]:
        rows, clips = batch
        with torch.cuda.stream(stream):
            # PyTorch's pinned allocator does not reuse memory before the copy from it has finished.
            there = {name: clip.pin_memory().to(device, non_blocking=True) for name, clip in clips.items()}
            return rows.pin_memory().to(device, non_blocking=True), there, stream.record_event()

    for rows, clips, arrived in _one_ahead(map(send, batches)):
        user = torch.cuda.current_stream(device)
        user.wait_event(arrived)
        for tensor in (rows, *clips.values()):
            tensor.record_stream(user)
        yield rows, clips


def _one_ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield the items, producing each next one before the current one is yielded."""
    waiting: deque[T] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting
