"""Clips of a split that does not fit in memory: shuffled shards, read ahead of the training.

A pass reads the shards in random order, one buffer at a time, and uses the rows of a buffer in random order.
While the batches of one buffer are used, a thread reads the next buffer. Reading random rows of the store
would be a thousand times slower. A decoded, memory-mapped copy on disk would be as fast as the disk's random
reads and twice the size of the store; docs/guides/performance.md explains why it is not used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from schemas import ConfigError
from trainer import seeds
from trainer import store as stores
from trainer.store import Selection

BUFFERS = 2
"""Buffers in memory at the same time: one in use, one being read."""

Taken = tuple[Tensor, dict[str, Tensor]]
"""Rows [n] of the selection, and their clips [n, 3, T, V, M] by convention."""


@dataclass(frozen=True)
class Shards:
    """A selection that stays in the store."""

    selection: Selection
    labels: Tensor
    """[N] int64, on the device that receives the batches."""
    per_buffer: int
    """Shards per buffer. The order of the rows depends on it."""

    def __len__(self) -> int:
        return len(self.selection)

    @property
    def ids(self) -> tuple[str, ...]:
        return self.selection.ids

    @property
    def peak_bytes(self) -> int:
        """Peak bytes of memory that the clips use, without the batch assembled from them."""
        return self.selection.shard_bytes + self.per_buffer * _bytes_for_each(self.selection)


@dataclass(frozen=True)
class Buffer:
    """The shards read at a time, and the order in which their rows are used."""

    shards: tuple[range, ...]
    order: Tensor
    """[n] int64: positions in the buffer."""

    @property
    def rows(self) -> Tensor:
        """[n] int64: rows of the selection, in the order of their use."""
        return torch.cat([torch.arange(shard.start, shard.stop) for shard in self.shards])[self.order]


def within(selection: Selection, limit: int, *, device: torch.device) -> Shards:
    """``Shards`` with the largest buffers that keep the clips within ``limit`` bytes.

    Raises ConfigError, naming the smallest possible limit, when not even buffers of one shard fit.
    """
    per_buffer = (limit - selection.shard_bytes) // _bytes_for_each(selection)
    if per_buffer < 1:
        check_limit(limit, least_bytes(selection))
    return Shards(selection, selection.labels.to(device), min(max(per_buffer, 1), len(selection.shards)))


def check_limit(limit: int, least: int) -> None:
    """Raises ConfigError when a limit is below the smallest possible one."""
    if limit < least:
        raise ConfigError(
            f"{limit} bytes are too few to read this store shard by shard, the least is {least}",
            where="data.memory_limit",
            remedy=f"Set data.memory_limit={least} or more, or leave it out",
        )


def least_bytes(selection: Selection) -> int:
    """The limit below which neither buffers of one shard fit nor all clips."""
    return min(selection.shard_bytes + _bytes_for_each(selection), bytes_in_memory(selection))


def bytes_in_memory(selection: Selection) -> int:
    """Bytes of memory for all clips while their last shard is being read."""
    return len(selection) * selection.clip_bytes + selection.shard_bytes


def _bytes_for_each(selection: Selection) -> int:
    return BUFFERS * max(map(len, selection.shards)) * selection.clip_bytes


def plan(shards: Shards, *, seed: int, epoch: int, turn: int, counts: Tensor | None = None) -> list[Buffer]:
    """Plan one pass over all rows, each once, or as often as given in ``counts`` [N] int64.

    The plan depends only on the address of the seed, ``per_buffer`` and ``counts``.
    """
    all_pieces = shards.selection.shards
    draw = seeds.generator("cpu", seed, epoch, turn, "shards")
    buffers = []
    for chosen in torch.randperm(len(all_pieces), generator=draw).split(shards.per_buffer):
        pieces = tuple(all_pieces[place] for place in chosen.tolist())
        places = torch.arange(sum(map(len, pieces)))
        if counts is not None:
            places = places.repeat_interleave(torch.cat([counts[each.start : each.stop] for each in pieces]))
        buffers.append(Buffer(pieces, places[torch.randperm(len(places), generator=draw)]))
    return [buffer for buffer in buffers if len(buffer.order)]


def batches(
    shards: Shards, buffers: Sequence[Buffer], *, sizes: Iterable[int], skip: int = 0
) -> Iterator[Taken]:
    """Yield a pass from row ``skip`` on, in batches of the given ``sizes``; the last one may be smaller.

    Buffers before the start are not read. A batch may have rows of two buffers.
    """
    wanted, begun = iter(sizes), list[Taken]()
    size = next(wanted)
    while buffers and skip >= len(buffers[0].order):
        skip, buffers = skip - len(buffers[0].order), buffers[1:]
    with ThreadPoolExecutor(1, "read ahead") as thread:
        reading = [_read(thread, shards, each) for each in buffers[:1]]
        for place, buffer in enumerate(buffers):
            clips = reading.pop().result()  # the previous buffer is free now
            reading = [_read(thread, shards, each) for each in buffers[place + 1 : place + 2]]
            rows, places, skip = buffer.rows[skip:], buffer.order[skip:], 0
            while len(rows):
                here = slice(size - _size(begun)), slice(size - _size(begun), None)
                begun.append((rows[here[0]], {name: clip[places[here[0]]] for name, clip in clips.items()}))
                rows, places = rows[here[1]], places[here[1]]
                if _size(begun) == size:
                    yield _joined(begun)
                    begun, size = [], next(wanted, size)
    if begun:
        yield _joined(begun)


def _read(thread: ThreadPoolExecutor, shards: Shards, buffer: Buffer) -> Future[dict[str, Tensor]]:
    return thread.submit(stores.read, shards.selection, buffer.shards)


def _size(parts: Sequence[Taken]) -> int:
    return sum(len(rows) for rows, _ in parts)


def _joined(parts: Sequence[Taken]) -> Taken:
    if len(parts) == 1:
        return parts[0]
    rows, clips = zip(*parts, strict=True)
    return torch.cat(rows), {name: torch.cat([each[name] for each in clips]) for name in clips[0]}
