"""Read and write stores of format 1 (docs/reference/store-format.md); only this package uses zarr.

layout       names and sizes
reading      open, read, iterate over sequences; every file is checked before zarr reads it
writing      arrays that grow by whole files, graphs, findings, the manifest
describing   dimensions, dtype and checksum of arrays
"""

from zarr import Array, Group

from schemas.received import is_store
from skeltools.store.describing import (
    describe,
    describe_all,
    describe_at,
    describe_below,
    strange_files,
)
from skeltools.store.layout import (
    FRAME_CHUNK,
    FRAME_SHARD,
    METADATA,
    OF_JOINTS,
    SAMPLE_CHUNK,
    SAMPLE_SHARD,
    STREAM_DIMENSIONS,
    StreamName,
    stream_path,
    streams_of,
)
from skeltools.store.reading import (
    Store,
    array,
    blocks,
    open_damaged,
    open_store,
    read,
    read_as_it_is,
    read_at,
    read_column,
    read_findings,
    read_sequences,
    read_spec,
)
from skeltools.store.writing import (
    ArrayWriter,
    create,
    finish_writes,
    graphs,
    remove,
    remove_empty,
    reopen,
    restart,
    sequence_writers,
    stream_writer,
    write_array,
    write_findings,
    write_graphs,
    write_manifest,
    write_offsets,
)

__all__ = [
    "FRAME_CHUNK",
    "FRAME_SHARD",
    "METADATA",
    "OF_JOINTS",
    "SAMPLE_CHUNK",
    "SAMPLE_SHARD",
    "STREAM_DIMENSIONS",
    "Array",
    "ArrayWriter",
    "Group",
    "Store",
    "StreamName",
    "array",
    "blocks",
    "create",
    "describe",
    "describe_all",
    "describe_at",
    "describe_below",
    "finish_writes",
    "graphs",
    "is_store",
    "open_damaged",
    "open_store",
    "read",
    "read_as_it_is",
    "read_at",
    "read_column",
    "read_findings",
    "read_sequences",
    "read_spec",
    "remove",
    "remove_empty",
    "reopen",
    "restart",
    "sequence_writers",
    "strange_files",
    "stream_path",
    "stream_writer",
    "streams_of",
    "write_array",
    "write_findings",
    "write_graphs",
    "write_manifest",
    "write_offsets",
]
