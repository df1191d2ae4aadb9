"""The arrays of a selection from a store, block by block, and the matching manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import ArrayInfo, ProtocolInfo, SkeletonSpec, StoreManifest
from skeltools import __version__, store
from skeltools.datasets.splits import TEST, TRAIN
from skeltools.formats.selection import Selection, frame_blocks, stream_blocks

_COPIED = ("id", "label", "subject", "camera", "setup", "repetition")
_DTYPES = {"frames": np.int32, "bodies": np.int8}


@dataclass(frozen=True)
class Content:
    """One array of the selection."""

    path: str
    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    """As in the manifest: numpy's name or ``string``."""
    blocks: Callable[[], Iterator[NDArray[Any]]]
    """Returns its values in consecutive blocks of rows."""


def columns(selection: Selection) -> Iterator[Content]:
    """``samples``, ``splits``, and the offsets and frame labels of ``sequences``, in one block each."""
    opened = selection.opened
    for name in _COPIED:
        yield _small(f"samples/{name}", store.read(opened, f"samples/{name}")[selection.rows], ("N",))
    for name, values in _sizes(selection).items():
        yield _small(f"samples/{name}", values, ("N",))
    for name in selection.protocols:
        yield _small(f"splits/{name}", selection.half(name), ("N",))
    for name in selection.conventions:
        offsets = np.concatenate([[0], np.cumsum(_lengths(selection, name))]).astype(np.int64)
        yield _small(f"sequences/{name}/offsets", offsets, ("N+1",))
        yield from _frame_labels(selection, name)


def poses(selection: Selection) -> Iterator[Content]:
    """The per-frame arrays of every convention, with as many bodies as the selection needs."""
    for name in selection.conventions:
        bodies = 1 + int(np.flatnonzero(_taken(selection, name).any(axis=0)).max(initial=0))
        frames = int(_lengths(selection, name).sum())
        paths = [f"sequences/{name}/{part}" for part in ("joints", "present", "order", *store.OF_JOINTS)]
        for path in (path for path in paths if path in selection.opened.manifest.arrays):
            info = selection.opened.manifest.arrays[path]
            shape = (frames, bodies, *info.shape[2:])
            blocks = partial(_frames, selection, path, bodies)
            yield Content(path, info.dimensions, shape, info.dtype, blocks)


def _frame_labels(selection: Selection, convention: str) -> Iterator[Content]:
    path = f"sequences/{convention}/frame_label"
    if path in selection.opened.manifest.arrays:
        blocks = list(frame_blocks(selection, path, selection.rows))
        yield _small(path, np.concatenate(blocks) if blocks else np.zeros(0, np.int16), ("F",))


def streams(selection: Selection) -> Iterator[Content]:
    for path in selection.streams:
        info = selection.opened.manifest.arrays[path]
        shape = (len(selection.rows), *info.shape[1:])
        blocks = partial(stream_blocks, selection, path, selection.rows)
        yield Content(path, info.dimensions, shape, info.dtype, blocks)


def graphs(selection: Selection) -> Iterator[Content]:
    """Graphs and masks, padded to the largest convention of the selection."""
    by_name = specs(selection)
    largest = max(spec.num_joints for spec in by_name.values())
    for name, spec in by_name.items():
        for part, (values, dimensions) in store.graphs(spec, largest).items():
            yield _small(f"skeletons/{name}/{part}", values, dimensions)


def specs(selection: Selection) -> dict[str, SkeletonSpec]:
    return {name: store.read_spec(selection.opened, name) for name in selection.conventions}


def manifest(selection: Selection, arrays: Mapping[str, ArrayInfo]) -> StoreManifest:
    """The manifest of the selection. Recipe, findings and raw files remain those of the whole conversion."""
    whole = selection.opened.manifest
    ids = selection.column("id")
    halves = {name: selection.half(name) for name in selection.protocols}
    lacking = {name: _lengths(selection, name) == 0 for name in selection.conventions}
    return whole.model_copy(
        update={
            "tool": f"skeltools {__version__}",
            "samples": len(ids),
            "protocols": {
                name: ProtocolInfo(
                    rule=whole.protocols[name].rule,
                    train=int((half == TRAIN).sum()),
                    test=int((half == TEST).sum()),
                )
                for name, half in halves.items()
            },
            "conventions": {
                name: whole.conventions[name].model_copy(
                    update={"missing": tuple(id for id, gone in zip(ids, rows, strict=True) if gone)}
                )
                for name, rows in lacking.items()
            },
            "arrays": dict(sorted(arrays.items())),
            "source": {**whole.source, "store": whole.hash},
        }
    )


def _small(path: str, values: NDArray[Any], dimensions: tuple[str, ...]) -> Content:
    dtype = "string" if values.dtype == object else str(values.dtype)
    return Content(path, dimensions, values.shape, dtype, lambda: iter([values]))


def _frames(selection: Selection, path: str, bodies: int) -> Iterator[NDArray[Any]]:
    return (block[:, :bodies] for block in frame_blocks(selection, path, selection.rows))


def _lengths(selection: Selection, convention: str) -> NDArray[np.int64]:
    """[rows] number of frames of each sample in a convention, 0 if it is missing."""
    offsets = store.read(selection.opened, f"sequences/{convention}/offsets")
    return np.asarray(np.diff(offsets)[selection.rows])


def _taken(selection: Selection, convention: str) -> NDArray[np.bool_]:
    """[rows, M] whether a place on axis M is ever occupied in a sample."""
    offsets = store.read(selection.opened, f"sequences/{convention}/offsets")
    present = store.array(selection.opened, f"sequences/{convention}/present")
    taken = np.zeros((len(offsets) - 1, present.shape[1]), np.bool_)
    start = 0
    for block in store.blocks(present):
        frames, places = np.nonzero(block)
        taken[np.searchsorted(offsets, frames + start, side="right") - 1, places] = True
        start += len(block)
    return taken[selection.rows]


def _sizes(selection: Selection) -> dict[str, NDArray[Any]]:
    """``frames`` and ``bodies`` of each sample, in the first selected convention that has it."""
    sizes = {name: np.zeros(len(selection.rows), dtype) for name, dtype in _DTYPES.items()}
    for convention in reversed(selection.conventions):
        lengths = _lengths(selection, convention)
        there = lengths > 0
        sizes["frames"][there] = lengths[there]
        sizes["bodies"][there] = np.maximum(1, _taken(selection, convention).sum(axis=1))[there]
    return sizes
