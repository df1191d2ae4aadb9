"""The clips of a split's halves: in memory, or in the store and read shard by shard, as in training."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainer import memory, shards
from trainer import store as stores
from trainer.data import Source
from trainer.shards import Shards
from trainer.store import Samples, Selection

CHUNK = 256
"""Clips per forward pass: large enough to keep a GPU busy, small enough for any memory."""


def open_halves(train: Selection, test: Selection, *, memory_limit: int | None) -> tuple[Source, Source]:
    """Both halves within one limit of bytes; None means half of the machine's memory.

    If the limit is too small for both, the test half is left in the store first: its clips are read in their
    own order, so no figure depends on where they are. Batches of a training half in the store come in a
    different order than those in memory.
    """
    limit = memory.given_limit(memory_limit)
    left = limit - len(train) * train.clip_bytes
    if left >= max(train.shard_bytes, shards.least_bytes(test)):
        return stores.in_memory(train), open_half(test, memory_limit=left)
    return _sharded(train, limit), stored(test)  # only one of the two is read at a time


def open_half(selection: Selection, *, memory_limit: int | None) -> Source:
    """The clips of a half in memory, or left in the store if they take more than ``memory_limit`` bytes.

    None means half of the machine's memory. Clips in the store are read one shard at a time even if the limit
    is smaller than a shard.
    """
    limit = memory.given_limit(memory_limit)
    if shards.bytes_in_memory(selection) <= limit:
        return stores.in_memory(selection)
    return _sharded(selection, limit)


def _sharded(selection: Selection, limit: int) -> Shards:
    limit = max(limit, shards.least_bytes(selection))
    return shards.within(selection, limit, device=selection.labels.device)


def stored(selection: Selection) -> Shards:
    """The clips of a half left in the store, for a single pass over them."""
    return Shards(selection, selection.labels, per_buffer=1)


def chosen(half: Source, rows: Tensor) -> Source:
    """Some of the clips, by their ascending indices [n] int64.

    Those of a half in the store are loaded into memory if they take no more than its buffers.
    """
    if isinstance(half, Shards):
        return open_half(half.selection.part(rows), memory_limit=half.peak_bytes)
    clips = {name: clip[rows] for name, clip in half.clips.items()}
    return Samples(clips, half.labels[rows], tuple(half.ids[row] for row in rows.tolist()), half.rows[rows])


def chunks(half: Source, convention: str) -> Iterator[Tensor]:
    """All clips of a convention, ``CHUNK`` at a time wherever they are, in the order of the labels."""
    if not isinstance(half, Shards):
        yield from half.clips[convention].split(CHUNK)
        return
    left: list[Tensor] = []
    for shard in half.selection.shards:
        clips = torch.cat([*left, stores.read(half.selection, [shard])[convention]])
        whole = len(clips) // CHUNK * CHUNK
        yield from clips[:whole].split(CHUNK) if whole else ()
        left = [clips[whole:]]
    if left and len(left[0]):
        yield left[0]
