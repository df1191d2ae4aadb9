"""The settings that depend on the stores of a run: splits, conventions, bodies, and sizes for few clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from schemas import ConfigError, RunConfig
from schemas.places import Place
from trainer import few
from trainer.config.trees import Tree, is_within, set_value
from trainer.store import (
    Store,
    bodies_of,
    check_convention,
    check_split,
    labels_of,
    lengths_of,
    open_store,
)


def clips_of(store: Store, split: object, conventions: Sequence[str] = ()) -> int:
    """Number of clips in a store's training half of ``split``, or of its first split if it lacks that one."""
    splits = list(store.manifest.protocols)
    if not splits:
        return 0
    name = split if isinstance(split, str) and split in splits else splits[0]
    return len(labels_of(store, split=name, part="train", conventions=conventions))


def all_of_run(tree: Tree, store: Store, more: Sequence[Store]) -> list[Store]:
    """All stores of the run: ``more``, or those named in the settings. Raises ConfigError for duplicates."""
    others = list(more) or [open_store(each["store"]) for each in _named(tree)]
    paths = [str(each.path.resolve()) for each in (store, *others)]
    twice = [path for place, path in enumerate(paths) if path in paths[:place]]
    if twice:
        raise ConfigError(
            f"{twice[0]} is named twice", where="data.store", remedy="Weigh stores with --store-weight"
        )
    return [store, *others]


def _named(tree: Tree) -> list[dict[str, Any]]:
    """The well-formed entries for other stores in the settings."""
    entries = (tree.get("data") or {}).get("more") or []
    return [each for each in entries if isinstance(each, dict) and isinstance(each.get("store"), str)]


def fill(tree: Tree, opened: Sequence[Store], *, chosen_by_user: bool) -> dict[str, str]:
    """Set the stores' paths, and splits and conventions that they have; returns the origins of what it set.

    ``chosen_by_user``: the conventions of the settings are the user's, not the preset's.
    """
    store, *others = opened
    data = tree["data"] = dict(tree.get("data") or {})
    decided = {"data.store": "--store"}
    data["store"] = str(store.path.resolve())
    if data.get("split") is None:
        data["split"] = next(iter(store.manifest.protocols), "")
        decided["data.split"] = "the store's first"
    check_split(store, str(data["split"]))
    named = data.get("conventions") or []
    named = [named] if isinstance(named, str) else list(named)
    wanted = named if chosen_by_user else None
    several = "base" in (tree["method"].get("options") or {})
    if wanted and others:
        _check_known(wanted, opened)
        there = _there(wanted, store)
        data["conventions"] = there if several else there[:1]
    elif wanted:
        _check_conventions(wanted, store, several=several)
        data["conventions"] = wanted
    else:
        data["conventions"] = _preferred(named, store, several=several)
        if data["conventions"] != named:
            decided["data.conventions"] = "what the store has"
    return decided | _fill_others(tree, others, wanted, several=several)


def _fill_others(
    tree: Tree, others: Sequence[Store], wanted: list[str] | None, *, several: bool
) -> dict[str, str]:
    """Like ``fill``, for the stores after the first; ``wanted``: the conventions that the user chose."""
    if not others:
        return {}
    data = tree["data"]
    by_path = {str(Place(each["store"]).resolve()): each for each in _named(tree)}
    by_place = data["more"] if isinstance(data.get("more"), dict) else {}  # of --set data.more.0.split=xsub
    given = [
        by_path.get(str(each.path.resolve()), {}) | by_place.get(str(place), {})
        for place, each in enumerate(others)
    ]
    data["more"] = [_other(*each, data, wanted, several=several) for each in zip(others, given, strict=True)]
    origin = {
        "store": "--store",
        "split": "its split of that name, or its first",
        "conventions": "what the store has" if wanted is None else "those of --convention that it has",
    }
    return {
        f"data.more.{place}.{key}": source for place in range(len(others)) for key, source in origin.items()
    }


def _other(
    store: Store, given: Mapping[str, Any], data: Tree, wanted: list[str] | None, *, several: bool
) -> dict[str, Any]:
    """The settings of another store, following its own entry and ``--convention``."""
    splits = list(store.manifest.protocols)
    split = given.get("split") or (data["split"] if data["split"] in splits else next(iter(splits), ""))
    check_split(store, str(split))
    asked = list(given.get("conventions") or ())
    for name in asked:
        check_convention(store, name)
    if not asked and wanted:
        asked = _there(wanted, store)
    conventions = asked or _preferred(data["conventions"] if several else [], store, several=several)
    return {
        "store": str(store.path.resolve()),
        "split": split,
        "conventions": conventions if several else conventions[:1],
    }


def _there(wanted: list[str], store: Store) -> list[str]:
    """The wanted conventions that the store has. Raises StoreError if it has none of them."""
    conventions = [name for name in wanted if name in store.manifest.conventions]
    if not conventions:
        check_convention(store, wanted[0])
    return conventions


def _check_known(wanted: list[str], opened: Sequence[Store]) -> None:
    """Raises StoreError for a convention that no store has."""
    for name in wanted:
        if not any(name in store.manifest.conventions for store in opened):
            check_convention(opened[0], name)


def _check_conventions(wanted: list[str], store: Store, *, several: bool) -> None:
    for name in wanted:
        check_convention(store, name)
    if len(set(wanted)) != len(wanted):
        raise ConfigError(f"a convention is named twice: {', '.join(wanted)}", where="data.conventions")
    if len(wanted) > 1 and not several:
        raise ConfigError(
            f"this method trains on one skeleton convention, found {', '.join(wanted)}",
            where="data.conventions",
            remedy="Choose one of them, or train with --method ms-clr",
        )


def _preferred(wanted: list[str], store: Store, *, several: bool) -> list[str]:
    """A preset's conventions that the store has; else the sensor's own or, for several, all."""
    there = [name for name in wanted if name in store.manifest.conventions]
    if not several:
        return there[:1] or [store.native]
    others = [name for name in store.manifest.conventions if name != store.native]
    return there if len(there) > 1 else [store.native, *others]


def with_room(config: RunConfig, opened: Sequence[Store]) -> tuple[RunConfig, dict[str, str]]:
    """Set ``data.bodies`` to the most of any store. Raises StoreError if clips of the length are missing."""
    if len(opened) == 1 or config.data.bodies is not None:
        return config, {}
    conventions = [config.data.conventions, *(other.conventions for other in config.data.more)]
    most = max(
        bodies_of(store, names[0], frames=config.data.frames)
        for store, names in zip(opened, conventions, strict=True)
    )
    data = config.data.model_copy(update={"bodies": most})
    return config.model_copy(update={"data": data}), {"data.bodies": "the most that a store has"}


def fit(tree: Tree, opened: Sequence[Store], given: Mapping[str, str]) -> tuple[dict[str, str], int]:
    """Set batch size, queue and frames of preset ``small`` for these stores, unless they are ``given``.

    The rule is that of ``trainer.few``. Returns the origins of those set, and the number of training clips.
    """
    parts = [tree["data"], *tree["data"].get("more", ())]
    sizes, lengths = [], []
    for store, part in zip(opened, parts, strict=True):
        sizes.append(clips_of(store, part["split"], part["conventions"]))
        lengths.append(set(lengths_of(store, part["conventions"])))
    clips, common = sum(sizes), sorted(set.intersection(*lengths))
    wanted: dict[str, tuple[Any, str]] = {
        "optimise.batch_size": (
            min(few.batch_for(clips), max(2, min(sizes))),
            f"{clips} clips: {few.LEAST_STEPS} steps an epoch or more",
        ),
        "data.frames": (few.frames_for(tree["data"]["frames"], common), "a length that the store has"),
    }
    for path, _ in few.queues(tree["method"]["options"], "method.options"):
        wanted[path] = (few.queue_for(clips), f"{clips} clips: below an epoch")
    decided = {}
    for path, (value, origin) in wanted.items():
        if not any(is_within(path, each) for each in given):
            set_value(tree, path, value)
            decided[path] = origin
    return decided, clips


def notes_of_few(settings: RunConfig, clips: int) -> tuple[str, ...]:
    """Lines for the user on which settings were chosen for a store of few clips, and why."""
    optimise = settings.optimise
    steps = max(1, clips // optimise.batch_size)
    queues = [keys for _, keys in few.queues(settings.method.options, "method.options")]
    chosen = [
        f"batch {optimise.batch_size} ({steps} steps in a pass over the clips)",
        *(f"queue {queue} ({queue / clips:.1f} of an epoch)" for queue in queues[:1]),
        f"rate {optimise.lr:g}",
        f"clips of {settings.data.frames} frames",
        f"{optimise.epochs} epochs",
    ]
    return (
        f"{clips} clips to train on: preset {settings.preset}. The papers' settings are made for {few.FEW} "
        f"clips and more: a queue of {few.LONGEST_QUEUE}, batches of {few.LARGEST}, an encoder with dropout",
        ", ".join(chosen),
        "the loss rises while the queue fills: judge by kNN. For other settings give --preset paper, or "
        "--set KEY=VALUE; `skeltools docs training` has the rule",
    )
