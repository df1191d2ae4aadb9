"""Clips of stores and raw files as one sequence of parts, ready for an encoder.

A store is read directly if its recipe is the card's and it has the stream. Any other store is prepared anew
from its sequences by the card's recipe, like raw files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from schemas import SkelError, StoreError, UsageError
from schemas.places import is_address
from trainer import store as stores
from trainer.evaluate.transfer import difference
from trainer.export import EncoderCard
from trainer.store import Selection, Store
from trainer.use import raw

_CHUNK = 256
"""Number of clips that are prepared and held in memory at once."""

ALL = "all"
"""Stands for all conventions."""

_STORE = "zarr.json"
OnProblem = Callable[[str], None]
"""Called with a sentence for every clip that is left out."""


@dataclass(frozen=True)
class Part:
    """Some clips."""

    ids: tuple[str, ...]
    names: tuple[str | None, ...]
    """Their classes, if known."""
    clips: Tensor
    """[n, 3, T, V, M] float32."""


@dataclass(frozen=True)
class Asked:
    """Which clips are requested."""

    places: tuple[Path, ...]
    """Stores, raw files and folders of raw files."""
    convention: str | None = None
    split: str | None = None
    """Split of the stores; None: all rows."""
    part: str | None = None
    """``train`` or ``test`` half of the split."""
    settings: Path | None = None
    """A dataset.yaml that describes the raw files."""


def is_store(path: Path) -> bool:
    """Whether a path is read as a store, as every address is."""
    return is_address(path) or (path / _STORE).is_file()


def convention_of(card: EncoderCard, asked: Asked) -> str:
    """The requested convention, else the first of the card; raises UsageError for an unknown one."""
    return raw.convention_of((), card, asked.convention)


def parts(card: EncoderCard, asked: Asked, on_problem: OnProblem) -> Iterator[Part]:
    """All clips, in the order of the places.

    Raises UsageError for places that do not exist, StoreError for stores of another skeleton, and SkelError
    when no clip is left.
    """
    convention, count = convention_of(card, asked), 0
    for place in asked.places:
        for part in of_place(card, asked, place, convention, on_problem):
            count += len(part.ids)
            yield part
    if not count:
        raise nothing(asked)


def of_place(
    card: EncoderCard, asked: Asked, place: Path, convention: str, on_problem: OnProblem
) -> Iterator[Part]:
    """The clips of a store, raw file or folder, possibly none; raises as ``parts`` does."""
    read = _of_store if is_store(place) else _of_files
    yield from read(card, asked, place, convention, on_problem)


def nothing(asked: Asked) -> SkelError:
    """The error for places without any clip."""
    return SkelError("no clip could be read", where=asked.places[0], remedy="See what is said above of each")


def conventions_at(card: EncoderCard, place: Path, given: Sequence[str], asked: Asked) -> list[str]:
    """The conventions in which to read a place.

    These are the ``given`` ones; for ``all``, those that both the encoder and the store have; if none is
    given, the encoder's first. A raw file is in one convention: the first of them whose joints it has. Raises
    UsageError for names that the encoder does not know.
    """
    names = list(card.conventions)
    if given and ALL not in given:
        names = [raw.convention_of((), card, name) for name in dict.fromkeys(given)]
    if not given or len(names) == 1 or not place.exists():
        return names[:1]
    if not is_store(place):
        return [raw.convention_at(place, card, names, settings=asked.settings)]
    there = stores.open_store(place).manifest.conventions
    return [name for name in names if ALL not in given or name in there] or names[:1]


# --- stores -------------------------------------------------------------------------------------------------


def _of_store(
    card: EncoderCard, asked: Asked, path: Path, convention: str, on_problem: OnProblem
) -> Iterator[Part]:
    store = stores.open_store(path)
    check_fits(card, store, convention)
    if store.manifest.recipe.steps == card.recipe.steps and _has_stream(store, convention, card):
        yield from _read(_chosen(store, asked, convention, card), store, convention)
        return
    clips = ((clip.id, clip.class_name, clip) for clip in sequences(store, asked, convention, card))
    yield from _prepared(clips, card, convention, path, on_problem)


def sequences(store: Store, asked: Asked, convention: str, card: EncoderCard) -> Iterator[Any]:
    """The requested clips of a store at full length."""
    if _all_rows(asked):
        return raw.sequences(store.path, convention)
    split, part = split_of(store, asked, card), asked.part or "test"
    ids = frozenset(stores.ids_of(store, split=split, part=part, conventions=[convention]))
    return (clip for clip in raw.sequences(store.path, convention) if clip.id in ids)


def _has_stream(store: Store, convention: str, card: EncoderCard) -> bool:
    try:
        stores.check_stream(store, convention, frames=card.input.frames, stream=card.input.stream)
    except StoreError:
        return False
    return stores.bodies_of(store, convention, frames=card.input.frames) <= card.input.bodies


def _chosen(store: Store, asked: Asked, convention: str, card: EncoderCard) -> Selection:
    given = card.input
    return stores.select(
        store,
        split=None if _all_rows(asked) else split_of(store, asked, card),
        part=asked.part or "test",
        conventions=[convention],
        frames=given.frames,
        stream=given.stream,
        bodies=given.bodies,
    )


def _all_rows(asked: Asked) -> bool:
    return asked.split is None and asked.part is None


def split_of(store: Store, asked: Asked, card: EncoderCard) -> str:
    """The named split, else that of the training, else the only one; raises UsageError for several."""
    known = list(store.manifest.protocols)
    if asked.split is None and card.split in known:
        return card.split
    if asked.split is None and len(known) != 1:
        raise UsageError(
            f"holds the splits {', '.join(known) or 'none'}",
            where=store.path,
            remedy="Choose one with --split",
        )
    name = asked.split or known[0]
    stores.check_split(store, name)
    return name


def _read(selection: Selection, store: Store, convention: str) -> Iterator[Part]:
    names, start = store.manifest.classes, 0
    for shard in selection.shards:
        clips = stores.read(selection, [shard])[convention]
        for part in clips.split(_CHUNK):
            rows = slice(start, start + len(part))
            labels = selection.labels[rows].tolist()
            known = tuple(names[label] if label >= 0 else None for label in labels)
            yield Part(selection.ids[rows], known, part)
            start += len(part)


def check_fits(card: EncoderCard, store: Store, convention: str) -> None:
    """Raises StoreError unless the store has the encoder's skeleton."""
    there = list(store.manifest.conventions)
    if convention not in there:
        shared = [name for name in card.conventions if name in there]
        raise StoreError(
            f"the encoder knows {', '.join(card.conventions)}, the store has {', '.join(there)}",
            where=store.path,
            remedy=f"Choose --convention {shared[0]}"
            if shared
            else f"Bring it to the encoder's skeleton with `skeltools map {store.path} --to {convention}`",
        )
    here, kind = stores.kind_of(store, convention), raw.kind_of(card)
    if here != kind:
        raise StoreError(
            f"{convention} is {here} here, and the encoder was trained on {kind} poses",
            where=store.path,
            remedy=f"Choose a store of {kind} poses, or an encoder that was trained on {here} ones",
        )
    theirs = stores.skeletons(store, [convention])[convention].spec
    differing = difference(card.conventions[convention], theirs)
    if differing:
        raise StoreError(
            f"{convention} is not the skeleton of the encoder: {differing}",
            where=store.path,
            remedy=f"Convert it again with the encoder's {convention}, or `skeltools map` it",
        )


# --- raw files ----------------------------------------------------------------------------------------------


def _of_files(
    card: EncoderCard, asked: Asked, path: Path, convention: str, on_problem: OnProblem
) -> Iterator[Part]:
    clips = files(card, asked, path, convention, on_problem)
    yield from _prepared(
        ((clip.id, clip.class_name, clip.sequence) for clip in clips), card, convention, path, on_problem
    )


def files(
    card: EncoderCard, asked: Asked, path: Path, convention: str, on_problem: OnProblem
) -> Iterator[Any]:
    """The clips of a raw file or folder that could be read, with id, class and sequence."""
    for clip in raw.read_files(path, card.conventions[convention], settings=asked.settings):
        if clip.sequence is None:
            on_problem(clip.problem)
        else:
            yield clip


def _prepared(
    clips: Iterator[tuple[str, str | None, Any]],
    card: EncoderCard,
    convention: str,
    path: Path,
    on_problem: OnProblem,
) -> Iterator[Part]:
    """Clips prepared by the card's recipe; reports clips with nothing left and bodies left out."""
    crowded: list[str] = []
    while chunk := list(islice(clips, _CHUNK)):
        made: list[tuple[str, str | None, Tensor]] = []
        for id, name, clip in chunk:
            if int(clip.present.any(axis=0).sum()) > card.input.bodies:
                crowded.append(id)
            try:
                made.append((id, name, torch.from_numpy(raw.prepared([clip], card, convention))))
            except UsageError:
                raise
            except SkelError as error:
                on_problem(f"{path}: {error}")
        if made:
            ids, names, rows = zip(*made, strict=True)
            yield Part(tuple(ids), tuple(names), torch.cat(rows))
    if crowded:
        on_problem(
            f"{path}: people beyond the {card.input.bodies} that the encoder was trained on, in "
            f"{len(crowded)} clips, {crowded[0]} first; its recipe {card.recipe.name} chose who stays"
        )


def classes_of(asked: Asked, names: Sequence[str | None]) -> tuple[tuple[str, ...], list[int]]:
    """All classes, and the index of each clip's class, -1 for none.

    For one store, or stores with the same classes, they are in the store's order; otherwise those that occur,
    sorted.
    """
    of_stores = {
        stores.open_store(place).manifest.classes if is_store(place) else () for place in asked.places
    }
    stored = of_stores.pop() if len(of_stores) == 1 else ()
    classes = stored or tuple(sorted({name for name in names if name is not None}))
    place = {name: label for label, name in enumerate(classes)}
    return tuple(classes), [-1 if name is None else place[name] for name in names]
