"""The clips that a user passes to ``write`` and ``prepare``, in any of their forms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import SkipValidation

from schemas import UsageError
from skeltools.opened import Clip
from skeltools.sequence import SkeletonSequence

Clips = Annotated[Iterable[Any] | Mapping[str, Any], SkipValidation]
"""Clips of a store, SkeletonSequence objects or arrays, in any collection; a mapping has ids as keys."""

_KINDS = "clips of a store, SkeletonSequence objects or arrays [T, M, V, 3]"


def each(clips: Clips) -> Iterator[tuple[str | None, SkeletonSequence | Any]]:
    """Yield (id, SkeletonSequence or array) for each clip; the id of an array outside a mapping is None.

    Raises UsageError for anything but a collection of clips.
    """
    if isinstance(clips, str | bytes | Clip | SkeletonSequence) or not hasattr(clips, "__iter__"):
        single = isinstance(clips, Clip | SkeletonSequence)
        what = "one clip" if single else type(clips).__name__
        raise UsageError(f"expected {_KINDS}, found {what}", remedy="Give a list or a mapping from ids")
    if getattr(clips, "ndim", 5) != 5:
        raise UsageError(
            f"expected {_KINDS}, found one array of shape {tuple(clips.shape)}",  # type: ignore[union-attr]
            remedy="Put one clip into a list; many are an array [N, T, M, V, 3]",
        )
    keyed = isinstance(clips, Mapping)
    pairs: Iterable[Any] = clips.items() if isinstance(clips, Mapping) else ((None, clip) for clip in clips)
    for id, clip in pairs:
        if isinstance(clip, Clip | SkeletonSequence):
            yield id if keyed else clip.id, clip.sequence if isinstance(clip, Clip) else clip
        elif isinstance(clip, str | bytes) or not hasattr(clip, "__len__"):
            raise UsageError(f"expected {_KINDS}, found {type(clip).__name__} among them")
        else:
            yield id, clip
