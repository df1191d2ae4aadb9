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
from schemas.run import with_more
from trainer import few
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
    from trainer.config import stores

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
    opened = stores.all_of_run(tree, store, more)
    decided = stores.fill(tree, opened, chosen_by_user="data.conventions" in given)
    clips = 0
    if chosen.name == few.SMALL:
        fitted, clips = stores.fit(tree, opened, given)
        decided |= fitted
    sources = origins(tree, chosen.tree, chosen.sources, fallback="")
    config, settled = _settled(validate(tree))
    config, room = stores.with_room(config, opened)
    settled |= room
    component, shares = whole_epochs(config.method, config.optimise.epochs)
    sources = sources | decided | given | settled
    for path, share in shares.items():
        sources[path] = "; ".join(filter(None, (share, sources.get(path))))
    config = config.model_copy(update={"method": component})
    by_store_alone = clips and preset is None and _split(str(method))[1] is None
    return Settings(config, sources, stores.notes_of_few(config, clips) if by_store_alone else ())


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
    return Settings(config, origin, _stretched(saved, config))


def _stretched(saved: RunConfig, config: RunConfig) -> tuple[str, ...]:
    """A note when another number of epochs changes the rate of a run that has begun."""
    before, after = saved.optimise, config.optimise
    if after.schedule != "cosine" or after.epochs == before.epochs:
        return ()
    return (
        f"the cosine of the rate is stretched from {before.epochs} to {after.epochs} epochs, so that the "
        "rate jumps here: the run differs from one that asked for them at the start",
    )


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
    from trainer.config import stores
    from trainer.methods import tunes

    manifest = opened[0].manifest
    wanted = "demo" if manifest.synthetic else _PRESET_OF.get(manifest.dataset, "paper")
    started = any(path.split(".")[0] == "init_from" for path in named) and not tunes(method)
    if not (manifest.synthetic or manifest.dataset in _PUBLISHED or started):
        data = named.get("data")
        split = named.get("data.split") or (data.get("split") if isinstance(data, dict) else None)
        if sum(stores.clips_of(each, split) for each in opened) < few.FEW:
            wanted = few.SMALL
    names = preset_names(method)
    return wanted if wanted in names else names[0]


def validate(tree: Mapping[str, Any]) -> RunConfig:
    """Validate settings. Raises ConfigError for the first invalid key or value, with its dotted path."""
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        raise config_error(error, RunConfig, noun="key") from error
