"""Names and sizes of the content of a store, as in docs/reference/store-format.md."""

from __future__ import annotations

from schemas import guarded

METADATA = guarded.METADATA
STREAM_DIMENSIONS = ("N", "C", "T", "V", "M")

SAMPLE_CHUNK, SAMPLE_SHARD = 64, 2048
"""Rows of a stream per chunk and per file: the fastest of the measured sizes to load whole arrays."""
FRAME_CHUNK, FRAME_SHARD = 2048, 32768
"""Frames of a sequence array per chunk and per file; a file of one convention stays below 70 MB raw."""


OF_JOINTS = {"unseen": "bool", "score": "float32"}
"""Arrays [F, M, V] of a convention's ``sequences`` that exist only if one of their values is not zero."""


def stream_path(convention: str, frames: int, kind: str) -> str:
    """Path of a stream in a store.

    >>> stream_path("kinectv2_25", 50, "joint")
    'streams/kinectv2_25/t50/joint'
    """
    return f"streams/{convention}/t{frames}/{kind}"
