"""Plan the merge of several stores: their rows, conventions, classes, numbers, recipe and lengths."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import SkeletonSpec, StoreError, StoreManifest, UsageError
from skeltools import store
from skeltools.conversion import from_stores
from skeltools.conversion.derive import bodies_of
from skeltools.datasets.splits import TRAIN
from skeltools.preprocess import Recipe, check_depth, check_fits, load, recorded
from skeltools.sequence import UNKNOWN
from skeltools.store import Store

_APART = ("subject", "camera", "setup")
"""Numbers that identify somebody or something within one data set, and are kept apart between data sets."""
_LARGEST = np.iinfo(np.int16).max


@dataclass(frozen=True)
class Source:
    """A store to merge."""

    opened: Store
    prefix: str
    """Prefix of its ids, with the hyphen; may be empty."""

    @property
    def manifest(self) -> StoreManifest:
        return self.opened.manifest

    @property
    def name(self) -> str:
        """The data set whose people its subjects are: stores with one name are parts of one data set."""
        return self.prefix[:-1] or self.manifest.dataset

    @cached_property
    def ids(self) -> list[str]:
        """Ids with the prefix; raises StoreError unless sorted, as rows are merged in their order."""
        ids = [f"{self.prefix}{id}" for id in store.read(self.opened, "samples/id").tolist()]
        if any(one >= other for one, other in pairwise(ids)):
            raise self.damaged("samples/id", "ids are not sorted, or one is there twice")
        return ids

    def damaged(self, path: str, why: str) -> StoreError:
        return StoreError(
            f"damaged store ({path}: {why})", where=self.opened.path, remedy="Convert the raw data again"
        )

    def column(self, name: str) -> NDArray[Any]:
        return store.read_column(self.opened, f"samples/{name}")

    def spec(self, convention: str) -> SkeletonSpec:
        return store.read_spec(self.opened, convention)


@dataclass(frozen=True)
class MergePlan:
    """The stores to merge, and what the new store is to contain."""

    sources: tuple[Source, ...]
    name: str
    order: tuple[int, ...]
    """The source of each row of the new store; the rows of one source are in its own order."""
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    shared: tuple[str, ...]
    """Classes that occur in stores of more than one name."""
    labels: tuple[tuple[int, ...], ...]
    """For each source: its label -> the new label."""
    shifts: tuple[dict[str, int], ...]
    """For each source: column -> offset added to its numbers."""
    specs: dict[str, SkeletonSpec]
    split_missing: int
    """The half that rows belong to whose store does not have a split."""
    recipe: Recipe
    frames: tuple[int, ...]
    kinds: tuple[str, ...]
    bodies: int

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of all stores."""
        return tuple(dict.fromkeys(name for source in self.sources for name in source.manifest.protocols))

    def places(self, number: int) -> NDArray[np.int64]:
        """Rows of the new store that come from a source, in the source's order."""
        return np.flatnonzero(np.array(self.order) == number)

    def relabelled(self, number: int, labels: NDArray[Any]) -> NDArray[Any]:
        """Labels of a source as those of the new store; raises StoreError for one outside its classes."""
        source = self.sources[number]
        known = len(source.manifest.classes)
        if labels.size and not (labels.min() >= UNKNOWN and labels.max() < known):
            raise source.damaged("samples/label", f"one is none of the {known} classes")
        new_labels = np.array([*self.labels[number], UNKNOWN])  # -1, no label, indexes the last
        return new_labels[labels]


def open_sources(stores: Sequence[str | Path], prefixes: Sequence[str] | None) -> tuple[Source, ...]:
    """Open the stores, with prefixes as for ``merge``."""
    if len(stores) < 2:
        raise UsageError(f"to merge takes two stores or more, found {len(stores)}")
    if prefixes is not None and len(prefixes) != len(stores):
        raise UsageError(
            f"{len(prefixes)} prefixes of {len(stores)} stores",
            remedy="Give one for each store, in their order",
        )
    opened = [store.open_store(path) for path in stores]
    names = prefixes if prefixes is not None else [each.manifest.dataset for each in opened]
    for name in names:
        if name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+\-]*", name):
            raise UsageError(
                f"{name!r} cannot stand before an id", remedy="Use letters, digits, `_`, `.`, `+` and `-`"
            )
    pairs = zip(opened, names, strict=True)
    return tuple(Source(each, f"{name}-" if name else "") for each, name in pairs)


def plan_merge(
    sources: tuple[Source, ...],
    name: str | None,
    classes: str | None,
    split_missing: str,
    recipe: str | Path | None,
    frames: Sequence[int] | None,
) -> MergePlan:
    """Plan the store that ``merge``, which documents the options, makes of these; raises its UsageErrors."""
    specs = _specs(sources)
    made = _recipe(sources, recipe)
    check_fits(made, specs.values())
    for info in (info for source in sources for info in source.manifest.conventions.values()):
        check_depth(made, info.coordinates)
    rows = sorted((id, number) for number, source in enumerate(sources) for id in source.ids)
    _check_ids(rows, sources)
    names, labels, shared = _classes(sources, classes)
    return MergePlan(
        sources=sources,
        name=_name(sources, name),
        order=tuple(number for _, number in rows),
        ids=tuple(id for id, _ in rows),
        classes=names,
        shared=shared,
        labels=labels,
        shifts=_shifts(sources),
        specs=specs,
        split_missing=TRAIN if split_missing == "train" else 0,
        recipe=made,
        frames=_frames(sources, frames),
        kinds=_kinds(sources),
        bodies=max(bodies_of(source.opened) for source in sources),
    )


def _name(sources: tuple[Source, ...], name: str | None) -> str:
    if name is None:
        return "+".join(dict.fromkeys(source.manifest.dataset for source in sources))
    if not re.fullmatch(r"[a-z0-9][a-z0-9_+\-]*", name):
        raise UsageError(
            f"'{name}' is no name for a data set", remedy="Use small letters, digits, -, _ and +"
        )
    return name


def _check_ids(rows: list[tuple[str, int]], sources: tuple[Source, ...]) -> None:
    """Raise UsageError for ids in two stores: they are the same samples, or need different prefixes."""
    twice = [(one, other) for one, other in pairwise(rows) if one[0] == other[0]]
    if twice:
        (id, first), (_, second) = twice[0]
        raise UsageError(
            f"{len(twice)} ids are in two stores, such as {id} in {sources[first].opened.path} and "
            f"{sources[second].opened.path}",
            remedy="Give each store its own --prefix, if they are different samples; `skeltools map --keep` "
            "puts the same ones in another convention beside",
        )


def _specs(sources: tuple[Source, ...]) -> dict[str, SkeletonSpec]:
    """The conventions of all stores, in order of appearance.

    Raises UsageError for two different ones with the same name, and for 2D and 3D poses together.
    """
    specs: dict[str, SkeletonSpec] = {}
    first: dict[str, Source] = {}
    kinds: dict[str, str] = {}
    for source in sources:
        for name, info in source.manifest.conventions.items():
            spec = source.spec(name)
            holder = first.setdefault(name, source)
            if (difference := _difference(specs.setdefault(name, spec), spec)) is not None:
                raise UsageError(
                    f"two different conventions are named {name}: their {difference} differ in "
                    f"{holder.opened.path} and {source.opened.path}",
                    remedy="Convert one of them again under another name",
                )
            kinds.setdefault(info.coordinates, f"{name} of {source.opened.path}")
    if len(kinds) > 1:
        text = " and ".join(f"{which} is {'2D' if kind == 'xy' else '3D'}" for kind, which in kinds.items())
        raise UsageError(
            f"2D and 3D poses do not go into one store: {text}",
            remedy="Merge stores of one kind; lifting 2D poses is another program's work",
        )
    return specs


def _difference(one: SkeletonSpec, other: SkeletonSpec) -> str | None:
    """The first field that differs; units, axes and wording concern the raw files, not the store."""
    for name in ("joints", "parents", "center", "shoulders", "left_right_swap", "body_parts"):
        if getattr(one, name) != getattr(other, name):
            return name
    return None


def _recipe(sources: tuple[Source, ...], recipe: str | Path | None) -> Recipe:
    if recipe is not None:
        return load(str(recipe))
    first, *others = [recorded(source.manifest.recipe) for source in sources]
    for other, source in zip(others, sources[1:], strict=True):
        if other.steps != first.steps:
            same = ", of which the steps differ" if other.name == first.name else ""
            raise UsageError(
                f"its streams are made with recipe {other.name}, those of {sources[0].opened.path} with "
                f"{first.name}{same}",
                where=source.opened.path,
                remedy=f"--recipe {first.name} makes all of them again",
            )
    return first


def _frames(sources: tuple[Source, ...], frames: Sequence[int] | None) -> tuple[int, ...]:
    if frames:
        return tuple(sorted(set(frames)))
    lengths = [set(from_stores.lengths_of(each.opened, each.manifest.conventions)) for each in sources]
    common = set.intersection(*lengths)
    if not common:
        text = "; ".join(
            f"{', '.join(map(str, sorted(each)))} in {source.opened.path}"
            for each, source in zip(lengths, sources, strict=True)
        )
        raise UsageError(f"no length of a stream is in all stores: {text}", remedy="Give --frames T")
    return tuple(sorted(common))


def _kinds(sources: tuple[Source, ...]) -> tuple[str, ...]:
    """Kinds of stream that every convention of every store has."""
    kinds = [from_stores.kinds_of(each.opened, each.manifest.conventions) for each in sources]
    return tuple(kind for kind in kinds[0] if all(kind in each for each in kinds))


def _classes(
    sources: tuple[Source, ...], classes: str | None
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...], tuple[str, ...]]:
    """Names of all classes, for each source its label -> the new label, and the names of several data sets.

    Two classes of one store stay separate, whatever their names.
    """
    names: list[str] = []
    owners: list[set[str]] = []
    labels = []
    for source in sources:
        taken: set[int] = set()
        new = []
        for own in source.manifest.classes:
            name = f"{source.name}: {own}" if classes == "apart" else own
            place = _place(name, names, taken)
            if place == len(names):
                names.append(name)
                owners.append(set())
            elif classes is None and name.strip().isdecimal() and owners[place] != {source.name}:
                raise UsageError(
                    f"class '{name}' is in more than one data set, but a number does not tell which action "
                    f"it is",
                    where=source.opened.path,
                    remedy="--classes apart keeps them apart, --classes by-name makes them one",
                )
            owners[place].add(source.name)
            taken.add(place)
            new.append(place)
        labels.append(tuple(new))
    if len(names) > _LARGEST:
        raise UsageError(f"{len(names)} classes, a store holds {_LARGEST}")
    shared = (name for name, those in zip(names, owners, strict=True) if len(those) > 1)
    return tuple(names), tuple(labels), tuple(shared)


def _place(name: str, names: list[str], taken: set[int]) -> int:
    """Index of the class of the same name, else of one that differs only in case, else of a new one."""
    for same in (lambda other: other == name, lambda other: other.casefold() == name.casefold()):
        for place, other in enumerate(names):
            if place not in taken and same(other):
                return place
    return len(names)


def _shifts(sources: tuple[Source, ...]) -> tuple[dict[str, int], ...]:
    """Offsets for subjects, cameras and setups of each source, so that no two data sets share a number."""
    shifts: dict[str, dict[str, int]] = {source.name: {} for source in sources}
    for column in _APART:
        used: set[int] = set()
        for name in shifts:
            own = {
                value
                for source in sources
                if source.name == name
                for value in np.unique(source.column(column)).tolist()
                if value != UNKNOWN
            }
            if used & own:
                shifts[name][column] = max(used) + 1 - min(own)
            used |= {value + shifts[name].get(column, 0) for value in own}
            if used and max(used) > _LARGEST:
                raise UsageError(f"{column} {max(used)} is too large: a store holds numbers up to {_LARGEST}")
    return tuple(shifts[source.name] for source in sources)


def warnings_of(plan: MergePlan) -> Iterator[str]:
    """Warn of classes that are united, and of splits that some stores do not have."""
    if shared := plan.shared:
        more = f" and {len(shared) - 5} more" if len(shared) > 5 else ""
        yield f"classes of several data sets by name: {', '.join(shared[:5])}{more}"
    for name in plan.splits:
        without = [source for source in plan.sources if name not in source.manifest.protocols]
        if without:
            rows = sum(source.manifest.samples for source in without)
            where = "to train" if plan.split_missing else "in neither half"
            lack = ", ".join(dict.fromkeys(source.name for source in without))
            yield f"split {name}: {rows} samples of {lack}, which has none of the name, are {where}"
