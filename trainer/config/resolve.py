"""From a method's name to the complete settings of a run: preset, settings file, overrides and store."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from schemas import ConfigError, RunConfig, UsageError, config_error, unknown
from schemas.parsing import cause, refusing
from schemas.places import Place
from schemas.run import with_more
from trainer import few
from trainer.config.fit import fit, notes
from trainer.config.presets import Preset, find_preset, origins, preset_methods, preset_names
from trainer.config.shares import whole_epochs
from trainer.config.trees import Override, Tree, leaves, merge, read_file, set_value

if TYPE_CHECKING:  # imports torch, which commands that only print do not need
    from trainer.store import Store


@dataclass(frozen=True)
class Settings:
    """A resolved configuration and the origin of its values."""

    config: RunConfig
    sources: dict[str, str]
    notes: tuple[str, ...] = ()
    """Notes for the user, before the run starts, on what the store determined."""


def resolve(
    store: Store,
    *,
    more: Sequence[Store] = (),
    method: str | None = None,
    preset: str | None = None,
    base: str | None = None,
    file: Path | None = None,
    overrides: Sequence[Override] = (),
) -> Settings:
    """The complete settings of a run on this store, and on ``more`` stores that train the same encoder.

    ``method`` may include its preset (``aimclr-released``); otherwise the store determines it. ``file`` may
    name both under the key ``preset``. Raises UsageError for unknown names, ConfigError, naming the dotted
    path, for invalid keys and values, and StoreError for anything that the store lacks.
    """

    def refuse(why: str) -> ConfigError:
        return ConfigError(f"the settings do not have the form of settings: {why}", where=file)

    layer = read_file(file) if file is not None else {}
    # the merged settings have not been checked yet
    with refusing(refuse, describe=cause) if file is not None else nullcontext():
        named = {"method": method, "preset": preset, "base": base}
        return _resolved(store, more, layer, file, **named, overrides=overrides)


def _resolved(
    store: Store,
    more: Sequence[Store],
    layer: Tree,
    file: Path | None,
    *,
    method: str | None,
    preset: str | None,
    base: str | None,
    overrides: Sequence[Override],
) -> Settings:
    if "preset" in layer and method is None:
        method, _, named = str(layer["preset"]).partition("/")
        preset = preset or named or None
    layer.pop("preset", None)
    if isinstance(layer.get("data"), dict):
        layer["data"] = with_more(layer["data"])
    asked: dict[str, Any] = {**layer, **{each.path: each.value for each in overrides}}
    chosen = _choose([store, *more], asked, method=method, preset=preset, base=base)
    tree, given = merge(chosen.tree, layer), dict.fromkeys(dict(leaves(layer)), str(file))
    for override in overrides:
        set_value(tree, override.path, override.value)
        given[override.path] = override.origin
    tree["preset"] = f"{chosen.method}/{chosen.name}"
    chosen_by_user = "data.conventions" in given
    opened = _opened(tree, store, more)
    decided = _fill_from_store(tree, store, opened[1:], chosen_by_user=chosen_by_user)
    decided |= _fill_from_others(tree, opened, chosen_by_user=chosen_by_user)
    clips = 0
    if chosen.name == few.SMALL:
        by_store, clips = _fit_to(tree, opened, given)
        decided |= by_store
    sources = origins(tree, chosen.tree, chosen.sources, fallback="")
    config, settled = _settled(validate(tree))
    config, room = _with_room(config, opened)
    settled |= room
    component, shares = whole_epochs(config.method, config.optimise.epochs)
    sources = sources | decided | given | settled
    for path, share in shares.items():
        sources[path] = "; ".join(filter(None, (share, sources.get(path))))
    config = config.model_copy(update={"method": component})
    by_store_alone = clips and preset is None and _split(str(method))[1] is None
    return Settings(config, sources, notes(config, clips) if by_store_alone else ())


_MAY_CHANGE = (
    "data.store",
    "optimise.epochs",
    "runtime.device",
    "runtime.log_every",
    "runtime.checkpoint_every",
    "runtime.keep_every",
    "runtime.knn_every",
    "runtime.lidar_views",
    "runtime.log",
    "runtime.compile",
    "runtime.cuda_graphs",
    "optimise.accumulate",
)
"""Settings that may change on resume: duration, store and device, batch parts, logging and checkpoints."""


def resume(
    saved: RunConfig,
    *,
    store: Path | Sequence[Path] | None = None,
    method: str | None = None,
    preset: str | None = None,
    base: str | None = None,
    file: Path | None = None,
    overrides: Sequence[Override] = (),
) -> Settings:
    """A run's own settings with changeable ones replaced; repeating those it was started with is allowed.

    More epochs continue a ``step`` or ``constant`` schedule as if they had been requested at the start;
    ``cosine`` is stretched. Raises ConfigError for a setting that would make it another run.
    """
    asked = [Override(path, value, str(file)) for path, value in leaves(read_file(file) if file else {})]
    asked = [each for each in asked if each.path != "preset"]
    if method is not None:
        name, within = _split(method)
        asked += [Override("method.name", name, "--method")]
        preset = preset or within
    if preset is not None:
        asked += [Override("preset", f"{saved.preset.partition('/')[0]}/{preset}", "--preset")]
    if base is not None:
        asked += [Override("method.options.base.name", base, "--base")]
    asked += _moved(saved, [store] if isinstance(store, Path) else store or ())
    tree = saved.model_dump(mode="json")
    before = dict(leaves(tree))
    for override in [*asked, *overrides]:
        set_value(tree, override.path, override.value)
    config, _ = _settled(validate(tree))
    config = config.model_copy(update={"method": whole_epochs(config.method, config.optimise.epochs)[0]})
    origin = dict.fromkeys(before, "the run") | {each.path: each.origin for each in [*asked, *overrides]}
    after = dict(leaves(config.model_dump(mode="json")))
    for path in after:
        if after[path] != before.get(path) and path not in _MAY_CHANGE and not _OTHER.fullmatch(path):
            raise ConfigError(
                f"the run was started with {before.get(path)!r}, --resume cannot make it {after[path]!r}",
                where=path,
                remedy="Leave the setting out, or start a new run with another --out",
            )
    return Settings(config, origin)


_OTHER = re.compile(r"data\.more\.\d+\.store")


def _moved(saved: RunConfig, paths: Sequence[Path]) -> list[Override]:
    """Overrides for stores that have moved: all or the first ones. Raises UsageError for too many."""
    number = 1 + len(saved.data.more)
    if len(paths) > number:
        raise UsageError(
            f"the run has {number} {'store' if number == 1 else 'stores'}, found {len(paths)}",
            where="--store",
            remedy="Train on others in a new run with another --out",
        )
    keys = ["data.store", *(f"data.more.{place}.store" for place in range(number - 1))]
    return [Override(key, str(path.resolve()), "--store") for key, path in zip(keys, paths, strict=False)]


def _settled(config: RunConfig) -> tuple[RunConfig, dict[str, str]]:
    """Replace the precision ``auto`` by that of the device; also returns the origin of the value."""
    from trainer import device as devices

    if config.runtime.precision != "auto":
        return config, {}
    device = devices.choose(config.runtime.device)
    precision = devices.settled_precision(device, "auto")
    runtime = config.runtime.model_copy(update={"precision": precision})
    verb = "computes" if precision == "bf16" else "would emulate"
    origin = {"runtime.precision": f"auto: this {device.type} {verb} bf16"}
    return config.model_copy(update={"runtime": runtime}), origin


def _choose(
    opened: Sequence[Store],
    named: Mapping[str, Any],
    *,
    method: str | None,
    preset: str | None,
    base: str | None,
) -> Preset:
    if method is None:
        raise UsageError("no method given", remedy=f"Choose one with --method: {', '.join(preset_methods())}")
    method, within = _split(method)
    if within and preset and within != preset:
        raise UsageError(f"--method asks for preset '{within}', --preset for '{preset}'", remedy="Give one")
    return find_preset(method, preset or within or _suited(method, opened, named), base=base)


def _split(name: str) -> tuple[str, str | None]:
    """``aimclr-released`` -> (aimclr, released); the name of a method may itself contain hyphens."""
    if name in preset_methods():
        return name, None
    for method in preset_methods():
        if name.startswith(f"{method}-"):
            return method, name.removeprefix(f"{method}-")
    raise unknown("method", name, preset_methods())


_PRESET_OF = {"nw-ucla": "nw-ucla", "pku-mmd-1": "pku-1", "pku-mmd-2": "pku-2"}
"""Data set -> its preset, if a method has it."""


_PUBLISHED = ("ntu60", "ntu120", *_PRESET_OF)
"""Data sets that have their own settings, regardless of the number of clips."""


def _suited(method: str, opened: Sequence[Store], named: Mapping[str, Any]) -> str:
    """The preset of the first store's data set; for other data, ``small`` if there are few clips.

    With ``--init-from``, ``small`` is not chosen: the encoder must match the weights, which mostly come from
    the papers' encoder. A method that tunes an encoder is an exception: its weights come from the same store.
    """
    from trainer.methods import tunes

    manifest = opened[0].manifest
    wanted = "demo" if manifest.synthetic else _PRESET_OF.get(manifest.dataset, "paper")
    started = any(path.split(".")[0] == "init_from" for path in named) and not tunes(method)
    if not (manifest.synthetic or manifest.dataset in _PUBLISHED or started):
        data = named.get("data")
        split = named.get("data.split") or (data.get("split") if isinstance(data, dict) else None)
        if sum(_clips(each, split) for each in opened) < few.FEW:
            wanted = few.SMALL
    names = preset_names(method)
    return wanted if wanted in names else names[0]


def _clips(store: Store, split: object, conventions: Sequence[str] = ()) -> int:
    """Number of clips in a store's training half of ``split``, or of its first split if it lacks that one."""
    from trainer.store import labels_of

    splits = list(store.manifest.protocols)
    if not splits:
        return 0
    name = split if isinstance(split, str) and split in splits else splits[0]
    return len(labels_of(store, split=name, part="train", conventions=conventions))


def _fit_to(tree: Tree, opened: Sequence[Store], given: Mapping[str, str]) -> tuple[dict[str, str], int]:
    """Set the sizes of preset ``small`` for these stores; returns their origins and the number of clips."""
    from trainer.store import lengths_of

    parts = [tree["data"], *tree["data"].get("more", ())]
    clips, lengths = [], []
    for store, part in zip(opened, parts, strict=True):
        clips.append(_clips(store, part["split"], part["conventions"]))
        lengths.append(set(lengths_of(store, part["conventions"])))
    common = sorted(set.intersection(*lengths))
    return fit(tree, sum(clips), smallest=min(clips), lengths=common, given=given), sum(clips)


def _opened(tree: Tree, store: Store, more: Sequence[Store]) -> list[Store]:
    """All stores of the run: ``more``, or those named in the settings. Raises ConfigError for duplicates."""
    from trainer.store import open_store

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


def _fill_from_others(tree: Tree, opened: Sequence[Store], *, chosen_by_user: bool) -> dict[str, str]:
    """Like ``_fill_from_store``, for the other stores."""
    if len(opened) == 1:
        return {}
    several = "base" in (tree["method"].get("options") or {})
    data = tree["data"]
    by_path = {str(Place(each["store"]).resolve()): each for each in _named(tree)}
    by_place = data["more"] if isinstance(data.get("more"), dict) else {}  # of --set data.more.0.split=xsub
    wanted = data.pop("_wanted", None) or []
    given = [
        by_path.get(str(each.path.resolve()), {}) | by_place.get(str(place), {})
        for place, each in enumerate(opened[1:])
    ]
    data["more"] = [
        _other(*each, data, wanted, several=several) for each in zip(opened[1:], given, strict=True)
    ]
    origin = {"store": "--store", "split": "its split of that name, or its first", "conventions": ""}
    origin["conventions"] = "those of --convention that it has" if chosen_by_user else "what the store has"
    return {
        f"data.more.{place}.{key}": source
        for place in range(len(opened) - 1)
        for key, source in origin.items()
    }


def _other(
    store: Store, given: Mapping[str, Any], data: Tree, wanted: list[str], *, several: bool
) -> dict[str, Any]:
    """The settings of another store, following its own entry and ``--convention``."""
    from trainer.store import check_convention, check_split

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
    from trainer.store import check_convention

    conventions = [name for name in wanted if name in store.manifest.conventions]
    if not conventions:
        check_convention(store, wanted[0])
    return conventions


def _with_room(config: RunConfig, opened: Sequence[Store]) -> tuple[RunConfig, dict[str, str]]:
    """Set ``data.bodies`` to the most of any store. Raises StoreError if clips of the length are missing."""
    from trainer.store import bodies_of

    if len(opened) == 1 or config.data.bodies is not None:
        return config, {}
    conventions = [config.data.conventions, *(other.conventions for other in config.data.more)]
    most = max(
        bodies_of(store, names[0], frames=config.data.frames)
        for store, names in zip(opened, conventions, strict=True)
    )
    data = config.data.model_copy(update={"bodies": most})
    return config.model_copy(update={"data": data}), {"data.bodies": "the most that a store has"}


def _fill_from_store(
    tree: Tree, store: Store, others: Sequence[Store], *, chosen_by_user: bool
) -> dict[str, str]:
    """Set the store's path and an existing split and conventions; returns the origins of what it set."""
    from trainer.store import check_split

    data = tree["data"] = dict(tree.get("data") or {})
    decided = {"data.store": "--store"}
    data["store"] = str(store.path.resolve())
    if data.get("split") is None:
        data["split"] = next(iter(store.manifest.protocols), "")
        decided["data.split"] = "the store's first"
    check_split(store, str(data["split"]))
    wanted = data.get("conventions") or []
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    several = "base" in (tree["method"].get("options") or {})
    if chosen_by_user and wanted and others:
        _check_known(wanted, [store, *others])
        there = _there(wanted, store)
        data["conventions"], data["_wanted"] = there if several else there[:1], wanted
        return decided
    if chosen_by_user and wanted:
        _check_conventions(wanted, store, several=several)
        data["conventions"] = wanted
        return decided
    data["conventions"] = _preferred(wanted, store, several=several)
    if data["conventions"] != wanted:
        decided["data.conventions"] = "what the store has"
    return decided


def _check_known(wanted: list[str], opened: Sequence[Store]) -> None:
    """Raises StoreError for a convention that no store has."""
    from trainer.store import check_convention

    for name in wanted:
        if not any(name in store.manifest.conventions for store in opened):
            check_convention(opened[0], name)


def _check_conventions(wanted: list[str], store: Store, *, several: bool) -> None:
    from trainer.store import check_convention

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


def validate(tree: Mapping[str, Any]) -> RunConfig:
    """Validate settings. Raises ConfigError for the first invalid key or value, with its dotted path."""
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        raise config_error(error, RunConfig, noun="key") from error
