"""zarr's files on disk, each checked before zarr reads it; see ``schemas.guarded``."""

from __future__ import annotations

import zarr
from zarr.storage import LocalStore

from schemas.guarded import Guarded, Received


class Files(Guarded, LocalStore):
    """A folder in which only files vouched for by the manifest and their sizes are read."""


def open_group(received: Received) -> zarr.Group:
    """Open the root group of a store for reading."""
    files = Files(received.root, read_only=True)
    files.received = received
    return zarr.open_group(files, mode="r", zarr_format=3, use_consolidated=False)
