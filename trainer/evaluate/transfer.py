"""Transfer: pre-trained on one store, finetuned and tested on another (ISC, table 4).

The encoder was made for a skeleton, so the other store must have the same convention, joint by joint: an
encoder that is fed other joints under the same indices learns something, but the figure is meaningless.
"""

from __future__ import annotations

from typing import Any, Unpack

from torch import nn

from schemas import SkeletonSpec, StoreError
from trainer import store as stores
from trainer.data import Source
from trainer.evaluate.fit import Around, learned
from trainer.evaluate.protocol import Needs
from trainer.evaluate.scores import Scores
from trainer.evaluate.training import ScheduleName, Training
from trainer.store import Store

NEEDS = Needs(clips=True, target=True)


class Options(Training):
    """Defaults: those of ISC, the only one of the papers with transfer."""

    schedule: ScheduleName = "isc"


def evaluate(
    encoder: nn.Module, train: Source, test: Source, *, options: Options, **around: Unpack[Around]
) -> list[Scores]:
    """As ``finetune``; the halves and the classes are those of the target."""
    return [learned("transfer", encoder, train, test, options=options, **around)]


def check_target(source: Store, target: Store, convention: str, *, trained: tuple[str, ...]) -> None:
    """Raises StoreError when ``convention`` is not the same skeleton in both stores.

    ``trained``: all conventions of the run, for the remedy.
    """
    there = list(target.manifest.conventions)
    if convention not in there:
        shared = [name for name in trained if name in there]
        raise StoreError(
            f"the encoder was trained on {', '.join(trained)}, the target has {', '.join(there)} and no "
            f"{convention}",
            where=target.path,
            remedy=f"Choose --convention {shared[0]}"
            if shared
            else f"Add {convention} to it (`skeltools convert`, or `skeltools map`), or pre-train on one of "
            f"{', '.join(there)}",
        )
    stores.check_same_kind(source, target, convention)
    ours, theirs = (stores.skeletons(store, [convention])[convention].spec for store in (source, target))
    differing = difference(ours, theirs)
    if differing:
        raise StoreError(
            f"{convention} is not the same skeleton in {source.path} and here: {differing}",
            where=target.path,
            remedy=f"Convert one of them again with the {convention} of the other",
        )


def difference(ours: SkeletonSpec, theirs: SkeletonSpec) -> str:
    """The first difference, in words; empty if joints, their order and the tree agree."""
    if len(ours.joints) != len(theirs.joints):
        return f"{len(ours.joints)} joints there, {len(theirs.joints)} here"
    if set(ours.joints) != set(theirs.joints):
        lost, new = sorted({*ours.joints} - {*theirs.joints}), sorted({*theirs.joints} - {*ours.joints})
        return f"{', '.join(lost[:3])} only there, {', '.join(new[:3])} only here"
    for place, (our, their) in enumerate(zip(ours.joints, theirs.joints, strict=True)):
        if our != their:
            return f"joint {place} is {our} there, {their} here"
    if ours.parents != theirs.parents:
        joint = next(j for j, (a, b) in enumerate(zip(ours.parents, theirs.parents, strict=True)) if a != b)
        our, their = (spec.joints[spec.parents[joint]] for spec in (ours, theirs))
        return f"the parent of {ours.joints[joint]} is {our} there, {their} here"
    return ""


def provenance(source: Store, target: Store) -> dict[str, Any]:
    """Both stores, for the details of the result."""
    return {"transfer": {"source": _described(source), "target": _described(target)}}


def _described(store: Store) -> dict[str, Any]:
    manifest = store.manifest
    return {
        "store": store.path.name,
        "store_hash": store.hash,
        "dataset": manifest.dataset,
        "recipe": manifest.recipe.label,
        "synthetic": manifest.synthetic,
    }
