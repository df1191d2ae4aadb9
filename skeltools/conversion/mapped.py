"""Map a store to another skeleton convention: its sequences joint by joint, and streams made from them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from schemas import (
    ConventionInfo,
    Finding,
    Length,
    Naming,
    SkeletonSpec,
    StoreManifest,
    UsageError,
    checks_arguments,
    unknown,
)
from schemas.places import Place
from skeltools import __version__, skeletons, store
from skeltools.conversion import Summary, derive, finish, from_stores, publish
from skeltools.conversion.from_stores import Rows
from skeltools.conversion.progress import OnProgress, Progress
from skeltools.files import durable
from skeltools.preprocess import Recipe, check_depth, check_fits, load, recorded
from skeltools.sequence import Mask, SkeletonSequence, presence
from skeltools.skeletons.mapping import Mapping, apply, find, mapping, naming_of
from skeltools.store import Store

LOST = "bodies lost by the mapping"
NOBODY = "nobody left by the mapping"
LACKING = "not in the convention that is mapped"


@checks_arguments
def map_store(
    path: str | Path,
    *,
    to: str | Path,
    out: str | Path,
    convention: str | Path | None = None,
    partial: bool = False,
    keep: bool = False,
    recipe: str | Path | None = None,
    frames: Sequence[Length] | None = None,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Write the store at ``path`` to ``out`` in the convention ``to``, matching joints by name.

    ``to``: a convention by name or file, or the part of one that the joints of another cover, such as
    ``coco_17-of-kinectv2_25``. ``convention``: the convention of the store that is mapped (default: its
    first), or a file of it with synonyms, which a store does not record. ``partial``: joints that cannot be
    obtained may be absent; the convention is then the remaining part of ``to``. ``keep``: the store's own
    conventions stay, and the mapped one is added. ``recipe`` and ``frames``: those of the joint streams
    (default: the store's). ``force`` replaces a store at ``out`` once the new one is complete.

    Samples, labels, splits and findings are those of the store; without ``keep``, samples that the mapped
    convention lacks are left out and reported as findings, and the summary's findings are these new ones.
    Raises UsageError for unknown names and for joints that cannot be obtained, all of which it names;
    StoreError for a store that cannot be used and if ``out`` is taken.

        >>> import skeltools
        >>> made = skeltools.map_store(
        ...     "store.zarr", to="coco_17", out="coco.zarr", convention="kinectv2_25", partial=True
        ... )
        >>> skeltools.open("coco.zarr").conventions
        ('coco_17-of-kinectv2_25',)
    """
    opened, out = store.open_store(path), Place(out)
    plan = _plan(opened, plan_mapping(opened, to, convention), partial, keep, recipe, frames)
    publish.check_target(out, force=force)
    with publish.publishing(out, force=force) as folder:
        manifest, findings = _write(opened, folder, plan, on_progress)
    return Summary(out, manifest, findings, _warnings(plan.mapping))


def plan_mapping(opened: Store, to: str | Path, convention: str | Path | None = None) -> Mapping:
    """Plan the mapping of a store's convention without writing; raises UsageError as ``map_store`` does."""
    spec, naming = _source(opened, convention)
    target, named = find(str(to))
    if target.name == spec.name:
        raise UsageError(f"is in {spec.name} already", where=opened.path, remedy="Nothing was changed")
    try:
        return mapping(spec, naming, target, named)
    except UsageError as error:
        raise UsageError(error.message, where=opened.path, remedy=error.remedy) from None


@dataclass(frozen=True)
class _Plan:
    """The mapping, and what the new store is to contain."""

    mapping: Mapping
    recipe: Recipe
    frames: tuple[int, ...]
    kinds: tuple[str, ...]
    keep: bool

    @property
    def spec(self) -> SkeletonSpec:
        return self.mapping.result


def _source(opened: Store, convention: str | Path | None) -> tuple[SkeletonSpec, Naming]:
    """The convention that is mapped, with its synonyms: those of a given file, or the package's."""
    known = opened.manifest.conventions
    name = next(iter(known), "") if convention is None else str(convention)
    if name in known or not name.endswith(skeletons.SUFFIXES):
        if name not in known:
            raise unknown("convention of this store", name, known, where=opened.path)
        spec = store.read_spec(opened, name)
        return spec, naming_of(spec)
    given, naming = find(name)
    if given.name not in known:
        raise unknown("convention of this store", given.name, known, where=opened.path)
    spec = store.read_spec(opened, given.name)
    if spec.joints != given.joints:
        raise UsageError(
            f"has other joints than {spec.name} of the store", where=name, remedy="Give the file of that one"
        )
    return spec, naming


def _plan(
    opened: Store,
    made: Mapping,
    partial: bool,
    keep: bool,
    recipe: str | Path | None,
    frames: Sequence[int] | None,
) -> _Plan:
    """Plan the new store; raises UsageError for absent joints without ``partial`` and ``keep`` conflicts."""
    source, target = made.source, made.target
    if made.absent and not partial:
        raise UsageError(
            f"{source.name} has {len(made.mapped)} of the {target.num_joints} joints of {target.name}; "
            f"absent are {', '.join(made.absent)}",
            where=opened.path,
            remedy=f"--partial maps the others; the convention is then {made.result.name}",
        )
    manifest = opened.manifest
    stored = recorded(manifest.recipe)
    asked = stored if recipe is None else load(str(recipe))
    if keep and made.result.name in manifest.conventions:
        raise UsageError(f"has {made.result.name} already", where=opened.path, remedy="Leave out --keep")
    if keep and asked.steps != stored.steps:
        raise UsageError(
            f"its streams are made with recipe {stored.name}, and a store holds one recipe",
            where=opened.path,
            remedy="Leave out --recipe or --keep",
        )
    check_fits(asked, (made.result,))
    check_depth(asked, manifest.conventions[source.name].coordinates)
    lengths = tuple(sorted(set(frames or from_stores.lengths_of(opened, manifest.conventions))))
    return _Plan(made, asked, lengths, from_stores.kinds_of(opened, (source.name,)), keep)


def _warnings(made: Mapping) -> tuple[str, ...]:
    return (f"{made.target.name} without {', '.join(made.absent)}",) if made.absent else ()


# ------------------------------------------------------------------------------------------------ clips


def mapped(clip: SkeletonSequence, made: Mapping) -> SkeletonSequence:
    """Map a clip to the mapping's result; a joint between two others is unseen where either of them is.

    A body that retains too few joints (``presence``), or whose joints are all zero, is absent.
    """
    joints, unseen = apply(made, clip.joints), clip.unseen
    pairs = [made.origins[joint] for joint in made.mapped]
    first, last = ([origin[place] for origin in pairs] for place in (0, -1))
    seen = np.repeat(clip.present[..., None], len(pairs), axis=2)
    if unseen is not None:
        seen &= ~(unseen[:, :, first] | unseen[:, :, last])
    somebody: Mask = np.asarray(joints.any(axis=(2, 3)))
    present, lost = presence(seen & somebody[..., None])
    score = clip.score
    return replace(
        clip,
        convention=made.result.name,
        joints=np.where((present[..., None] & seen)[..., None], joints, np.float32(0)),
        present=present,
        order=np.where(present, clip.order, np.int8(-1)),
        unseen=lost,
        score=None if score is None else np.minimum(score[:, :, first], score[:, :, last]),
    )


@dataclass
class _Left:
    """The rows that stay, and the losses of all rows."""

    rows: list[int]
    findings: list[Finding]


def _clips(opened: Store, plan: _Plan, left: _Left) -> Iterator[SkeletonSequence | None]:
    """Mapped clips of the rows that stay; with ``keep``, all rows, with None where nobody is left."""
    ids = store.read_column(opened, "samples/id")
    for row, clip in enumerate(store.read_sequences(opened, plan.mapping.source.name)):
        made = None if clip is None else mapped(clip, plan.mapping)
        left.findings += _losses(plan, ids[row], clip, made)
        if made is not None and not made.present.any():
            made = None
        if made is not None or plan.keep:
            left.rows.append(row)
            yield made


def _losses(
    plan: _Plan, id: str, clip: SkeletonSequence | None, made: SkeletonSequence | None
) -> Iterator[Finding]:
    """Findings on what a clip lost; with ``keep``, the convention itself records which samples it lacks."""
    file, out = f"{plan.spec.name}/{id}", "has none of the convention" if plan.keep else "left out"
    if clip is None or made is None:
        if not plan.keep:
            yield Finding(file=file, problem=LACKING, action=out)
    elif not made.present.any():
        yield Finding(file=file, problem=NOBODY, action=out)
    elif gone := int((clip.present & ~made.present).sum()):
        detail = f"{gone} of {int(clip.present.sum())} have too few joints that are seen"
        yield Finding(file=file, problem=LOST, detail=detail, action="absent in these frames")


# ------------------------------------------------------------------------------------------------ write


def _write(
    opened: Store, folder: Path, plan: _Plan, on_progress: OnProgress | None
) -> tuple[StoreManifest, tuple[Finding, ...]]:
    samples = opened.manifest.samples
    progress = Progress(samples * (1 + len(plan.frames) * (1 + len(plan.kinds))), on_progress)
    if plan.keep:
        durable.link_tree(opened.path, folder)
        shutil.rmtree(folder / "skeletons")  # written again, padded to the largest convention
        root = store.reopen(folder)
    else:
        root = store.create(folder)
    left = _Left([], [])
    written = from_stores.write_sequences(
        root,
        plan.spec.name,
        _clips(opened, plan, left),
        joints=plan.spec.num_joints,
        bodies=from_stores.tracks_of(opened, plan.mapping.source.name),
        progress=progress,
    )
    if not any(written.frames):
        raise UsageError(f"nobody has a joint of {plan.spec.name}", where=opened.path)
    labels = list(from_stores.frame_labels(opened, plan.mapping.source.name))
    row_labels = (
        labels[row] if frames else None for row, frames in zip(left.rows, written.frames, strict=True)
    )
    from_stores.write_frame_labels(root, plan.spec.name, written, row_labels)
    manifest = (_beside if plan.keep else _alone)(opened, root, plan, written, left)
    finished = derive.make_streams(
        folder,
        manifest,
        conventions=(plan.spec.name,),
        frames=plan.frames,
        kinds=plan.kinds,
        recipe=plan.recipe,
        bodies=derive.bodies_of(opened),
        progress=progress,
    )
    return finished, tuple(left.findings)


def _beside(opened: Store, root: store.Group, plan: _Plan, written: Rows, left: _Left) -> StoreManifest:
    """Write graphs and findings; returns the old store's manifest with the new convention after its own."""
    old, name = opened.manifest, plan.spec.name
    ids = store.read_column(opened, "samples/id").tolist()
    specs = {each: store.read_spec(opened, each) for each in old.conventions} | {name: plan.spec}
    store.write_graphs(root, specs)
    findings = _findings(opened, root, left)
    new = store.describe_below(root, ("skeletons", f"sequences/{name}"))
    return old.model_copy(
        update={
            "tool": f"skeltools {__version__}",
            "conventions": {**old.conventions, name: _info(old, plan, finish.missing(ids, written.frames))},
            "arrays": dict(sorted({**old.arrays, **new}.items())),
            "findings": finish.counted(findings),
            "source": {**old.source, "store": old.hash},
        }
    )


def _alone(opened: Store, root: store.Group, plan: _Plan, written: Rows, left: _Left) -> StoreManifest:
    """Write columns, graphs and findings of the rows that stay; returns their manifest.

    It has the new convention only.
    """
    old, rows = opened.manifest, np.array(left.rows, np.int64)
    ids = store.read_column(opened, "samples/id")[rows].tolist()
    columns = {name: store.read(opened, f"samples/{name}")[rows] for name in ("label", *from_stores.NUMBERS)}
    halves = {name: store.read(opened, f"splits/{name}")[rows] for name in old.protocols}
    from_stores.write_columns(root, ids, columns, halves, [written])
    store.write_graphs(root, {plan.spec.name: plan.spec})
    findings = _findings(opened, root, left)
    return old.model_copy(
        update={
            "tool": f"skeltools {__version__}",
            "samples": len(ids),
            "protocols": {
                name: finish.split_info(old.protocols[name].rule, half) for name, half in halves.items()
            },
            "conventions": {plan.spec.name: _info(old, plan, ())},
            "recipe": old.recipe.model_copy(update={"counts": {}}),
            "arrays": store.describe_all(root),
            "findings": finish.counted(findings),
            "source": {**old.source, "store": old.hash},
        }
    )


def _findings(opened: Store, root: store.Group, left: _Left) -> tuple[Finding, ...]:
    findings = (*store.read_findings(opened), *left.findings)
    store.write_findings(root, findings)
    return findings


def _info(old: StoreManifest, plan: _Plan, missing: tuple[str, ...]) -> ConventionInfo:
    """The entry of the convention that it is made from, with a description of the mapping."""
    source = old.conventions[plan.mapping.source.name]
    axes = f"{source.axes}; then mapped {plan.mapping.words()}"
    return source.model_copy(update={"axes": axes, "missing": missing})
