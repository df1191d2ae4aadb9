"""zarr's files on disk, each looked at before zarr reads it: see ``schemas.received``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import zarr
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from schemas.received import Received


class Files(LocalStore):
    """A folder of which only those files are read that its manifest and their sizes vouch for."""

    def __init__(self, root: Path | str, *, read_only: bool = True, received: Received) -> None:
        super().__init__(root, read_only=read_only)
        self.received = received

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        return await super().get(key, prototype, byte_range) if self.received.allows(key) else None

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        allowed = self.received.allows(key)
        return super().get_sync(key, prototype=prototype, byte_range=byte_range) if allowed else None

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]


def open_group(path: Path, received: Received) -> zarr.Group:
    """The root group of a store, for reading."""
    files = Files(path, received=received)
    return zarr.open_group(files, mode="r", zarr_format=3, use_consolidated=False)
