"""The settings of runs, how they differ, and the provenance of their data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from schemas import DataConfig, InitConfig, RunConfig, UsageError
from trainer import config
from trainer.config.shares import whole_epochs
from trainer.config.trees import merge
from trainer.report.collect import RunFolder
from trainer.report.parts import Note, Part, Section, Table

_ABSENT = "–"


def settings_section(runs: Sequence[RunFolder]) -> Section:
    """All settings of every run, after those that differ between runs or, for one run, from its preset."""
    columns = [flat(run.config) for run in runs]
    names = [run.name for run in runs]
    parts: list[Part] = [_changes(runs[0])] if len(runs) == 1 else [_differences(names, columns)]
    parts.append(Table("All settings", ("setting", *names), _rows(columns), folded=True))
    return Section("settings", "Settings", tuple(parts))


def flat(settings: RunConfig) -> dict[str, str]:
    """Dotted path -> value as written in YAML."""
    return {path: _text(value) for path, value in config.leaves(settings.model_dump(mode="json"))}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _rows(columns: Sequence[Mapping[str, str]]) -> tuple[tuple[str, ...], ...]:
    """A row for each name that a column has, with its value in every column."""
    names = dict.fromkeys(name for column in columns for name in column)
    return tuple((name, *(column.get(name, _ABSENT) for column in columns)) for name in names)


def _differences(names: Sequence[str], columns: Sequence[Mapping[str, str]]) -> Part:
    different = tuple(row for row in _rows(columns) if len(set(row[1:])) > 1)
    if not different:
        return Note("The runs have the same settings.", kind="info")
    return Table("What differs between the runs", ("setting", *names), different)


def _changes(run: RunFolder) -> Part:
    """The values that differ from the preset that the run started from."""
    preset = of_preset(run.config, run.config.preset)
    if preset is None:
        return Note(
            f"This version has no preset {run.config.preset}: what was changed is not known.", kind="info"
        )
    expected = flat(preset)
    rows = tuple(
        (path, value, expected.get(path, "not set"))
        for path, value in flat(run.config).items()
        if value != expected.get(path)
    )
    if not rows:
        return Note(f"All settings are those of preset {run.config.preset}.", kind="info")
    title = f"Set otherwise than by preset {run.config.preset}"
    return Table(title, ("setting", "this run", "preset"), rows)


def of_preset(settings: RunConfig, preset: str) -> RunConfig | None:
    """A run's settings with those of ``method/preset`` applied; None for an unknown preset.

    The number of epochs is kept: stages that begin at a share of the epochs scale with it.
    """
    method, _, name = preset.partition("/")
    options = settings.method.options
    base = options["base"]["name"] if "base" in options else None
    try:
        tree = config.find_preset(method, name, base=base).tree
        with_epochs = {"optimise": {"epochs": settings.optimise.epochs}}
        resolved = RunConfig.model_validate(merge(merge(settings.model_dump(mode="json"), tree), with_epochs))
        component, _ = whole_epochs(resolved.method, settings.optimise.epochs)
        return resolved.model_copy(update={"method": component})
    except (UsageError, ValueError):
        return None


def provenance_section(runs: Sequence[RunFolder]) -> Section:
    """The data, their form, and the weights."""
    rows = _rows([_provenance(run) for run in runs])
    table = Table("Where the figures come from", ("", *(run.name for run in runs)), rows)
    return Section("data", "Data and weights", (table,))


def _provenance(run: RunFolder) -> dict[str, str]:
    data = run.config.data
    facts = _of_store(run) or _of_results(run) or {"store": data.store}
    epochs = f"{run.epoch} of {run.config.optimise.epochs}"
    return facts | {
        "conventions": ", ".join(data.conventions),
        **_others(data),
        "stream": data.stream,
        "frames": str(data.frames),
        "weights at the start": _start(run.config.init_from),
        "checkpoint": _ABSENT if run.opened is None else f"sha256 {run.opened.checkpoint_hash}",
        "epochs": epochs if run.finished else f"{epochs}: not finished",
    }


def _others(data: DataConfig) -> dict[str, str]:
    """The other stores that the encoder was trained on."""
    stores = [f"{other.store} ({other.split}): {', '.join(other.conventions)}" for other in data.more]
    return {"trained on as well": "; ".join(stores)} if stores else {}


def _start(init: InitConfig | None) -> str:
    if init is None:
        return "random"
    origin = f"released {init.code}: " if init.kind == "released" else f"{init.kind} "
    skipped = f", without {', '.join(init.skip)}" if init.skip else ""
    return f"{origin}{init.path}, sha256 {init.sha256}{skipped}"


def _of_store(run: RunFolder) -> dict[str, str]:
    if run.store is None:
        return {}
    manifest, split = run.store.manifest, run.config.data.split or ""
    halves = manifest.protocols.get(split)
    steps = " → ".join(step.name for step in manifest.recipe.steps)
    raw = ", ".join(f"{name} {value}" for name, value in manifest.source.items())
    return {
        "store": run.store.path.name,
        "store hash": run.store.hash,
        "data set": _dataset(manifest.dataset, synthetic=manifest.synthetic),
        "classes": str(len(manifest.classes)),
        "split": f"{split}: {halves.train} train, {halves.test} test ({halves.rule})" if halves else split,
        "recipe": f"{manifest.recipe.label}: {steps}" if steps else manifest.recipe.label,
        "raw data": raw or _ABSENT,
        "made by": manifest.tool,
    }


def _of_results(run: RunFolder) -> dict[str, str]:
    """What the results state, if the store is gone."""
    if not run.results:
        return {}
    result = run.results[0].result
    sizes = f"{result.train_samples} train, {result.test_samples} test"
    return {
        "store": result.store,
        "store hash": result.store_hash,
        "data set": _dataset(result.dataset, synthetic=result.synthetic),
        "split": f"{result.split}: {sizes}",
        "recipe": result.recipe or _ABSENT,
    }


def _dataset(name: str, *, synthetic: bool) -> str:
    return f"{name} (synthetic: the built-in demo data)" if synthetic else name
