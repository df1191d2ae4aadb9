"""Export a part of a store as a new store."""

from __future__ import annotations

from pathlib import Path

from skeltools import store
from skeltools.formats import contents
from skeltools.formats.contents import Content
from skeltools.formats.selection import Selection

FOLDER = True
ONE_CONVENTION = ONE_STREAM = ONE_PROTOCOL = ONLY_SEQUENCES = NEEDS_LABELS = False


def write(partial: Path, selection: Selection) -> None:
    """Write a store of format 1 with the selected rows, conventions, protocols and streams, bit for bit."""
    root = store.create(partial)
    for content in contents.columns(selection):
        for values in content.blocks():
            store.write_array(root, content.path, values, content.dimensions)
    for content in contents.poses(selection):
        _grow(root, content, store.FRAME_CHUNK, store.FRAME_SHARD)
    for content in contents.streams(selection):
        _grow(root, content, store.SAMPLE_CHUNK, store.SAMPLE_SHARD)
    store.write_graphs(root, contents.specs(selection))
    store.write_findings(root, store.read_findings(selection.opened))
    arrays = store.describe_all(store.reopen(partial))
    store.write_manifest(partial, contents.manifest(selection, arrays))


def _grow(root: store.Group, content: Content, chunk: int, shard: int) -> None:
    writer = store.ArrayWriter(
        root,
        content.path,
        dimensions=content.dimensions,
        row=content.shape[1:],
        dtype=content.dtype,
        chunk=chunk,
        shard=shard,
    )
    for block in content.blocks():
        writer.append(block)
    writer.close()
