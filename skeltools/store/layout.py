"""Names and sizes of the content of a store, as in docs/reference/store-format.md."""

from __future__ import annotations

from dataclasses import dataclass

from schemas import StoreManifest, guarded

METADATA = guarded.METADATA
STREAM_DIMENSIONS = ("N", "C", "T", "V", "M")

SAMPLE_CHUNK, SAMPLE_SHARD = 64, 2048
"""Rows of a stream per chunk and per file: the fastest of the measured sizes to load whole arrays."""
FRAME_CHUNK, FRAME_SHARD = 2048, 32768
"""Frames of a sequence array per chunk and per file; a file of one convention stays below 70 MB raw."""


OF_JOINTS = {"unseen": "bool", "score": "float32"}
"""Arrays [F, M, V] of a convention's ``sequences`` that exist only if one of their values is not zero."""


@dataclass(frozen=True)
class StreamName:
    """A stream of a store: its convention, its length T, and joint, bone or motion."""

    convention: str
    frames: int
    kind: str

    @property
    def path(self) -> str:
        return stream_path(self.convention, self.frames, self.kind)


def streams_of(manifest: StoreManifest) -> list[StreamName]:
    """The streams that a store has, in the order of its manifest."""
    paths = [path.split("/") for path in manifest.arrays if path.startswith("streams/")]
    return [StreamName(name, int(length.removeprefix("t")), kind) for _, name, length, kind in paths]


def stream_path(convention: str, frames: int, kind: str) -> str:
    """Path of a stream in a store.

    >>> stream_path("kinectv2_25", 50, "joint")
    'streams/kinectv2_25/t50/joint'
    """
    return f"streams/{convention}/t{frames}/{kind}"
