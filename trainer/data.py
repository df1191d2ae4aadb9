"""Whole batches on the device, in an order that is seeded and can be entered at any step.

Where the clips lie meanwhile is decided by their size (``load``): on the device; in host memory, from where a
batch is sent while the device works on the one before; or in the store, read shard by shard (``shards``).
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
"""Clips in memory or in the store. ``labels`` are on the device that batches go to."""


@dataclass(frozen=True)
class Together:
    """The training halves of several stores. A batch is of one of them; see ``batches``."""

    sources: tuple[Source, ...]
    pairings: tuple[Pairing, ...]
    """Of each store, in its own conventions."""
    weights: tuple[float, ...]
    """Share of the steps that each store has; empty: every clip of each once in a pass."""
    labels: Tensor
    """[N] int64 of all rows, store by store; classes of two stores have no label in common. -1: none."""

    def __len__(self) -> int:
        return sum(map(len, self.sources))

    @property
    def starts(self) -> tuple[int, ...]:
        """The row of each store's first clip among all rows."""
        return tuple(sum(map(len, self.sources[:place])) for place in range(len(self.sources)))

    def steps(self, *, batch_size: int) -> tuple[int, ...]:
        """Steps of an epoch that each store has.

        Their sum is that of an epoch of each store by itself. ``weights`` divide it: every store gets one
        step at least, the others by the method of largest remainders.
        """
        alone = [
            steps_per_epoch(source, batch_size=batch_size, passes=pairing.passes)
            for source, pairing in zip(self.sources, self.pairings, strict=True)
        ]
        return _divided(sum(alone), self.weights) if self.weights else tuple(alone)


Training = Source | Together
"""What a run is trained on."""

Clips = dict[str, Tensor]
T = TypeVar("T")


def parts_of(data: DataConfig) -> list[DataConfig]:
    """The settings of each store of a run by itself."""
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
    """The clips of a selection where they fit: on the device, in host memory, or left in the store.

    ``memory_limit``: bytes of host memory that clips may take, None half of the machine's. The order of
    batches is the same on the device and in host memory; shards have another one. Raises ConfigError when
    the limit is smaller than what two shards take, StoreError when the store cannot be read.
    """
    limit = memory.given_limit(memory_limit)
    if shards.bytes_in_memory(selection) > limit:
        return shards.within(selection, limit, device=device)
    return near(stores.in_memory(selection, on_progress=on_progress), device)


def held_bytes(samples: Training) -> int:
    """Host memory that the clips take, with the buffers of those that are in the store."""
    if isinstance(samples, Together):
        return sum(map(held_bytes, samples.sources))
    if isinstance(samples, Shards):
        return samples.peak_bytes
    return sum(clip.nbytes for clip in samples.clips.values()) if samples.device.type == "cpu" else 0


def near(source: Source, device: torch.device) -> Source:
    """The clips on the device where they fit there, or else where they are; the labels there in any case."""
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
    """The clips of several stores where they fit, as ``load``, each in its share of the memory."""
    limits = _shared(memory.given_limit(memory_limit), selections)
    sources = tuple(
        load(each, device=device, memory_limit=limit, on_progress=on_progress)
        for each, limit in zip(selections, limits, strict=True)
    )
    return Together(sources, tuple(pairings), tuple(weights), _all_labels(selections).to(device))


def _shared(limit: int, selections: Sequence[Selection]) -> list[int]:
    """A memory limit divided: the least that works for each, and of the rest what it would need besides."""
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
    """``total`` in whole parts as the weights say, by largest remainders; what would be zero becomes one."""
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
    """The last incomplete batch of a pass is dropped, as the papers do, unless it would be the only one.

    Several stores have ``passes`` of their own.
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
    """The batches of one epoch from ``start_step`` on, each with a pair of conventions drawn by ``pairing``.

    Without one query and key see the first convention. An epoch is ``pairing.passes`` passes over the
    samples, each in an order of its own. Order, generators and pairs depend on (seed, epoch, step) alone, so
    the batches after a resume are those of an uninterrupted run.

    Of several stores each batch is of one, in its own conventions and with the pairing that it has; the
    stores take turns in a random order. ``rows`` count through all stores.
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


def _of_several(
    samples: Together, *, batch_size: int, seed: int, epoch: int, start_step: int
) -> Iterator[Batch]:
    """The batches of one epoch of several stores.

    What a store gives at a step depends on how many steps it has had in the epoch: passes go on until the
    epoch has the steps that the store is due, the last of them cut short.
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
    starts, epoch_seed = samples.starts, seeds.derive(seed, epoch, "epoch")
    for step, place in enumerate(turns[start_step:], start_step):
        rows, clips = next(given[place])
        host_generator = seeds.generator("cpu", seed, epoch, step, "host")
        query, key = samples.pairings[place].draw(host_generator, epoch_seed=epoch_seed)
        yield Batch(
            clips=clips,
            query=query,
            key=key,
            rows=rows + starts[place],
            epoch=epoch,
            generator=seeds.generator(samples.labels.device, seed, epoch, step, "augment"),
            host_generator=host_generator,
        )


def _turns(samples: Together, *, batch_size: int, seed: int, epoch: int) -> list[int]:
    """Whose turn each step of the epoch is."""
    due = torch.tensor(samples.steps(batch_size=batch_size))
    order = torch.randperm(int(due.sum()), generator=seeds.generator("cpu", seed, epoch, "turns"))
    turns: list[int] = torch.arange(len(due)).repeat_interleave(due)[order].tolist()
    return turns


def _passes(
    source: Source, *, batch_size: int, seed: int, epoch: int, start: int
) -> Iterator[tuple[Tensor, Clips]]:
    """Pass after pass of a store from batch ``start`` of the epoch on, without end."""
    per_pass = steps_per_epoch(source, batch_size=batch_size)
    for turn in count(start // per_pass):
        first = start - turn * per_pass if turn == start // per_pass else 0
        taken = _one_pass(source, batch_size=batch_size, seed=seed, epoch=epoch, turn=turn, start=first)
        yield from islice(taken, per_pass - first)


def _one_pass(
    samples: Source, *, batch_size: int, seed: int, epoch: int, turn: int, start: int
) -> Iterator[tuple[Tensor, Clips]]:
    """Rows and clips on the device of one pass from batch ``start`` on."""
    if isinstance(samples, Shards):
        buffers = shards.plan(samples, seed=seed, epoch=epoch, turn=turn)
        batches = shards.batches(samples, buffers, sizes=repeat(batch_size), skip=start * batch_size)
        return sent(batches, samples)
    order = torch.randperm(len(samples), generator=seeds.generator("cpu", seed, epoch, turn, "order"))
    return indexed(samples, order[start * batch_size :].split(batch_size))


def indexed(samples: Samples, chosen: Iterable[Tensor]) -> Iterator[tuple[Tensor, Clips]]:
    """Rows and clips, on the device of the labels, of batches by their rows."""
    there = (rows.to(samples.device) for rows in chosen)
    clips = samples.clips.items()
    batches = ((rows, {name: clip.index_select(0, rows) for name, clip in clips}) for rows in there)
    return sent(batches, samples)


def sent(batches: Iterator[tuple[Tensor, Clips]], source: Source) -> Iterator[tuple[Tensor, Clips]]:
    """Batches of a source's clips on the device of its labels."""
    device = source.labels.device
    there = isinstance(source, Samples) and source.device == device
    return batches if there or device.type != "cuda" else _ahead(batches, device)


def _ahead(batches: Iterator[tuple[Tensor, Clips]], device: torch.device) -> Iterator[tuple[Tensor, Clips]]:
    """Sent to a CUDA device: a batch travels from pinned memory while the one before is used."""
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
