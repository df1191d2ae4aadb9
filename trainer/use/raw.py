"""From raw clips to the input of an encoder, by the recipe of its card; the only module that needs skeltools.

skeltools is imported only when a function is called, so prepared clips do not need it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import SkelError, SkeletonSpec, UsageError
from trainer.export import EncoderCard


def clips_of(joints: Any) -> Any:
    """One clip or several as a collection of clips, as ``skeltools.prepare`` expects them."""
    single = hasattr(joints, "convention") and hasattr(joints, "joints")
    if single or (hasattr(joints, "ndim") and joints.ndim in (3, 4)):
        return [joints]
    return joints


def convention_of(clips: Any, card: EncoderCard, asked: str | None) -> str:
    """The requested convention, else the clips' own if they have one, else the card's first.

    Raises UsageError for one that the encoder does not know.
    """
    known = list(card.conventions)
    convention = asked or getattr(_first(clips), "convention", None) or known[0]
    if convention not in known:
        raise UsageError(
            f"the encoder knows {', '.join(known)}, not '{convention}'",
            where="convention",
            remedy=f"`skeltools map --to {known[0]}` brings a store to it, by the names of its joints",
        )
    return str(convention)


def prepared(clips: Any, card: EncoderCard, convention: str) -> NDArray[np.float32]:
    """[N, 3, T, V, M] float32 by the card's recipe, frames, bodies and stream.

    ``clips`` and errors are those of ``skeltools.prepare``; errors about another skeleton name the clip.
    """
    from skeltools import prepare

    spec = card.conventions[convention]
    held = clips if isinstance(clips, Mapping) or hasattr(clips, "ndim") else _listed(clips)
    for name, clip in held.items() if isinstance(held, Mapping) else enumerate(held):
        where = name if isinstance(name, str) else getattr(clip, "id", None) or f"clip {name}"
        _check_skeleton(clip, spec, card, where=where)
    return prepare(
        held,
        frames=card.input.frames,
        bodies=card.input.bodies,
        stream=card.input.stream,
        recipe=card.recipe,
        convention=spec,
    )


def _listed(clips: Any) -> Any:
    """Turn an iterable into a list; raises UsageError for anything that is not a collection."""
    if isinstance(clips, Iterable) and not isinstance(clips, str | bytes):
        return list(clips)
    raise UsageError(
        f"expected joints [T, M, V, 3] or [T, V, 3], or a list of such, found {type(clips).__name__}",
        where="clips",
        remedy="`trainer predict` reads files" if isinstance(clips, str | bytes | Path) else "",
    )


def _first(clips: Any) -> Any:
    if isinstance(clips, Mapping):
        return next(iter(clips.values()), None)
    return clips[0] if isinstance(clips, list | tuple) and clips else None


def kind_of(card: EncoderCard) -> str:
    """``2D`` or ``3D``."""
    return "2D" if card.input.coordinates == "xy" else "3D"


def _check_kind(clip: Any, card: EncoderCard, *, where: str) -> None:
    """Raises UsageError for a 2D pose, whose z is 0, if the encoder was trained on 3D ones, or vice versa."""
    joints = getattr(clip, "joints", clip)
    joints = joints.detach().cpu() if hasattr(joints, "detach") else joints
    seen = np.nan_to_num(np.asarray(joints, np.float64), posinf=0, neginf=0)
    here = "3D" if seen[..., 2].any() else "2D"
    if seen.any() and here != kind_of(card):
        raise UsageError(
            f"is a {here} pose, and the encoder was trained on {kind_of(card)} ones",
            where=where,
            remedy="Choose an encoder that was trained on poses of its kind",
        )


def _check_skeleton(clip: Any, spec: SkeletonSpec, card: EncoderCard, *, where: str) -> None:
    """Raises UsageError for a clip with another number of joints, or with other joints of the same name."""
    own = getattr(clip, "spec", None)
    if own is not None and (own.joints, own.parents) != (spec.joints, spec.parents):
        if own.name != spec.name:
            return  # skeltools.prepare says so
        raise UsageError(
            f"{own.name} is another skeleton than the encoder's: joints, their order or the tree differ",
            where=clip.id,
            remedy="Convert the clips with the encoder's convention, or `skeltools map` them to it",
        )
    shape = getattr(clip, "joints", clip)
    shape = getattr(shape, "shape", ())
    if len(shape) not in (3, 4) or shape[-1] != 3:
        return
    if shape[-2] == spec.num_joints:
        _check_kind(clip, card, where=where)
        return
    others = [name for name, each in card.conventions.items() if each.num_joints == shape[-2]]
    raise UsageError(
        f"{shape[-2]} joints, but {spec.name} has {spec.num_joints}: {', '.join(spec.joints[:3])}, ...",
        where=where,
        remedy=f"Add convention='{others[0]}'"
        if others
        else f"Give the joints of {spec.name} in its order; `skeltools map` brings a store to it by name",
    )


def read_files(path: Path, spec: SkeletonSpec, *, settings: Path | None) -> Iterator[Any]:
    """A ``skeltools.single.RawClip`` for each clip of a raw file or folder: id, sequence, class, problem."""
    from skeltools.single import read_clips

    return read_clips(path, spec, settings=settings)


def convention_at(path: Path, card: EncoderCard, names: Sequence[str], *, settings: Path | None) -> str:
    """The first of the named conventions that a raw file's first clip has; else the first of them."""
    for name in names:
        spec = card.conventions[name]
        try:
            first = next(read_files(path, spec, settings=settings), None)
        except SkelError:
            continue
        clip = None if first is None else first.sequence
        if clip is not None and (clip.convention, clip.joints.shape[2]) == (name, spec.num_joints):
            return name
    return names[0]


def sequences(store: Path, convention: str) -> Iterator[Any]:
    """The clips of a store at full length."""
    from skeltools import open as open_store

    return open_store(store).clips(convention)


def cut(sequence: Any, span: range) -> Any:
    """A span of frames of a ``SkeletonSequence`` as a sequence of its own."""
    from skeltools.sequence import per_frame

    return per_frame(sequence, slice(span.start, span.stop))
