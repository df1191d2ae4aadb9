"""Merge several stores into one: the rows of all, conventions side by side, classes and splits by name.

Rows are merged in the order of their ids, and each store is read once from front to back for every array. No
joint is made up: a row has the conventions that its store has.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise, repeat
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas import (
    FORMAT,
    ConventionInfo,
    Finding,
    Length,
    PartInfo,
    RecipeRecord,
    SkeletonSpec,
    StoreError,
    StoreManifest,
    UsageError,
    checks_arguments,
)
from schemas.places import Place
from skeltools import __version__, store
from skeltools.conversion import Summary, finish, from_stores, publish
from skeltools.conversion.derive import bodies_of
from skeltools.conversion.from_stores import Rows
from skeltools.conversion.progress import OnProgress, Progress
from skeltools.datasets.splits import TRAIN
from skeltools.preprocess import Recipe, check_depth, check_fits, load, recorded
from skeltools.sequence import UNKNOWN, SkeletonSequence
from skeltools.store import Store

_APART = ("subject", "camera", "setup")
"""Numbers that identify somebody or something within one data set, and are kept apart between data sets."""
_LARGEST = np.iinfo(np.int16).max

_Value = TypeVar("_Value")


@checks_arguments
def merge(
    stores: Sequence[str | Path],
    *,
    out: str | Path,
    name: str | None = None,
    prefixes: Sequence[str] | None = None,
    classes: Literal["by-name", "apart"] | None = None,
    split_missing: Literal["neither", "train"] = "neither",
    recipe: str | Path | None = None,
    frames: Sequence[Length] | None = None,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Merge two or more stores into one at ``out``.

    ``name``: name of the new data set (default: those of the stores, joined by ``+``). ``prefixes``: one per
    store, put before its ids and its findings (default: the name of its data set). Stores with one prefix are
    parts of one data set and share its subjects, cameras and setups; those of other stores get other numbers.
    ``classes``: ``by-name`` unites classes of the same name, ignoring case, and ``apart`` keeps them apart
    (default: by name; names that are mere numbers are then refused). ``split_missing``: where the rows go
    whose store does not have a split. ``recipe``: recipe of the streams (default: the one that all have).
    ``frames``: their lengths (default: the lengths that all have). ``force`` replaces a store at ``out`` once
    the new one is complete.

    Streams are made again from the sequences, with as many bodies as the store with the most. Raises
    UsageError for stores that do not fit together: duplicate ids, two conventions with one name, 2D and 3D
    poses, different recipes, no common length; StoreError for stores that cannot be used and if ``out`` is
    taken.

        >>> import skeltools
        >>> both = skeltools.merge(["store.zarr", "store.zarr"], out="both.zarr", prefixes=["a", "b"])
        >>> skeltools.open("both.zarr").ids[0]
        'a-S002C001P002R001A001'
    """
    out = Place(out)
    sources = _sources(stores, prefixes)
    plan = _plan(sources, name, classes, split_missing, recipe, frames)
    publish.check_target(out, force=force)
    with from_stores.in_the_making(out, force=force) as folder:
        manifest, findings = _write(plan, folder, on_progress)
    return Summary(out, manifest, findings, tuple(_warnings(plan)))


@dataclass(frozen=True)
class _Source:
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
class _Plan:
    """The stores to merge, and what the new store is to contain."""

    sources: tuple[_Source, ...]
    name: str
    order: tuple[int, ...]
    """The source of each row of the new store; the rows of one source are in its own order."""
    ids: tuple[str, ...]
    classes: tuple[str, ...]
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


# ------------------------------------------------------------------------------------------------- plan


def _sources(stores: Sequence[str | Path], prefixes: Sequence[str] | None) -> tuple[_Source, ...]:
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
    return tuple(_Source(each, f"{name}-" if name else "") for each, name in pairs)


def _plan(
    sources: tuple[_Source, ...],
    name: str | None,
    classes: str | None,
    split_missing: str,
    recipe: str | Path | None,
    frames: Sequence[int] | None,
) -> _Plan:
    specs = _specs(sources)
    made = _recipe(sources, recipe)
    check_fits(made, specs.values())
    for info in (info for source in sources for info in source.manifest.conventions.values()):
        check_depth(made, info.coordinates)
    rows = sorted((id, number) for number, source in enumerate(sources) for id in source.ids)
    _check_ids(rows, sources)
    names, labels = _classes(sources, classes)
    return _Plan(
        sources=sources,
        name=_name(sources, name),
        order=tuple(number for _, number in rows),
        ids=tuple(id for id, _ in rows),
        classes=names,
        labels=labels,
        shifts=_shifts(sources),
        specs=specs,
        split_missing=TRAIN if split_missing == "train" else 0,
        recipe=made,
        frames=_frames(sources, frames),
        kinds=_kinds(sources),
        bodies=max(bodies_of(source.opened) for source in sources),
    )


def _name(sources: tuple[_Source, ...], name: str | None) -> str:
    if name is None:
        return "+".join(dict.fromkeys(source.manifest.dataset for source in sources))
    if not re.fullmatch(r"[a-z0-9][a-z0-9_+\-]*", name):
        raise UsageError(
            f"'{name}' is no name for a data set", remedy="Use small letters, digits, -, _ and +"
        )
    return name


def _check_ids(rows: list[tuple[str, int]], sources: tuple[_Source, ...]) -> None:
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


def _specs(sources: tuple[_Source, ...]) -> dict[str, SkeletonSpec]:
    """The conventions of all stores, in order of appearance.

    Raises UsageError for two different ones with the same name, and for 2D and 3D poses together.
    """
    specs: dict[str, SkeletonSpec] = {}
    first: dict[str, _Source] = {}
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


def _recipe(sources: tuple[_Source, ...], recipe: str | Path | None) -> Recipe:
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


def _frames(sources: tuple[_Source, ...], frames: Sequence[int] | None) -> tuple[int, ...]:
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


def _kinds(sources: tuple[_Source, ...]) -> tuple[str, ...]:
    """Kinds of stream that every convention of every store has."""
    kinds = [from_stores.kinds_of(each.opened, each.manifest.conventions) for each in sources]
    return tuple(kind for kind in kinds[0] if all(kind in each for each in kinds))


def _classes(
    sources: tuple[_Source, ...], classes: str | None
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Names of all classes, and for each source its label -> the new label.

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
    return tuple(names), tuple(labels)


def _place(name: str, names: list[str], taken: set[int]) -> int:
    """Index of the class of the same name, else of one that differs only in case, else of a new one."""
    for same in (lambda other: other == name, lambda other: other.casefold() == name.casefold()):
        for place, other in enumerate(names):
            if place not in taken and same(other):
                return place
    return len(names)


def _shifts(sources: tuple[_Source, ...]) -> tuple[dict[str, int], ...]:
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


def _warnings(plan: _Plan) -> Iterator[str]:
    """Warn of classes that are united, and of splits that some stores do not have."""
    if shared := _shared(plan):
        more = f" and {len(shared) - 5} more" if len(shared) > 5 else ""
        yield f"classes of several data sets by name: {', '.join(shared[:5])}{more}"
    for name in _splits(plan):
        without = [source for source in plan.sources if name not in source.manifest.protocols]
        if without:
            rows = sum(source.manifest.samples for source in without)
            where = "to train" if plan.split_missing else "in neither half"
            lack = ", ".join(dict.fromkeys(source.name for source in without))
            yield f"split {name}: {rows} samples of {lack}, which has none of the name, are {where}"


def _shared(plan: _Plan) -> list[str]:
    """Classes that occur in stores of more than one name."""
    owners: dict[int, set[str]] = {}
    for source, labels in zip(plan.sources, plan.labels, strict=True):
        for label in labels:
            owners.setdefault(label, set()).add(source.name)
    return [plan.classes[label] for label, names in sorted(owners.items()) if len(names) > 1]


# ------------------------------------------------------------------------------------------------ write


def _write(
    plan: _Plan, folder: Path, on_progress: OnProgress | None
) -> tuple[StoreManifest, tuple[Finding, ...]]:
    arrays = len(plan.specs) * (1 + len(plan.frames) * (1 + len(plan.kinds)))
    progress = Progress(len(plan.ids) * arrays, on_progress)
    root = store.create(folder)
    rows: dict[str, Rows] = {}
    for name, spec in plan.specs.items():
        tracks = [from_stores.tracks_of(each.opened, name) for each in _having(plan, name)]
        rows[name] = from_stores.write_sequences(
            root, name, _clips(plan, name), joints=spec.num_joints, bodies=max(tracks), progress=progress
        )
        from_stores.write_frame_labels(root, name, rows[name], _frame_labels(plan, name))
    halves = {name: _half(plan, name) for name in _splits(plan)}
    from_stores.write_columns(root, plan.ids, _columns(plan), halves, rows.values())
    store.write_graphs(root, plan.specs)
    findings = tuple(_findings(plan))
    store.write_findings(root, findings)
    manifest = _manifest(plan, root, rows, halves, findings)
    finished = from_stores.add_streams(
        folder,
        manifest,
        conventions=tuple(plan.specs),
        frames=plan.frames,
        kinds=plan.kinds,
        recipe=plan.recipe,
        bodies=plan.bodies,
        progress=progress,
    )
    return finished, findings


def _having(plan: _Plan, convention: str) -> list[_Source]:
    return [source for source in plan.sources if convention in source.manifest.conventions]


def _clips(plan: _Plan, convention: str) -> Iterator[SkeletonSequence | None]:
    """One clip per row, None where its store lacks the convention or the sample in it."""
    return (clip for _, clip in _of_rows(plan, convention, store.read_sequences))


def _frame_labels(plan: _Plan, convention: str) -> Iterator[NDArray[Any] | None]:
    """The frame labels of each row, in the new classes; None where its store has none."""
    for number, labels in _of_rows(plan, convention, from_stores.frame_labels):
        yield None if labels is None else plan.relabelled(number, labels)


def _of_rows(
    plan: _Plan, convention: str, read: Callable[[Store, str], Iterator[_Value | None]]
) -> Iterator[tuple[int, _Value | None]]:
    """Each row's source and its value from ``read``, None where the source lacks the convention."""
    values = [
        read(source.opened, convention) if convention in source.manifest.conventions else repeat(None)
        for source in plan.sources
    ]
    return ((number, next(values[number])) for number in plan.order)


def _columns(plan: _Plan) -> dict[str, NDArray[np.int16]]:
    """``label`` and the number columns of all rows."""

    columns = {name: _gathered(plan, partial(_shifted, plan, name)) for name in from_stores.NUMBERS}
    label = _gathered(plan, lambda number: plan.relabelled(number, plan.sources[number].column("label")))
    return {"label": label, **columns}


def _shifted(plan: _Plan, column: str, number: int) -> NDArray[Any]:
    values = plan.sources[number].column(column).astype(np.int64)
    return np.where(values == UNKNOWN, UNKNOWN, values + plan.shifts[number].get(column, 0))


def _gathered(plan: _Plan, of: Callable[[int], NDArray[Any]]) -> NDArray[np.int16]:
    """Build a column of the new store from those of the sources."""
    made = np.zeros(len(plan.ids), np.int16)
    for number in range(len(plan.sources)):
        made[plan.places(number)] = of(number)
    return made


def _splits(plan: _Plan) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for source in plan.sources for name in source.manifest.protocols))


def _half(plan: _Plan, split: str) -> NDArray[np.uint8]:
    made = np.full(len(plan.ids), plan.split_missing, np.uint8)
    for number, source in enumerate(plan.sources):
        if split in source.manifest.protocols:
            made[plan.places(number)] = store.read(source.opened, f"splits/{split}")
    return made


def _findings(plan: _Plan) -> Iterator[Finding]:
    for source in plan.sources:
        for row in store.read_findings(source.opened):
            yield row.model_copy(update={"file": f"{source.name}/{row.file}"})


def _manifest(
    plan: _Plan,
    root: store.Group,
    rows: dict[str, Rows],
    halves: dict[str, NDArray[np.uint8]],
    findings: tuple[Finding, ...],
) -> StoreManifest:
    manifests = [source.manifest for source in plan.sources]
    parts = tuple(_part(source, shifts) for source, shifts in zip(plan.sources, plan.shifts, strict=True))
    protocols = {split: finish.split_info(_rule(plan, split), half) for split, half in halves.items()}
    return StoreManifest(
        format=FORMAT,
        dataset=plan.name,
        synthetic=any(manifest.synthetic for manifest in manifests),
        tool=f"skeltools {__version__}",
        samples=len(plan.ids),
        classes=plan.classes,
        protocols=protocols,
        conventions={name: _info(plan, name, rows[name]) for name in plan.specs},
        recipe=RecipeRecord(name=plan.recipe.name, steps=plan.recipe.steps),
        arrays=store.describe_all(root),
        findings=finish.counted(findings),
        source=_provenance(plan, parts),
        parts=parts,
    )


def _part(source: _Source, shifts: dict[str, int]) -> PartInfo:
    manifest = source.manifest
    return PartInfo(
        name=source.name,
        dataset=manifest.dataset,
        hash=manifest.hash,
        samples=manifest.samples,
        shifts=shifts,
        synthetic=manifest.synthetic,
        source=manifest.source,
        parts=manifest.parts,
    )


def _provenance(plan: _Plan, parts: tuple[PartInfo, ...]) -> dict[str, str | int]:
    """Files and bytes of all; the hash is over the hashes of the stores, each followed by a newline."""
    hashes = "".join(f"{part.hash}\n" for part in parts)
    sums = {name: sum(int(part.source.get(name, 0)) for part in parts) for name in ("files", "bytes")}
    return {"name": plan.name, **sums, "sha256": hashlib.sha256(hashes.encode()).hexdigest()}


def _rule(plan: _Plan, split: str) -> str:
    """The rule in the words of each store, since it refers to that store's numbers."""
    infos = [source.manifest.protocols.get(split) for source in plan.sources]
    rules = [None if info is None else info.rule for info in infos]
    return _joined(plan, rules, alike=len({source.name for source in plan.sources}) == 1)


def _joined(plan: _Plan, said: list[str | None], *, alike: bool = True) -> str:
    """Join what the stores say of something, each preceded by its store's name; None is left out.

    If all say the same, and ``alike`` (it means the same in all), it is said once.
    """
    if alike and len(set(said)) == 1:
        return str(said[0])
    pairs = zip(plan.sources, said, strict=True)
    return "; ".join(dict.fromkeys(f"{source.name}: {text}" for source, text in pairs if text is not None))


def _info(plan: _Plan, convention: str, rows: Rows) -> ConventionInfo:
    of_sources = [source.manifest.conventions.get(convention) for source in plan.sources]
    infos = [info for info in of_sources if info is not None]
    readers = dict.fromkeys(info.reader for info in infos)
    mirrored = {info.mirrored_video for info in infos}
    return ConventionInfo(
        reader=", ".join(readers),
        axes=_joined(plan, [None if info is None else info.axes for info in of_sources]),
        mirrored_video=mirrored.pop() if len(mirrored) == 1 else None,
        missing=finish.missing(plan.ids, rows.frames),
        coordinates=infos[0].coordinates,
    )
